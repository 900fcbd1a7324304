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

Runs in which every meeting counts (strict ones, those without a touch point, those with a
breakpoint) make all accesses step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from desim.data import NamedTuple
from desim.engine.environment import CHUNK, CIRCLING_LIMIT, Environment
from desim.engine.marks import CODE_BITS
from desim.machine.threads.big_lock import BigLock
from desim.machine.threads.vcpu import Vcpu
from desim.ports import Mmio

Do = TypeVar("Do")


class Quiet(NamedTuple, Generic[Do]):
    """A quiet access, once it has been made step by step."""

    do: Do
    """What the card does."""
    took: int
    """ns"""
    marks: tuple[int, ...]
    """Those that it makes, with times counted from its begin."""


class CardAccess(Mmio):
    """``Mmio``: the card's registers, reached by the virtual CPU under the big lock.

    A device access is one instruction: the interrupts that are due before it are
    taken before it, and none while it waits for the lock or runs the card.
    """

    __slots__ = (
        "_env", "_in_a_row", "_lock", "_methods", "_quiet_read", "_quiet_write", "_reads",
        "_strobes", "_thread", "_writes", "at_one_go", "config_read_", "config_write_", "read_",
        "write_",
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
        quiet_read: Callable[[int], tuple[str, Callable[[], int]] | None],
        quiet_write: Callable[[int], tuple[str, Callable[[int], None]] | None],
        at_one_go: bool = True,
    ) -> None:
        """``quiet_read`` and ``quiet_write`` give what an access at an offset does if it is
        quiet, and the method that does it: all accesses by one method leave the same marks.
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
        self.at_one_go = at_one_go
        self._reads: dict[int, Quiet[Callable[[], int]] | None] = {}
        """By offset; None: not quiet."""
        self._writes: dict[int, Quiet[Callable[[int], None]] | None] = {}
        self._in_a_row: dict[tuple[int, ...], Quiet[list[Callable[[], int]]]] = {}
        """Reads one behind the other, by their offsets."""
        self._strobes: dict[tuple[int, int, int, int], list[int]] = {}
        """The marks of levels of pins, by where they are, what is read behind each, how long each
        takes (ns), and how many they are."""
        self._methods: dict[tuple[str, str], tuple[int, tuple[int, ...]]] = {}
        """What reads and writes by a method take (ns), and their marks."""

    @property
    def learned(self) -> tuple[object, ...]:
        """The tables of what is known of accesses: they tell nothing of the card."""
        return self._reads, self._writes, self._in_a_row, self._strobes, self._methods

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
                do(value)
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
        do: list[Callable[[], int]] = []
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

    def strobe(self, offset: int, values: Sequence[int], flush: int, delay_ns: int) -> None:
        pin, flushed = self._writes.get(offset), self._reads.get(flush)
        if pin is None or flushed is None:
            self._strobe_by_steps(offset, values, flush, delay_ns)
            return
        # NOTE: all levels at one go (a third of the instructions of a boot: a driver that loads
        # does little else).
        env, thread, queue = self._env, self._thread, self._env._queue
        begin, took = thread.now, pin.took + flushed.took
        every = took + delay_ns
        after = begin + len(values) * every
        end = after - delay_ns
        if (
            (not queue or queue[0][0] > end)
            and (pin.took or (begin > env._now and delay_ns))
            and not thread.irq_pending
            and self._lock.owner is None
            and env.running is thread
            and len(thread.marks) <= CHUNK
        ):
            env._now = end
            thread.now = after
            if pin.marks or flushed.marks:
                row = offset, flush, every, len(values)
                marks = self._strobes.get(row) or self._learn_strobe(row, pin, flushed)
                begin <<= CODE_BITS
                thread.marks += [begin + mark for mark in marks]
            for value in values:
                pin.do(value)
            flushed.do()
        elif len(values) == 1:
            self._strobe_by_steps(offset, values, flush, delay_ns)
        else:
            for value in values:
                self.strobe(offset, (value,), flush, delay_ns)

    def _strobe_by_steps(
        self, offset: int, values: Sequence[int], flush: int, delay_ns: int
    ) -> None:
        for value in values:
            self.write(offset, value)
            self.read(flush)
            self._thread.charge(delay_ns)

    def _learn_strobe(
        self,
        row: tuple[int, int, int, int],
        pin: Quiet[Callable[[int], None]],
        flushed: Quiet[Callable[[], int]],
    ) -> list[int]:
        """The marks of ``row``'s levels, with times counted from their begin."""
        *_, every, count = row
        once = *pin.marks, *(mark + (pin.took << CODE_BITS) for mark in flushed.marks)
        marks = [mark + (n * every << CODE_BITS) for n in range(count) for mark in once]
        self._strobes[row] = marks
        return marks

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
        self._strobes.clear()
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
        quiet = self._quiet_write(offset)
        if quiet is None:
            self._writes[offset] = None
            self.write(offset, value)
            return
        method, do = quiet
        known = self._methods.get(("write", method))
        if known is not None:
            self._writes[offset] = Quiet(do, *known)
            self.write(offset, value)
            return
        learned = self._watch()
        was_on = self._enter()
        self.write_(offset, value)
        self._leave(was_on)
        if (found := learned()) is not None:
            self._methods["write", method] = found

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
