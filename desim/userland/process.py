"""A process: a running program, its descriptors, and what it waits for."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from desim.userland.errors import failure
from desim.userland.files import File, Terminal
from desim.userland.pages import SplicePipe
from desim.userland.program import Call, Program
from desim.userland.waitqueue import WaitQueue

SIGNALS = {"SIGINT": 2, "SIGPIPE": 13, "SIGTERM": 15}


class Blocked(Exception):  # noqa: N818 - no error, as it says
    """Not an error: the call cannot finish yet.

    Sleep until one of ``queues`` is woken, or ``deadline_ns``, and then make the same
    call again. A wake-up since the call was made counts.
    """

    def __init__(self, queues: Sequence[WaitQueue], deadline_ns: int | None) -> None:
        super().__init__()
        self.queues = queues
        self.deadline_ns = deadline_ns


class Process:
    """One running program. ``job`` holds all processes of its pipeline or list.

    ``exit_status`` is the program's own, or minus the number of the signal that
    ended it. ``deadline_ns``, ``progress``, ``received`` and ``splice_pipe`` belong to
    the call it is in.
    """

    __slots__ = (
        "argv",
        "before",
        "call",
        "catches_sigint",
        "closing",
        "cpu_ns",
        "deadline_ns",
        "ended_ns",
        "exit_status",
        "files",
        "generator",
        "ignores_sigpipe",
        "interrupted",
        "job",
        "measured",
        "name",
        "parent",
        "pid",
        "polled",
        "progress",
        "received",
        "rounds",
        "signals",
        "spins",
        "splice_pipe",
        "started_ns",
        "terminal",
        "waiting",
    )

    def __init__(
        self,
        *,
        pid: int,
        name: str,
        argv: Sequence[str],
        generator: Program,
        terminal: Terminal,
        started_ns: int,
    ) -> None:
        self.pid = pid
        self.name = name
        self.argv = list(argv)
        self.generator = generator
        self.terminal = terminal
        self.started_ns = started_ns
        self.ended_ns: int | None = None
        self.exit_status: int | None = None
        self.files: dict[int, File] = {}
        self.job: list[Process] = [self]
        self.parent: Process | None = None
        """Who started it, if a program did."""
        self.cpu_ns = 0
        """How long it has run on a processor."""
        self.measured: list[Mapping[str, object]] = []
        """What it has found out, if it is a measuring program."""
        self.signals = WaitQueue(f"signals of {name}[{pid}]")
        self.ignores_sigpipe = False
        self.catches_sigint = False
        self.interrupted = False
        """It has had a Ctrl-C."""
        self.spins = False
        """It computes for ever and never waits."""
        self.closing: File | None = None
        """What a close() that waits has taken from ``files``."""
        self.call: Call | None = None
        """The call that it has made last."""
        self.before: Call | None = None
        """The call in front of that."""
        self.polled: tuple[int, list[tuple[int, int]]] | None = None
        """When a poll that was the same as the call before it found what."""
        self.rounds = 0
        """How often it has, one behind the other."""
        self.waiting: Call | None = None
        self.deadline_ns: int | None = None
        self.progress = 0
        self.received: list[bytes] = []
        self.splice_pipe = SplicePipe()

    def __repr__(self) -> str:
        return f"Process({self.pid}, {self.name!r})"

    @property
    def waits_for_input(self) -> bool:
        """Whether only somebody else can make it go on: it sleeps, and has no deadline."""
        return self.waiting is not None and self.deadline_ns is None and not self.spins

    @property
    def shell_status(self) -> int | None:
        """``$?`` as a shell would show it: 130 after Ctrl-C."""
        status = self.exit_status
        return 128 - status if status is not None and status < 0 else status

    def resume(self, value: object = None, error: OSError | None = None) -> Call | None:
        """Run to the next system call, giving it the outcome of the last; None: it has ended."""
        if self.exit_status is not None:
            return None
        try:
            if error is not None:
                return self.generator.throw(error)
            return self.generator.send(value)
        except StopIteration as end:
            self.exit_status = end.value
            return None

    def end(self, status: int) -> None:
        """Make the program end where it is."""
        if self.exit_status is None:
            self.exit_status = status
            self.generator.close()

    def install(self, file: File, fd: int | None = None) -> int:
        """Open ``file`` as ``fd``, or as the lowest free descriptor."""
        if fd is None:
            fd = 0
            while fd in self.files:
                fd += 1
        replaced = self.files.pop(fd, None)
        self.files[fd] = file
        file.users += 1
        if replaced is not None:
            _release(replaced)
        return fd

    def close(self, fd: int) -> None:
        """Close one descriptor; EBADF if it is not open."""
        file = self.files.pop(fd, None)
        if file is None:
            raise failure(errno.EBADF)
        _release(file)

    def end_close(self) -> None:
        """The close() that waits goes on, or is given up: the file is closed either way."""
        file, self.closing = self.closing, None
        if file is not None:
            _release(file)

    def close_all(self) -> None:
        """Close every descriptor, in ascending order, as exit does: without waiting."""
        self.end_close()
        for fd in sorted(self.files):
            self.close(fd)


def _release(file: File) -> None:
    file.users -= 1
    if file.users == 0:
        file.close()
