"""What is kept of one run of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from desim.data import NamedTuple
from desim.scenario.metrics import Value

Cell = int | float | str | None
"""What a database holds."""

WORKER = "worker"
"""The kind of an error that is no result: the process of the run has died. It is tried again."""


class Sample(NamedTuple):
    """One round trip, or one message."""

    kind: str
    """``ping``, ``message``"""
    number: int
    """Counted from 0, in the order of the requests."""
    begin_ns: int | None
    """When it began, if that is known."""
    time_ns: int
    """How long it took."""
    place: str | None = None
    """Where it was longest, if that is known."""
    reason: str | None = None
    """What it waited for there."""


class Row(NamedTuple):
    """What is kept of one run. All of it is the same whoever made the run, and when."""

    run: int
    values: tuple[object, ...]
    """Of the plan's keys."""
    desim: str
    """The version that made it."""
    fingerprint: str | None
    """None if there was no run."""
    ended: str | None
    end_ns: int | None
    error: str | None
    """Why there are no results, or none to the end; None if all is well."""
    error_kind: str | None
    expected: str | None
    """What the scenario expected and did not get, one a line."""
    metrics: tuple[Value | None, ...]
    samples: Sequence[Sample] = ()


def cell(value: object) -> Cell:
    """A value of a key or a figure as a database holds it; a ratio as the nearest float.

    That float is the same on every machine: it is rounded correctly, once.
    """
    if value is None or isinstance(value, (str, float)):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else float(value)
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else value.numerator / value.denominator
    import json  # lists and tables, which few keys are

    return json.dumps(value, ensure_ascii=False, default=str)


def exact(value: Cell) -> Value | None:
    """A number of a database as the figure that it is: a float is the decimal that it shows."""
    if value is None or isinstance(value, str):
        return None
    return value if isinstance(value, int) else Fraction(repr(value))


def median(values: Sequence[Value]) -> Value:
    """The value in the middle, the lower of two."""
    return sorted(values)[(len(values) - 1) // 2]
