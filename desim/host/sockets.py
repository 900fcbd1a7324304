"""The host's sockets as QEMU's process uses them: the port ``desim.ports.HostSockets``.

All are non-blocking, and have the options that slirp sets: SO_OOBINLINE on
connections, SO_REUSEADDR on listeners, IP_RECVERR on UDP. Poll works as in slirp's
main loop: descriptors are watched for one poll; ``ready`` tells whether that poll would
return at once, ``on_ready`` is called when a watched descriptor becomes ready later,
and ``collect`` fixes the answers. The main loop meets the other threads before it
polls, so ``ready``, ``collect``, ``revents`` and the watches do not.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from desim.host.kernel import HostKernel
from desim.host.loopback import HostSocket
from desim.host.tcp import TcpSocket
from desim.ports import POLLERR, POLLHUP, Endpoint, Fd, HostSockets
from desim.stages import HOST, Landmark, mark, stages
from desim.userland.errors import failure
from desim.userland.files import Terminal
from desim.userland.process import Process
from desim.userland.programs import HOST_PROGRAMS
from desim.userland.shell import parse_program
from desim.wire.addresses import IP_ANY, LOOPBACK

FIRST_FD = 8
"""What QEMU's first listener has in the recordings; those below it are its own."""


ALWAYS = POLLERR | POLLHUP
"""What poll(2) tells of a descriptor whatever is asked."""


