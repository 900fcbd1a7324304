"""The host's network: one loopback interface, and which endpoints are taken on it.

Everything arrives at once: a byte that is sent is in the receiver's buffer before
``send`` returns, as it is on Linux, where the loopback device runs the receiving
side in the sender's context. What the timers of one tick send is the exception: all of it
is sent before any of it arrives (it waits in the CPU's backlog for the next softirq).

127.0.0.0/8 and ::1 are reachable, all else is ENETUNREACH. Endpoints follow the rules
of ``bind`` (SO_REUSEADDR, SO_REUSEPORT, listeners, TIME_WAIT). Ports that nobody chose
are drawn from the stream ``host.ports`` in ip_local_port_range, even for ``connect``,
odd for ``bind``, the other parity when those are used up.

A datagram to a multicast group goes to all sockets that are bound to it, if one has joined it: a
host with a network sends it out as well, and loops it back. Nothing comes in from there.

Not modelled: addresses of the host's other interfaces, dual-stack sockets, privileges
for ports below 1024, ``SO_REUSEPORT`` balancing (the oldest listener gets all).
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Collection

from desim.data import Protocol
from desim.host.timers import HostTimers, MakeTimer
from desim.ports import Endpoint, Random
from desim.userland.errors import failure
from desim.userland.files import Socket
from desim.userland.waitqueue import WaitQueue
from desim.wire.addresses import IP6_ANY, IP6_LOOPBACK, IP_ANY, LOOPBACK

FIRST_PORT = 32768
LAST_PORT = 60999
PAIRS = (LAST_PORT - FIRST_PORT + 1) // 2


class SocketObserver(Protocol):
    """Told about every TCP connection and every datagram, for tools that follow bytes.

    Both ends of a connection share the number ``conn``; ``by`` is the end that acts: "client"
    or "server". Bytes of each direction count from 0.
    """

    def connecting(self, client: Endpoint, server: Endpoint) -> None:
        """``client`` sends its SYN for the first time."""

    def connected(self, conn: int, client: Endpoint, server: Endpoint) -> None:
        """The handshake is over."""

    def sent(self, conn: int, first_byte: int, count: int, by: str, resumed: bool) -> None:
        """``by`` has given the kernel ``count`` bytes; ``resumed``: not the first of the call."""

    def received(self, conn: int, first_byte: int, count: int, by: str) -> None:
        """``by`` has read ``count`` bytes."""

    def closed(self, conn: int, by: str, how: str) -> None:
        """``by`` ends its sending side: "fin", or "reset" for the whole connection."""

    def datagram_sent(
        self, number: int, local: Endpoint, remote: Endpoint, data: bytes, queued: bool
    ) -> None:
        """A datagram is in somebody's queue, or gone."""

    def datagram_received(self, number: int, local: Endpoint, remote: Endpoint, count: int) -> None:
        """It has been read; ``local`` is the reader's end."""


