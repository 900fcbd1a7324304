"""QEMU's main loop and its timers (main-loop.c, qemu-timer.c, vl.c).

Theory of operation
-------------------
One pass: every source says how long it could sleep and which descriptors it
watches; with the big lock released the loop sleeps in poll until one of those is
ready, the nearest timer is due, or somebody calls ``notify``; then, with the lock
held again, those who asked for a descriptor (``set_fd_handler``) are called, the sources
look at theirs, and after that all timers that are due run in order of deadline (equal
ones: first armed first).

A timer that is armed and becomes the nearest one wakes the loop, so that it
sleeps less long. That is all that makes the loop notice what a virtual CPU did:
slirp's own needs (a delayed ACK, a connection that opened) wake nobody. The guest's local
timer is one of these timers: a guest that ticks makes the loop notice things every 4 ms.

Not modelled: the other two clocks of QEMU, block I/O, bottom halves, ``-icount``.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.data import Protocol
from desim.engine.environment import Environment
from desim.engine.thread import Thread
from desim.machine.threads.big_lock import BigLock
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT
from desim.stages import QEMU, Landmark, mark, stages

MS = 1_000_000


class Poller(Protocol):
    """The host kernel's side of poll()."""

    def ready(self) -> bool:
        """Whether a watched descriptor is ready now."""

    def collect(self) -> None:
        """Fix what each watched descriptor is ready for, and end the watches."""


class Source(Protocol):
    """Somebody whom the main loop serves: slirp."""

    def pollfds_fill(self) -> int:
        """Watch descriptors; the longest sleep in ms."""

    def pollfds_poll(self) -> None:
        """Look at the descriptors and the time."""


class Watched(Protocol):
    """What the handlers of descriptors need of the process's sockets."""

    def watch(self, fd: int, events: int) -> None:
        """Watch ``fd`` in the next poll."""

    def revents(self, fd: int) -> int:
        """What the last poll has found."""


Handler = Callable[[], None]


class IoHandlers:
    """``FdHandlers``: descriptors with whom to call when they are ready (aio-posix.c).

    Those of the newest are called first; reading before writing.
    """

    STAGES = stages(QEMU, dispatch=mark("glib_pollfds_poll", "aio_dispatch", file="main-loop.c"))

    def __init__(self, sockets: Watched) -> None:
        self.sockets = sockets
        self.handlers: dict[int, tuple[Handler | None, Handler | None]] = {}

    def set_fd_handler(self, fd: int, read: Handler | None, write: Handler | None) -> None:
        """Who is called when ``fd`` can be read and written; with neither it is forgotten."""
        if read is None and write is None:
            self.handlers.pop(fd, None)
        else:
            self.handlers[fd] = read, write

    def fill(self) -> None:
        """Watch all of them in the next poll."""
        for fd, (read, write) in self.handlers.items():
            self.sockets.watch(fd, POLLIN * (read is not None) | POLLOUT * (write is not None))

    def dispatch(self) -> None:
        """Call those whose descriptors the last poll has found ready."""
        for fd in reversed(list(self.handlers)):
            found = self.sockets.revents(fd)
            failed = found & (POLLERR | POLLHUP)
            for place, event in enumerate((POLLIN, POLLOUT)):
                # What was called before may have changed who is to be called.
                handler = self.handlers.get(fd, (None, None))[place]
                if handler is not None and (found & event or failed):
                    handler()


class QemuTimer:
    """One timer on the virtual clock. Made by ``TimerList.timer``."""

    __slots__ = ("_timers", "deadline", "fire", "name", "periodic")

    def __init__(
        self, timers: TimerList, name: str, fire: Callable[[], None], periodic: bool
    ) -> None:
        self._timers = timers
        self.name = name
        self.fire = fire
        self.periodic = periodic
        self.deadline: int | None = None

    def arm(self, deadline: int) -> None:
        """Fire at ``deadline`` ns, or in the next pass if that is over (``timer_mod``)."""
        self._timers.arm(self, deadline)

    def cancel(self) -> None:
        """Do not fire (``timer_del``)."""
        self._timers.cancel(self)


