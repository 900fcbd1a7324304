"""Two traces aligned: the first thing that is not the same in both.

Threads are aligned by their names, and each thread's marks and events by their order: up to the
first one that differs, two runs have done the same at the same instants. Of all threads the one
that parts earliest is where the runs part; what differs after that is a consequence of it, or of
another difference that was not seen yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from desim.data import NamedTuple
from desim.engine.trace import Noted, ThreadRecord, Trace


class Item(NamedTuple):
    """A mark or an event of a thread."""

    time: int
    position: int
    """How many marks of the thread come before it."""
    name: str
    """The function or the wait; "" for an event."""
    file: str
    leaves: bool
    event: Noted | None


class Parting(NamedTuple):
    """Where two traces part: on which thread, and what comes next in each.

    None: that record ends there.
    """

    thread: str
    first: Item | None
    second: Item | None

    @property
    def time(self) -> int:
        """The earlier of both instants."""
        return min(item.time for item in (self.first, self.second) if item is not None)


def parting(first: Trace, second: Trace) -> Parting | None:
    """Where two traces part; None if they are the same."""
    found: list[tuple[int, int, Parting]] = []
    ranks = {name: record.rank for name, record in first.threads.items()}
    names = [*first.threads, *(name for name in second.threads if name not in ranks)]
    for order, name in enumerate(names):
        here = _part(name, _items(first, name), _items(second, name))
        if here is not None:
            found.append((here.time, ranks.get(name, order), here))
    return min(found, key=lambda one: one[:2])[2] if found else None


def _part(name: str, first: Iterator[Item], second: Iterator[Item]) -> Parting | None:
    for a, b in zip_longest(first, second):
        if a != b:
            return Parting(name, a, b)
    return None


def _items(trace: Trace, name: str) -> Iterator[Item]:
    """Marks and events of a thread in their order; nothing if there is no such thread."""
    record = trace.threads.get(name)
    if record is None:
        return
    codes = trace.codes
    known: dict[int, tuple[str, str, bool]] = {}
    events = iter(record.events)
    coming = next(events, None)
    for position, (time, code) in enumerate(zip(record.times, record.codes, strict=True)):
        while coming is not None and coming[1] <= position:
            yield Item(coming[0], coming[1], "", "", False, coming)
            coming = next(events, None)
        what = known.get(code)
        if what is None:
            what = known[code] = codes.name(code), codes.file(code), bool(code & 1)
        yield Item(time, position, *what, None)
    while coming is not None:
        yield Item(coming[0], coming[1], "", "", False, coming)
        coming = next(events, None)


def stack_at(trace: Trace, record: ThreadRecord, position: int) -> list[tuple[int, int]]:
    """What was open in front of a position: when it was entered and its code, innermost last."""
    stack: list[tuple[int, int]] = []
    for place, (time, code) in enumerate(zip(record.times, record.codes, strict=True)):
        if place >= position:
            break
        if code & 1:
            stack.pop()
        else:
            stack.append((time, code))
    return stack


def differing(first: Noted, second: Noted) -> Iterator[tuple[str, Any, Any]]:
    """The data of two events of one kind that differ, by name."""
    from desim.experiment.trace_lines import fields_of

    for name, a, b in zip(fields_of(first[2]), first[3:], second[3:], strict=True):
        if a != b:
            yield name, a, b
