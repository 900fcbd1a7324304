"""What the guest's processor did when: tasks, soft interrupts, hard interrupts, idle.

At every instant it is in exactly one context. An interrupt comes on top of what it interrupts, and
that goes on behind it; soft interrupts that an interrupt has left run behind it, still on top of
what was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from desim.data import NamedTuple
from desim.engine.trace import ThreadRecord, Trace
from desim.events import Scheduled
from desim.stages import Landmark

Kind = Literal["task", "softirq", "hardirq", "idle"]

CARD_IRQ = "e1000"
TIMER_IRQ = "timer"


class Context(NamedTuple):
    """A stretch of time in one context."""

    begin_ns: int
    end_ns: int
    kind: Kind
    name: str
    """The program or kernel thread, or who interrupts; "" where there is no more to say."""


Label = tuple[Kind, str]
BOOT: Label = ("task", "boot")
IDLE: Label = ("idle", "")
LOWEST = "lowest class"
"""The programs that only compute when nobody else wants to."""
_LABELS: dict[Landmark, Label] = {
    Landmark.INTERRUPT: ("hardirq", CARD_IRQ),
    Landmark.TIMER_INTERRUPT: ("hardirq", TIMER_IRQ),
    Landmark.SOFTIRQ: ("softirq", ""),
    Landmark.IDLE: IDLE,
}


def contexts(trace: Trace, record: ThreadRecord, end_ns: int) -> Iterator[Context]:
    """The contexts of a processor's thread up to ``end_ns``, one behind the other without gaps."""
    begin: int | None = None
    last = BOOT
    for time, label in _changes(trace, record):
        if begin is None:
            begin, last = time, label
        elif label != last:
            if time > begin:
                yield Context(begin, time, *last)
            begin, last = time, label
    if begin is not None and end_ns > begin:
        yield Context(begin, end_ns, *last)


def _changes(trace: Trace, record: ThreadRecord) -> Iterator[tuple[int, Label]]:
    """When it may have come into another context, and which that is."""
    if len(record.times):
        yield record.times[0], BOOT
    labelled = Labels(trace, record)
    for place, (time, code) in enumerate(zip(record.times, record.codes, strict=True)):
        yield from labelled.changes(place, time, code)


class Labels:
    """The context at each mark of a record, which is read mark by mark."""

    def __init__(self, trace: Trace, record: ThreadRecord) -> None:
        codes = trace.codes
        self._labels = {c: label for mark, label in _LABELS.items() for c in codes.entries(mark)}
        self._softirqs = codes.entries(Landmark.SOFTIRQ)
        self._threads = codes.entries(Landmark.SOFTIRQ_THREAD)
        self._tasks = (event for event in record.events if event[2] == Scheduled.kind)
        self._coming = next(self._tasks, None)
        self._task = BOOT
        self._stack: list[Label | None] = []
        """What each open stage that means something makes of the context; None: the task's."""

    @property
    def label(self) -> Label:
        """The context behind what was read."""
        return (self._stack[-1] if self._stack else None) or self._task

    def changes(self, place: int, time: int, code: int) -> Iterator[tuple[int, Label]]:
        """Read the mark at ``place``: the instants at which the context may have changed."""
        while self._coming is not None and self._coming[1] <= place:
            self._task = ("task", Scheduled(*self._coming[3:]).name or LOWEST)
            yield self._coming[0], self.label
            self._coming = next(self._tasks, None)
        entry = code & ~1
        if entry not in self._labels and entry not in self._threads:
            return
        if code & 1:
            self._stack.pop()
        elif entry in self._threads or (
            entry in self._softirqs and self._stack and self._stack[-1] is None
        ):
            self._stack.append(None)  # a thread that serves soft interrupts is a task
        else:
            self._stack.append(self._labels[entry])
        yield time, self.label
