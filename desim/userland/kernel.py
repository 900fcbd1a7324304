"""What the host's kernel and the guest's have in common: processes and their system calls.

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

A call that cannot finish raises ``Blocked`` and is made again with the same
arguments; what it has to remember meanwhile (its deadline, how much it has
written) is in the process. A wake-up between the check that fails and the sleep must
not be lost: ``WaitQueue.woken`` tells. A subclass adds its sockets and what
administrators' programs ask for.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from desim.ports import POLLERR, POLLHUP, Endpoint
from desim.stages import Build, bare
from desim.userland.calls import (
    POLLNVAL,
    SO_RCVTIMEO,
    Call,
    FileStatus,
    Interface,
    Message,
    Program,
    SocketRow,
    sys,
)
from desim.userland.errors import failure
from desim.userland.files import (
    File,
    InputFile,
    Null,
    OutputFile,
    Pipe,
    Socket,
    Terminal,
    VirtualTree,
    plain,
)
from desim.userland.process import SIGNALS, Blocked, Process
from desim.userland.shell import Command, Redirection
from desim.userland.waitqueue import WaitQueue
from desim.wire.addresses import LOOPBACK, ip, ip_text
from desim.wire.errors import WireError

T = TypeVar("T")

TIMER_SLACK_NS = 50_000
"""How late a sleep of a normal process may end, so that wake-ups can be joined."""
POLL_SLACK_SHARE = 1000
POLL_SLACK_MAX_NS = 100_000_000
"""poll(2) grants itself a thousandth of its timeout (fs/select.c), within these bounds."""


class RandomStream(Protocol):
    """One named stream of random numbers."""

    def below(self, limit: int) -> int:
        """A number in range(limit)."""


class Kernel:
    """Processes, descriptors, and the calls that all files share.

    ``files`` reads the user's file of that name, or raises ``KeyError``; that of a folder
    (``NAME/``) lists the files below it, one per line. ``hosts`` is /etc/hosts. ``tree``
    takes what programs write.
    """

    def __init__(
        self,
        *,
        now: Callable[[], int],
        wake_up: Callable[[WaitQueue], None],
        random: Callable[[str], RandomStream],
        files: Callable[[str], bytes],
        tree: VirtualTree,
        hosts: Mapping[str, bytes] | None = None,
        first_pid: int = 1000,
    ) -> None:
        self.now = now
        self.wake_up = wake_up
        self.random = random
        self.files = files
        self.tree = tree
        self.hosts = {"localhost": LOOPBACK} if hosts is None else dict(hosts)
        self.build: Build = bare
        """What ``load`` makes a program's own code with. The guest's takes time as a cost
        profile says; a profile's figures for it are the guest's, and the host's takes none."""
        self.resolv_conf = ""
        """/etc/resolv.conf."""
        self.processes: list[Process] = []
        self._next_pid = first_pid
        self._calls: dict[str, Callable[..., Any]] = {}

    # Processes

    def spawn(self, pipeline: Iterable[Command], terminal: Terminal) -> list[Process]:
        """Make the processes of one line, joined by pipes; they run from now on."""
        job: list[Process] = []
        commands = list(pipeline)
        before: File = terminal
        for command in commands:
            process = self._process(command.argv, command.start(), terminal)
            job.append(process)
            process.job = job
            process.install(before, 0)
            if command is commands[-1]:
                process.install(terminal, 1)
            else:
                pipe = Pipe(self.wake_up)
                assert pipe.reader is not None
                assert pipe.writer is not None
                process.install(pipe.writer, 1)
                before = pipe.reader
            process.install(terminal, 2)
            for redirection in command.redirections:
                if not self._redirect(process, redirection):
                    break
        return job

    def spawn_program(self, name: str, program: Program, terminal: Terminal) -> Process:
        """Make a process of a program that no command line names (a boot script)."""
        process = self._process([name], program, terminal)
        for fd in range(3):
            process.install(terminal, fd)
        return process

    def _process(self, argv: Sequence[str], generator: Program, terminal: Terminal) -> Process:
        process = Process(
            pid=self._next_pid,
            name=argv[0],
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
                process.install(process.file(int(name)), fd)
            else:
                process.install(self._open(kind, name), fd)
        except (OSError, ValueError) as error:
            text = error.strerror if isinstance(error, OSError) else str(error)
            process.generator.close()
            process.generator = _failed(f"sh: {name}: {text}\n")
            return False
        return True

    def _open(self, kind: str, name: str) -> File:
        if name == "/dev/null":
            return Null()
        if kind == "<":
            return InputFile(name, self.content(name))
        return self.tree.open(name, append=kind == ">>")

    def kill(self, process: Process, signal: str) -> None:
        """End ``process`` by ``signal``; SIGINT is Ctrl-C on its terminal.

        A process that catches it lives on (``exit_status`` is None): whoever runs it
        makes the call that it is in fail with EINTR.
        """
        if process.exit_status is not None:
            return
        if signal == "SIGINT":
            # One Ctrl-C is for all processes of the job, and is echoed once.
            if not any(other.interrupted for other in process.job):
                with contextlib.suppress(OSError):  # a full terminal still takes the signal
                    process.terminal.write(b"^C\n")
            process.interrupted = True
            if process.catches_sigint:
                self._finish(process)
                return
        self._end(process, -SIGNALS[signal])

    def _end(self, process: Process, status: int) -> None:
        process.end(status)
        self.exit(process)
        self.wake_up(process.signals)

    def exit(self, process: Process) -> None:
        """Close what an ended process has open (``do_exit``)."""
        if process.ended_ns is None:
            process.ended_ns = self.now()
            process.waiting = process.deadline_ns = None
            process.close_all()

    # System calls

    def syscall(self, process: Process, call: Call) -> Any:
        """Make ``call`` for ``process``: its result, an ``OSError``, or ``Blocked``."""
        if process.exit_status is not None:
            raise failure(errno.EINTR)
        function = self._calls.get(call.name)
        if function is None:
            function = self._calls[call.name] = getattr(self, "sys_" + call.name)
        try:
            value = function(process, *call.args)
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

    def _block(
        self, process: Process, files: Iterable[File], deadline_ns: int | None = None
    ) -> Blocked:
        queues = [process.signals]
        process.deadline_ns = deadline_ns
        for file in files:
            queues.append(file.queue)
            due = file.deadline_ns
            if due is not None and (deadline_ns is None or due < deadline_ns):
                deadline_ns = due
        return Blocked(queues, deadline_ns)

    def _wait_for(self, process: Process, file: File, attempt: Callable[[], T]) -> T:
        """The result of ``attempt``, once it stops raising EAGAIN."""
        try:
            return attempt()
        except BlockingIOError:
            if file.nonblocking:
                raise
        raise self._block(process, (file,))

    def _wait_for_message(self, process: Process, socket: Socket, attempt: Callable[[], T]) -> T:
        """As ``_wait_for``, but no longer than SO_RCVTIMEO: then EAGAIN."""
        try:
            return attempt()
        except BlockingIOError:
            if socket.nonblocking:
                raise
            deadline = process.deadline_ns
            if deadline is None and socket.rcvtimeo_ns is not None:
                deadline = self.now() + socket.rcvtimeo_ns
            if deadline is not None and self.now() >= deadline:
                raise
        raise self._block(process, (socket,), deadline)

    def sys_read(self, process: Process, fd: int, size: int) -> bytes:
        file = process.file(fd)
        return self._wait_for(process, file, lambda: file.read(size))

    def sys_write(self, process: Process, fd: int, data: bytes) -> int:
        file = process.file(fd)
        if isinstance(file, OutputFile):
            file.modified_ns = self.now()
        if file.nonblocking:
            return file.write(data)
        while True:
            try:
                process.progress += file.write(data[process.progress :])
            except BlockingIOError:
                raise self._block(process, (file,)) from None
            except OSError:
                if process.progress:
                    return process.progress
                raise
            if process.progress == len(data):
                return len(data)

    def sys_open(self, process: Process, name: str, write: bool) -> int:
        if not write:
            return process.install(InputFile(name, self.content(name)))
        try:
            file = self._open(">", name)
        except ValueError:
            raise failure(errno.EACCES) from None
        if isinstance(file, OutputFile):
            file.modified_ns = self.now()
        return process.install(file)

    def sys_stat(self, process: Process, name: str) -> FileStatus:
        written = self.tree.files.get(plain(name))
        if written is not None:
            return FileStatus(written.size, written.modified_ns, False)
        try:
            return FileStatus(len(self.content(name)), 0, False)
        except IsADirectoryError:
            return FileStatus(0, 0, True)

    def sys_unlink(self, process: Process, name: str) -> None:
        self.tree.remove(name)

    def content(self, name: str) -> bytes:
        """What the file ``name`` holds now; ENOENT if there is none, EISDIR for a folder."""
        system = self.system_file(name)
        if system is not None:
            return system
        written = self.tree.files.get(plain(name))
        if written is not None:
            return written.content()
        try:
            return self.files(plain(name))
        except KeyError:
            code = errno.EISDIR if self._is_folder(name) else errno.ENOENT
            raise failure(code) from None

    def system_file(self, name: str) -> bytes | None:
        """What a file of the system holds; None if there is no such file."""
        if name == "/dev/null":
            return b""
        if name == "/etc/resolv.conf":
            return self.resolv_conf.encode()
        if name == "/etc/hosts":
            rows = (f"{ip_text(address)}\t{known}\n" for known, address in self.hosts.items())
            return "".join(rows).encode()
        return None

    def _is_folder(self, name: str) -> bool:
        path = plain(name)
        if path == "":
            return True
        below = path + "/"
        if any(written.startswith(below) for written in self.tree.files):
            return True
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth]) + "/"
            try:
                names = self.files(folder).decode().split("\n")
            except KeyError:
                continue
            return folder == below or any((folder + one).startswith(below) for one in names)
        return False

    def sys_isatty(self, process: Process, fd: int) -> bool:
        return isinstance(process.file(fd), Terminal)

    def sys_close(self, process: Process, fd: int) -> None:
        process.close(fd)

    def sys_poll(
        self, process: Process, fds: Sequence[tuple[int, int]], timeout_ns: int | None
    ) -> list[tuple[int, int]]:
        found = []
        files = []
        ready = False
        for fd, events in fds:
            revents = 0
            if fd >= 0:
                file = process.files.get(fd)
                if file is None:
                    revents = POLLNVAL
                else:
                    files.append(file)
                    revents = file.poll_events() & (events | POLLERR | POLLHUP)
            found.append((fd, revents))
            ready = ready or revents != 0
        if ready:
            return found
        deadline = process.deadline_ns
        if deadline is None and timeout_ns is not None:
            deadline = self.now() + timeout_ns
        if deadline is not None and self.now() >= deadline:
            return found
        raise self._block(process, files, deadline)

    def sys_sleep_ns(self, process: Process, duration_ns: int) -> None:
        if process.deadline_ns is None:
            process.deadline_ns = self.now() + duration_ns
        if self.now() < process.deadline_ns:
            raise self._block(process, (), process.deadline_ns)

    def sys_nanosleep(self, process: Process, duration_ns: int) -> None:
        # A timer interrupt that comes within the slack would end the real one's sleep too.
        self.sys_sleep_ns(process, duration_ns + TIMER_SLACK_NS)

    def sys_ppoll(
        self, process: Process, fds: Sequence[tuple[int, int]], timeout_ns: int
    ) -> list[tuple[int, int]]:
        slack = min(max(timeout_ns // POLL_SLACK_SHARE, TIMER_SLACK_NS), POLL_SLACK_MAX_NS)
        return self.sys_poll(process, fds, timeout_ns + slack if timeout_ns else 0)

    def sys_clock_gettime(self, process: Process) -> int:
        return self.now()

    def sys_load(self, process: Process, code: type[T]) -> T:
        return self.build(code)()

    def sys_spin(self, process: Process) -> None:
        process.spins = True
        raise self._block(process, ())

    def sys_getpid(self, process: Process) -> int:
        return process.pid

    def sys_exit(self, process: Process, status: int) -> None:
        process.end(status)

    def sys_now(self, process: Process) -> int:
        return self.now()

    def sys_random(self, process: Process, name: str, below: int) -> int:
        return self.random(name).below(below)

    def sys_ignore_sigpipe(self, process: Process) -> None:
        process.ignores_sigpipe = True

    def sys_catch_sigint(self, process: Process) -> None:
        process.catches_sigint = True

    def sys_set_nonblocking(self, process: Process, fd: int, nonblocking: bool) -> None:
        process.file(fd).nonblocking = nonblocking

    # Sockets

    def socket(self, process: Process, kind: str) -> Socket:
        """A new socket for ``process``; EPROTONOSUPPORT for a kind that there is not."""
        raise failure(errno.EPROTONOSUPPORT)

    def _socket(self, process: Process, fd: int) -> Socket:
        file = process.file(fd)
        if not isinstance(file, Socket):
            raise failure(errno.ENOTSOCK)
        return file

    def sys_socket(self, process: Process, kind: str) -> int:
        return process.install(self.socket(process, kind))

    def sys_setsockopt(self, process: Process, fd: int, option: str, value: int) -> None:
        socket = self._socket(process, fd)
        if option == SO_RCVTIMEO:
            socket.rcvtimeo_ns = value or None
        else:
            socket.setsockopt(option, value)

    def sys_bind(self, process: Process, fd: int, address: bytes, port: int) -> None:
        self._socket(process, fd).bind(address, port)

    def sys_bind_device(self, process: Process, fd: int, device: str) -> None:
        self._socket(process, fd).bind_device(device)

    def sys_listen(self, process: Process, fd: int, backlog: int) -> None:
        self._socket(process, fd).listen(backlog)

    def sys_accept(self, process: Process, fd: int) -> tuple[int, Endpoint]:
        listener = self._socket(process, fd)
        connection, client = self._wait_for(process, listener, listener.accept)
        return process.install(connection), client

    def sys_connect(self, process: Process, fd: int, address: bytes, port: int) -> None:
        socket = self._socket(process, fd)
        if not process.progress:
            try:
                socket.connect(address, port)
                return
            except BlockingIOError:
                if socket.nonblocking:
                    raise
            process.progress = 1
        self._wait_for(process, socket, socket.connected)

    def sys_socket_error(self, process: Process, fd: int) -> OSError | None:
        return self._socket(process, fd).take_error()

    def sys_sendto(self, process: Process, fd: int, data: bytes, to: Endpoint) -> int:
        socket = self._socket(process, fd)
        return self._wait_for(process, socket, lambda: socket.sendto(data, to))

    def sys_recvfrom(self, process: Process, fd: int, size: int) -> tuple[bytes, Endpoint]:
        socket = self._socket(process, fd)
        return self._wait_for_message(process, socket, lambda: socket.recvfrom(size))

    def sys_recvmsg(self, process: Process, fd: int, size: int, dontwait: bool) -> Message:
        socket = self._socket(process, fd)
        if dontwait:
            return socket.recvmsg(size)
        return self._wait_for_message(process, socket, lambda: socket.recvmsg(size))

    def sys_outq(self, process: Process, fd: int) -> int:
        return self._socket(process, fd).outq()

    def sys_tcp_info(self, process: Process, fd: int) -> dict[str, int]:
        return self._socket(process, fd).tcp_info()

    def sys_shutdown(self, process: Process, fd: int, how: str) -> None:
        self._socket(process, fd).shutdown(read="r" in how, write="w" in how)

    def sys_getsockname(self, process: Process, fd: int) -> Endpoint:
        return self._socket(process, fd).getsockname()

    def sys_getpeername(self, process: Process, fd: int) -> Endpoint:
        return self._socket(process, fd).getpeername()

    # Names and administration

    def sys_resolve(self, process: Process, name: str) -> bytes:
        if name in self.hosts:
            return self.hosts[name]
        try:
            address = ip(name)
        except WireError:
            address = b""
        if len(address) != 4:
            raise OSError(errno.ENOENT, "Name or service not known")
        return address

    def sys_name_of(self, process: Process, address: bytes) -> str | None:
        for name, known in self.hosts.items():
            if known == address:
                return name
        return None

    def sys_interfaces(self, process: Process) -> list[Interface]:
        return []

    def sys_ethtool(self, process: Process, device: str, request: str, *arguments: Any) -> object:
        raise failure(errno.ENODEV)

    def sys_syslog(self, process: Process) -> list[tuple[int, str]]:
        raise failure(errno.EPERM)

    def sys_sockets_table(self, process: Process) -> list[SocketRow]:
        return []

    def sys_set_address(
        self,
        process: Process,
        device: str,
        address: bytes,
        prefix: int,
        resolv_conf: str | None = None,
    ) -> None:
        raise failure(errno.EPERM)

    def sys_set_link_up(self, process: Process, device: str, up: bool) -> None:
        raise failure(errno.EPERM)

    def sys_add_route(
        self, process: Process, network: bytes, prefix: int, gateway: bytes | None, device: str
    ) -> None:
        raise failure(errno.EPERM)


def _failed(message: str) -> Program:
    """What the shell does for a command whose files it cannot open."""
    yield sys.write(2, message.encode())
    return 1
