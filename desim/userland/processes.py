"""The processes of one kernel: how they begin, make their calls, sleep and end.

Theory of operation
-------------------
``spawn`` makes the processes of a pipeline. A scheduler of somebody else's (a host
thread, the guest's virtual CPU) runs them::

    call = process.resume()
    while call is not None:
        try:
            value = kernel.syscall(process, call)
        except Blocked as blocked:
            sleep until one of blocked.queues is woken, or blocked.deadline_ns
        except OSError as error:
            call = process.resume(error=error)
        else:
            call = process.resume(value)
    kernel.exit(process)

``syscall`` finds the call's function by its name (``sys_read``); whatever that needs of
one kernel only are hooks of it: ``meet``, ``file``, and those that a kernel adds.

A call that cannot finish raises ``Blocked`` and is made again with the same
arguments; what it has to remember meanwhile (its deadline, how much it has
written) is in the process. A wake-up between the check that fails and the sleep must
not be lost: ``WaitQueue.woken`` tells.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from desim.userland.calls import PREFIX, sys
from desim.userland.command import Command, Redirection
from desim.userland.errors import failure
from desim.userland.files import File, Pipe, Socket, Terminal
from desim.userland.process import SIGNALS, Blocked, Process
from desim.userland.program import Call, Program
from desim.userland.waitqueue import WaitQueue

T = TypeVar("T")


class Processes:
    """All processes, the ended ones too, in the order of their numbers."""

    def __init__(
        self,
        *,
        now: Callable[[], int],
        wake_up: Callable[[WaitQueue], None],
        first_pid: int,
    ) -> None:
        self.now = now
        self.wake_up = wake_up
        self.processes: list[Process] = []
        self._next_pid = first_pid
        self._functions: dict[str, Callable[..., Any]] = {}

    # What a kernel puts in its place

    def meet(self) -> None:
        """A process is about to use what others, or the user, can see."""

    def file(self, process: Process, fd: int) -> File:
        """What ``fd`` stands for, to be used from now on; EBADF without an open file."""
        try:
            return process.files[fd]
        except KeyError:
            raise failure(errno.EBADF) from None

    def open_file(self, kind: str, name: str) -> File:
        """The file of a redirection (``<``, ``>``, ``>>``); ValueError for a bad name."""
        raise failure(errno.ENOENT)

    # Beginning and end

    def spawn(
        self, pipeline: Iterable[Command], terminal: Terminal, parent: Process | None = None
    ) -> list[Process]:
        """Make the processes of one line, joined by pipes; they run from now on.

        Children of ``parent`` have its descriptors 0 to 2 instead of the terminal's, and
        belong to its job.
        """
        self.meet()
        made: list[Process] = []
        job = made if parent is None else parent.job
        standard: dict[int, File] = dict.fromkeys(range(3), terminal)
        if parent is not None:
            standard = {fd: file for fd, file in parent.files.items() if fd < 3}
        commands = list(pipeline)
        before = standard.get(0)
        for command in commands:
            process = self._process(command.name, command.argv, command.start(), terminal)
            process.parent, process.job = parent, job
            made.append(process)
            ends: list[File | None] = [before, standard.get(1), standard.get(2)]
            if command is not commands[-1]:
                pipe = Pipe(self.wake_up)
                ends[1], before = pipe.writer, pipe.reader
            for fd, end in enumerate(ends):
                if end is not None:
                    process.install(end, fd)
            for redirection in command.redirections:
                if not self._redirect(process, redirection):
                    break
        if job is not made:
            job += made
        return made

    def spawn_program(self, name: str, program: Program, terminal: Terminal) -> Process:
        """Make a process of a program that no command line names (a boot script)."""
        process = self._process(name, [name], program, terminal)
        for fd in range(3):
            process.install(terminal, fd)
        return process

    def _process(
        self, name: str, argv: Sequence[str], generator: Program, terminal: Terminal
    ) -> Process:
        process = Process(
            pid=self._next_pid,
            name=name,
            argv=argv,
            generator=generator,
            terminal=terminal,
            started_ns=self.now(),
        )
        self._next_pid += 1
        self.processes.append(process)
        return process

    def _redirect(self, process: Process, redirection: Redirection) -> bool:
        fd, kind, name = redirection
        try:
            if kind == "&":
                process.install(self.file(process, int(name)), fd)
            else:
                process.install(self.open_file(kind, name), fd)
        except (OSError, ValueError) as error:
            text = error.strerror if isinstance(error, OSError) else str(error)
            process.generator.close()
            process.generator = _failed(f"sh: {name}: {text}\n")
            return False
        return True

    def kill(self, process: Process, signal: str) -> None:
        """End ``process`` by ``signal``; SIGINT is Ctrl-C on its terminal.

        A process that catches it lives on (``exit_status`` is None): whoever runs it
        makes the call that it is in fail with EINTR.
        """
        self.meet()
        if process.exit_status is not None:
            return
        if signal == "SIGINT":
            # One Ctrl-C is for all processes of the job, and is echoed once.
            if not any(other.interrupted for other in process.job):
                with contextlib.suppress(OSError):  # a full terminal still takes the signal
                    process.terminal.write(b"^C\n")
            process.interrupted = True
            if process.catches_sigint:
                process.end_close()
                self._finish(process)
                return
        self._end(process, -SIGNALS[signal])

    def _end(self, process: Process, status: int) -> None:
        process.end(status)
        self.exit(process)
        self.wake_up(process.signals)

    def exit(self, process: Process) -> None:
        """Close what an ended process has open (``do_exit``)."""
        self.meet()
        if process.ended_ns is None:
            process.ended_ns = self.now()
            process.waiting = process.deadline_ns = None
            process.close_all()
            if process.parent is not None:
                self.wake_up(process.parent.signals)  # SIGCHLD

    # Calls

    def syscall(self, process: Process, call: Call) -> object:
        """Make ``call`` for ``process``: its result, an ``OSError``, or ``Blocked``."""
        if process.exit_status is not None:
            raise failure(errno.EINTR)
        if process.waiting is None:  # else it is the same call, made again
            process.before, process.call = process.call, call
        name, args = call
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = getattr(self, PREFIX + name)
        try:
            value: object = function(process, *args)
        except Blocked:
            process.waiting = call
            raise
        except BrokenPipeError:
            self._finish(process)
            if not process.ignores_sigpipe:
                self._end(process, -SIGNALS["SIGPIPE"])
            raise
        except OSError:
            self._finish(process)
            raise
        self._finish(process)
        return value

    def _finish(self, process: Process) -> None:
        process.waiting = process.deadline_ns = None
        process.progress = 0
        if process.received:
            process.received = []
        if process.splice_pipe.pieces:
            process.splice_pipe.clear()

    def block(
        self, process: Process, files: Iterable[File], deadline_ns: int | None = None
    ) -> Blocked:
        """What a call raises that waits for one of ``files``, or for ``deadline_ns``."""
        queues = [process.signals]
        process.deadline_ns = deadline_ns
        queues += [file.queue for file in files]
        return Blocked(queues, deadline_ns)

    def wait_for(self, process: Process, file: File, attempt: Callable[[], T]) -> T:
        """The result of ``attempt``, once it stops raising EAGAIN."""
        try:
            return attempt()
        except BlockingIOError:
            if file.nonblocking:
                raise
        raise self.block(process, (file,))

    def wait_for_message(self, process: Process, socket: Socket, attempt: Callable[[], T]) -> T:
        """As ``wait_for``, but no longer than SO_RCVTIMEO: then EAGAIN."""
        try:
            return attempt()
        except BlockingIOError:
            deadline = self._until(process, socket)
            if socket.nonblocking or (deadline is not None and self.now() >= deadline):
                raise
        raise self.block(process, (socket,), deadline)

    def wait_for_all(self, process: Process, socket: Socket, size: int, wait: bool) -> bytes:
        """``size`` bytes of a stream, or what there was when its end, an error, SO_RCVTIMEO
        or, without ``wait``, emptiness came (MSG_WAITALL)."""
        deadline = None
        try:
            while process.progress < size:
                data = socket.read(size - process.progress)
                if not data:
                    break
                process.received.append(data)
                process.progress += len(data)
        except BlockingIOError:
            deadline = self._until(process, socket)
            if wait and not socket.nonblocking and (deadline is None or self.now() < deadline):
                raise self.block(process, (socket,), deadline) from None
            if not process.received:
                raise
        except OSError:
            if not process.received:
                raise
        return b"".join(process.received)

    def _until(self, process: Process, socket: Socket) -> int | None:
        """How long a receiving call waits."""
        if process.deadline_ns is None and socket.rcvtimeo_ns is not None:
            return self.now() + socket.rcvtimeo_ns
        return process.deadline_ns


def _failed(message: str) -> Program:
    """What the shell does for a command whose files it cannot open."""
    yield from sys.write(2, message.encode())
    return 1
