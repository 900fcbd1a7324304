"""How long a thread did what between two instants, without going through all that lies between.

Theory of operation
-------------------
What a thread does is counted from its beginning on: ns of own time by function, and ns by what it
is doing, as somebody who waits for it sees that. Every ``STEP`` marks the counts are kept (in a
spool); those between two instants are a difference, and a short walk at each end. So a run in
which a thousand messages wait for one thread is counted once, not a thousand times.

A count's key is a code: the (even) code of entry of a function for its own time, the odd one for
what the thread is doing: the outermost function above its loop, or a wait. -1 is a thread that
has not begun.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from desim.engine.marks import Codes
from desim.engine.trace import ThreadRecord
from desim.experiment.journey.legs import Leg
from desim.experiment.journey.stacks import Stacks
from desim.experiment.journey.stays import doing
from desim.experiment.journey.values import Row
from desim.spool import Batches, Spool
from desim.stages import LOOPS

NOT_BEGUN = -1

Counts = dict[int, int]


class Tallies:
    """The counts of all threads of a trace, made as far as somebody asks."""

    def __init__(self, stacks: Stacks, spool: Spool | None = None) -> None:
        self._stacks = stacks
        self._codes: Codes = stacks.trace.codes
        self._spool = spool or Spool()
        self._of: dict[str, _Tally] = {}

    def rows(self, leg: Leg) -> list[Row]:
        """The stations of a leg, each once."""
        if leg.begin == leg.end:
            return []
        if leg.lies and leg.why:
            return [Row(leg.lies, "", 0, leg.end - leg.begin, leg.why)]
        record = leg.record
        tally = self._of.get(record.name)
        if tally is None:
            tally = self._of[record.name] = _Tally(record, self._codes, self._spool)
        counts = tally.between(self._stacks, leg.begin, leg.end)
        if leg.lies:
            return [
                Row(leg.lies, "", 0, ns, self._doing(record, key))
                for key, ns in counts.items()
                if key & 1
            ]
        codes = self._codes
        found = []
        for key, ns in counts.items():
            if not key & 1:
                name, file, owner = codes.name(key), codes.file(key), codes.owner(key)
                found.append(Row(name, file, ns, 0, "", owner, leg.carrier))
            elif key == NOT_BEGUN or codes.is_wait(key):
                doing = self._doing(record, key)
                found.append(Row(record.name, "", 0, ns, doing, None, leg.carrier))
        return found

    def _doing(self, record: ThreadRecord, key: int) -> str:
        return doing(self._codes, record, None if key == NOT_BEGUN else key)


class _Tally:
    """The counts of one thread."""

    STEP = 2048

    def __init__(self, record: ThreadRecord, codes: Codes, spool: Spool) -> None:
        self._record = record
        self._codes = codes
        self._kept: Batches[Counts] = Batches(spool, 1)
        self._walk = _Walk(codes, 0)

    def between(self, stacks: Stacks, begin: int, end: int) -> Counts:
        """What was counted between two instants, without zeros."""
        times = self._record.times
        first, last = bisect_right(times, begin), bisect_right(times, end)
        if last - first <= self.STEP:
            return self._walked(stacks, first, begin, end, {})
        counts = self._at(stacks, last, end)
        for key, ns in self._at(stacks, first, begin).items():
            left = counts[key] - ns
            if left:
                counts[key] = left
            else:
                del counts[key]
        return counts

    def _at(self, stacks: Stacks, position: int, time: int) -> Counts:
        """All counts up to an instant, in front of which ``position`` marks lie."""
        number = position // self.STEP
        while len(self._kept) <= number:
            self._go_on()
        since = self._record.times[number * self.STEP - 1] if number else 0
        return self._walked(stacks, number * self.STEP, since, time, dict(self._kept[number]))

    def _go_on(self) -> None:
        """Keep the counts of one step more."""
        if not len(self._kept):
            self._kept.append({})
            return
        begin = (len(self._kept) - 1) * self.STEP
        record = self._record
        marks = slice(begin, begin + self.STEP)
        self._walk.marks(record.times[marks], record.codes[marks])
        self._kept.append(dict(self._walk.counts))

    def _walked(
        self, stacks: Stacks, position: int, begin: int, end: int, counts: Counts
    ) -> Counts:
        record = self._record
        walk = _Walk(self._codes, begin, counts)
        for index in stacks.at(record, position):
            walk.enter(record.codes[index])
        last = bisect_right(record.times, end)
        walk.marks(record.times[position:last], record.codes[position:last])
        walk.until(end)
        return walk.counts


class _Walk:
    """Counts while it goes through marks."""

    def __init__(self, codes: Codes, time: int, counts: Counts | None = None) -> None:
        self.counts: Counts = {} if counts is None else counts
        self._loops = {2 * n for n, mark in enumerate(codes.landmarks) if mark in LOOPS}
        self._is_wait = codes.is_wait
        self._time = time
        self._stack: list[int] = []
        self._outer = 0
        """How many loops are below all else."""

    def enter(self, code: int) -> None:
        """A stage is open."""
        if self._outer == len(self._stack) and code in self._loops:
            self._outer += 1
        self._stack.append(code)

    def until(self, time: int) -> None:
        """What is open now stands until ``time``."""
        ns = time - self._time
        if ns <= 0:
            return
        self._time = time
        counts, stack = self.counts, self._stack
        if not stack:
            counts[NOT_BEGUN] = counts.get(NOT_BEGUN, 0) + ns
            return
        code = stack[-1]
        if self._is_wait(code):
            key = code + 1
        else:
            counts[code] = counts.get(code, 0) + ns
            outer = self._outer
            key = (stack[outer] if outer < len(stack) else code) + 1
        counts[key] = counts.get(key, 0) + ns

    def marks(self, times: Sequence[int], codes: Sequence[int]) -> None:
        """Go through marks."""
        stack = self._stack
        for time, code in zip(times, codes, strict=True):
            if time > self._time:
                self.until(time)
            if code & 1:
                stack.pop()
                if self._outer > len(stack):
                    self._outer = len(stack)
            elif self._outer == len(stack) and code in self._loops:
                self._outer += 1
                stack.append(code)
            else:
                stack.append(code)