class QemuSockets(HostSockets):
    """The descriptors of one QEMU process.

    ``on_ready`` runs on the thread that made a descriptor ready, which has met the others.
    ``start`` gives a new process a thread to run on; ``terminal`` is QEMU's own, which its
    children have, too.
    """

    STAGES = stages(
        HOST,
        accept=mark("accept", file="host kernel"),
        connect=mark("connect", file="host kernel"),
        spawn=mark("fork", file="host kernel"),
        recv=mark("recv", file="host kernel", landmark=Landmark.TAKEN_BY_QEMU),
        send=mark("send", file="host kernel", size="data"),
        send_oob=mark("send", file="host kernel", size="data"),
        _sendto=mark("sendto", file="host kernel", size="data"),
        recvfrom=mark("recvfrom", file="host kernel"),
    )

    def __init__(
        self,
        *,
        kernel: HostKernel,
        on_ready: Callable[[], None],
        start: Callable[[Process], None],
        terminal: Terminal,
        owner: tuple[int, str] = (29642, "qemu-system-x86_64"),
        resolvers: Sequence[bytes] = (),
    ) -> None:
        self._kernel = kernel
        self._touch = kernel.touch
        self._on_ready = on_ready
        self._start = start
        self._terminal = terminal
        self._owner = owner
        self._resolvers = list(resolvers)
        self._sockets: dict[Fd, HostSocket] = {}
        self._next_fd = FIRST_FD
        self._watches: dict[Fd, int] = {}
        self._always: dict[Fd, int] = {}
        """What ``watch_always`` has asked for."""
        self._candidates: dict[Fd, None] = {}
        """Of these, who may be ready: no other has changed since it was found not to be."""
        self._ready_always: list[Fd] = []
        self._revents: dict[Fd, int] = {}

    def _install(self, socket: HostSocket) -> Fd:
        fd = self._next_fd
        self._next_fd += 1
        self._sockets[fd] = socket
        socket.users += 1
        socket.nonblocking = True
        socket.watcher = lambda: self._changed(fd)
        return fd

    def _find(self, fd: Fd) -> HostSocket:
        try:
            return self._sockets[fd]
        except KeyError:
            raise failure(errno.EBADF) from None

    def _tcp(self, fd: Fd) -> TcpSocket:
        socket = self._find(fd)
        if not isinstance(socket, TcpSocket):
            raise failure(errno.EOPNOTSUPP)
        return socket

    # TCP

    def listen(self, address: bytes, port: int, *, backlog: int = 1) -> Fd:
        self._touch()
        socket = TcpSocket(self._kernel.tcp, self._owner)
        socket.reuse_address = socket.oobinline = True
        socket.bind(address, port)
        try:
            socket.listen(backlog)
        except OSError:
            socket.close()
            raise
        return self._install(socket)

    def accept(self, fd: Fd) -> tuple[Fd, Endpoint]:
        self._touch()
        connection, client = self._find(fd).accept()
        return self._install(connection), client

    def connect(self, address: bytes, port: int) -> Fd:
        self._touch()
        socket = TcpSocket(self._kernel.tcp, self._owner)
        socket.oobinline = socket.nonblocking = True
        try:
            socket.connect(address, port)
        except BlockingIOError:
            pass  # in progress: poll tells how it went
        return self._install(socket)

    def connect_unix(self, path: str) -> Fd:
        self._touch()
        socket = self._kernel.unix.socket()
        socket.connect(path.encode(), 0)
        return self._install(socket)

    def spawn(self, command: str) -> Fd:
        """The command is one program of the host's table with its words."""
        self._touch()
        ours, theirs = self._pair()
        program = parse_program(command, HOST_PROGRAMS)
        (process,) = self._kernel.spawn([program], self._terminal)
        theirs.owner = (process.pid, process.name)
        for fd in range(3):
            process.install(theirs, fd)
        self._start(process)
        return self._install(ours)

    def _pair(self) -> tuple[TcpSocket, TcpSocket]:
        """Two ends of a loopback connection: a socketpair could send no urgent data."""
        listener = TcpSocket(self._kernel.tcp, self._owner)
        listener.bind(IP_ANY, 0)
        listener.listen(1)
        theirs = TcpSocket(self._kernel.tcp, None)
        theirs.connect(LOOPBACK, listener.getsockname()[1])
        ours, _ = listener.accept()
        listener.close()
        ours.oobinline = True
        return ours, theirs

    def recv(self, fd: Fd, size: int) -> bytes:
        self._touch()
        return self._find(fd).read(size)

    def send(self, fd: Fd, data: bytes) -> int:
        self._touch()
        return self._find(fd).write(data)

    def send_oob(self, fd: Fd, data: bytes) -> int:
        self._touch()
        return self._tcp(fd).send_oob(data)

    def peer_gone(self, fd: Fd) -> bool:
        self._touch()
        try:
            self._find(fd).getpeername()
        except OSError:
            return True
        return False

    def take_error(self, fd: Fd) -> OSError | None:
        self._touch()
        return self._find(fd).take_error()

    def shutdown(self, fd: Fd, *, read: bool = False, write: bool = False) -> None:
        self._touch()
        self._find(fd).shutdown(read=read, write=write)

    def close(self, fd: Fd) -> None:
        self._touch()
        socket = self._find(fd)
        del self._sockets[fd]
        self._watches.pop(fd, None)
        self._always.pop(fd, None)
        self._candidates.pop(fd, None)
        self._revents.pop(fd, None)
        socket.users -= 1
        socket.close()

    # Datagrams

    def bind_udp(self, address: bytes, port: int) -> Fd:
        self._touch()
        socket = self._kernel.udp.socket(self._owner, recverr=True)
        socket.bind(address, port)
        # slirp asks for it when a forwarded port is bound: others may share it from now on.
        socket.reuse_address = port != 0
        return self._install(socket)

    def sendto(self, fd: Fd, data: bytes, to: Endpoint, *, ttl: int | None = None) -> int:
        """``ttl`` is set as slirp sets it: it stays (IP_TTL)."""
        socket = self._find(fd)
        if ttl is not None:
            socket.set_ttl(ttl)
        return self._sendto(fd, data, to)

    def _sendto(self, fd: Fd, data: bytes, to: Endpoint) -> int:
        self._touch()
        return self._find(fd).sendto(data, to)

    def recvfrom(self, fd: Fd, size: int) -> tuple[bytes, Endpoint]:
        self._touch()
        return self._find(fd).recvfrom(size)

    def recv_error(self, fd: Fd) -> tuple[int, int, bytes] | None:
        self._touch()
        return self._find(fd).recv_error()

    def open_ping(self, family: int) -> Fd:
        self._touch()
        ident = self._kernel.random("host.ping").below(0xFFFF) + 1
        return self._install(self._kernel.udp.ping_socket(family, ident))

    # Names

    def sockname(self, fd: Fd) -> Endpoint:
        self._touch()
        return self._find(fd).getsockname()

    def resolvers(self) -> list[bytes]:
        return list(self._resolvers)

    # Poll

    def watch(self, fd: Fd, events: int) -> None:
        self._find(fd)
        self._watches[fd] = self._watches.get(fd, 0) | events

    def watch_always(self, fd: Fd, events: int) -> None:
        """NOTE: only what has changed (``_changed``) can have become ready: a poll does not look
        at the others, be they thousands."""
        self._find(fd)
        self._always[fd] = events
        self._candidates[fd] = None

    def stop_watching(self, fd: Fd) -> None:
        self._always.pop(fd, None)
        self._candidates.pop(fd, None)

    def revents(self, fd: Fd) -> int:
        return self._revents.get(fd, 0)

    def ready_always(self) -> list[Fd]:
        return self._ready_always

    def ready(self) -> bool:
        """Whether a poll of the watched descriptors would return at once."""
        state = self.state
        for fd in list(self._candidates):
            if state(fd) & (self._always[fd] | ALWAYS):
                return True
            del self._candidates[fd]
        if not self._watches:  # NOTE: as in most polls of a quiet machine; a generator is a call
            return False
        return any(state(fd) & (events | ALWAYS) for fd, events in self._watches.items())

    def collect(self) -> None:
        """Fix what each watched descriptor is ready for, and end the watches of this poll."""
        state, watches = self.state, self._watches
        self._revents = {}
        if watches:
            self._revents = {fd: state(fd) & (events | ALWAYS) for fd, events in watches.items()}
            self._watches = {}
        self._ready_always = []
        for fd in list(self._candidates):
            found = state(fd) & (self._always[fd] | ALWAYS)
            if found:
                self._revents[fd] = found
                self._ready_always.append(fd)
            else:
                del self._candidates[fd]

    def state(self, fd: Fd) -> int:
        """All that ``fd`` is ready for now."""
        return self._sockets[fd].poll_events()

    def _changed(self, fd: Fd) -> None:
        events = self._watches.get(fd)
        if events is None:
            events = self._always.get(fd)
            if events is None:
                return
            self._candidates[fd] = None
        if self.state(fd) & (events | ALWAYS):
            self._on_ready()
