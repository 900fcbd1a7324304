"""Least squares without negative figures (bounded-variable least squares, as SciPy has it)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from desim.calibrate.meter import Figure
from desim.calibrate.observe import Observation
from desim.data import NamedTuple
from desim.errors import UserError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]

FLOOR = 400.0
"""Instructions: an observation shorter than this counts by its absolute error, for a trace
event is itself worth some hundred."""

TIE = 2e-4
"""Pull of every figure towards nothing, per 1000 instructions: it shares out equally what
observations tell of a sum only, and moves no figure that they tell by more than its rounding."""

USUAL = 0.02
"""Relative error from which on an observation counts by the error and not by its square: a
stretch in which the model does something else than Linux did must not bend the others."""

FAR = 0.1
"""Relative error from which on an observation pulls the less, the farther off it is: there the
model did something else (a program ran in another stretch), and all such may be off to one
side. Only once the others have found their place: for the second half of the solutions."""

ROUNDS = 12
"""Solutions, each trusting the observations as far as the one before explained them."""


class Fitted(NamedTuple):
    """A figure (instructions, or instructions per 1000 bytes) and how well it is known."""

    figure: Figure
    value: float
    observations: int
    """How many observations it takes part in."""
    residual: float
    """Root mean square of the relative errors of these, weighted by its share in them."""


class Fit(NamedTuple):
    """What came out: the figures, and each observation's measured and fitted length."""

    figures: list[Fitted]
    observations: list[tuple[Observation, float]]


def error(observation: Observation, length: float) -> float:
    """How far ``length`` is from what was measured: relative, of a short one to ``FLOOR``."""
    return (length - observation.measured) / max(observation.measured, FLOOR)


def check_installed() -> None:
    """Raises ``UserError`` without NumPy and SciPy, which only calibration needs."""
    if find_spec("numpy") is None or find_spec("scipy") is None:
        raise UserError(
            "calibrate: needs numpy and scipy; install them with: pip install 'desim[calibrate]'"
        )


def fit(observations: Sequence[Observation]) -> Fit:
    """The figures that explain ``observations`` best. Raises ``UserError`` without SciPy."""
    check_installed()
    import numpy as np
    from scipy.optimize import lsq_linear

    names = sorted({figure for o in observations for figure in o.counts})
    places = {figure: place for place, figure in enumerate(names)}
    unit = [1000.0 if figure[2] == "per_1000_bytes" else 1.0 for figure in names]
    rows = np.zeros((len(observations), len(names)))
    lengths = np.array([o.measured for o in observations])
    for row, observation in enumerate(observations):
        for figure, count in observation.counts.items():
            rows[row, places[figure]] = count / unit[places[figure]]
    scale = 1.0 / np.maximum(lengths, FLOOR)
    heavy = np.sqrt(np.array([o.weight for o in observations]))
    tie = np.eye(len(names)) * (TIE / 1000)
    trust = np.ones(len(lengths))
    for number in range(ROUNDS):
        weight = scale * heavy * trust
        values = lsq_linear(
            np.vstack([rows * weight[:, None], tie]),
            np.concatenate([lengths * weight, np.zeros(len(names))]),
            bounds=(0, np.inf),
            method="bvls",
            max_iter=100 * len(names),
        ).x
        errors = np.abs((rows @ values - lengths) * scale)
        errors = np.maximum(errors, 1e-12)
        trust = np.minimum(1.0, USUAL / errors)
        if number >= ROUNDS // 2:
            trust *= np.minimum(1.0, FAR / errors)
        trust = np.sqrt(trust)
    fitted = rows @ values
    errors = (fitted - lengths) * scale
    return Fit(
        [_judged(figure, values, rows, errors, fitted, places[figure]) for figure in names],
        [(o, float(length)) for o, length in zip(observations, fitted, strict=True)],
    )


def _judged(
    figure: Figure,
    values: Floats,
    rows: Floats,
    errors: Floats,
    fitted: Floats,
    place: int,
) -> Fitted:
    share = rows[:, place] * max(values[place], 1e-9) / (fitted + 1e-9)
    weight = float(share.sum())
    residual = float((share * errors**2).sum() / weight) ** 0.5 if weight > 0 else 0.0
    return Fitted(figure, float(values[place]), int((rows[:, place] > 0).sum()), residual)
