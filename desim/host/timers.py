"""The host's timers: they fire in ticks, all that are due in one tick together.

Models: the timer softirq of one CPU of Linux (kernel/time/timer.c, ``__run_timers``). A
timer is armed for a delay from now and fires in the tick at which its bucket is reached
(``desim.userland.timerwheel``); in a bucket the timer that was armed last is the first.

Not modelled: that each CPU has a wheel of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.ports import Timer
from desim.userland.timerwheel import bucket_of

JIFFY_NS = 4_000_000
"""CONFIG_HZ is 250 on Debian. Ticks are at whole jiffies of virtual time."""

MakeTimer = Callable[[str, Callable[[], None]], Timer]
"""``desim.ports.Clock.timer``."""


class HostTimer:
    """``struct timer_list``. Made by ``HostTimers.timer``."""

    __slots__ = ("_timers", "fire")

    def __init__(self, timers: HostTimers, fire: Callable[[], None]) -> None:
        self._timers = timers
        self.fire = fire

    @property
    def pending(self) -> bool:
        """Whether it is armed."""
        return self._timers.is_armed(self)

    def arm(self, delay_ns: int) -> None:
        """Fire about ``delay_ns`` from now; arming again moves it (``mod_timer``)."""
        self._timers.arm(self, delay_ns)

    def cancel(self) -> None:
        """Do not fire; harmless when it is not armed (``del_timer``)."""
        self._timers.cancel(self)


class HostTimers:
    """All armed timers. ``softirq`` runs what a tick's timers have to do, as one."""

    def __init__(
        self,
        *,
        now: Callable[[], int],
        timer: MakeTimer,
        softirq: Callable[[Callable[[], None]], None],
    ) -> None:
        self._now = now
        self._softirq = softirq
        self._armed: dict[HostTimer, int] = {}
        """When each fires, in ns; the timer that was armed last is the last."""
        self._tick = timer("host ticks", self._ticked)

    def timer(self, fire: Callable[[], None]) -> HostTimer:
        """A new timer, not armed."""
        return HostTimer(self, fire)

    def arm(self, timer: HostTimer, delay_ns: int) -> None:
        """Put ``timer`` into the bucket of ``delay_ns`` from now, behind those that are there."""
        self._armed.pop(timer, None)
        jiffies = self._now() // JIFFY_NS
        bucket, _ = bucket_of(jiffies + -(-delay_ns // JIFFY_NS), jiffies)
        self._armed[timer] = bucket * JIFFY_NS
        self._reprogram()

    def cancel(self, timer: HostTimer) -> None:
        """Take ``timer`` out of its bucket, if it is in one."""
        if self._armed.pop(timer, None) is not None:
            self._reprogram()

    def is_armed(self, timer: HostTimer) -> bool:
        """Whether ``timer`` is in a bucket."""
        return timer in self._armed

    def next_ns(self) -> int | None:
        """The instant of the next tick that has something to do; None if none has."""
        return min(self._armed.values(), default=None)

    def _reprogram(self) -> None:
        due = self.next_ns()
        if due is None:
            self._tick.cancel()
        elif due != self._tick.deadline:
            self._tick.arm(due)

    def _ticked(self) -> None:
        self._softirq(self._run)
        self._reprogram()

    def _run(self) -> None:
        now = self._now()
        due = [timer for timer, instant in self._armed.items() if instant <= now]
        for timer in reversed(due):
            # What fired before it may have disarmed it.
            if self._armed.get(timer, now + 1) <= now:
                del self._armed[timer]
                timer.fire()
