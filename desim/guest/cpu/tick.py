"""The tick: jiffies, and when the local timer interrupts next (kernel/time/tick-sched.c).

Theory of operation
-------------------
The tick comes with every jiffy while the processor is busy. The idle loop stops it (NO_HZ): the
next interrupt is then for the first bucket of the timer wheel that holds something, and none
comes if there is no such bucket. When a task is to run the tick starts again, at the next
jiffy. It goes on in the idle loop, too, while RCU needs it.

A program of the lowest class that computes for ever takes the idle loop's place: the tick never
stops.

``device`` is what interrupts at an instant, once (``struct clock_event_device``): the local
APIC's timer, which is a timer of QEMU's.

Not modelled: what the tick accounts for, broadcast devices, high resolution mode's switch.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.guest.cpu.context import JIFFY_NS
from desim.ports import Timer


class Tick:
    """The tick of one processor.

    ``time`` gives the running code's ns, ``meet`` meets the other threads where the clock is
    read. ``zero_ns`` is the instant, not after power-on, of the tick that counts as 0.
    """

    def __init__(
        self,
        *,
        time: Callable[[], int],
        meet: Callable[[], None],
        device: Timer,
        zero_ns: int,
        rcu_needs_cpu: Callable[[], bool],
    ) -> None:
        self._time = time
        self._meet = meet
        self._device = device
        self._zero_ns = zero_ns
        self._rcu_needs_cpu = rcu_needs_cpu
        self._next_timer: int | None = None
        self._stopped = False

    def time(self) -> int:
        """The running code's time, counted from a tick."""
        return self._time() - self._zero_ns

    def jiffies(self) -> int:
        """The tick counter; an interrupt that comes before this moment may make it more."""
        self._meet()
        return self.time() // JIFFY_NS

    def restart(self) -> None:
        """``tick_nohz_restart``: at the next jiffy, and then at each."""
        self._stopped = False
        self._program((self.time() // JIFFY_NS + 1) * JIFFY_NS + self._zero_ns)

    def stop(self) -> None:
        """``tick_nohz_stop_tick``: the next interrupt is for the first timer, if there is one."""
        if self._rcu_needs_cpu():
            return
        self._stopped = True
        self.program(self._next_timer)

    def program(self, instant: int | None) -> None:
        """The wheel has something to do at ``instant`` (counted from a tick) next.

        A processor that ticks looks anyway.
        """
        self._next_timer = instant
        if not self._stopped:
            return
        if instant is None:
            self._device.cancel()
        else:
            self._program(max(instant + self._zero_ns, self._time()))

    def has_come(self) -> bool:
        """In the timer's interrupt: whether it is that of a tick; the next one is set then."""
        if self._stopped or self._device.deadline is not None:
            return False
        self.restart()
        return True

    def _program(self, instant: int) -> None:
        """``tick_program_event``; what is set already is left alone."""
        if self._device.deadline != instant:
            self._device.arm(instant)
