"""What happened in a stretch of a run, lane by lane: the rows behind the timeline.

Everything comes from the trace: frames at the card, the level of the interrupt pin, the times in
which the card held interrupts back and the register that decided, what the guest's processor and
QEMU's main loop did, the driver's polls, and how many frames lay in the receive ring.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from desim.data import NamedTuple
from desim.engine.marks import Codes
from desim.engine.trace import E, Happened, ThreadRecord, Trace
from desim.events import (
    FrameStored,
    FrameTaken,
    Lost,
    MitigationBegun,
    MitigationEnded,
    PinDriven,
    Scheduled,
)
from desim.experiment.places import MAIN, VCPU, machine_thread
from desim.machine.capture import Captured
from desim.report.page.window import Window
from desim.stages import Landmark
from desim.wire.describe import describe


class Level(Enum):
    """What the guest's processor runs, innermost first; its value is what it is called."""

    HARD = "hard interrupt"
    SOFT = "soft interrupt"
    TASK = "task"
    HALTED = "halted"


class Stretch(NamedTuple):
    """Something that lasted."""

    begin: int
    end: int
    what: str
    waits: bool = False


class Passed(NamedTuple):
    """A frame at the card."""

    time: int
    to_guest: bool
    number: int
    what: str


class HeldOff(NamedTuple):
    """A time in which the card held interrupts back."""

    begin: int
    end: int
    by: str
    """The register that decided, or ``floor``."""
    holds: str
    """``line`` for every rise of the pin, or the cause that waits."""
    waited_ns: int
    """For how long, at its end, something waited for it."""
    cut: bool


class Poll(NamedTuple):
    """One call of the driver's poll, and how many frames it took out of the ring."""

    begin: int
    end: int
    frames: int


class Filled(NamedTuple):
    """How many frames lay in the receive ring from one instant to another."""

    begin: int
    end: int
    frames: int


@dataclass(frozen=True)
class Timeline:
    """All lanes, each in the order of time. What only touches the window is there as a whole."""

    window: Window
    frames: Sequence[Passed]
    lost: Sequence[Stretch]
    """Frames that ended early: an instant, where and why."""
    pin: Sequence[Stretch]
    """When it was high."""
    held_off: Sequence[HeldOff]
    processor: Mapping[Level, Sequence[Stretch]]
    main_loop: Sequence[Stretch]
    polls: Sequence[Poll]
    ring: Sequence[Filled]
    interrupts: Sequence[int]
    """When the processor took an interrupt of the card."""


class Machine:
    """What a trace has of one machine; the first has no name."""

    def __init__(self, trace: Trace, name: str = "") -> None:
        self.codes = trace.codes
        self._trace = trace
        self._name = name
        records = trace.threads.values()
        mine = {one.name: found for one in records if (found := machine_thread(one.name))}
        self.threads = {
            kind: trace.threads[thread] for thread, (of, kind) in mine.items() if of == name
        }
        """Its processor and its main loop, by what ``places`` calls them."""

    def happened(self, kind: type[E]) -> Iterator[Happened[E]]:
        """The events of a kind that were on its threads, in the order of time."""
        mine = [record.name for record in self.threads.values()]
        return (one for one in self._trace.happened(kind) if one.record.name in mine)


def timeline(trace: Machine, frames: Sequence[Captured], window: Window) -> Timeline:
    """What happened in ``window``; ``frames`` is the capture at the machine's card."""
    vcpu, main = trace.threads.get(VCPU), trace.threads.get(MAIN)
    taken = [one.time for one in trace.happened(FrameTaken)]
    done = list(_processor(trace, vcpu, window)) if vcpu is not None else []
    return Timeline(
        window,
        [
            Passed(one.time, one.to_guest, one.frame.number, describe(one.frame.raw))
            for one in frames
            if window.has(one.time, one.time)
        ],
        [
            Stretch(one.time, one.time, f"lost at {one.event.where}: {one.event.why}")
            for one in trace.happened(Lost)
            if window.has(one.time, one.time)
        ],
        list(_pin(trace, window)),
        list(_held_off(trace, window)),
        {level: list(_joined(s for at, s in done if at is level)) for level in Level},
        list(_joined(_main_loop(trace.codes, main, window))) if main is not None else [],
        list(_polls(trace, window, taken)),
        list(_ring(trace, window)),
        list(_entries(trace, Landmark.INTERRUPT, window)),
    )


def _pin(trace: Machine, window: Window) -> Iterator[Stretch]:
    since: int | None = None
    for one in trace.happened(PinDriven):
        if one.event.level and since is None:
            since = one.time
        elif not one.event.level and since is not None:
            if window.has(since, one.time):
                yield Stretch(since, one.time, "high")
            since = None
    if since is not None and window.has(since, window.end):
        yield Stretch(since, window.end, "high")


