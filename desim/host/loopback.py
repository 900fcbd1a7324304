"""The host's network: one loopback interface, its endpoints, and who listens where.

Everything arrives at once: a byte that is sent is in the receiver's buffer before
``send`` returns, as it is on Linux, where the loopback device runs the receiving
side in the sender's context.

127.0.0.0/8 and ::1 are reachable, all else is ENETUNREACH. Endpoints follow the rules
of ``bind`` (SO_REUSEADDR, SO_REUSEPORT, listeners, TIME_WAIT). Ports that nobody chose
are drawn from the stream ``host.ports`` in ip_local_port_range, even for ``connect``,
odd for ``bind``, the other parity when those are used up.

Not modelled: addresses of the host's other interfaces, dual-stack sockets, privileges
for ports below 1024, ``SO_REUSEPORT`` balancing (the oldest listener gets all).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from desim.ports import Endpoint
from desim.userland.calls import SocketRow
from desim.userland.errors import failure
from desim.userland.kernel import RandomStream
from desim.userland.waitqueue import WaitQueue
from desim.wire.addresses import IP6_ANY, IP6_LOOPBACK, IP_ANY, LOOPBACK

if TYPE_CHECKING:
    from desim.host.tcp import TcpSocket
    from desim.host.udp import UdpSocket

FIRST_PORT = 32768
LAST_PORT = 60999
PAIRS = (LAST_PORT - FIRST_PORT + 1) // 2
TIME_WAIT_NS = 60_000_000_000
"""TCP_TIMEWAIT_LEN; also how long an orphan stays in FIN_WAIT2."""


class SocketObserver(Protocol):
    """Told about every TCP connection, for tools that follow bytes.

    Both ends share the number ``conn``; ``by`` is the end that acts: "client" or
    "server". Bytes of each direction count from 0.
    """

    def connected(self, conn: int, client: Endpoint, server: Endpoint) -> None:
        """The handshake is over."""

    def sent(self, conn: int, first_byte: int, count: int, by: str) -> None:
        """``by`` has given the kernel ``count`` bytes."""

    def received(self, conn: int, first_byte: int, count: int, by: str) -> None:
        """``by`` has read ``count`` bytes."""

    def closed(self, conn: int, by: str, how: str) -> None:
        """``by`` ends its sending side: "fin", or "reset" for the whole connection."""


class _Bindable(Protocol):
    """What the rules of ``bind`` look at."""

    local: Endpoint | None
    reuse_address: bool
    reuse_port: bool

    @property
    def listening(self) -> bool: ...


class TimeWait(NamedTuple):
    """A connection that is over, but whose endpoints still rest."""

    local: Endpoint
    remote: Endpoint
    until_ns: int


def wildcard(address: bytes) -> bool:
    """Whether ``address`` stands for all of its family."""
    return address in (IP_ANY, IP6_ANY)


def loopback_of(address: bytes) -> bytes:
    """The loopback address of the family of ``address``."""
    return LOOPBACK if len(address) == 4 else IP6_LOOPBACK


def is_local(address: bytes) -> bool:
    """Whether ``address`` is one of the host's."""
    return address[0] == 127 if len(address) == 4 else address == IP6_LOOPBACK


