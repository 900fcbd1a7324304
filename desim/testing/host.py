"""A host without costs and threads: programs run in turn, and take no time.

Its sockets are those of a machine's host (``desim.host``): ``sockets`` is the port that slirp
asks for, and ``poll`` one turn of QEMU's main loop around a slirp. Time is that of a
``VirtualClock``; it moves only when all programs sleep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from desim.data import Protocol
from desim.engine.streams import Streams
from desim.host.kernel import HostKernel
from desim.host.loopback import SocketObserver
from desim.host.sockets import QemuSockets
from desim.ports import Random
from desim.spool import Log
from desim.testing.clock import VirtualClock
from desim.userland.command import ProgramFile
from desim.userland.files import Quota, Terminal, VirtualTree
from desim.userland.filesystem import ROOT
from desim.userland.process import Blocked, Process
from desim.userland.program import Call, Program
from desim.userland.programs import HOST_PROGRAMS
from desim.userland.shell import parse
from desim.userland.waitqueue import WaitQueue

MAX_WRITTEN = 1 << 28
"""Bytes that all programs together may write."""
TURN = 100
"""System calls after which the next process has its turn."""


class Polled(Protocol):
    """What the main loop asks of slirp."""

    def pollfds_fill(self) -> int:
        """Say what to watch; how long it may be slept, in ms."""

    def pollfds_poll(self) -> None:
        """Look at what is ready."""


class Host:
    """A host; ``run`` starts command lines, ``settle`` lets programs go on until all sleep.

    ``files`` are those that commands may read (``< FILE``), by name. ``touched`` counts the
    calls at which a machine's threads would meet, ``calls`` lists those that returned.
    ``resolvers`` are the name servers that the host is configured with, ``random`` gives its
    streams of random numbers, and ``qemu`` makes ``sockets``.
    """

    def __init__(
        self,
        files: Mapping[str, bytes] | None = None,
        observer: SocketObserver | None = None,
        *,
        clock: VirtualClock | None = None,
        resolvers: Sequence[bytes] = (),
        random: Random | None = None,
        qemu: Callable[..., QemuSockets] = QemuSockets,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.touched = 0
        self.files = files or {}
        self.quota = Quota(MAX_WRITTEN)
        self.tree = VirtualTree(self.quota)
        self.calls: list[tuple[int, Call]] = []
        self._pending: dict[int, Call] = {}
        self._sleeping: dict[int, Blocked] = {}
        self.kernel = HostKernel(
            now=self.clock.now,
            timer=self.clock.timer,
            wake_up=self._wake_up,
            random=random or Streams(1),
            touch=self._touch,
            files=self._read,
            tree=self.tree,
            observer=observer,
        )
        self.sockets = qemu(
            kernel=self.kernel,
            on_ready=lambda: None,
            start=lambda process: None,  # it has its turn with the others
            terminal=self._terminal("qemu"),
            resolvers=resolvers,
        )

    @property
    def time(self) -> int:
        """The clock's time in ns; setting it moves the clock, and runs nobody."""
        return self.clock.now()

    @time.setter
    def time(self, now: int) -> None:
        self.clock.advance_to(now)

    def start(
        self, line: str, programs: Mapping[str, ProgramFile] = HOST_PROGRAMS
    ) -> list[Process]:
        """Start a command line; its programs run in ``settle``."""
        return self.kernel.spawn(parse(line, programs), self._terminal(line))

    def serve(self, program: Program) -> None:
        """Start a program that no command line names, and let it get to its first sleep."""
        self.kernel.spawn_program("server", program, self._terminal("server"))
        self.settle(self.time)

    def run(self, line: str) -> Process:
        """Start a line and let everything settle, at this instant only; its last process."""
        job = self.start(line)
        self.settle(self.time)
        return job[-1]

    def settle(self, until: int | None = None) -> None:
        """Let programs go on, and time with them, up to ``until`` ns; None: until all sleep
        for ever."""
        while True:
            if sum(self._step(process) for process in self.kernel.processes):
                continue
            deadlines = [
                blocked.deadline_ns
                for blocked in self._sleeping.values()
                if blocked.deadline_ns is not None
            ]
            tick = self.kernel.net.timers.next_ns()
            if tick is not None:
                deadlines.append(tick)
            if not deadlines or (until is not None and min(deadlines) > until):
                break
            self.clock.pass_by(max(0, min(deadlines) - self.time))
            for pid, blocked in list(self._sleeping.items()):
                if blocked.deadline_ns is not None and blocked.deadline_ns <= self.time:
                    del self._sleeping[pid]
        if until is not None:
            self.clock.advance_to(until)

    def poll(self, slirp: Polled, turns: int = 1) -> None:
        """Turns of QEMU's main loop without sleep: programs, fill, poll, slirp; then programs."""
        for _ in range(turns):
            self.settle(self.time)
            slirp.pollfds_fill()
            self.sockets.collect()
            slirp.pollfds_poll()
        self.settle(self.time)

    def written(self, name: str) -> bytes:
        """What programs have written to a file."""
        return self.tree.files[name].content()

    def _read(self, name: str) -> Log:
        if name == ROOT:
            names = "".join(f"{one}\n" for one in self.files if not one.endswith("/"))
            return Log.of(names.encode())
        return Log.of(self.files[name])

    def _terminal(self, name: str) -> Terminal:
        return Terminal(name, now=self.clock.now, quota=self.quota)

    def _touch(self) -> None:
        self.touched += 1

    def _wake_up(self, queue: WaitQueue) -> None:
        woken = [pid for pid, blocked in self._sleeping.items() if queue in blocked.queues]
        for pid in woken:
            del self._sleeping[pid]

    def _step(self, process: Process) -> bool:
        """Run a process to its next sleep; whether it did anything."""
        pid = process.pid
        if process.ended_ns is not None or pid in self._sleeping:
            return False
        call = self._pending.pop(pid, None) or process.resume()
        for _ in range(TURN):
            if call is None:
                self.kernel.exit(process)
                return True
            try:
                value = self.kernel.syscall(process, call)
            except Blocked as blocked:
                self._sleeping[pid] = blocked
                self._pending[pid] = call
                return True
            except OSError as error:
                call = process.resume(error=error)
            else:
                self.calls.append((pid, call))
                call = process.resume(value)
        if call is None:
            self.kernel.exit(process)
        else:
            self._pending[pid] = call
        return True