def _held_off(trace: Machine, window: Window) -> Iterator[HeldOff]:
    """Those that ended, and those that had not by the run's end."""
    begun = {}
    found = []
    for one in trace.happened(MitigationBegun):
        begun[one.event.holds, one.time] = one
    for end in trace.happened(MitigationEnded):
        event = end.event
        begun.pop((event.holds, event.begin_ns), None)
        held = HeldOff(event.begin_ns, end.time, event.by, event.holds, event.waited_ns, event.cut)
        if window.has(held.begin, held.end):
            found.append(held)
    for still in begun.values():
        held = HeldOff(
            still.time, still.event.until_ns, still.event.by, still.event.holds, 0, False
        )
        if window.has(held.begin, held.end):
            found.append(held)
    return iter(sorted(found))


def _pieces(record: ThreadRecord, window: Window) -> Iterator[tuple[int, int, list[int]]]:
    """What was open from one instant to the next: begin, end, codes of entry, outermost first.

    The list is the reader's for a moment only.
    """
    stack: list[int] = []
    at = window.begin
    for time, code in zip(record.times, record.codes, strict=True):
        if time > at:
            until = min(time, window.end)
            if until > at:
                yield at, until, stack
            at = max(at, until)
            if time > window.end:
                return
        if code & 1:
            stack.pop()
        else:
            stack.append(code)
    if at < window.end:
        yield at, window.end, stack


def _processor(
    trace: Machine, record: ThreadRecord, window: Window
) -> Iterator[tuple[Level, Stretch]]:
    """What the processor ran: of what is open, the innermost level."""
    codes = trace.codes
    levels = {
        **dict.fromkeys(codes.entries(Landmark.INTERRUPT), Level.HARD),
        **dict.fromkeys(codes.entries(Landmark.TIMER_INTERRUPT), Level.HARD),
        **dict.fromkeys(codes.entries(Landmark.SOFTIRQ), Level.SOFT),
    }
    idle = codes.entries(Landmark.IDLE)
    switches = [(one.time, _task(one.event)) for one in trace.happened(Scheduled)]
    for begin, end, stack in _pieces(record, window):
        inner = next((code for code in reversed(stack) if code in levels), None)
        wait = codes.name(stack[-1]).strip("()") if stack and codes.is_wait(stack[-1]) else ""
        if inner is not None:
            name = codes.name(inner)
            yield levels[inner], Stretch(begin, end, f"waits: {wait}" if wait else name, bool(wait))
        elif wait == "halted":
            yield Level.HALTED, Stretch(begin, end, "waits for an interrupt", True)
        else:
            number = bisect_right(switches, begin, key=lambda switch: switch[0])
            task = switches[number - 1][1] if number else "boot"
            if not idle.isdisjoint(stack):
                task = "idle"
            yield Level.TASK, Stretch(begin, end, f"{task}: {wait}" if wait else task, bool(wait))


def _task(event: Scheduled) -> str:
    return event.name or "computing"


def _main_loop(codes: Codes, record: ThreadRecord, window: Window) -> Iterator[Stretch]:
    for begin, end, stack in _pieces(record, window):
        if stack and codes.is_wait(stack[-1]):
            wait = codes.name(stack[-1]).strip("()")
            yield Stretch(begin, end, f"waits: {wait}", True)
        else:
            yield Stretch(begin, end, "runs")


def _joined(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """What is next to each other and the same as one."""
    last: Stretch | None = None
    for stretch in stretches:
        if last is not None and (last.end, last.what) == (stretch.begin, stretch.what):
            last = last._replace(end=stretch.end)
            continue
        if last is not None:
            yield last
        last = stretch
    if last is not None:
        yield last


def _passages(trace: Machine, landmark: Landmark, window: Window) -> Iterator[tuple[int, int]]:
    """When the functions of a landmark were entered and left."""
    wanted = trace.codes.entries(landmark)
    for record in trace.threads.values():
        entered: list[int] = []
        for time, code in zip(record.times, record.codes, strict=True):
            if code & ~1 not in wanted:
                continue
            if time > window.end and not entered:
                break
            if not code & 1:
                entered.append(time)
            elif window.has(begin := entered.pop(), time):
                yield begin, time
        for begin in entered:
            if window.has(begin, window.end):
                yield begin, window.end


def _entries(trace: Machine, landmark: Landmark, window: Window) -> Iterator[int]:
    for begin, _ in sorted(_passages(trace, landmark, window)):
        if window.has(begin, begin):
            yield begin


def _polls(trace: Machine, window: Window, taken: Sequence[int]) -> Iterator[Poll]:
    for begin, end in sorted(_passages(trace, Landmark.POLLED, window)):
        first, last = bisect_right(taken, begin - 1), bisect_right(taken, end)
        yield Poll(begin, end, last - first)


def _ring(trace: Machine, window: Window) -> Iterator[Filled]:
    """Frames that the card has written and the driver not yet taken."""
    changes = [(one.time, 1) for one in trace.happened(FrameStored)]
    changes += [(one.time, -1) for one in trace.happened(FrameTaken)]
    at, inside = window.begin, 0
    for time, change in sorted(changes):
        if time > at:
            until = min(time, window.end)
            if inside > 0 and until > at:
                yield Filled(at, until, inside)
            at = max(at, until)
            if time > window.end:
                return
        inside += change
    if inside > 0 and at < window.end:
        yield Filled(at, window.end, inside)
