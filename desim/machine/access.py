"""The card's registers as the guest's processor reaches them: under the big lock.

Theory of operation
-------------------
An access is one instruction: it takes the big lock, runs the card on the virtual CPU's own
thread, and releases the lock. It meets the other threads twice, and a driver that loads makes
thousands of accesses: it reads the EEPROM bit by bit.

Most registers only keep their bits. What an access of such a *quiet* one records, and how long
it takes, is the same each time, and for all that the same method of the card serves. So it is
learned the first time, when the access is made step by step. From then on, if nothing else is
due before its end, nobody can tell an access that is made step by step from one that is made at
one go: the bits change hands, the clock is moved, and the marks are those of the first time,
moved as well. If anything may come in between (an entry on the heap that is due, a pending
interrupt, somebody who holds the lock), it is made step by step.

The same goes for quiet accesses in a row: statistics that are read, tables that are written, and
levels of pins, each of which is given its time. Of these, as many are made at one go as end before
something else is due (the guest's tick falls into nearly every word of the EEPROM). What is due in
the wait behind them comes then, and the rest is made at one go again; an access that something
falls into is made step by step.

Runs in which every meeting counts (strict ones, those without a touch point, those with a
breakpoint) make all accesses step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from desim.data import NamedTuple
from desim.engine.environment import CHUNK, CIRCLING_LIMIT, Environment
from desim.engine.marks import CODE_BITS, Row
from desim.machine.threads.big_lock import BigLock
from desim.machine.threads.vcpu import Vcpu
from desim.ports import Mmio

Do = TypeVar("Do")

Read = Callable[[], int]
Write = Callable[[Iterable[int]], None]
"""Writes, one after the other."""
ClockIn = Callable[[int, int, int, int], list[int]]
"""``Mmio.clock_in``: the level, the clock, what is kept, and how many bits."""


class Quiet(NamedTuple, Generic[Do]):
    """A quiet access, once it has been made step by step."""

    do: Do
    """What the card does."""
    took: int
    """ns"""
    marks: tuple[int, ...]
    """Those that it makes, with times counted from its begin."""


class Written(NamedTuple):
    """Quiet writes, one behind the other."""

    do: list[Write]
    """What the card does, for each of them."""
    took: int
    """All of them together (ns)."""
    marks: Row
    flush: Read | None
    """What is read behind each."""


class Rounds(NamedTuple):
    """Levels of pins, or bits: the same again and again, and each level has its time."""

    took: int
    """Each round, its waits included (ns)."""
    marks: Row
    """Those of all rounds."""
    each: int
    """How many of them there are for each."""


class CardAccess(Mmio):
    """``Mmio``: the card's registers, reached by the virtual CPU under the big lock.

    A device access is one instruction: the interrupts that are due before it are
    taken before it, and none while it waits for the lock or runs the card.
    """

    __slots__ = (
        "_env", "_in_a_row", "_lock", "_methods", "_pins", "_quiet_clock_in", "_quiet_read",
        "_quiet_write", "_reads", "_thread", "_writes", "_written", "at_one_go", "config_read_",
        "config_write_", "read_", "write_",
    )  # fmt: skip

    def __init__(
        self,
        env: Environment,
        vcpu: Vcpu,
        lock: BigLock,
        *,
        read: Callable[[int], int],
        write: Callable[[int, int], None],
        config_read: Callable[[int], int],
        config_write: Callable[[int, int], None],
        quiet_read: Callable[[int], tuple[str, Read] | None],
        quiet_write: Callable[[int], tuple[str, Write] | None],
        quiet_clock_in: Callable[[int], ClockIn | None],
        at_one_go: bool = True,
    ) -> None:
        """``quiet_read`` and ``quiet_write`` give what an access at an offset does if it is
        quiet, and the method that does it: all accesses by one method leave the same marks.
        ``quiet_clock_in`` gives what ``clock_in`` does there without its waits, if there are pins.
        Without ``at_one_go`` all accesses are made step by step."""
        self._env = env
        self._thread = vcpu.thread
        self._lock = lock
        self.read_ = read
        self.write_ = write
        self.config_read_ = config_read
        self.config_write_ = config_write
        self._quiet_read = quiet_read
        self._quiet_write = quiet_write
        self._quiet_clock_in = quiet_clock_in
        self.at_one_go = at_one_go
        self._reads: dict[int, Quiet[Read] | None] = {}
        """By offset; None: not quiet."""
        self._writes: dict[int, Quiet[Write] | None] = {}
        self._in_a_row: dict[tuple[int, ...], Quiet[list[Read]]] = {}
        """Reads one behind the other, by their offsets."""
        self._written: dict[tuple[tuple[int, ...], int | None], Written] = {}
        """Writes one behind the other, by their offsets and that of what is read behind each."""
        self._pins: dict[tuple[int, int, int, int, bool], Rounds] = {}
        """By where the pins are, what is read behind each level, how long it stays (ns), how many
        rounds there are, and whether the pins are read in each."""
        self._methods: dict[tuple[str, str], tuple[int, tuple[int, ...]]] = {}
        """What reads and writes by a method take (ns), and their marks."""

    @property
    def learned(self) -> tuple[object, ...]:
        """The tables of what is known of accesses: they tell nothing of the card."""
        return (
            self._reads, self._writes, self._in_a_row, self._written, self._pins, self._methods,
        )  # fmt: skip

    def _enter(self) -> bool:
        self._lock.meet()
        thread = self._thread
        was_on, thread.irqs_on = thread.irqs_on, False
        self._lock.take()
        return was_on

    def _leave(self, was_on: bool) -> None:
        self._lock.release()
        thread = self._thread
        thread.irqs_on = was_on
        if was_on and thread.irq_pending:
            thread.meet()

    # NOTE: the same in ``read`` and ``write`` instead of a function for both, and no ``get`` (a
    # call) of what is known: a driver that loads does little else (1.2 of the guest's whole boot).

    def read(self, offset: int) -> int:
        known = self._reads
        quiet = known[offset] if offset in known else None  # noqa: SIM401 - a call
        if quiet is not None:
            do, took, marks = quiet
            env, thread = self._env, self._thread
            begin = thread.now
            end = begin + took
            queue = env._queue
            if (
                (not queue or queue[0][0] > end)
                and (end > env._now or self._may_stand_still(end))
                and not thread.irq_pending
                and self._lock.owner is None
                and env.running is thread
                and thread.open
                and (thread.collect is None or len(thread.marks) <= CHUNK)
            ):
                env._now = thread.now = end
                if marks:
                    begin <<= CODE_BITS
                    thread.marks += [begin + mark for mark in marks]
                return do()
        elif offset not in self._reads and self.at_one_go and self._thread.open:
            return self._read_first(offset)
        was_on = self._enter()
        value = self.read_(offset)
        self._leave(was_on)
        return value

    def write(self, offset: int, value: int) -> None:
        known = self._writes
        quiet = known[offset] if offset in known else None  # noqa: SIM401 - a call
        if quiet is not None:
            do, took, marks = quiet
            env, thread = self._env, self._thread
            begin = thread.now
            end = begin + took
            queue = env._queue
            if (
                (not queue or queue[0][0] > end)
                and (end > env._now or self._may_stand_still(end))
                and not thread.irq_pending
                and self._lock.owner is None
                and env.running is thread
                and thread.open
                and (thread.collect is None or len(thread.marks) <= CHUNK)
            ):
                env._now = thread.now = end
                if marks:
                    begin <<= CODE_BITS
                    thread.marks += [begin + mark for mark in marks]
                do((value,))
                return
        elif offset not in self._writes and self.at_one_go and self._thread.open:
            self._write_first(offset, value)
            return
        was_on = self._enter()
        self.write_(offset, value)
        self._leave(was_on)

    def read_all(self, offsets: tuple[int, ...]) -> list[int]:
        # NOTE: reads one behind the other at one go (0.8 of the calls of an idle machine, whose
        # driver adds up the card's statistics every two seconds).
        row = self._in_a_row.get(offsets)
        if row is None:
            values = [self.read(offset) for offset in offsets]
            self._learn_row(offsets)
            return values
        env, thread, queue = self._env, self._thread, self._env._queue
        begin = thread.now
        end = begin + row.took
        if (
            (not queue or queue[0][0] > end)
            and end > env._now
            and not thread.irq_pending
            and self._lock.owner is None
            and env.running is thread
            and thread.open
            and (thread.collect is None or len(thread.marks) + len(row.marks) <= CHUNK)
        ):
            env._now = thread.now = end
            if row.marks:
                begin <<= CODE_BITS
                thread.marks += [begin + mark for mark in row.marks]
            return [do() for do in row.do]
        return [self.read(offset) for offset in offsets]

    def _learn_row(self, offsets: tuple[int, ...]) -> None:
        """Once each of them is known, and takes time: that of those in front of it passes first."""
        do: list[Read] = []
        marks: list[int] = []
        took = 0
        for quiet in map(self._reads.get, offsets):
            if quiet is None or not quiet.took:
                return
            do += (quiet.do,)
            for mark in quiet.marks:
                marks += (mark + (took << CODE_BITS),)
            took += quiet.took
        self._in_a_row[offsets] = Quiet(do, took, tuple(marks))

    def write_all(
        self, offsets: tuple[int, ...], values: Sequence[int], flush: int | None = None
    ) -> None:
        # NOTE: the card's tables written at one go: 1,300 accesses of a boot.
        row = self._written.get((offsets, flush)) or self._learn_writes(offsets, flush)
        env, thread, queue = self._env, self._thread, self._env._queue
        begin = thread.now
        if (
            row is None
            or (queue and queue[0][0] <= begin + row.took)
            or begin + row.took <= env._now
            or not self._undisturbed()
        ):
            super().write_all(offsets, values, flush)
            return
        env._now = thread.now = begin + row.took
        thread.mark(row.marks, begin)
        for do, value in zip(row.do, values, strict=True):
            do((value,))
        if row.flush is not None:
            row.flush()

    def _undisturbed(self) -> bool:
        """Whether nobody comes in between until something is due."""
        thread = self._thread
        return (
            not thread.irq_pending
            and self._lock.owner is None
            and self._env.running is thread
            and thread.open > 0
        )

    def _learn_writes(self, offsets: tuple[int, ...], flush: int | None) -> Written | None:
        """If each of the accesses is known, and takes time: None if not. A write that was never
        made is known if others by its method are."""
        if not self.at_one_go:
            return None
        writes = [quiet for quiet in map(self._known_write, offsets) if quiet is not None]
        flushed = None if flush is None else self._reads.get(flush)
        if len(writes) < len(offsets) or (flush is not None and flushed is None):
            return None
        behind = () if flushed is None else (flushed,)
        accesses = [quiet for write in writes for quiet in (write, *behind)]
        if not all(quiet.took for quiet in accesses):
            return None
        took, marks = _one_behind_the_other(accesses)
        row = self._written[offsets, flush] = Written(
            [write.do for write in writes],
            took,
            Row(marks),
            None if flushed is None else flushed.do,
        )
        return row

    def strobe(self, offset: int, values: Sequence[int], flush: int, delay_ns: int) -> None:
        pin, flushed = self._writes.get(offset), self._reads.get(flush)
        if pin is None or flushed is None:
            self._strobe_by_steps(offset, values, flush, delay_ns)
            return
        # NOTE: as many levels at one go as there is time for (a third of the instructions of a
        # boot: a driver that loads does little else).
        rounds = self._rounds(offset, flush, delay_ns, len(values), pin, flushed)
        while values:
            count = self._pass_rounds(rounds, len(values), delay_ns, moves=pin.took > 0)
            if count:
                pin.do(values[:count])
                flushed.do()
            else:
                count = 1
                self._strobe_by_steps(offset, values[:1], flush, delay_ns)
            values = values[count:]

    def _strobe_by_steps(
        self, offset: int, values: Sequence[int], flush: int, delay_ns: int
    ) -> None:
        for value in values:
            self.write(offset, value)
            self.read(flush)
            self._thread.charge(delay_ns)

    def clock_in(
        self, offset: int, level: int, clock: int, keep: int, count: int, flush: int, delay_ns: int
    ) -> list[int]:
        pin, pins = self._writes.get(offset), self._reads.get(offset)
        flushed, do = self._reads.get(flush), self._quiet_clock_in(offset)
        if pin is None or pins is None or flushed is None or do is None:
            return super().clock_in(offset, level, clock, keep, count, flush, delay_ns)
        rounds = self._rounds(offset, flush, delay_ns, count, pin, flushed, pins)
        values: list[int] = []
        while len(values) < count:
            bits = self._pass_rounds(rounds, count - len(values), delay_ns, moves=pin.took > 0)
            if not bits:
                values += super().clock_in(offset, level, clock, keep, 1, flush, delay_ns)
                level = values[-1] & keep
                continue
            values += do(level, clock, keep, bits)
            level = values[-1] & keep
            flushed.do()
        return values

    def _rounds(
        self,
        offset: int,
        flush: int,
        delay_ns: int,
        count: int,
        pin: Quiet[Write],
        flushed: Quiet[Read],
        pins: Quiet[Read] | None = None,
    ) -> Rounds:
        """``count`` levels, or, if the pins are read, bits: a level, the read, and a level."""
        key = offset, flush, delay_ns, count, pins is not None
        known = self._pins.get(key)
        if known is None:
            wait: Quiet[None] = Quiet(None, delay_ns, ())
            level = pin, flushed, wait
            took, marks = _one_behind_the_other(level if pins is None else (*level, pins, *level))
            row = [mark + (n * took << CODE_BITS) for n in range(count) for mark in marks]
            known = self._pins[key] = Rounds(took, Row(row), len(marks))
        return known

    def _pass_rounds(self, rounds: Rounds, count: int, delay_ns: int, *, moves: bool) -> int:
        """Let up to ``count`` rounds pass, as many as can end before anything else is due (the
        wait behind the last one may end later): how many those are.

        Time moves in each access, or, without ``moves``, in the waits alone.
        """
        env, thread, queue = self._env, self._thread, self._env._queue
        if moves and (thread.irq_pending or (queue and queue[0][0] <= thread.now)):
            # What is due by now comes here, as it would in the first access.
            self._lock.meet()
        begin = thread.now
        if not (moves or (begin > env._now and delay_ns)) or not self._undisturbed():
            return 0
        if queue:
            time = queue[0][0] - begin + delay_ns - 1
            if time < count * rounds.took:
                count = time // rounds.took
                if count <= 0:
                    return 0
        thread.now = begin + count * rounds.took
        env._now = thread.now - delay_ns
        thread.mark(rounds.marks, begin, count * rounds.each)
        return count

    def config_read(self, offset: int) -> int:
        was_on = self._enter()
        value = self.config_read_(offset)
        self._leave(was_on)
        return value

    def config_write(self, offset: int, value: int) -> None:
        was_on = self._enter()
        self.config_write_(offset, value)
        self._leave(was_on)
        # Whether the card decodes accesses at all may be another matter now.
        self._reads.clear()
        self._writes.clear()
        self._in_a_row.clear()
        self._written.clear()
        self._pins.clear()
        self._methods.clear()

    # --- quiet accesses

    def _may_stand_still(self, now: int) -> bool:
        """Count the two meetings of an access that takes no time, as ``Thread.meet`` does.

        False if that would be too many: who circles is found out step by step.
        """
        env = self._env
        if env.still_at != now or env.still > CIRCLING_LIMIT - 2:
            return False
        env.still += 2
        return True

    def _read_first(self, offset: int) -> int:
        quiet = self._quiet_read(offset)
        if quiet is None:
            self._reads[offset] = None
            return self.read(offset)
        method, do = quiet
        known = self._methods.get(("read", method))
        if known is not None:
            self._reads[offset] = Quiet(do, *known)
            return self.read(offset)
        learned = self._watch()
        was_on = self._enter()
        value = self.read_(offset)
        self._leave(was_on)
        if (found := learned()) is not None:
            self._methods["read", method] = found
        return value

    def _write_first(self, offset: int, value: int) -> None:
        if self._known_write(offset) is not None or offset in self._writes:
            self.write(offset, value)
            return
        learned = self._watch()
        was_on = self._enter()
        self.write_(offset, value)
        self._leave(was_on)
        if (found := learned()) is not None:
            quiet = self._quiet_write(offset)
            assert quiet is not None, "it would be known not to be"
            self._methods["write", quiet[0]] = found

    def _known_write(self, offset: int) -> Quiet[Write] | None:
        """What is known of writes there, or by the same method."""
        if offset not in self._writes:
            quiet = self._quiet_write(offset)
            if quiet is None:
                self._writes[offset] = None
            else:
                method, do = quiet
                known = self._methods.get(("write", method))
                if known is None:
                    return None
                self._writes[offset] = Quiet(do, *known)
        return self._writes[offset]

    def _watch(self) -> Callable[[], tuple[int, tuple[int, ...]] | None]:
        """What gives the time and marks of the access that follows: None if anything came in
        between, or might have."""
        env, thread = self._env, self._thread
        begin, first, taken = thread.now, len(thread.marks), thread.taken
        alone = env.running is thread and not thread.irq_pending and self._lock.owner is None
        due = env._queue[0][0] if env._queue else None

        def learned() -> tuple[int, tuple[int, ...]] | None:
            if not alone or thread.taken != taken or (due is not None and due <= thread.now):
                return None
            base = begin << CODE_BITS
            return thread.now - begin, tuple(mark - base for mark in thread.marks[first:])

        return learned


def _one_behind_the_other(accesses: Iterable[Quiet[Any]]) -> tuple[int, list[int]]:
    """What they take together (ns), and their marks, with times counted from their begin."""
    took = 0
    marks: list[int] = []
    for _, ns, own in accesses:
        begin = took << CODE_BITS
        for mark in own:
            marks += (begin + mark,)
        took += ns
    return took, marks
