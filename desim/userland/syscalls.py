"""The system calls that the host's kernel and the guest's answer alike.

A kernel is a subclass: it adds its sockets (``socket``), its ``meet`` and ``file``
(``desim.userland.processes``), and what administrators' programs ask for.
"""

from __future__ import annotations

import errno
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from desim.ports import POLLERR, POLLHUP, Endpoint, Random
from desim.spool import Log
from desim.stages import Build, bare
from desim.userland.calls import SystemCalls
from desim.userland.command import Command
from desim.userland.errors import failure
from desim.userland.files import File, OutputFile, Socket, Terminal, VirtualTree
from desim.userland.filesystem import FileSystem
from desim.userland.process import Process
from desim.userland.splice import Splices
from desim.userland.uapi import (
    EAI_NONAME,
    MSG_DONTWAIT,
    MSG_MORE,
    MSG_PEEK,
    MSG_WAITALL,
    O_APPEND,
    O_CREAT,
    O_RDONLY,
    O_TRUNC,
    O_WRONLY,
    POLLNVAL,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    SO_RCVTIMEO,
    FileStatus,
    Message,
)
from desim.userland.waitqueue import WaitQueue
from desim.wire.addresses import ip
from desim.wire.errors import WireError

if TYPE_CHECKING:
    from desim.userland.epoll import Epoll

T = TypeVar("T")

TIMER_SLACK_NS = 50_000
"""How late a sleep of a normal process may end, so that wake-ups can be joined."""
POLL_SLACK_SHARE = 1000
POLL_SLACK_MAX_NS = 100_000_000
"""poll(2) grants itself a thousandth of its timeout (fs/select.c), within these bounds."""
MAX_ROUNDS = 1000
"""How often a program may make the same poll at one instant, with the same outcome."""

OPENINGS = {
    O_RDONLY: "<",
    O_WRONLY | O_CREAT | O_TRUNC: ">",
    O_WRONLY | O_CREAT | O_APPEND: ">>",
}
"""The flags of ``open`` that are modelled, and the redirection that has them."""


