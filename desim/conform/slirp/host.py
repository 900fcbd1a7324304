"""The host of a recording: ``desim.host``, and the programs that the steps name.

The sockets, and all that programs and slirp see of them, are the host's that scenarios
use. What is here is what only a replay needs: programs that do what a step says, accept
and read all there is whenever they are let (``run``), and note what they saw in the form
of the recordings (tests/vectors/slirp/README.md). No time passes on this host: hours of a
recording took the real one milliseconds.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from desim.errors import RecordingError
from desim.host.loopback import FIRST_PORT, loopback_of
from desim.host.sockets import ALWAYS, QemuSockets
from desim.host.tcp import TcpSocket
from desim.host.udp import UdpSocket
from desim.host.unix import UnixSocket
from desim.ports import POLLOUT, Clock, Endpoint, Fd, RandomStream
from desim.testing import Host
from desim.userland.errors import failure
from desim.userland.files import Socket
from desim.userland.uapi import IP_RECVTTL, SO_LINGER, SO_OOBINLINE, SO_REUSEADDR
from desim.wire.addresses import ip_text

Stream = TcpSocket | UnixSocket
"""One end of a connection, or what connections come to."""

OWNER = (1000, "program")
BACKLOG = 64
READ_SIZE = 1 << 16


class Ports(RandomStream):
    """The stream that free ports are drawn from: each further on, and none that is named."""

    def __init__(self, named: Iterable[int]) -> None:
        self._named = {(port - FIRST_PORT) // 2 for port in named}
        self._next = 0

    def u32(self) -> int:
        return self.below(1 << 32)

    def below(self, limit: int) -> int:
        while self._next in self._named:
            self._next += 1
        self._next += 1
        return (self._next - 1) % limit


class LimitedSockets(QemuSockets):
    """QEMU's sockets. Some of their peers take only so many bytes more."""

    def __init__(self, **ports: Any) -> None:
        super().__init__(**ports)
        self.limits: dict[Socket | None, int] = {}
        """What programs' ends still take."""
        self.forwarded: set[int] = set()
        """UDP ports that were asked for."""

    def bind_udp(self, address: bytes, port: int) -> Fd:
        fd = super().bind_udp(address, port)
        if port:
            self.forwarded.add(port)
        return fd

    def send(self, fd: Fd, data: bytes) -> int:
        return super().send(fd, self._taken(fd, data) if self.limits else data)

    def send_oob(self, fd: Fd, data: bytes) -> int:
        return super().send_oob(fd, self._taken(fd, data) if self.limits else data)

    def state(self, fd: Fd) -> int:
        events = self._sockets[fd].poll_events()
        if self.limits and not events & ALWAYS and self.limits.get(self._peer(fd)) == 0:
            events &= ~POLLOUT
        return events

    def _peer(self, fd: Fd) -> Socket | None:
        socket = self._find(fd)
        return socket.peer if isinstance(socket, TcpSocket | UnixSocket) else None

    def _taken(self, fd: Fd, data: bytes) -> bytes:
        """As much of ``data`` as its receiver takes; EAGAIN if that is nothing."""
        peer = self._peer(fd)
        left = self.limits.get(peer)
        if left is None or not data:
            return data
        if not left:
            raise failure(errno.EAGAIN)
        self.limits[peer] = max(0, left - len(data))
        return data[:left]