class TimerList:
    """The armed timers of the virtual clock, nearest first; the ``Clock`` of QEMU's cores."""

    def __init__(self, env: Environment, notify: Callable[[], None]) -> None:
        self.env = env
        self.armed: list[QemuTimer] = []
        self._notify = notify
        self._meet = env.touch_point("timer")
        self.now = env.time

    def timer(self, name: str, fire: Callable[[], None], *, periodic: bool = False) -> QemuTimer:
        """A new timer; see ``desim.ports.Clock``."""
        return QemuTimer(self, name, fire, periodic)

    def arm(self, timer: QemuTimer, deadline: int) -> None:
        """Insert behind all timers with the same or an earlier deadline."""
        self._meet()
        if timer.deadline is not None:
            self.armed.remove(timer)
        timer.deadline = deadline
        place = len(self.armed)
        # All that are armed have a deadline.
        while place and self.armed[place - 1].deadline > deadline:  # type: ignore[operator]
            place -= 1
        self.armed.insert(place, timer)
        if place == 0:
            self._notify()

    def cancel(self, timer: QemuTimer) -> None:
        """Take it out of the list."""
        self._meet()
        if timer.deadline is not None:
            self.armed.remove(timer)
            timer.deadline = None

    def nearest(self) -> int | None:
        """The earliest deadline in ns, or None."""
        return self.armed[0].deadline if self.armed else None

    def run(self) -> None:
        """Fire what is due at the instant of the call (``timerlist_run_timers``)."""
        self._meet()
        now = self.env.time()
        # All that are armed have a deadline.
        while self.armed and self.armed[0].deadline <= now:  # type: ignore[operator]
            timer = self.armed.pop(0)
            timer.deadline = None
            timer.fire()
            self._meet()

    def waiting(self) -> bool:
        """Whether a timer that is not periodic is armed."""
        return any(not timer.periodic for timer in self.armed)


class MainLoop:
    """The main loop: thread body, ``MainLoop`` port, and owner of the timers.

    ``poller`` and ``sources`` are there before it runs; they need the loop themselves.
    """

    poller: Poller

    STAGES = stages(
        QEMU,
        main=mark("main", file="vl.c", landmark=Landmark.LOOP),
        main_loop=mark("main_loop", file="vl.c", landmark=Landmark.LOOP),
        main_loop_wait=mark("main_loop_wait", file="main-loop.c", landmark=Landmark.LOOP),
        os_host_main_loop_wait=mark("os_host_main_loop_wait", file="main-loop.c"),
        qemu_poll_ns=mark("qemu_poll_ns", file="qemu-timer.c", landmark=Landmark.UNLOCKED),
        ppoll=mark("ppoll", file="host kernel"),
    )

    def __init__(self, env: Environment, lock: BigLock) -> None:
        self.env = env
        self.lock = lock
        self.sources: list[Source] = []
        self.handlers: IoHandlers | None = None
        """Those who asked for descriptors; None: nobody has."""
        self.timers = TimerList(env, self.notify)
        self.thread: Thread | None = None
        self.polling = False
        self._notified = False
        self._came = False
        """Whether there was something to wake up for since the loop chose to sleep."""
        self._meet_notify = env.touch_point("notify")
        self._meet_poll = env.touch_point("poll")

    def main(self) -> None:
        """The body of QEMU's first thread."""
        self.thread = self.env.running
        self.lock.acquire()
        self.main_loop()

    def main_loop(self) -> None:
        """Passes without end; the run ends from outside."""
        while True:
            self.main_loop_wait()

    def main_loop_wait(self) -> None:
        """One pass."""
        deadline: int | None = None
        if self.handlers is not None:
            self.handlers.fill()
        for source in self.sources:
            sleep = self.env.time() + source.pollfds_fill() * MS
            deadline = sleep if deadline is None else min(deadline, sleep)
        self.os_host_main_loop_wait(deadline)
        for source in self.sources:
            source.pollfds_poll()
        self.timers.run()

    def os_host_main_loop_wait(self, deadline: int | None) -> None:
        """Sleep in poll, at most until ``deadline`` ns, with the big lock released."""
        self.lock.release()
        self.qemu_poll_ns(deadline)
        self.lock.acquire()
        if self.handlers is not None:
            self.handlers.dispatch()

    def qemu_poll_ns(self, deadline: int | None) -> None:
        """Sleep until a descriptor is ready, ``notify``, or the earlier of both deadlines."""
        self._meet_poll()
        thread = self.env.running
        assert thread is not None, "only the main loop's thread polls"
        nearest = self.timers.nearest()
        if nearest is not None and (deadline is None or nearest < deadline):
            deadline = nearest
        if not (self._notified or self.poller.ready()) and (
            deadline is None or deadline > self.env.time()
        ):
            self._came = False
            self.ppoll(thread, deadline)
            self._meet_poll()
        # What was notified during the wake-up is dealt with in this pass, too.
        self._notified = False
        self.poller.collect()

    def ppoll(self, thread: Thread, deadline: int | None) -> None:
        """Really sleep, unless something came on the way into the kernel; what it costs at its exit
        is the wake-up."""
        thread.meet()
        if self._came:
            return
        self.polling = True
        thread.park("poll", deadline)
        self.polling = False

    def notify(self) -> None:
        """End the sleep in poll (``qemu_notify_event``); one that comes early is kept."""
        self._meet_notify()
        self._notified = self._came = True
        if self.polling and self.thread is not None:
            self.thread.wake()

    def on_ready(self) -> None:
        """A watched descriptor has become ready; the caller has met the others."""
        self._came = True
        if self.polling and self.thread is not None:
            self.thread.wake()
