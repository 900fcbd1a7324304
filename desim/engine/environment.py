"""Virtual time: a SimPy environment that counts whole nanoseconds.

Theory of operation
-------------------
``Environment`` is ``simpy.Environment`` with three additions; processes written
for SimPy run on it unchanged.

* Time is an ``int`` of nanoseconds. A delay of any other type is refused.
* Threads (``desim.engine.thread``) live on the same heap. An entry is
  ``(time, rank, sequence, event)``: at one instant SimPy's own urgent and normal
  events come first (ranks 0 and 1), then the threads by rank, so that the number
  of events that somebody else made cannot change the order.
* A *touch point* is the place where a thread is about to use what another thread
  can see. It has a name, and the running thread meets the others there. The
  names are a closed list, because the test that strict and lazy runs agree takes
  them away one at a time to show that each is needed.

A run that stops making sense is ended with an error that says where it was: too
many meetings at one instant (``CirclingError``), too many events (``TooManyEventsError``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import greenlet
import simpy
from simpy.events import NORMAL, Event

if TYPE_CHECKING:
    from desim.engine.thread import Thread

TOUCH_POINTS = (
    "lock",  # taking the big lock
    "unlock",  # releasing it
    "dma",  # the card reads or writes guest memory
    "irq_line",  # the card drives its interrupt pin
    "host_socket",  # any call on a host socket, from QEMU or a host program
    "notify",  # waking the main loop
    "timer",  # arming or cancelling a QEMU timer
    "poll",  # the main loop looks whether it has to sleep
    "desc_status",  # the driver reads what the card writes
    "lock_sock",  # a task takes a socket from the soft interrupts
    "release_sock",  # and gives it back
    "bh_disable",  # soft interrupts off
    "bh_enable",  # and on
    "irq_disable",  # interrupts off
    "irq_enable",  # and on
    "wake_task",  # a task is put on the run queue
    "clock",  # the guest reads the time: an interrupt before that makes it later
    "user",  # a program leaves something for the user: writes a file or terminal, ends
)
"""Where a thread meets the others, by name."""

CIRCLING_LIMIT = 100_000
"""Meetings at one instant after which a run is stopped."""

EVENT_LIMIT = 200_000_000
"""Heap entries after which a run is stopped."""


class KernelError(RuntimeError):
    """The run cannot go on; the message says what was going on.

    ├── CirclingError
    └── TooManyEventsError
    """


class CirclingError(KernelError):
    """Threads keep meeting and virtual time does not move."""


class TooManyEventsError(KernelError):
    """More heap entries than the run was allowed."""


class Environment(simpy.Environment):
    """A SimPy environment in integer nanoseconds, with threads.

    ``turn`` is the highest rank of the threads that have run at this instant, 0 if none has.
    ``still`` counts the meetings at the instant ``still_at``.

    ``strict`` makes every charge a meeting: slower, and by law the same trace.
    ``without`` takes touch points away, for the test of that law.
    """

    _now: int

    def __init__(
        self,
        *,
        strict: bool = False,
        without: Iterable[str] = (),
        event_limit: int = EVENT_LIMIT,
    ) -> None:
        super().__init__(initial_time=0)
        self.strict = strict
        self.without = frozenset(without)
        if unknown := self.without.difference(TOUCH_POINTS):
            raise ValueError(f"no such touch points: {', '.join(sorted(unknown))}")
        self.running: Thread | None = None
        self.threads: list[Thread] = []
        self.turn = 0
        self.still = 0
        self.still_at = -1
        self.steps = 0
        self.event_limit = event_limit
        self._hub: greenlet.greenlet | None = None

    @property
    def hub(self) -> greenlet.greenlet:
        """The coroutine that runs the heap; threads switch to it when they wait."""
        assert self._hub is not None, "a thread can wait only while the environment runs"
        return self._hub

    def schedule(self, event: Event, priority: Any = NORMAL, delay: float = 0) -> None:
        """As in SimPy; ``delay`` is an ``int`` of ns, or ``TypeError`` is raised."""
        if type(delay) is not int:
            raise TypeError(f"time is an int of nanoseconds; the delay {delay!r} is not")
        super().schedule(event, priority, delay)

    def run(self, until: Any = None) -> Any:
        """As in SimPy; ``until`` is an instant in ns (``int``), an event or None."""
        self._hub = greenlet.getcurrent()
        try:
            return super().run(until)
        finally:
            self._hub = None
            self.running = None

    def step(self) -> None:
        """Take the next entry off the heap."""
        self.steps += 1
        if self.steps > self.event_limit:
            raise TooManyEventsError(f"more than {self.event_limit} events by {self._now} ns")
        if self._queue and self._queue[0][0] > self._now:
            self.turn = 0
        super().step()

    def time(self) -> int:
        """The running thread's time in ns, or the environment's outside of threads."""
        thread = self.running
        return self._now if thread is None else thread.now

    def touch_point(self, name: str) -> Callable[[], None]:
        """The function that makes the running thread meet the others at ``name``.

        Outside of threads (building a machine, a test that drives a core) it does
        nothing. Raises ``ValueError`` for a name that is not in ``TOUCH_POINTS``.
        """
        if name not in TOUCH_POINTS:
            raise ValueError(f"no such touch point: {name!r}")
        if name in self.without:
            return _pass_by
        return self.meet

    def meet(self) -> None:
        """The running thread, if any, meets the others."""
        thread = self.running
        if thread is not None:
            thread.meet()

    def circling(self) -> CirclingError:
        """The error for a run whose time stands still, naming who is awake."""
        awake = [
            f"{thread.name} ({thread.waiting or 'running'})"
            for thread in self.threads
            if thread.is_alive
        ]
        return CirclingError(
            f"{self.still} meetings at {self._now} ns and time does not move: {', '.join(awake)}"
        )

    def close(self) -> None:
        """End the threads that still wait; nothing of them runs afterwards."""
        for thread in self.threads:
            thread.kill()


def _pass_by() -> None:
    """What a touch point does that has been taken away."""