class Loopback:
    """All sockets of the host. Made by ``HostKernel``."""

    def __init__(
        self,
        *,
        now: Callable[[], int],
        wake_up: Callable[[WaitQueue], None],
        random: Callable[[str], RandomStream],
        observer: SocketObserver | None = None,
    ) -> None:
        self.now = now
        self.wake_up = wake_up
        self.observer = observer
        self.tcp: list[TcpSocket] = []
        self.udp: list[UdpSocket] = []
        self._random = random
        self._time_wait: list[TimeWait] = []
        self._bound: dict[str, dict[int, list[_Bindable]]] = {"tcp": {}, "udp": {}}
        self._numbers = 0
        self._connections = 0

    def number(self) -> int:
        """The number of a new socket."""
        self._numbers += 1
        return self._numbers

    def connection(self) -> int:
        """The number of a new connection."""
        self._connections += 1
        return self._connections

    # Endpoints

    def route(self, address: bytes) -> bytes:
        """The address that a packet to ``address`` goes to; ENETUNREACH if to none here."""
        if wildcard(address):
            return loopback_of(address)
        if not is_local(address):
            raise failure(errno.ENETUNREACH)
        return address

    def bind(self, proto: str, socket: _Bindable, address: bytes, port: int) -> None:
        """Give ``socket`` its local endpoint."""
        if socket.local is not None:
            raise failure(errno.EINVAL)
        if not wildcard(address) and not is_local(address):
            raise failure(errno.EADDRNOTAVAIL)
        if port == 0:
            port = self.free_port(proto, odd=True)
        elif self.conflict(proto, socket, address, port):
            raise failure(errno.EADDRINUSE)
        self.take(proto, socket, (address, port))

    def take(self, proto: str, socket: _Bindable, local: Endpoint) -> None:
        """Note that ``socket`` has ``local``."""
        socket.local = local
        self._bound[proto].setdefault(local[1], []).append(socket)

    def release(self, proto: str, socket: _Bindable) -> None:
        """``socket`` needs its endpoint no longer."""
        if socket.local is not None:
            port = socket.local[1]
            users = self._bound[proto].get(port, [])
            if socket in users:
                users.remove(socket)
            if not users:
                self._bound[proto].pop(port, None)

    def conflict(self, proto: str, socket: _Bindable, address: bytes, port: int) -> bool:
        """Whether somebody else's endpoint forbids ``address``:``port`` to ``socket``."""
        for other in self._bound[proto].get(port, ()):
            if other is socket or other.local is None:
                continue
            theirs = other.local[0]
            if len(theirs) != len(address):
                continue
            if theirs != address and not wildcard(theirs) and not wildcard(address):
                continue
            if socket.reuse_port and other.reuse_port:
                continue
            if socket.reuse_address and other.reuse_address and not other.listening:
                continue
            return True
        return (
            proto == "tcp"
            and not socket.reuse_address
            and any(entry.local[1] == port for entry in self.time_wait())
        )

    def free_port(self, proto: str, *, odd: bool) -> int:
        """A port that nobody uses."""
        start = self._random("host.ports").below(PAIRS)
        bound = self._bound[proto]
        resting = {entry.local[1] for entry in self.time_wait()} if proto == "tcp" else set()
        for parity in (int(odd), 1 - int(odd)):
            for step in range(PAIRS):
                port = FIRST_PORT + 2 * ((start + step) % PAIRS) + parity
                if port not in bound and port not in resting:
                    return port
        raise failure(errno.EADDRNOTAVAIL)

    def listener(self, address: bytes, port: int) -> TcpSocket | None:
        """Who takes connections to ``address``:``port``: an exact address before a wildcard."""
        found = None
        for socket in self.tcp:
            if not socket.listening or socket.local is None or socket.local[1] != port:
                continue
            if socket.local[0] == address:
                return socket
            same_family = len(socket.local[0]) == len(address)
            if found is None and same_family and wildcard(socket.local[0]):
                found = socket
        return found

    def udp_receiver(self, source: Endpoint, to: Endpoint) -> UdpSocket | None:
        """Who gets a datagram: a connected socket before an exact address before a wildcard."""
        best, best_score = None, 0
        for socket in self.udp:
            score = socket.score(source, to)
            if score > best_score:
                best, best_score = socket, score
        return best

    def rest(self, local: Endpoint, remote: Endpoint) -> None:
        """The end that closed first keeps its endpoints for a while (TIME_WAIT)."""
        self._time_wait.append(TimeWait(local, remote, self.now() + TIME_WAIT_NS))

    def time_wait(self) -> list[TimeWait]:
        """The connections in TIME_WAIT now."""
        now = self.now()
        self._time_wait = [entry for entry in self._time_wait if entry.until_ns > now]
        return self._time_wait

    def table(self) -> list[SocketRow]:
        """What netstat shows: listeners newest first, connections, UDP, as /proc/net lists them."""
        rows = [socket.row() for socket in reversed(self.tcp) if socket.listening]
        rows += [
            socket.row() for socket in self.tcp if not socket.listening and not socket.forgotten()
        ]
        rows += [
            SocketRow("tcp" if len(local[0]) == 4 else "tcp6", 0, 0, local, remote, "TIME_WAIT")
            for local, remote, _ in self.time_wait()
        ]
        return rows + [socket.row() for socket in self.udp]
