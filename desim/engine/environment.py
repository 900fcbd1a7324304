"""Virtual time: what happens in which order, counted in whole nanoseconds.

Theory of operation
-------------------
``Environment`` is what a machine runs on. It becomes a ``simpy.Environment`` when somebody asks
for one (``desim.engine.simpy_environment``): until then SimPy is not even imported, but its
events have their place on the heap and in the loop.

* Time is an ``int`` of nanoseconds. A delay of any other type is refused.
* An entry of the heap is ``(time, key, target, argument)``. If the argument is ``EVENT`` or
  ``TIMEOUT``, the target is an event of SimPy's, whose callbacks are called; else it is a function
  that is called with the argument (``call_at``). The key is the rank in bands of ``BAND``, plus a
  sequence number: entries of one rank go in the order in which they were made.
* Threads (``desim.engine.thread``) live on the same heap. The order is time, rank,
  sequence: at one instant SimPy's own urgent and normal events come first (ranks 0 and 1),
  then the threads by rank, so that the number of events that somebody else made cannot
  change the order.
* A *touch point* is the place where a thread is about to use what another thread
  can see. It has a name, and the running thread meets the others there. The
  names are a closed list, because the test that strict and lazy runs agree takes
  them away one at a time to show that each is needed.

A run that stops making sense is ended with an error that says where it was: too
many meetings at one instant (``CirclingError``), too many events (``TooManyEventsError``).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count, islice, repeat
from operator import length_hint
from typing import TYPE_CHECKING, Any, Final, NoReturn

import greenlet

from desim.errors import CirclingError, TooManyEventsError

if TYPE_CHECKING:
    from simpy.events import Event

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

CHUNK = 1 << 14
"""Marks that a thread collects before they are handed to the trace: few enough that they lie, on
their way, in memory that was used before (of twice as many a start takes 1 % more time)."""

STILL_LOOK = 0xFF
"""How often a thread looks how many marks it has where time stands still: a mask of meetings."""

CIRCLING_LIMIT = 100_000
"""Meetings at one instant after which a run is stopped."""

EVENT_LIMIT = 200_000_000
"""Heap entries after which a run is stopped."""

BAND: Final = 1 << 52
"""Sequence numbers of one rank: more than a run can make."""

NORMAL: Final = 1
"""The rank of SimPy's normal events, and of plain calls."""

EVENT: Final = object()
"""The argument of an entry whose target is an event."""

TIMEOUT: Final = object()
"""The same of a Timeout that ``timeout`` has made: it cannot fail, and is made again for the next
one when nobody needs it any more."""

LOOK: Final = object()
"""The argument of an entry that only looks how things are: it does not count as an event, nor does
what it makes a thread wait for. Nothing else depends on it."""

HALTED: Final = object()
"""What ``run_to`` returns when somebody has halted it."""
DRY: Final = object()
"""What a run returns when nothing is left on the heap."""

REUSE: Final = sys.implementation.name == "cpython" and sys.version_info < (3, 14)
"""Whether a reference count of 2 says that only the run loop still knows a Timeout."""


class Stop(Exception):  # noqa: N818 - it is no error
    """Ends the run from an entry of the heap; the argument is what the run returns."""


class _Nobody:
    """Who pays outside of threads: what is charged there takes no time."""

    __slots__ = ()

    @property
    def now(self) -> int:
        """There is none."""
        return 0

    @now.setter
    def now(self, _: int) -> None: ...


NOBODY: Final = _Nobody()


