"""The guest's timer wheel (kernel/time/timer.c, Linux 6.1).

Theory of operation
-------------------
A timer never fires early: its expiry is rounded up to the next whole bucket of its
level, and the farther away it is, the coarser the level. Level 0 holds the next 63
jiffies in steps of 1 (so that ``jiffies + n`` fires n to n + 1 jiffies later), level
1 the next 504 in steps of 8, level 2 the next 4032 in steps of 64, and so on. That
is why an RTO of 408 ms comes after 432.

What is due runs in the timer softirq of the tick that reached its bucket: higher
levels first, in a bucket the timer that was armed last first.

A busy CPU looks at every tick; an idle one is interrupted for the next bucket that
holds something (``desim.guest.cpu.tick``).

Not modelled: high resolution timers other than a sleeping process's deadline, what the
tick accounts for.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from desim.guest.cpu.context import JIFFY_NS
from desim.userland.timerwheel import bucket_of


class WheelTimer:
    """``struct timer_list``; made by ``TimerWheel.timer``."""

    __slots__ = ("_wheel", "bucket", "expires", "function", "level", "name", "order", "periodic")

    def __init__(
        self, wheel: TimerWheel, name: str, function: Callable[[], None], periodic: bool
    ) -> None:
        self._wheel = wheel
        self.name = name
        self.function = function
        self.periodic = periodic
        self.expires = 0
        self.bucket: int | None = None
        self.level = 0
        self.order = 0

    @property
    def pending(self) -> bool:
        """Whether it is armed."""
        return self.bucket is not None

    def mod(self, expires: int) -> None:
        """Arm it for jiffy ``expires``; see the module for when it fires."""
        self._wheel.mod(self, expires)

    def delete(self) -> None:
        """Disarm it."""
        self._wheel.delete(self)

    def touch(self) -> None:
        """Meet the others: an interrupt that comes before now may let it fire."""
        self._wheel.touch()


class TimerWheel:
    """All armed timers of the guest.

    ``now`` gives the running code's ns, ``touch`` meets the other threads,
    ``program`` is told the instant (ns) at which the CPU has to be interrupted next.
    """

    def __init__(
        self,
        *,
        now: Callable[[], int],
        touch: Callable[[], None],
        program: Callable[[int | None], None],
    ) -> None:
        self._now = now
        self.touch = touch
        self._program = program
        self._buckets: dict[int, dict[WheelTimer, None]] = {}
        """What is armed, by the jiffy in which it fires."""
        self._heap: list[int] = []
        """Their jiffies, each once, and some of buckets that are empty by now."""
        self._in_heap: set[int] = set()
        self._waiting = 0
        """How many are armed that are not periodic."""
        self._order = 0
        self._next: int | None = None

    @property
    def jiffies(self) -> int:
        """The tick counter."""
        return self._now() // JIFFY_NS

    def timer(
        self, name: str, function: Callable[[], None], *, periodic: bool = False
    ) -> WheelTimer:
        """A new timer, not armed."""
        return WheelTimer(self, name, function, periodic)

    def mod(self, timer: WheelTimer, expires: int) -> None:
        """``mod_timer``: a timer that stays in its bucket keeps its place in it."""
        self.touch()
        bucket, level = bucket_of(expires, self.jiffies)
        timer.expires = expires
        if bucket == timer.bucket:
            return
        if timer.bucket is not None:
            self._take_out(timer, timer.bucket)
        self._order += 1
        timer.bucket, timer.level, timer.order = bucket, level, self._order
        if bucket in self._buckets:
            self._buckets[bucket][timer] = None
        else:
            self._buckets[bucket] = {timer: None}
            if bucket not in self._in_heap:
                self._in_heap.add(bucket)
                heappush(self._heap, bucket)
        self._waiting += not timer.periodic
        self._reprogram()

    def delete(self, timer: WheelTimer) -> None:
        """``del_timer``."""
        self.touch()
        if timer.bucket is not None:
            self._take_out(timer, timer.bucket)
            self._reprogram()

    def _take_out(self, timer: WheelTimer, bucket: int) -> None:
        """``timer`` is armed no more."""
        timer.bucket = None
        self._waiting -= not timer.periodic
        held = self._buckets[bucket]
        _, *others = held
        if others:
            del held[timer]
        else:
            # It is not emptied first: nothing changes in a round but which bucket it is.
            del self._buckets[bucket]

    def run(self) -> None:
        """The timer softirq: call what is due (``__run_timers``)."""
        self.touch()
        while True:
            bucket = self._first()
            if bucket is None or bucket > self.jiffies:
                break
            timer = max(self._buckets[bucket], key=_outer_and_newer)
            self._take_out(timer, bucket)
            timer.function()
        self._next = self._first()
        self._program_next()

    def due(self) -> bool:
        """Whether a bucket has been reached that holds something."""
        return self._next is not None and self._next <= self.jiffies

    def armed(self) -> list[WheelTimer]:
        """What is armed, of one bucket in the order of arming."""
        return [timer for held in self._buckets.values() for timer in held]

    def waiting(self) -> bool:
        """Whether a timer that is not periodic is armed."""
        return self._waiting > 0

    def _first(self) -> int | None:
        """The jiffy of the next that fires."""
        heap, buckets = self._heap, self._buckets
        while heap and heap[0] not in buckets:
            self._in_heap.discard(heappop(heap))
        return heap[0] if heap else None

    def _reprogram(self) -> None:
        first = self._first()
        if first != self._next:
            self._next = first
            self._program_next()

    def _program_next(self) -> None:
        self._program(None if self._next is None else self._next * JIFFY_NS)


def _outer_and_newer(timer: WheelTimer) -> tuple[int, int]:
    """Of one bucket, timers of outer levels fire first, and of one level the newest."""
    return timer.level, timer.order
