"""Why something happened: from one thing of a trace back to what brought it about.

One step goes from a place on a thread to the event, here or on another thread, without which the
thread would not have been there: an interrupt comes of the pin that rose, the pin of a frame that
the card stored or of a window of mitigation that ended, a frame of who sent it, slirp's work of
what a program of the host sent, a system call that goes on of the packet that it waited for. What
a function means for that its landmark says (``desim.stages``).
"""

from __future__ import annotations

from collections.abc import Callable

from desim.compare.align import stack_at
from desim.data import NamedTuple
from desim.engine.trace import Noted, ThreadRecord, Trace
from desim.events import (
    Closed,
    FramePassed,
    FrameTaken,
    MitigationBegun,
    PinDriven,
    Scheduled,
    Sent,
)
from desim.experiment.ran import Ran
from desim.machine.vm import is_card
from desim.stages import LOOPS, Landmark
from desim.timeline.frames import Frames
from desim.wire.describe import describe

NAMES = 8
"""Functions of a stack that are shown."""
STEPS = 10
"""A chain that is longer is cut."""


class Point(NamedTuple):
    """A place in a trace."""

    time: int
    record: ThreadRecord
    position: int
    event: Noted = ()
    """What happened there, if that was an event."""


class Cause(NamedTuple):
    """One step of a chain: when, on which thread, what."""

    time: int
    thread: str
    what: str


Step = tuple[Cause, Point | None]
"""A cause, and the point where to look for the next one."""