class RecordedHost:
    """The host of one recording. ``sockets`` are slirp's; ``events`` is what programs saw.

    ``named_ports`` are those that the recording's programs will ask for. The methods that are
    called as the recordings' operations do what these say.
    """

    def __init__(
        self, clock: Clock, resolvers: Sequence[bytes] = (), named_ports: Iterable[int] = ()
    ) -> None:
        self.clock = clock
        self.events: list[dict[str, Any]] = []
        streams = {"host.ports": Ports(named_ports), "host.ping": Ports(())}
        host = Host(resolvers=resolvers, random=streams.__getitem__, qemu=self._qemu)
        self.kernel = host.kernel
        self._host = host
        self.conns: dict[str, Stream] = {}
        self.socks: dict[str, UdpSocket] = {}
        self._changed: dict[Socket, Callable[[], None]] = {}
        """Sockets to look at, and how."""
        self._accepted: dict[str, int] = {}
        self._peers: dict[str, Endpoint] = {}
        """Who sent the last datagram that a program got."""
        self._chosen: set[int] = set()
        self._labels: dict[int, str] = {}

    def _qemu(self, **ports: Any) -> LimitedSockets:
        self.sockets = LimitedSockets(**ports)
        return self.sockets

    def note(self, kind: str, **fields: Any) -> None:
        """Something that a program saw."""
        self.events.append({"t": self.clock.now(), "ev": kind, **fields})

    def run(self) -> None:
        """Let the programs look at what has changed: accept, and read all there is.

        Those that slirp has started do what they do.
        """
        while self._changed:
            socket = next(iter(self._changed))
            self._changed.pop(socket)()
        if self.kernel.processes:
            self._host.settle(0)

    def _follow(self, socket: Stream | UdpSocket, look: Callable[[], None]) -> None:
        def changed() -> None:
            self._changed[socket] = look

        socket.watcher = changed
        changed()

    # -- streams -----------------------------------------------------------------------

    def host_listen(self, listener: str, address: Endpoint) -> None:
        """A program listens on a TCP port."""
        self._listen(listener, self._tcp(), address)

    def host_listen_unix(self, listener: str) -> None:
        """A program listens on a Unix socket of that name."""
        self._listen(listener, UnixSocket(self.kernel.unix), (listener.encode(), 0))

    def _listen(self, name: str, socket: Stream, address: Endpoint) -> None:
        socket.bind(*address)
        socket.listen(BACKLOG)
        self._follow(socket, lambda: self._accept(name, socket))

    def _tcp(self) -> TcpSocket:
        socket = TcpSocket(self.kernel.tcp, OWNER)
        socket.nonblocking = True
        for option in (SO_REUSEADDR, SO_OOBINLINE):
            socket.setsockopt(option, 1)
        return socket

    def host_connect(self, conn: str, source: Endpoint, to: Endpoint) -> None:
        """A program connects, from a port of its choice."""
        socket = self._tcp()
        socket.bind(*source)
        with contextlib.suppress(BlockingIOError):
            socket.connect(*to)
        try:
            socket.connected()
        except BlockingIOError:
            # The listener's queue is full: real recordings leave such a step out.
            socket.close()
        except ConnectionRefusedError:
            socket.close()
            self.note("host_refused", conn=conn)
        else:
            self._connected(conn, socket)
            self.note("host_connected", conn=conn)

    def _connected(self, name: str, socket: Stream) -> None:
        self.conns[name] = socket
        self._follow(socket, lambda: self._read(name, socket))

    def _accept(self, name: str, listener: Stream) -> None:
        while True:
            try:
                socket, _ = listener.accept()
            except BlockingIOError:
                return
            self._accepted[name] = number = self._accepted.get(name, 0) + 1
            conn = f"{name}.{number}"
            self._connected(conn, socket)
            self.note("accept", listener=name, conn=conn)

    def _read(self, name: str, socket: Stream) -> None:
        """Read to the end; it, or an error, is the last thing that the program reads."""
        try:
            while data := socket.read(READ_SIZE):
                self.note("host_data", conn=name, data=data)
        except BlockingIOError:
            return
        except OSError:
            self.note("host_reset", conn=name)
        else:
            self.note("host_eof", conn=name)
        socket.watcher = None

    def host_send(self, conn: str, data: bytes, urgent: bool = False) -> str | None:
        """The name of the error, if there is one. The last byte may be urgent."""
        socket = self.conns[conn]
        try:
            if urgent:
                if not isinstance(socket, TcpSocket):
                    raise RecordingError("urgent data on a Unix socket is not modelled")
                socket.send_oob(data)
            else:
                socket.write(data)
        except OSError as error:
            return errno.errorcode[error.errno or errno.EIO]
        return None

    def host_shutdown(self, conn: str) -> None:
        """The program sends no more."""
        # Of a connection that is gone the program learns by reading.
        with contextlib.suppress(OSError):
            self.conns[conn].shutdown(write=True)

    def host_close(self, conn: str, reset: bool = False) -> None:
        """The program closes its socket; with ``reset`` it does not linger."""
        socket = self.conns.pop(conn)
        self._changed.pop(socket, None)
        self.sockets.limits.pop(socket, None)
        if reset:
            socket.setsockopt(SO_LINGER, 0)
        socket.close()

    def host_accept_bytes(self, conn: str, count: int | None) -> None:
        """The program takes ``count`` bytes more; None: any number."""
        socket = self.conns[conn]
        self.sockets.limits.pop(socket, None)
        if count is not None:
            self.sockets.limits[socket] = count

    # -- datagrams ---------------------------------------------------------------------

    def udp_bind(self, sock: str, address: Endpoint) -> None:
        """A program takes a UDP port."""
        socket = self.socks[sock] = UdpSocket(self.kernel.udp, OWNER)
        for option in (SO_REUSEADDR, IP_RECVTTL):
            socket.setsockopt(option, 1)
        socket.bind(*address)
        self._chosen.add(address[1])
        self._follow(socket, lambda: self._receive(sock, socket))

    def udp_send(self, sock: str, to: Endpoint | str, data: bytes) -> str | None:
        """``to`` may be "peer" or a label; "no peer" if there is nobody of that name."""
        socket = self.socks[sock]
        address = self._address(sock, to) if isinstance(to, str) else to
        if address is None:
            return "no peer"
        socket.sendto(data, address)
        return None

    def _address(self, sock: str, name: str) -> Endpoint | None:
        if name == "peer":
            return self._peers.get(sock)
        own, _ = self.socks[sock].getsockname()
        ports = (port for port, label in self._labels.items() if label == name)
        return next(((loopback_of(own), port) for port in ports), None)

    def _receive(self, name: str, socket: UdpSocket) -> None:
        while True:
            try:
                data, sender, _, ttl = socket.recvmsg(READ_SIZE)
            except BlockingIOError:
                return
            self._peers[name] = sender
            self.note("udp", sock=name, source=self._source(sender), ttl=ttl, data=data)

    def _source(self, sender: Endpoint) -> str | list[str | int]:
        """A port that was asked for has its number; others are numbered as they appear."""
        address, port = sender
        if port in self._chosen or port in self.sockets.forwarded:
            return [ip_text(address), port]
        return self._labels.setdefault(port, f"port-{len(self._labels) + 1}")