class SharedCalls(Splices, SystemCalls):
    """Processes, their files, and the calls that every kernel answers in the same way."""

    def __init__(
        self,
        *,
        now: Callable[[], int],
        wake_up: Callable[[WaitQueue], None],
        random: Random,
        files: Callable[[str], Log],
        tree: VirtualTree,
        hosts: Mapping[str, bytes] | None = None,
        first_pid: int,
    ) -> None:
        super().__init__(now=now, wake_up=wake_up, first_pid=first_pid)
        self.random = random
        self.filesystem = FileSystem(files=files, tree=tree, random=random, hosts=hosts)
        self.build: Build = bare
        """What ``load`` makes a program's own code with. The guest's takes time as a cost
        profile says; a profile's figures for it are the guest's, and the host's takes none."""

        self.start_child: Callable[[Process], None] = lambda process: None
        """Told of each process that a program starts, to give it a thread; without one,
        whoever runs the kernel finds it among ``processes``."""

    @abstractmethod
    def socket(self, process: Process, kind: str) -> Socket:
        """A new socket for ``process``; EPROTONOSUPPORT for a kind that there is not."""

    def open_file(self, kind: str, name: str) -> File:
        return self.filesystem.open(kind, name)

    # Files

    def sys_read(self, process: Process, fd: int, size: int) -> bytes:
        file = self.file(process, fd)
        try:  # as ``wait_for`` does, without its calls: this is what a bulk transfer does most
            return file.read(size)
        except BlockingIOError:
            if file.nonblocking:
                raise
        raise self.block(process, (file,))

    def sys_write(self, process: Process, fd: int, data: bytes) -> int:
        file = self.file(process, fd)
        if not isinstance(file, Socket):
            self.meet()
            if isinstance(file, OutputFile):
                file.modified_ns = self.now()
        return self._write(process, file, data, file.write)

    def _write(
        self, process: Process, file: File, data: bytes, write: Callable[[bytes], int]
    ) -> int:
        if file.nonblocking:
            file.resumed = False
            return write(data)
        while True:
            file.resumed = process.progress > 0
            try:
                process.progress += write(data[process.progress :])
            except BlockingIOError:
                raise self.block(process, (file,)) from None
            except OSError as error:
                if process.progress:
                    file.keep_error(error)
                    return process.progress
                raise
            if process.progress == len(data):
                return len(data)

    def sys_open(self, process: Process, name: str, flags: int = O_RDONLY) -> int:
        self.meet()
        kind = OPENINGS.get(flags)
        if kind is None:
            raise failure(errno.EINVAL)
        try:
            file = self.open_file(kind, name)
        except ValueError:
            raise failure(errno.EACCES) from None
        if isinstance(file, OutputFile):
            file.modified_ns = self.now()
        return process.install(file)

    def sys_stat(self, process: Process, name: str) -> FileStatus:
        self.meet()
        return self.filesystem.status(name)

    def sys_listdir(self, process: Process, name: str) -> list[str]:
        self.meet()
        return self.filesystem.listdir(name)

    def sys_unlink(self, process: Process, name: str) -> None:
        self.meet()
        self.filesystem.tree.remove(name)

    def sys_isatty(self, process: Process, fd: int) -> bool:
        return isinstance(self.file(process, fd), Terminal)

    def sys_close(self, process: Process, fd: int) -> None:
        if process.closing is None:
            file = self.file(process, fd)
            wait_ns = file.begin_close() if file.users == 1 else 0
            if not wait_ns:
                process.close(fd)
                return
            process.closing = process.files.pop(fd)
            process.deadline_ns = self.now() + wait_ns
        file, deadline = process.closing, process.deadline_ns
        if deadline is not None and self.now() < deadline and file.closing():
            raise self.block(process, (file,), deadline)
        process.end_close()

    def sys_set_nonblocking(self, process: Process, fd: int, nonblocking: bool) -> None:
        self.file(process, fd).nonblocking = nonblocking

    def sys_poll(
        self, process: Process, fds: Sequence[tuple[int, int]], timeout_ns: int | None = None
    ) -> list[tuple[int, int]]:
        found = []
        files = process.files
        looked = False
        ready = 0
        for fd, events in fds:
            revents = 0
            if fd >= 0:
                try:
                    # NOTE: no time passes in here, so the first one's touch point does for all.
                    file = files[fd] if looked else self.file(process, fd)
                except (OSError, KeyError):
                    revents = POLLNVAL
                else:
                    revents = file.poll_events() & (events | POLLERR | POLLHUP)
                looked = True
            found.append((fd, revents))
            ready |= revents
        if ready and not (process.before == process.call and self._circles(process, found)):
            return found
        deadline = process.deadline_ns
        if deadline is None and timeout_ns is not None:
            deadline = self.now() + timeout_ns
        if deadline is not None and self.now() >= deadline:
            return found
        sources = [source for fd, _ in fds if fd in files for source in files[fd].sources()]
        raise self.block(process, sources, deadline)

    def _circles(self, process: Process, found: list[tuple[int, int]]) -> bool:
        """Whether a program has asked the same again and again, and no time passes.

        It may be told of what it does not want to know (POLLHUP of a pipe, while it has no room
        to read), and ask again at once. Where a call costs nothing that would go on for ever, so
        it sleeps until something changes.
        """
        polled = (self.now(), found)
        if polled != process.polled:
            process.polled = polled
            process.rounds = 0
        process.rounds += 1
        return process.rounds > MAX_ROUNDS

    def sys_ppoll(
        self, process: Process, fds: Sequence[tuple[int, int]], timeout_ns: int
    ) -> list[tuple[int, int]]:
        slack = min(max(timeout_ns // POLL_SLACK_SHARE, TIMER_SLACK_NS), POLL_SLACK_MAX_NS)
        return self.sys_poll(process, fds, timeout_ns + slack if timeout_ns else 0)

    def sys_epoll_create(self, process: Process) -> int:
        from desim.userland.epoll import Epoll  # few programs ask for one

        return process.install(Epoll())

    def _epoll(self, process: Process, fd: int) -> Epoll:
        from desim.userland.epoll import Epoll

        file = self.file(process, fd)
        if not isinstance(file, Epoll):
            raise failure(errno.EINVAL)
        return file

    def sys_epoll_ctl(
        self, process: Process, epfd: int, what: int, fd: int, events: int = 0, data: int = 0
    ) -> None:
        self.file(process, epfd)
        file = self.file(process, fd)
        if not file.can_poll:
            raise failure(errno.EPERM)
        self._epoll(process, epfd).control(what, fd, file, events, data)

    def sys_epoll_wait(
        self, process: Process, epfd: int, most: int, timeout_ns: int | None = None
    ) -> list[tuple[int, int]]:
        epoll = self._epoll(process, epfd)
        if most <= 0:
            raise failure(errno.EINVAL)
        found = epoll.ready(most)
        if found:
            return found
        deadline = process.deadline_ns
        if deadline is None and timeout_ns is not None:
            deadline = self.now() + timeout_ns
        if deadline is not None and self.now() >= deadline:
            return found
        raise self.block(process, epoll.sources(), deadline)

    # Time and the process itself

    def sys_sleep_ns(self, process: Process, duration_ns: int) -> None:
        if process.deadline_ns is None:
            process.deadline_ns = self.now() + duration_ns
        if self.now() < process.deadline_ns:
            raise self.block(process, (), process.deadline_ns)

    def sys_nanosleep(self, process: Process, duration_ns: int) -> None:
        # A timer interrupt that comes within the slack would end the real one's sleep too.
        self.sys_sleep_ns(process, duration_ns + TIMER_SLACK_NS)

    def sys_now(self, process: Process) -> int:
        return self.now()

    def sys_clock_gettime(self, process: Process) -> int:
        return self.now()

    def sys_load(self, process: Process, code: type[T]) -> T:
        return self.build(code)()

    def sys_measured(self, process: Process, found: Mapping[str, object]) -> None:
        self.meet()  # it is the user's from now on
        process.measured.append(found)

    def sys_spin(self, process: Process) -> None:
        process.spins = True
        raise self.block(process, ())

    def sys_random(self, process: Process, name: str, below: int) -> int:
        self.meet()  # two programs may draw from one stream
        return self.random(name).below(below)

    def sys_getpid(self, process: Process) -> int:
        return process.pid

    def sys_spawn(self, process: Process, pipeline: Sequence[Command]) -> list[int]:
        children = self.spawn(pipeline, process.terminal, process)
        for child in children:
            self.start_child(child)
        return [child.pid for child in children]

    def sys_wait(self, process: Process, pid: int) -> tuple[int, int]:
        self.meet()
        for other in self.processes:
            if other.pid == pid and other.parent is process:
                if other.ended_ns is None:
                    raise self.block(process, ())
                assert other.exit_status is not None, "it has ended"
                return other.exit_status, other.cpu_ns
        raise failure(errno.ECHILD)

    def sys_exit(self, process: Process, status: int) -> None:
        process.end(status)

    def sys_ignore_sigpipe(self, process: Process) -> None:
        process.ignores_sigpipe = True

    def sys_catch_sigint(self, process: Process) -> None:
        process.catches_sigint = True

    # Sockets

    def _socket(self, process: Process, fd: int) -> Socket:
        file = self.file(process, fd)
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

    def sys_getsockopt(self, process: Process, fd: int, option: str) -> int:
        socket = self._socket(process, fd)
        if option == SO_RCVTIMEO:
            return socket.rcvtimeo_ns or 0
        return socket.getsockopt(option)

    def sys_bind(self, process: Process, fd: int, address: bytes, port: int) -> None:
        self._socket(process, fd).bind(address, port)

    def sys_bind_device(self, process: Process, fd: int, device: str) -> None:
        self._socket(process, fd).bind_device(device)

    def sys_listen(self, process: Process, fd: int, backlog: int) -> None:
        self._socket(process, fd).listen(backlog)

    def sys_accept(self, process: Process, fd: int) -> tuple[int, Endpoint]:
        listener = self._socket(process, fd)
        connection, client = self.wait_for(process, listener, listener.accept)
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
        self.wait_for(process, socket, socket.connected)

    def sys_socket_error(self, process: Process, fd: int) -> OSError | None:
        return self._socket(process, fd).take_error()

    def sys_send(self, process: Process, fd: int, data: bytes, flags: int = 0) -> int:
        socket = self._socket(process, fd)
        if flags & ~(MSG_DONTWAIT | MSG_MORE):
            raise failure(errno.EINVAL)

        def write(rest: bytes) -> int:
            return socket.send(rest, more=bool(flags & MSG_MORE))

        if flags & MSG_DONTWAIT:
            socket.resumed = False
            return write(data)
        return self._write(process, socket, data, write)

    def sys_recv(self, process: Process, fd: int, size: int, flags: int = 0) -> bytes:
        socket = self._socket(process, fd)
        peeks, wait = bool(flags & MSG_PEEK), not flags & MSG_DONTWAIT
        if flags & ~(MSG_PEEK | MSG_DONTWAIT | MSG_WAITALL) or (peeks and flags & MSG_WAITALL):
            raise failure(errno.EINVAL)
        if flags & MSG_WAITALL and socket.is_stream:
            return self.wait_for_all(process, socket, size, wait)
        attempt = socket.peek if peeks else socket.read
        return (
            self.wait_for_message(process, socket, lambda: attempt(size)) if wait else attempt(size)
        )

    def sys_sendto(self, process: Process, fd: int, data: bytes, to: Endpoint) -> int:
        socket = self._socket(process, fd)
        return self.wait_for(process, socket, lambda: socket.sendto(data, to))

    def sys_recvfrom(
        self, process: Process, fd: int, size: int, flags: int = 0
    ) -> tuple[bytes, Endpoint]:
        socket = self._socket(process, fd)
        if flags & ~MSG_PEEK:
            raise failure(errno.EINVAL)
        attempt = socket.peekfrom if flags else socket.recvfrom
        return self.wait_for_message(process, socket, lambda: attempt(size))

    def sys_recvmsg(self, process: Process, fd: int, size: int, flags: int = 0) -> Message:
        socket = self._socket(process, fd)
        if flags == MSG_DONTWAIT:
            return socket.recvmsg(size)
        if flags:
            raise failure(errno.EINVAL)
        return self.wait_for_message(process, socket, lambda: socket.recvmsg(size))

    def sys_inq(self, process: Process, fd: int) -> int:
        file = self.file(process, fd)
        self.meet()
        return file.inq()

    def sys_outq(self, process: Process, fd: int) -> int:
        return self._socket(process, fd).outq()

    def sys_tcp_info(self, process: Process, fd: int) -> dict[str, int]:
        return self._socket(process, fd).tcp_info()

    def sys_shutdown(self, process: Process, fd: int, how: int) -> None:
        socket = self._socket(process, fd)
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise failure(errno.EINVAL)
        socket.shutdown(read=how != SHUT_WR, write=how != SHUT_RD)

    def sys_getsockname(self, process: Process, fd: int) -> Endpoint:
        return self._socket(process, fd).getsockname()

    def sys_getpeername(self, process: Process, fd: int) -> Endpoint:
        return self._socket(process, fd).getpeername()

    # Names

    def sys_resolve(self, process: Process, name: str) -> bytes:
        hosts = self.filesystem.hosts
        if name in hosts:
            return hosts[name]
        try:
            address = ip(name)
        except WireError:
            address = b""
        if len(address) != 4:
            asked = self.filesystem.asks_names
            raise OSError(errno.ENOENT if asked else EAI_NONAME, "Name or service not known")
        return address

    def sys_name_of(self, process: Process, address: bytes) -> str | None:
        for name, known in self.filesystem.hosts.items():
            if known == address:
                return name
        return "" if self.filesystem.asks_addresses else None
