"""What a calibration has to say: for people, for programs, and on top of the profile.

An observation's error is its fitted length against the measured one, relative; of what is
shorter than ``FLOOR`` instructions, relative to that many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from desim.calibrate.calibrate import Round
from desim.calibrate.fit import FLOOR, Fit, Fitted, error
from desim.calibrate.observe import EVENT_FILE, Observation
from desim.calibrate.realtime import Factor
from desim.calibrate.selection import Selection
from desim.conform.linux.judgement import middle_and_95
from desim.conform.linux.recording import Run
from desim.data import NamedTuple

DESCRIPTION = "Guest instructions, as QEMU counts them under -icount; QEMU and host take no time"

WORST = 20
"""Observations that are shown."""


class Judged(NamedTuple):
    """One observation beside what the fitted figures come to."""

    observation: Observation
    fitted: float
    error: float


def judged(fit: Fit) -> list[Judged]:
    """All observations, the worst first."""
    found = [Judged(one, length, error(one, length)) for one, length in fit.observations]
    return sorted(found, key=lambda one: (-abs(one.error), one.observation.name))


def errors(fit: Fit) -> tuple[float, float]:
    """The median of the observations' errors and their 95th percentile."""
    found = middle_and_95([abs(one.error) for one in judged(fit)])
    assert found is not None, "a fit has observations"
    return found


def round_line(one: Round) -> str:
    """How far a round came."""
    middle, last = errors(one.fit)
    figures = sum(figure.value > 0 for figure in one.fit.figures)
    return (
        f"round {one.number}: {len(one.fit.observations)} observations, {figures} figures above 0, "
        f"median error {middle:.2%}, 95th percentile {last:.2%}"
    )


def run_line(run: Run) -> str:
    """A run that is used."""
    shift = f", instructions of {1 << run.shift} ns" if run.shift else ""
    traces = f", {len(run.traces)} kernel traces" if run.traces else ""
    packets = f", {len(run.packets)} packets" if run.packets else ""
    return f"uses {run.name}: {len(run.tests)} tests{packets}{traces}{shift}"


def passed_over_lines(selection: Selection) -> Iterator[str]:
    """What is not used, by the reason for it."""
    reasons: dict[str, list[str]] = {}
    for one in selection.passed_over:
        reasons.setdefault(one.why, []).append(one.place)
    for why, found in sorted(reasons.items()):
        yield f"passes over ({why}): {', '.join(found)}"


def figures_table(figures: Sequence[Fitted], unit: str = "instructions") -> Iterator[str]:
    """Every figure, by source file."""
    yield f"{'stage':<52}{unit:>14}{'observations':>14}{'residual':>10}"
    before = ""
    for one in figures:
        file, stage, field = one.figure
        if file != before:
            yield f"{file} (in no profile)" if file == EVENT_FILE else file
            before = file
        label = stage if field == "enter" else f"{stage}, {field.replace('_', ' ')}"
        yield f"  {label:<50}{round(one.value):>14}{one.observations:>14}{one.residual:>10.1%}"


def worst_table(fit: Fit) -> Iterator[str]:
    """The observations that the figures explain worst."""
    yield f"{'worst observations':<70}{'measured':>10}{'fitted':>10}{'error':>10}"
    for one in judged(fit)[:WORST]:
        observation = one.observation
        yield observation.name
        yield f"{'':<70}{observation.measured:>10.0f}{one.fitted:>10.0f}{one.error:>+10.1%}"


def comment(runs: Sequence[Run], rounds: int, fit: Fit) -> str:
    """What stands on top of the profile."""
    middle, last = errors(fit)
    names = [f"  {run.name}" for run in runs]
    return "\n".join(
        [
            f"Made by: desim calibrate RECORDINGS... --rounds {rounds}",
            "from the recorded runs",
            "",
            *names,
            "",
            f"{len(fit.observations)} observations, median error {middle:.2%}, 95th percentile "
            f"{last:.2%}.",
            f"An error is relative; below {FLOOR:.0f} instructions, relative to these.",
            "",
            "Nothing here was typed in by hand, and a change by hand would be lost. A figure's",
            "source says how many observations it takes part in, and the residual of these: the",
            "root mean square of their errors, weighted by the figure's share in each.",
            "",
            "An observation is the sum of what several functions take. Where the recordings tell",
            "a sum only, its functions have equal shares: the sum is measured, the shares are not.",
            "Functions that are not here came to nothing, or were not passed.",
        ]
    )


def record(selection: Selection, rounds: Sequence[Round]) -> dict[str, Any]:
    """The same for programs, with every observation; the worst come first."""
    fit = rounds[-1].fit
    return {
        "runs": [run.name for run in selection.runs],
        "passed_over": [one._asdict() for one in selection.passed_over],
        "rounds": [
            {
                "round": one.number,
                "observations": len(one.fit.observations),
                **dict(
                    zip(("median_error", "p95_error"), map(_rounded, errors(one.fit)), strict=True)
                ),
            }
            for one in rounds
        ],
        "figures": [
            {
                **dict(zip(("file", "stage", "field"), one.figure, strict=True)),
                "instructions": round(one.value),
                "observations": one.observations,
                "residual": _rounded(one.residual),
            }
            for one in fit.figures
        ],
        "observations": [
            {
                "name": one.observation.name,
                "measured": round(one.observation.measured, 1),
                "fitted": round(one.fitted, 1),
                "error": _rounded(one.error),
            }
            for one in judged(fit)
        ],
    }


def real_time_record(
    selection: Selection, factor: Factor, figures: Sequence[Fitted]
) -> dict[str, Any]:
    """A fit of real time for programs."""
    return {
        "runs": [run.name for run in selection.runs],
        "passed_over": [one._asdict() for one in selection.passed_over],
        "instruction_ns": _rounded(factor.ns),
        "ratios": [{"name": name, "ns": _rounded(ratio)} for name, ratio in factor.ratios],
        "figures": [
            {
                **dict(zip(("file", "stage", "field"), one.figure, strict=True)),
                "ns": round(one.value),
                "observations": one.observations,
                "residual": _rounded(one.residual),
            }
            for one in figures
        ],
    }


def _rounded(value: float) -> float:
    return round(value, 6)
