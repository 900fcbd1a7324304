"""A host with a trivial scheduler: every process in turn, time moves when all sleep."""

from __future__ import annotations

from desim.engine.streams import Streams
from desim.host.kernel import HostKernel
from desim.host.loopback import SocketObserver
from desim.userland.calls import Call, Program
from desim.userland.files import Quota, Terminal, VirtualTree
from desim.userland.process import Blocked, Process
from desim.userland.programs import HOST_PROGRAMS
from desim.userland.shell import parse
from desim.userland.waitqueue import WaitQueue

SECOND = 1_000_000_000


class Host:
    """A host; ``run`` starts lines, ``settle`` lets them go on until all sleep for ever."""

    def __init__(
        self, files: dict[str, bytes] | None = None, observer: SocketObserver | None = None
    ) -> None:
        self.time = 0
        self.touched = 0
        self.files = files or {}
        self.quota = Quota(1 << 28)
        self.tree = VirtualTree(self.quota)
        self.calls: list[tuple[int, Call]] = []
        self.pending: dict[int, Call] = {}
        self.sleeping: dict[int, Blocked] = {}
        self.kernel = HostKernel(
            now=lambda: self.time,
            wake_up=self.wake_up,
            random=Streams(1),
            touch=self.touch,
            files=lambda name: self.files[name],
            tree=self.tree,
            observer=observer,
        )

    def touch(self, point: str) -> None:
        assert point == "host_socket"
        self.touched += 1

    def wake_up(self, queue: WaitQueue) -> None:
        for pid in [pid for pid, blocked in self.sleeping.items() if queue in blocked.queues]:
            del self.sleeping[pid]

    def start(self, line: str) -> list[Process]:
        terminal = Terminal(line, now=lambda: self.time, quota=self.quota)
        return self.kernel.spawn(parse(line, HOST_PROGRAMS), terminal)

    def serve(self, program: Program) -> None:
        """Start a program that no command line names, and let it get to its first sleep."""
        terminal = Terminal("server", now=lambda: self.time, quota=self.quota)
        self.kernel.spawn_program("server", program, terminal)
        self.settle(self.time)

    def run(self, line: str) -> Process:
        """Start a line and let everything settle, at this instant only; its last process."""
        job = self.start(line)
        self.settle(self.time)
        return job[-1]

    def settle(self, until: int | None = None) -> None:
        while True:
            if sum(self.step(process) for process in self.kernel.processes):
                continue
            deadlines = [b.deadline_ns for b in self.sleeping.values() if b.deadline_ns is not None]
            if not deadlines or (until is not None and min(deadlines) > until):
                break
            self.time = max(self.time, min(deadlines))
            for pid, blocked in list(self.sleeping.items()):
                if blocked.deadline_ns is not None and blocked.deadline_ns <= self.time:
                    del self.sleeping[pid]
        if until is not None:
            self.time = until

    def step(self, process: Process) -> bool:
        """Run a process to its next sleep; whether it did anything."""
        pid = process.pid
        if process.ended_ns is not None or pid in self.sleeping:
            return False
        call = self.pending.pop(pid, None) or process.resume()
        for _ in range(100):
            if call is None:
                self.kernel.exit(process)
                return True
            try:
                value = self.kernel.syscall(process, call)
            except Blocked as blocked:
                self.sleeping[pid] = blocked
                self.pending[pid] = call
                return True
            except OSError as error:
                call = process.resume(error=error)
            else:
                self.calls.append((pid, call))
                call = process.resume(value)
        if call is None:
            self.kernel.exit(process)
        else:
            self.pending[pid] = call
        return True

    def written(self, name: str) -> bytes:
        return self.tree.files[name].content()


def output(process: Process) -> str:
    return process.terminal.output().decode()