class Causes:
    """Chains of causes in one run."""

    def __init__(self, run: Ran) -> None:
        self._trace: Trace = run.trace
        self._frames = Frames(run.packets)

    def chain(self, thread: str, time: int, position: int) -> list[Cause]:
        """What led to a place on a thread, nearest first."""
        record = self._trace.threads.get(thread)
        if record is None:
            return []
        steps: list[Cause] = []
        point: Point | None = Point(time, record, position)
        if functions := self._functions(record, position):
            steps.append(Cause(time, thread, functions))
        while point is not None and len(steps) < STEPS:
            found = self._before(point)
            if found is None:
                break
            cause, point = found
            steps.append(cause)
        return steps

    def _before(self, point: Point) -> Step | None:
        """The nearest cause of a point, and the point where to look for the next one."""
        trace, record = self._trace, point.record
        stack = stack_at(trace, record, point.position)
        for begin, code in reversed(stack):
            landmark = trace.codes.landmark(code)
            rule = None if landmark is None else _RULES.get(landmark)
            if rule is not None and (found := rule(self, point, begin, code)) is not None:
                return found
        return None

    def _functions(self, record: ThreadRecord, position: int) -> str:
        """What was open at a position, innermost first."""
        codes = self._trace.codes
        names = [
            codes.name(code)
            for _, code in reversed(stack_at(self._trace, record, position))
            if codes.landmark(code) not in LOOPS
        ]
        shown = " < ".join(names[:NAMES]) + " < ..." * (len(names) > NAMES)
        return f"in {shown}" if shown else ""

    # --- the rules: each for a landmark that is open at the point

    def _interrupted(self, point: Point, begin: int, code: int) -> Step:
        rise = self._last(PinDriven.kind, begin, lambda event: PinDriven(*event[3:]).level)
        if rise is None:
            return Cause(begin, point.record.name, "an interrupt of the card"), None
        where = self._where(rise)
        return Cause(rise.time, rise.record.name, f"the interrupt line rises, in {where}"), rise

    def _timer(self, point: Point, begin: int, code: int) -> Step:
        return Cause(begin, point.record.name, "the interrupt of the guest's timer"), None

    def _mitigated(self, point: Point, begin: int, code: int) -> Step | None:
        window = self._last(MitigationBegun.kind, point.time, lambda event: event[0] < begin)
        if window is None:
            return None
        told = MitigationBegun(*window.event[3:])
        what = f"a window of interrupt mitigation that {told.by} decides begins"
        return Cause(window.time, window.record.name, what), window

    def _delivered(self, point: Point, begin: int, code: int) -> Step | None:
        return self._frame(point, to_guest=True)

    def _sent(self, point: Point, begin: int, code: int) -> Step | None:
        """slirp's work: of a packet of the guest that came just before, or of a program's bytes."""
        of_guest = self._frame(point, to_guest=False, since=begin, thread=point.record.name)
        if of_guest is not None:
            return of_guest
        name = point.record.name
        found = [
            last
            for kind in (Sent.kind, Closed.kind)
            if (last := self._last(kind, point.time, lambda event: True, other_than=name))
        ]
        if not found:
            return None
        last = max(found, key=lambda one: one.time)
        what = "closes its side of a connection"
        if last.event[2] == Sent.kind:
            what = f"sends {Sent(*last.event[3:]).count} bytes"
        return Cause(last.time, last.record.name, what), None

    def _called(self, point: Point, begin: int, code: int) -> Step | None:
        """A system call of the guest: of the program, and of the packet before it if it waited."""
        task = self._last(Scheduled.kind, begin, lambda event: True)
        name = Scheduled(*task.event[3:]).name if task is not None else "a program"
        taken = self._last(FrameTaken.kind, begin, lambda event: True)
        what = f"{name} is in {self._trace.codes.name(code)}"
        return Cause(begin, point.record.name, what), taken

    def _program(self, point: Point, begin: int, code: int) -> Step:
        what = f"the program is in {self._trace.codes.name(code)}"
        return Cause(begin, point.record.name, what), None

    # --- looking things up

    def _frame(
        self, point: Point, *, to_guest: bool, since: int = 0, thread: str = ""
    ) -> Step | None:
        """The packet that was on its way last before a point."""

        def wanted(event: Noted) -> bool:
            passed = FramePassed(*event[3:])
            is_there = not is_card(passed.point)
            return passed.to_guest == to_guest and event[0] >= since and is_there

        found = self._last(FramePassed.kind, point.time, wanted, only=thread)
        if found is None or (found.record is point.record and found.position >= point.position):
            return None
        number = FramePassed(*found.event[3:]).frame
        raw = self._frames.raw(number)
        what = f"packet {number}" + (f": {describe(raw)}" if raw is not None else "")
        return Cause(found.time, found.record.name, what), found

    def _last(
        self,
        kind: str,
        until: int,
        wanted: Callable[[Noted], bool],
        *,
        only: str = "",
        other_than: str = "",
    ) -> Point | None:
        """The last event of a kind at or before an instant."""
        best: Point | None = None
        for record in self._trace.threads.values():
            if record.name == other_than or (only and record.name != only):
                continue
            for event in record.events:
                if event[0] > until:
                    break
                if event[2] == kind and wanted(event) and (best is None or event[0] >= best.time):
                    best = Point(event[0], record, event[1], event)
        return best

    def _where(self, point: Point) -> str:
        stack = stack_at(self._trace, point.record, point.position)
        return self._trace.codes.name(stack[-1][1]) if stack else "nothing"


_RULES: dict[Landmark, Callable[[Causes, Point, int, int], Step | None]] = {
    Landmark.INTERRUPT: Causes._interrupted,
    Landmark.SOFTIRQ_THREAD: Causes._interrupted,
    Landmark.TIMER_INTERRUPT: Causes._timer,
    Landmark.MITIGATION_ENDED: Causes._mitigated,
    Landmark.DELIVERED: Causes._delivered,
    Landmark.SENT_BY_SLIRP: Causes._sent,
    Landmark.READ_INTO_SLIRP: Causes._sent,
    Landmark.GUEST_CALL: Causes._called,
    Landmark.HOST_CALL: Causes._program,
}
"""What each landmark that is open at a point says of its cause; the innermost that says anything
counts."""