class Bindable(Protocol):
    """What the rules of ``bind`` look at."""

    local: Endpoint | None
    reuse_address: bool
    reuse_port: bool

    @property
    def listening(self) -> bool: ...


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
    """The interface, and what the sockets of all protocols share. Made by ``HostKernel``."""

    def __init__(
        self,
        *,
        now: Callable[[], int],
        timer: MakeTimer,
        wake_up: Callable[[WaitQueue], None],
        observer: SocketObserver | None = None,
    ) -> None:
        self.now = now
        self.timers = HostTimers(now=now, timer=timer, softirq=self._softirq)
        self._backlog: deque[Callable[[], None]] = deque()
        self._busy = False
        self.wake_up = wake_up
        self.observer = observer
        self._numbers = 0
        self._connections = 0
        self._datagrams = 0
        self.unheard = 0
        """Datagrams that found no receiver, or none with room."""
        self.outside: dict[bytes, None] = {}
        """Addresses that somebody wanted to reach and that no route leads to, in that order."""

    def number(self) -> int:
        """The number of a new socket."""
        self._numbers += 1
        return self._numbers

    def transmit(self, arrives: Callable[[], None]) -> None:
        """Send a packet; ``arrives`` is what happens when it does, behind all before it."""
        self._backlog.append(arrives)
        if not self._busy:
            self._softirq(lambda: None)

    def _softirq(self, first: Callable[[], None]) -> None:
        """Do ``first``, then let all packets arrive, and those that are sent meanwhile."""
        self._busy = True
        first()
        while self._backlog:
            self._backlog.popleft()()
        self._busy = False

    def connection(self, observer: SocketObserver | None) -> int:
        """The number of a new connection; -1 if nobody is told of it."""
        if observer is None:
            return -1
        self._connections += 1
        return self._connections

    def datagram(self) -> int:
        """The number of a new datagram."""
        self._datagrams += 1
        return self._datagrams

    def route(self, address: bytes) -> bytes:
        """The address that a packet to ``address`` goes to; ENETUNREACH if to none here."""
        if wildcard(address):
            return loopback_of(address)
        if not is_local(address):
            self.outside[address] = None
            raise failure(errno.ENETUNREACH)
        return address


class HostSocket(Socket):
    """A socket of the host, whatever its protocol.

    ``watcher`` is told of every change (QEMU's poll); programs sleep on ``queue``.
    """

    __slots__ = ("watcher",)

    watcher: Callable[[], None] | None

    def accept(self) -> tuple[HostSocket, Endpoint]:
        raise failure(errno.EOPNOTSUPP)

    def set_ttl(self, ttl: int) -> None:
        """IP_TTL, of what sends datagrams."""

    def recv_error(self) -> tuple[int, int, bytes] | None:
        """The next entry of the error queue (IP_RECVERR)."""
        return None


class Endpoints:
    """The endpoints of one protocol, and who has them."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._bound: dict[int, dict[Bindable, None]] = {}
        """Who has which port, in the order in which they took it."""

    def resting(self) -> Collection[int]:
        """Ports that nobody has, but that are not free either."""
        return ()

    def may_bind(self, address: bytes) -> bool:
        """Whether an address that is not the host's may be bound all the same."""
        return False

    def bind(self, socket: Bindable, address: bytes, port: int) -> None:
        """Give ``socket`` its local endpoint."""
        if socket.local is not None:
            raise failure(errno.EINVAL)
        if not (wildcard(address) or is_local(address) or self.may_bind(address)):
            raise failure(errno.EADDRNOTAVAIL)
        if port == 0:
            port = self.free_port(odd=True)
        elif self.conflict(socket, address, port):
            raise failure(errno.EADDRINUSE)
        self.take(socket, (address, port))

    def take(self, socket: Bindable, local: Endpoint) -> None:
        """Note that ``socket`` has ``local``."""
        socket.local = local
        self._bound.setdefault(local[1], {})[socket] = None

    def release(self, socket: Bindable) -> None:
        """``socket`` needs its endpoint no longer."""
        if socket.local is not None:
            port = socket.local[1]
            users = self._bound.get(port, {})
            users.pop(socket, None)
            if not users:
                self._bound.pop(port, None)

    def conflict(self, socket: Bindable, address: bytes, port: int) -> bool:
        """Whether somebody else's endpoint forbids ``address``:``port`` to ``socket``."""
        for other in self._bound.get(port, ()):
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
        return not socket.reuse_address and port in self.resting()

    def free_port(self, *, odd: bool, stream: str = "host.ports") -> int:
        """A port that nobody uses, drawn from ``stream``."""
        start = self._random(stream).below(PAIRS)
        resting = self.resting()
        for parity in (int(odd), 1 - int(odd)):
            for step in range(PAIRS):
                port = FIRST_PORT + 2 * ((start + step) % PAIRS) + parity
                if port not in self._bound and port not in resting:
                    return port
        raise failure(errno.EADDRNOTAVAIL)
