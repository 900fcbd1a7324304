"""A thread's record read once from its beginning to its end: marks and events in their order.

Who wants to know where something happened (a frame passed, bytes were read) reads a record this
way: the open stages are at hand at each event, and no more of the record than a block is in
memory.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from typing import Any

from desim.data import NamedTuple
from desim.engine.trace import Noted, ThreadRecord, Trace

Open = tuple[int, int]
"""An open stage or wait: when it was entered, and its code of entry."""


def events_with_stacks(
    record: ThreadRecord, kinds: Collection[str]
) -> Iterator[tuple[Noted, list[Open]]]:
    """The events whose words are in ``kinds``, each with what was open then, innermost last.

    The list is the reader's for a moment only: it changes as the record is read on.
    """
    stack: list[Open] = []
    times, codes = iter(record.times), iter(record.codes)
    place = 0
    for event in record.events:
        if event[2] not in kinds:
            continue
        position = event[1]
        while place < position:
            code, time = next(codes), next(times)
            place += 1
            if code & 1:
                stack.pop()
            else:
                stack.append((time, code))
        yield event, stack


class Place(NamedTuple):
    """Where on a thread something happened."""

    thread: str
    begin_ns: int
    """When the innermost open stage was entered."""
    function: str
    """Its name; "" if nothing was open."""
    file: str


def places(trace: Trace, kind: str) -> Iterator[tuple[Noted, Place]]:
    """The events of a kind in order of time, then of the threads' ranks, with their places."""

    def of(record: ThreadRecord) -> Iterator[tuple[tuple[int, int, int], Noted, Place]]:
        for event, stack in events_with_stacks(record, (kind,)):
            yield (event[0], record.rank, event[1]), event, _place(trace, record, stack)

    for _, event, place in heapq.merge(*map(of, trace.threads.values()), key=_order):
        yield event, place


def _order(one: tuple[Any, Noted, Place]) -> Any:
    return one[0]


def _place(trace: Trace, record: ThreadRecord, stack: list[Open]) -> Place:
    if not stack:
        return Place(record.name, 0, "", "")
    begin, code = stack[-1]
    return Place(record.name, begin, trace.codes.name(code), trace.codes.file(code))
