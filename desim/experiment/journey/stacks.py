"""What was open on a thread at some moment, looked up in its record."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate

from desim.data import NamedTuple
from desim.engine.trace import ThreadRecord, Trace
from desim.spool import Column, Spool
from desim.stages import LOOPS, QEMU, Landmark

_LOW = slice(1 if sys.byteorder == "big" else 0, None, 2)
"""The low bytes of codes."""
_UP_OR_DOWN = bytes((1, 0xFF)) * 128
"""By a code's low byte: an entry opens one more stage, an exit one less (as a signed byte)."""


class At(NamedTuple):
    """An event: when (ns), and where it stands in which thread's record."""

    time: int
    record: ThreadRecord
    position: int


class _Kept:
    """The stacks of open stages of one thread, as places in its record.

    The record is read as far as somebody asks; every ``STEP`` marks the stack is kept (in a
    spool, so that a long record takes no more memory), and the one at any position is a short
    way off.
    """

    STEP = 1024

    def __init__(self, record: ThreadRecord, spool: Spool) -> None:
        self._codes = record.codes
        self._open = Column(spool, "q")
        """The stacks, one behind the other."""
        self._ends = Column(spool, "q")
        """Where in there each one ends."""
        self._ends.extend([0])
        self._last: list[int] = []

    def at(self, position: int) -> list[int]:
        """The places of entry of the stages that were open in front of ``position``."""
        number = position // self.STEP
        while len(self._ends) <= number:
            end = len(self._ends) * self.STEP
            self._last = self._passed(self._last, end - self.STEP, end)
            self._open.extend(self._last)
            self._ends.extend([len(self._open)])
        begin = self._ends[number - 1] if number else 0
        kept = list(self._open[begin : self._ends[number]])
        return self._passed(kept, number * self.STEP, position)

    def _passed(self, stack: list[int], begin: int, end: int) -> list[int]:
        """What becomes of the stack in front of ``begin`` by the marks up to ``end``."""
        # NOTE: no bytecode for each mark, of which a boot has 40,000 (half of the calls of a small
        # run with its summary). How many stages are open is worked out for all marks, as bytes, in
        # which one can look from the end: the stage of a depth that is open now was entered at
        # the last mark in front of which no more than those outside of it were.
        codes = self._codes[begin:end]
        ways = array("b", codes.tobytes()[_LOW].translate(_UP_OR_DOWN))
        try:
            depths = bytes(accumulate(ways, initial=len(stack)))
        except ValueError:  # deeper than a byte can say
            return _walked(stack, codes, begin)
        lowest = next(depth for depth in range(256) if depth in depths)  # sooner than min()
        entered = (begin + depths.rfind(depth) for depth in range(lowest, depths[-1]))
        return [*stack[:lowest], *entered]


def _walked(stack: list[int], codes: Iterable[int], begin: int) -> list[int]:
    """The same, mark by mark."""
    found = list(stack)
    for index, code in enumerate(codes, begin):
        if code & 1:
            found.pop()
        else:
            found.append(index)
    return found


class Stacks:
    """What was open around events, and when that began and ended."""

    def __init__(self, trace: Trace, spool: Spool | None = None) -> None:
        self.trace = trace
        self._spool = spool or Spool()
        self._of: dict[str, _Kept] = {}

    def at(self, record: ThreadRecord, position: int) -> list[int]:
        """The places of entry of the stages that were open at ``position`` of ``record``."""
        kept = self._of.get(record.name)
        if kept is None:
            kept = self._of[record.name] = _Kept(record, self._spool)
        return kept.at(position)

    def depth(self, event: At, *landmarks: Landmark) -> tuple[int, int] | None:
        """Where the outermost stage of ``landmarks`` that was open at ``event`` was entered, as a
        place in the record, and how many stages were open from there on; None without one.
        """
        codes = self.trace.codes
        stack = self.at(event.record, event.position)
        for depth, index in enumerate(stack):
            if codes.landmark(event.record.codes[index]) in landmarks:
                return index, len(stack) - depth
        return None

    def around(self, event: At, *landmarks: Landmark) -> tuple[int, int]:
        """When the outermost stage of ``landmarks`` that was open at ``event`` began and ended."""
        return self._lasted(event, self.depth(event, *landmarks))

    def innermost(self, event: At) -> int:
        """When the innermost stage that was open at ``event`` was entered."""
        stack = self.at(event.record, event.position)
        return event.record.times[stack[-1]] if stack else event.time

    def emulated(self, event: At) -> tuple[int, int]:
        """The same of the outermost stage, above a thread's loop, that is code of QEMU."""
        codes = self.trace.codes
        stack = self.at(event.record, event.position)
        for depth, index in enumerate(stack):
            code = event.record.codes[index]
            if codes.owner(code) == QEMU and codes.landmark(code) not in LOOPS:
                return self._lasted(event, (index, len(stack) - depth))
        return event.time, event.time

    def _lasted(self, event: At, found: tuple[int, int] | None) -> tuple[int, int]:
        if found is None:
            return event.time, event.time
        index, levels = found
        return event.record.times[index], self._end(event.record, event.position, levels)

    def _end(self, record: ThreadRecord, position: int, levels: int) -> int:
        """When the stage ``levels`` deep in the stack at ``position`` was left."""
        for index, code in enumerate(record.codes.since(position), position):
            levels += -1 if code & 1 else 1
            if levels == 0:
                return record.times[index]
        return record.times[-1]

    def first_end(self, event: At, landmark: Landmark, before: int) -> int | None:
        """When the first stage that is ``landmark`` was left after ``event``; None if that was
        not before the instant ``before``."""
        record, codes = event.record, self.trace.codes
        exits = {code + 1 for code in codes.entries(landmark)}
        for index, code in enumerate(record.codes.since(event.position), event.position):
            if code in exits:
                time = record.times[index]
                return time if time <= before else None
            if not index & 255 and record.times[index] > before:
                return None
        return None

    def pieces(self, record: ThreadRecord, begin: int, end: int) -> Iterator[tuple[list[int], int]]:
        """The stack of codes, and for how many ns it stood, from ``begin`` to ``end``; a list
        that changes as one goes on."""
        times, codes = record.times, record.codes
        position = bisect_right(times, begin)
        stack = [codes[index] for index in self.at(record, position)]
        at = begin
        length = len(times)
        while position < length and at < end:
            last = min(position + 256, length)
            for time, code in zip(times[position:last], codes[position:last], strict=True):
                if time > at:
                    until = min(time, end)
                    yield stack, until - at
                    at = until
                    if at >= end:
                        return
                if code & 1:
                    stack.pop()
                else:
                    stack.append(code)
            position = last
        if at < end:
            yield stack, end - at
