"""Time that moves when it is told to: the clock of a core that runs alone."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush


class VirtualTimer:
    """One timer of a ``VirtualClock``."""

    __slots__ = ("_clock", "deadline", "fire", "name", "periodic", "sequence")

    def __init__(
        self, clock: VirtualClock, name: str, fire: Callable[[], None], periodic: bool
    ) -> None:
        self._clock = clock
        self.name = name
        self.fire = fire
        self.periodic = periodic
        self.deadline: int | None = None
        self.sequence = 0

    def arm(self, deadline: int) -> None:
        """Fire at ``deadline`` ns, behind all that are already armed for it."""
        self.deadline = deadline
        self._clock.push(self, deadline)

    def cancel(self) -> None:
        """Forget the deadline."""
        self.deadline = None


class VirtualClock:
    """A ``Clock`` (``desim.ports``) in ns since power-on that stands still until it is moved."""

    def __init__(self, now: int = 0) -> None:
        self.timers: list[VirtualTimer] = []
        """All that were made, in that order."""
        self._now = now
        self._sequence = 0
        self._heap: list[tuple[int, int, VirtualTimer]] = []

    def now(self) -> int:
        """The time in ns."""
        return self._now

    def timer(self, name: str, fire: Callable[[], None], *, periodic: bool = False) -> VirtualTimer:
        """A new timer that calls ``fire``."""
        timer = VirtualTimer(self, name, fire, periodic)
        self.timers.append(timer)
        return timer

    def push(self, timer: VirtualTimer, deadline: int) -> None:
        """Queue ``timer``; what it was queued for before does not count any more."""
        self._sequence += 1
        timer.sequence = self._sequence
        heappush(self._heap, (deadline, self._sequence, timer))

    def next_deadline(self) -> int | None:
        """When the next timer is due, in ns; None if none is armed."""
        return min((t.deadline for t in self.timers if t.deadline is not None), default=None)

    def advance_to(self, time: int) -> None:
        """Fire all timers that are due *before* ``time`` (ns), in order; then it is ``time``."""
        self._fire_before(time)
        self._now = max(self._now, time)

    def pass_by(self, duration: int) -> None:
        """Let ``duration`` ns pass: fire all timers that are due by its end, in order."""
        until = self._now + duration
        self._fire_before(until + 1)
        self._now = max(self._now, until)

    def _fire_before(self, time: int) -> None:
        heap = self._heap
        while heap and heap[0][0] < time:
            deadline, sequence, timer = heappop(heap)
            if timer.deadline == deadline and timer.sequence == sequence:
                self._now = max(self._now, deadline)
                timer.deadline = None
                timer.fire()
