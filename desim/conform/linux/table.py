"""A run's figures as text: predicted beside measured."""

from __future__ import annotations

from desim.conform.linux.judgement import (
    JUDGED_BY_MEDIAN,
    LABELS,
    MOST_MEDIAN,
    Judged,
    Verdict,
    medians,
    middle_and_95,
    shown,
)

HEAD = f"{'test':<16}{'figure':<20}{'':<8}{'measured':>14}{'predicted':>14}{'error':>10}  judged"


def table(place: str, costs: str, verdict: Verdict) -> str:
    """The heading, a line for each figure, and what the run came to."""
    lines = [f"{place} ({verdict.family}), costs {costs}", HEAD]
    before = ""
    for figure in verdict.figures:
        lines.append(_line(figure, "" if figure.test == before else figure.test, verdict))
        before = figure.test
    lines.append(_end(verdict))
    return "\n".join(lines)


def _line(figure: Judged, test: str, verdict: Verdict) -> str:
    label, unit = LABELS[figure.figure]
    values = (f"{shown(figure.figure, value):>14}" for value in (figure.measured, figure.predicted))
    error = "-" if figure.error is None else f"{_signed(figure):+.1%}"
    text = f"{test:<16}{label:<20}{unit:<8}{''.join(values)}{error:>10}  {_how(figure, verdict)}"
    return text.rstrip()


def _signed(figure: Judged) -> float:
    assert figure.error is not None, "asked for where there is one"
    below = figure.predicted is None or figure.predicted < (figure.measured or 0)
    return -figure.error if below else figure.error


def _how(figure: Judged, verdict: Verdict) -> str:
    if not figure.judged:
        return "no"
    if verdict.family in JUDGED_BY_MEDIAN:
        return "with all"
    how = "exact" if not figure.tolerance else f"{figure.tolerance:.0%}"
    return how if figure.within else f"{how}: beyond"


def _end(verdict: Verdict) -> str:
    found = middle_and_95(verdict.errors())
    if not verdict.judged or found is None:
        return "not judged"
    kinds = [f"{LABELS[kind][0]} {error:.1%}" for kind, error in medians(verdict.figures).items()]
    limit = f" (at most {MOST_MEDIAN:.0%})" if verdict.family in JUDGED_BY_MEDIAN else ""
    return (
        f"median error {found[0]:.1%}{limit}, 95th percentile {found[1]:.1%}; medians: "
        + ", ".join(kinds)
        + ("; failed" if verdict.why else "; passed")
    )