class Environment:
    """Time in integer nanoseconds, and what is due; with threads.

    ``still`` counts the meetings at the instant ``still_at``.

    ``strict`` makes every charge a meeting: slower, and by law the same trace.
    ``without`` takes touch points away, for the test of that law.
    """

    # What threads, stages and the loop read all the time.
    __slots__ = "__dict__", "__weakref__", "_active_proc", "_now", "_queue", "payer", "running"

    stops: tuple[type[Exception], ...] = (Stop,)
    """What ends a run."""

    def __init__(
        self,
        *,
        strict: bool = False,
        without: Iterable[str] = (),
        event_limit: int = EVENT_LIMIT,
    ) -> None:
        self._now = 0
        self._queue: list[tuple[int, int, Any, Any]] = []
        self._eid = count(BAND)
        self._spare: list[Any] = []
        self.strict = strict
        self.without = frozenset(without)
        if unknown := self.without.difference(TOUCH_POINTS):
            raise ValueError(f"no such touch points: {', '.join(sorted(unknown))}")
        self.running: Thread | None = None
        self.payer: Thread | _Nobody = NOBODY
        """Whose time passes where work is charged: the running thread's, or nobody's."""
        self.threads: list[Thread] = []
        self.by_rank: dict[int, Thread] = {}
        """The last thread of each rank."""
        self.still = 0
        self.still_at = -1
        self.steps = 0
        """How many entries of the heap were taken and count, up to the end of the last run."""
        self._left: Iterator[bool] | None = None
        self.uncounted = 0
        """Entries of this run that do not count towards the limit."""
        self.event_limit = event_limit
        self.hub: greenlet.greenlet | None = None
        """The coroutine that runs the heap, while one does; threads switch to it when they wait."""

    def idle(self) -> bool:
        """Whether nothing is due at this instant any more."""
        return not self._queue or self._queue[0][0] > self._now

    def schedule(self, event: Event, priority: Any = None, delay: Any = None) -> None:
        """As in SimPy; ``delay`` is an ``int`` of ns, or ``TypeError`` is raised."""
        if priority is None and delay is None:
            # NOTE: what every ``succeed`` asks for, without what it does not need (1.03).
            heappush(self._queue, (self._now, next(self._eid), event, EVENT))
            return
        if priority is None:
            priority = NORMAL
        if delay is None:
            delay = 0
        elif type(delay) is not int:
            raise TypeError(f"time is an int of nanoseconds; the delay {delay!r} is not")
        key = next(self._eid) + (priority - NORMAL) * BAND
        heappush(self._queue, (self._now + delay, key, event, EVENT))

    def call_at(
        self, instant: int, function: Callable[[Any], object], argument: Any = None
    ) -> None:
        """Call ``function(argument)`` at ``instant`` (ns), in the order of SimPy's normal events.

        Cheaper than a timeout with a callback: there is no event. Raises ``TypeError`` for an
        instant that is not an ``int``, and ``ValueError`` for one that is past.
        """
        if type(instant) is not int or instant < self._now:
            raise no_time("the instant", instant, self._now)
        heappush(self._queue, (instant, next(self._eid), function, argument))

    def call_in(self, delay: int, function: Callable[[Any], object], argument: Any = None) -> None:
        """Call ``function(argument)`` when ``delay`` ns have passed: see ``call_at``."""
        if type(delay) is not int or delay < 0:
            raise no_time("the delay", delay, 0)
        heappush(self._queue, (self._now + delay, next(self._eid), function, argument))

    def call_by_rank(
        self, instant: int, rank: int, function: Callable[[Any], object], argument: Any = None
    ) -> None:
        """Call ``function(argument)`` at ``instant`` (ns, not past), among threads of ``rank``."""
        entry = (instant, next(self._eid) + (rank - 1) * BAND, function, argument)
        heappush(self._queue, entry)

    def run_to(self, instant: int) -> Any:
        """Run to ``instant`` (ns), or until ``stop``: what that was given, or None."""
        self.call_at(instant, self.stop)
        return self._run()

    def stop(self, reason: Any = None) -> None:
        """End the run when what is on the heap for this instant, before its threads, is done."""
        self.call_at(self._now, _stop, reason)

    def halt(self) -> NoReturn:
        """End ``run_to`` at once, in the middle of an instant, with ``HALTED``. Nothing is left of
        it on the heap, so a later one goes on as if there had been none."""
        self._queue[:] = [entry for entry in self._queue if entry[2] != self.stop]
        heapify(self._queue)
        raise Stop(HALTED)

    def only_looks(self, instant: int, key: int) -> bool:
        """Whether nothing in front of an instant and key does more than look."""
        return not any(e[3] is not LOOK and e[:2] < (instant, key) for e in self._queue)

    def taken(self) -> int:
        """How many entries of the heap were taken up to now and count; while it runs."""
        return self.event_limit - length_hint(self._left) - self.uncounted

    def leap(self, ns: int, entries: list[tuple[Any, ...]], events: int) -> None:
        """Let ``ns`` pass at one go, in which ``events`` entries would have been taken and count.

        Called by an entry, outside of threads. ``entries`` are the heap from then on. Time that has
        passed so, or in which nothing was done that is not undone, may be taken back: then both
        numbers are below 0.
        """
        self._now += ns
        self._queue[:] = entries
        heapify(self._queue)
        counted = max(0, min(events, length_hint(self._left)))
        deque(islice(self._left or (), counted), maxlen=0)
        self.uncounted -= events - counted

    def _run(self) -> Any:
        """Take entries off the heap until one raises ``Stop``: what that was given, or ``DRY``."""
        self.hub = greenlet.getcurrent()
        try:
            while True:
                value = self._loop()
                if value is not DRY or not self._queue:
                    return value
        finally:
            self.hub = None
            self.run_by(None)

    def _loop(self) -> Any:
        # NOTE: one loop instead of a call for each entry, its names local, its entries counted
        # by the iterator (1.15).
        queue, pop, spare = self._queue, heappop, self._spare
        references: Callable[[object], int] = sys.getrefcount if REUSE else id
        is_timeout, is_event = TIMEOUT, EVENT
        self.uncounted = 0
        steps = self._left = repeat(True, self.event_limit - self.steps)
        target: Any = None
        argument: Any = None
        try:
            for _ in steps:
                try:
                    self._now, _, target, argument = pop(queue)
                except IndexError:
                    break
                if argument is is_timeout:
                    callbacks = target.callbacks
                    target.callbacks = None
                    # NOTE: the usual one without an iterator (1.01).
                    if len(callbacks) == 1:
                        callback = callbacks[0]
                        callback(target)
                    else:
                        for callback in callbacks:
                            callback(target)
                    # Two references are this frame's and that of the call itself: no process, no
                    # condition and no user has this one any more.
                    if references(target) == 2:
                        spare.append(target)
                elif argument is is_event:
                    callbacks = target.callbacks
                    target.callbacks = None
                    for callback in callbacks:
                        callback(target)
                    if not target._ok and not hasattr(target, "_defused"):
                        raise copy_of(target._value)
                else:
                    target(argument)
            else:
                if queue and not self.uncounted:
                    raise TooManyEventsError(
                        f"more than {self.event_limit} events by {self._now} ns"
                    )
        except self.stops as stop:
            if argument is EVENT or argument is TIMEOUT:
                self._again(target, callbacks, callback)
            return stop.args[0]
        finally:
            self.steps = self.taken()
            self._left = None
        return DRY

    def _again(self, event: Any, callbacks: list[Any], last: Any) -> None:
        """A callback has stopped the run: those behind it are called when it goes on."""
        event.callbacks = callbacks[callbacks.index(last) + 1 :]
        self.schedule(event, -1)

    def run_by(self, thread: Thread | None) -> None:
        """From now on this thread runs, or none."""
        self.running = thread
        self.payer = NOBODY if thread is None else thread

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
        if thread is None:
            return
        # NOTE: the case in which nobody is due earlier, of ``Thread.meet``, written out (one call
        # less at each touch point).
        target = thread.now
        if not (thread.irq_pending and thread.irqs_on):
            queue = self._queue
            if (
                not queue
                or (head := queue[0])[0] > target
                or (head[0] == target and head[1] >= thread.key)
            ):
                if target > self._now:
                    self._now = target
                    if thread.collect is not None and len(thread.marks) > CHUNK:
                        thread.collect(thread)
                elif self.still_at != target:
                    self.still_at = target
                    self.still = 0
                elif self.still < CIRCLING_LIMIT:
                    self.still += 1
                    if not self.still & STILL_LOOK and thread.collect is not None:
                        if len(thread.marks) > CHUNK:
                            thread.collect(thread)
                else:
                    raise self.circling()
                return
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


def _stop(reason: Any) -> None:
    raise Stop(reason)


def _pass_by() -> None:
    """What a touch point does that has been taken away."""


def no_time(what: str, given: object, least: int) -> Exception:
    """What is wrong with an instant or a delay that is no ``int`` from ``least`` on."""
    if type(given) is not int:
        return TypeError(f"time is an int of nanoseconds; {what} {given!r} is not")
    if least == 0:
        return ValueError(f"Negative delay {given}")
    return ValueError(f"{what} {given} is before now, {least}")


def copy_of(error: BaseException) -> BaseException:
    """The failure that nobody has dealt with, with a traceback of its own."""
    copy = type(error)(*error.args)
    copy.__cause__ = error
    return copy
