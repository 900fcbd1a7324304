"""How good a prediction is: the error of each figure, and what decides whether a run passed.

The family of a run decides how it is judged:

* ``det``: nothing of the outside takes part, so the recording repeats byte for byte.
  Ping, trains and TFTP: interrupts and frames exactly, the median round trip within 2 %.
  TCP uploads: within the spread of recordings that are equal (``SPREAD``). All must hold.
  Each IPv6 frame of the guest's, recorded or simulated, may be one interrupt more: when these
  come, the kernel draws.
* ``sizes``, ``vt``: all figures count alike, and the median of their errors must be at most
  5 %. Times and rates have a limit of their own, too (``TIMED``), or a guest whose work takes no
  time would pass, for frames are easily right: medians of round trips at most 5 %, of rates
  10 %, as two equal ``vt`` recordings differ. (Interrupts have none: of these two their median
  differs by 7 %.) ``vt`` runs have a host program in real time; ``sizes`` runs are short series.
* the others are shown and not judged: ``rt`` is real time on a busy machine, ``idlewarp`` and
  ``ftrace`` have QEMU's jumping clock of counted instructions with an idle guest, the rest
  hold facts about timers.

An error is |predicted - measured| / measured. What was measured as nothing has none.

Where ``SPREAD`` comes from
---------------------------
``det_default``, ``det_itr0``, ``det_itr8000`` and ``det_itr0_rx32_rxabs64`` are settings of
equal effect: every interval they ask for is below QEMU's floor of 128 us. Their pings,
trains and TFTP transfers agree within 0.5 %. Their uploads of 4 MiB do not: the driver's
parameters are text in the guest's memory, other text makes other instruction counts, and a
window of 44 segments makes much of little. ``tests/conform/linux/test_conform_linux.py`` takes the
figures below from the recordings again. Between two equal recordings, in per cent of the
smaller:

=================  ======================================  =======  ==============
figure             largest difference                      percent  tolerance here
=================  ======================================  =======  ==============
interrupts         54 (default) and 30 (the others)          80     80
throughput         2208.8 and 2019.5 Mbit/s                   9.4   10
frames             5965 and 6007                              0.7    1
segments per ACK   0.99966 and 0.99965                       0.001   1
=================  ======================================  =======  ==============

The tolerance is the difference rounded up to whole per cent; one for uploads of all sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from desim.conform.linux.figures import Figures, percentile
from desim.conform.linux.recording import Run, Test
from desim.data import NamedTuple

JUDGED_EACH = "det"
JUDGED_BY_MEDIAN = ("sizes", "vt")
MOST_MEDIAN = 0.05
ROUND_TRIP = 0.02
EXACT = 0.0

ANSWERED_INSIDE = ("ping", "tftp")
UPLOAD = "source"
SPREAD = {"interrupts": 0.80, "mbit_s": 0.10, "frames": 0.01, "segments_per_ack": 0.01}
"""Between two equal recordings, as a share of the smaller; see the module."""
TIMED = {"rtt_p50": MOST_MEDIAN, "rtt_p95": MOST_MEDIAN, "mbit_s": SPREAD["mbit_s"]}
"""How large the median error of a kind of figure may be, in a run judged by its median."""

LABELS = {
    "rtt_p50": ("round trip p50", "us"),
    "rtt_p95": ("round trip p95", "us"),
    "interrupts": ("interrupts", ""),
    "frames": ("frames", ""),
    "mbit_s": ("throughput", "Mbit/s"),
    "segments_per_ack": ("segments per ACK", ""),
}


class Compared(NamedTuple):
    """One test, as measured and as predicted."""

    test: Test
    measured: Figures
    predicted: Figures
    noise: int = 0
    """Interrupts that may be more or fewer; see the module."""


class Judged(NamedTuple):
    """One figure of one test."""

    test: str
    figure: str
    """A field of ``Figures``."""
    measured: float | None
    predicted: float | None
    error: float | None
    """Relative; None if there is nothing to compare."""
    judged: bool
    tolerance: float | None
    """The figure's own; None if it is not judged, or by its run's median."""
    within: bool
    """False if the figure itself is beyond its tolerance."""


class Verdict(NamedTuple):
    """A whole run."""

    family: str
    figures: list[Judged]
    median: float | None
    """Of the judged errors; None if there are none."""
    why: str
    """What it failed by; empty if it did not."""

    @property
    def judged(self) -> bool:
        """Whether the run can fail."""
        return is_judged(self.family)

    def errors(self) -> list[float]:
        """Of the figures that are judged."""
        return [f.error for f in self.figures if f.judged and f.error is not None]


def family(run: Run) -> str:
    """Which of the recordings' families a run is of, by what was done in it.

    The names alone do not tell: an early form of ``det`` had an idle guest.
    """
    if run.kind != "det":
        return run.kind
    if not run.never_idle:
        return "idlewarp"
    return "sizes" if run.name.startswith("sizes_") else "det"


def is_judged(of: str) -> bool:
    """Whether runs of a family are judged."""
    return of == JUDGED_EACH or of in JUDGED_BY_MEDIAN


def judge(run: Run, tests: Iterable[Compared]) -> Verdict:
    """The verdict on a run, from its tests."""
    of = family(run)
    rule = _RULES.get(of, _shown)
    figures = [
        _judged(
            found.test.name,
            figure,
            measured,
            predicted,
            rule(found.test, figure),
            found.noise if figure == "interrupts" else 0,
        )
        for found in tests
        for figure, measured, predicted in zip(
            Figures._fields, found.measured, found.predicted, strict=True
        )
        if measured is not None or predicted is not None
    ]
    errors = [f.error for f in figures if f.judged and f.error is not None]
    middle = median(errors) if errors else None
    return Verdict(of, figures, middle, _why(of, figures, middle))


def medians(figures: list[Judged]) -> dict[str, float]:
    """The median error of each kind of figure that is judged."""
    kinds: dict[str, list[float]] = {kind: [] for kind in LABELS}
    for f in figures:
        if f.judged and f.error is not None:
            kinds[f.figure].append(f.error)
    return {kind: median(errors) for kind, errors in kinds.items() if errors}


def _why(of: str, figures: list[Judged], middle: float | None) -> str:
    if not is_judged(of):
        return ""
    if middle is None:
        return "nothing in it can be judged"
    if of in JUDGED_BY_MEDIAN:
        found = [("", middle, MOST_MEDIAN)]
        found += [
            (f" of {LABELS[kind][0]}", medians(figures).get(kind, 0.0), most)
            for kind, most in TIMED.items()
        ]
        over = [
            f"{what} is {error:.1%}, more than {most:.0%}"
            for what, error, most in found
            if error > most
        ]
        return f"the median error{';'.join(over)}" if over else ""
    beyond = [f for f in figures if not f.within]
    if not beyond:
        return ""
    first = beyond[0]
    count = sum(f.judged for f in figures)
    return (
        f"{len(beyond)} of {count} judged figures beyond their tolerance, first: {first.test}: "
        f"{LABELS[first.figure][0]} {shown(first.figure, first.measured)}, predicted "
        f"{shown(first.figure, first.predicted)}"
    )


def shown(figure: str, value: float | None) -> str:
    """A figure for people, in the unit of ``LABELS``."""
    if value is None:
        return "-"
    if figure.startswith("rtt"):
        return f"{value / 1000:.3f}"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


class _Rule(NamedTuple):
    judged: bool
    tolerance: float | None = None
    of_smaller: bool = False
    """The tolerance is a share of the smaller of the two, not of what was measured."""


_SHOWN = _Rule(judged=False)


def _shown(test: Test, figure: str) -> _Rule:
    return _SHOWN


def _each(test: Test, figure: str) -> _Rule:
    kind = test.out.get("test")
    if kind in ANSWERED_INSIDE:
        if figure in ("interrupts", "frames"):
            return _Rule(judged=True, tolerance=EXACT)
        if figure == "rtt_p50":
            return _Rule(judged=True, tolerance=ROUND_TRIP)
    elif kind == UPLOAD and figure in SPREAD:
        return _Rule(judged=True, tolerance=SPREAD[figure], of_smaller=True)
    return _SHOWN


def _together(test: Test, figure: str) -> _Rule:
    return _Rule(judged=True)


_RULES: dict[str, Callable[[Test, str], _Rule]] = {
    JUDGED_EACH: _each,
    **dict.fromkeys(JUDGED_BY_MEDIAN, _together),
}


def _judged(
    test: str,
    figure: str,
    measured: float | None,
    predicted: float | None,
    rule: _Rule,
    noise: int,
) -> Judged:
    error = None
    within = True
    if measured:
        # A figure that the simulation did not come to is wrong by all of it.
        error = 1.0 if predicted is None else abs(predicted - measured) / measured
        if rule.tolerance is not None:
            base = min(measured, predicted or 0) if rule.of_smaller else measured
            allowed = rule.tolerance * base + noise
            within = predicted is not None and abs(predicted - measured) <= allowed
    elif measured is not None and rule.tolerance == EXACT:
        within = (predicted or 0) <= noise
    else:
        rule = _SHOWN
    return Judged(test, figure, measured, predicted, error, rule.judged, rule.tolerance, within)


def middle_and_95(errors: Sequence[float]) -> tuple[float, float] | None:
    """The median of some errors and their 95th percentile; None of nothing."""
    last = percentile(errors, 95)
    return None if last is None else (median(errors), last)


def record(verdict: Verdict) -> dict[str, Any]:
    """The verdict for programs: every figure."""
    tests: dict[str, list[dict[str, Any]]] = {}
    for f in verdict.figures:
        tests.setdefault(f.test, []).append(
            {
                "figure": f.figure,
                "measured": f.measured,
                "predicted": f.predicted,
                "error": None if f.error is None else round(f.error, 6),
                "judged": f.judged,
                "tolerance": f.tolerance,
                "within": f.within,
            }
        )
    return {
        "family": verdict.family,
        "median_error": None if verdict.median is None else round(verdict.median, 6),
        "tests": [{"name": name, "figures": figures} for name, figures in tests.items()],
    }
