"""Datagram sockets on the host's loopback interface: UDP, and ping sockets.

A datagram is in the receiver's queue when ``sendto`` returns, or dropped if the queue
is full. To a port that nobody has, the kernel's own ICMP error comes back: a connected
socket gets ECONNREFUSED, one with IP_RECVERR (QEMU's) finds it in its error queue. An
echo request to the own machine is answered by the kernel at once (net/ipv4/ping.c,
icmp.c).

A datagram to a multicast group goes to all sockets bound to it (``__udp4_lib_mcast_deliver``).

Not modelled: broadcast, fragmentation, and any other ICMP error; none
can arise on loopback.
"""

from __future__ import annotations

import errno
from collections import deque

from desim.host.loopback import Endpoints, HostSocket, Loopback, loopback_of, wildcard
from desim.ports import POLLERR, POLLIN, POLLOUT, Endpoint, Random
from desim.userland.errors import failure
from desim.userland.uapi import (
    IP_RECVTTL,
    IP_TTL,
    SO_BROADCAST,
    SO_RCVBUF,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SO_TIMESTAMP,
    Message,
    SocketRow,
    owners,
)
from desim.wire.addresses import IP_ANY, is_multicast
from desim.wire.checksum import checksum
from desim.wire.icmp import ICMP_DEST_UNREACH, ICMP_ECHO, ICMP_ECHOREPLY, ICMP_PORT_UNREACH

RMEM_DEFAULT = RMEM_MAX = 212_992
SOCK_MIN_RCVBUF = 2304
OVERHEAD = 768
"""What Linux counts for a small datagram beside its bytes (skb and its head)."""
MAX_DATAGRAM = {4: 65_507, 16: 65_527}
"""By the size of an address: IPv4's length field counts its header, too."""
DEFAULT_TTL = 64
"""net.ipv4.ip_default_ttl, and IPv6's hop limit."""
ICMP6_ECHO, ICMP6_ECHOREPLY = 128, 129
ICMP6_DEST_UNREACH, ICMP6_PORT_UNREACH = 1, 4


def is_group(address: bytes) -> bool:
    """Whether an address is a group that can be reached: the host has no route for IPv6 ones."""
    return len(address) == 4 and is_multicast(address)


class DatagramSocket(HostSocket):
    """What UDP and ping sockets have in common: a queue of datagrams."""

    __slots__ = (
        "datagrams",
        "dropped",
        "local",
        "name",
        "net",
        "number",
        "numbers",
        "observer",
        "queued",
        "rcvbuf",
        "ttl",
    )

    def __init__(self, net: Loopback, kind: str) -> None:
        self.number = net.number()
        self.name = f"{kind}#{self.number}"
        super().__init__(self.name)
        self.net = net
        self.local: Endpoint | None = None
        self.datagrams: deque[Message] = deque()
        self.numbers: deque[int] = deque()
        """Those of the datagrams, in their order."""
        self.observer = net.observer
        """Of a socket that carries another network's frames: nobody."""
        self.rcvbuf = RMEM_DEFAULT
        self.ttl = DEFAULT_TTL
        self.queued = 0
        self.dropped = 0
        self.watcher = None

    def set_ttl(self, ttl: int) -> None:
        self.ttl = ttl

    def deliver(self, data: bytes, source: Endpoint, number: int, ttl: int = DEFAULT_TTL) -> bool:
        """A datagram arrives, with ``ttl`` hops left: whether there is room for it."""
        size = len(data) + OVERHEAD
        if self.queued + size > self.rcvbuf:
            self.dropped += 1
            self.net.unheard += 1
            return False
        self.queued += size
        self.datagrams.append(Message(data, source, self.net.now(), ttl))
        self.numbers.append(number)
        self.changed()
        return True

    def changed(self) -> None:
        """Tell those who wait."""
        self.net.wake_up(self.queue)
        if self.watcher is not None:
            self.watcher()

    def recvfrom(self, size: int) -> tuple[bytes, Endpoint]:
        if not self.datagrams:
            raise failure(errno.EAGAIN)
        message = self._next()
        return message.data[:size], message.sender

    def peek(self, size: int) -> bytes:
        return self.peekfrom(size)[0]

    def peekfrom(self, size: int) -> tuple[bytes, Endpoint]:
        if not self.datagrams:
            raise failure(errno.EAGAIN)
        message = self.datagrams[0]
        return message.data[:size], message.sender

    def inq(self) -> int:
        return len(self.datagrams[0].data) if self.datagrams else 0

    def _next(self) -> Message:
        message = self.datagrams.popleft()
        number = self.numbers.popleft()
        self.queued -= len(message.data) + OVERHEAD
        if self.observer is not None and number:
            self.observer.datagram_received(
                number, self.getsockname(), message.sender, len(message.data)
            )
        return message

    def read(self, size: int) -> bytes:
        return self.recvfrom(size)[0]

    def poll_events(self) -> int:
        return (POLLIN if self.datagrams else 0) | POLLOUT

    def getsockname(self) -> Endpoint:
        return self.local or (IP_ANY, 0)


class Udp(Endpoints):
    """All bound UDP sockets of the host, in the order in which they were."""

    def __init__(self, net: Loopback, random: Random) -> None:
        super().__init__(random)
        self.net = net
        self.sockets: dict[UdpSocket, None] = {}

    def socket(self, owner: tuple[int, str] | None, *, recverr: bool = False) -> UdpSocket:
        """A new one."""
        return UdpSocket(self, owner, recverr=recverr)

    def ping_socket(self, family: int, ident: int) -> PingSocket:
        """One beside them, for echo requests."""
        return PingSocket(self.net, family, ident)

    def receiver(self, source: Endpoint, to: Endpoint) -> UdpSocket | None:
        """Who gets a datagram: a connected socket before an exact address before a wildcard."""
        best, best_score = None, 0
        for socket in self.at(to[1]):
            score = socket.score(source, to)
            if score > best_score:
                best, best_score = socket, score
        return best

    def may_bind(self, address: bytes) -> bool:
        return is_group(address)

    def members(self, source: Endpoint, to: Endpoint) -> list[UdpSocket]:
        """Who gets a datagram to a group, in order; nobody if nobody has joined it."""
        if not any(to[0] in socket.groups for socket in self.sockets):
            return []
        found = [socket for socket in reversed(self.at(to[1])) if socket.score(source, to)]
        # The first that is found gets the packet itself, behind all copies.
        return found[1:] + found[:1]

    def at(self, port: int) -> list[UdpSocket]:
        """The sockets of a port."""
        return [socket for socket in self._bound.get(port, ()) if isinstance(socket, UdpSocket)]

    def rows(self) -> list[SocketRow]:
        """What netstat and ss show."""
        return [socket.row() for socket in self.sockets]


class UdpSocket(DatagramSocket):
    """A UDP socket. ``recverr`` is IP_RECVERR."""

    __slots__ = (
        "broadcast",
        "error",
        "errors",
        "groups",
        "owner",
        "recverr",
        "recvttl",
        "remote",
        "reuse_address",
        "reuse_port",
        "timestamp",
        "udp",
    )

    listening = False

    def __init__(self, udp: Udp, owner: tuple[int, str] | None, *, recverr: bool = False) -> None:
        super().__init__(udp.net, "udp")
        self.udp = udp
        self.owner = owner
        self.recverr = recverr
        self.remote: Endpoint | None = None
        self.reuse_address = self.reuse_port = self.broadcast = False
        self.timestamp = self.recvttl = False
        self.error = 0
        self.errors: deque[tuple[int, int, bytes]] = deque()
        self.groups: list[bytes] = []
        """Multicast groups that it has joined (IP_ADD_MEMBERSHIP)."""

    def setsockopt(self, option: str, value: int) -> None:
        if option == SO_REUSEADDR:
            self.reuse_address = bool(value)
        elif option == SO_REUSEPORT:
            self.reuse_port = bool(value)
        elif option == SO_TIMESTAMP:
            self.timestamp = bool(value)
        elif option == IP_RECVTTL:
            self.recvttl = bool(value)
        elif option == IP_TTL and 0 < value < 256:
            self.ttl = value
        elif option == SO_RCVBUF:
            self.rcvbuf = max(2 * min(value & 0xFFFFFFFF, RMEM_MAX), SOCK_MIN_RCVBUF)
        elif option == SO_BROADCAST:
            self.broadcast = bool(value)  # there is nothing to broadcast to
        else:
            raise failure(errno.ENOPROTOOPT)

    def getsockopt(self, option: str) -> int:
        values = {
            SO_REUSEADDR: self.reuse_address,
            SO_REUSEPORT: self.reuse_port,
            SO_TIMESTAMP: self.timestamp,
            SO_BROADCAST: self.broadcast,
            IP_RECVTTL: self.recvttl,
            IP_TTL: self.ttl,
            SO_RCVBUF: self.rcvbuf,
        }
        return int(values[option]) if option in values else super().getsockopt(option)

    def bind(self, address: bytes, port: int) -> None:
        self.udp.bind(self, address, port)
        self.udp.sockets[self] = None

    def connect(self, address: bytes, port: int) -> None:
        address = self.net.route(address)
        if self.local is None:
            self.bind(loopback_of(address), 0)
        assert self.local is not None
        if wildcard(self.local[0]):  # it has the route's address from now on
            self.local = (loopback_of(address), self.local[1])
        self.remote = (address, port)

    def connected(self) -> None:
        """Nothing to wait for."""

    def getpeername(self) -> Endpoint:
        if self.remote is None:
            raise failure(errno.ENOTCONN)
        return self.remote

    def score(self, source: Endpoint, to: Endpoint) -> int:
        """How well it fits a datagram; 0: not at all (``compute_score``)."""
        if self.local is None or self.local[1] != to[1] or len(self.local[0]) != len(to[0]):
            return 0
        if self.remote is not None and self.remote != source:
            return 0
        if self.local[0] != to[0] and not wildcard(self.local[0]):
            return 0
        return 1 + 2 * (self.local[0] == to[0]) + 4 * (self.remote is not None)

    def sendto(self, data: bytes, to: Endpoint) -> int:
        if not to[1]:
            raise failure(errno.EINVAL)
        # Only who has joined a group has chosen an interface (lo); others need a route, as slirp.
        grouped = is_group(to[0]) and bool(self.groups)
        address = to[0] if grouped else self.net.route(to[0])
        if len(data) > MAX_DATAGRAM[len(address)]:
            raise failure(errno.EMSGSIZE)
        # Linux tells an old error where it allocates: after the route and the size.
        self._raise_error()
        if self.local is None:
            self.bind(IP_ANY if len(address) == 4 else bytes(16), 0)
        assert self.local is not None
        own = self.local[0]
        if wildcard(own) or is_group(own):
            own = loopback_of(address)
        source = (own, self.local[1])
        if grouped:
            members = self.udp.members(source, (address, to[1]))
            self.net.unheard += not members
            for member in members:
                member.deliver(data, source, self._number(), 1)
            return len(data)
        receiver = self.udp.receiver(source, (address, to[1]))
        number = self._number()
        queued = receiver is not None and receiver.deliver(data, source, number, self.ttl)
        if self.observer is not None:
            self.observer.datagram_sent(number, source, (address, to[1]), data, queued)
        if receiver is None:
            self._nobody(address)
        return len(data)

    def _number(self) -> int:
        """The number of a datagram; 0 if nobody is told of it."""
        return self.net.datagram() if self.observer is not None else 0

    def _nobody(self, address: bytes) -> None:
        """The kernel there answers that nobody has the port."""
        self.net.unheard += 1
        if self.recverr:
            code = (ICMP_DEST_UNREACH, ICMP_PORT_UNREACH)
            if len(address) == 16:
                code = (ICMP6_DEST_UNREACH, ICMP6_PORT_UNREACH)
            self.errors.append((*code, address))
            self._refused()
        elif self.remote is not None:
            self._refused()

    def _refused(self) -> None:
        self.error = errno.ECONNREFUSED
        self.changed()

    def write(self, data: bytes) -> int:
        if self.remote is None:
            raise failure(errno.EDESTADDRREQ)
        return self.sendto(data, self.remote)

    def recvfrom(self, size: int) -> tuple[bytes, Endpoint]:
        self._raise_error()
        return super().recvfrom(size)

    def peekfrom(self, size: int) -> tuple[bytes, Endpoint]:
        self._raise_error()
        return super().peekfrom(size)

    def recvmsg(self, size: int) -> Message:
        self._raise_error()
        if not self.datagrams:
            raise failure(errno.EAGAIN)
        message = self._next()
        stamp = message.stamp_ns if self.timestamp else None
        ttl = message.ttl if self.recvttl else None
        return Message(message.data[:size], message.sender, stamp, ttl)

    def recv_error(self) -> tuple[int, int, bytes] | None:
        if not self.errors:
            return None
        entry = self.errors.popleft()
        # sock_dequeue_err_skb: SO_ERROR is that of the next entry from now on.
        self.error = errno.ECONNREFUSED if self.errors else 0
        return entry

    def take_error(self) -> OSError | None:
        error, self.error = self.error, 0
        return failure(error) if error else None

    def _raise_error(self) -> None:
        error = self.take_error()
        if error is not None:
            raise error

    def poll_events(self) -> int:
        return super().poll_events() | (POLLERR if self.error or self.errors else 0)

    def close(self) -> None:
        self.watcher = None
        self.udp.release(self)
        self.udp.sockets.pop(self, None)

    def row(self) -> SocketRow:
        """Its line in netstat and ss."""
        local = self.getsockname()
        proto = "udp" if len(local[0]) == 4 else "udp6"
        state = "ESTABLISHED" if self.remote is not None else ""
        return SocketRow(proto, self.queued, 0, local, self.remote, state, owners(self.owner))


class PingSocket(DatagramSocket):
    """An unprivileged ICMP echo socket (SOCK_DGRAM, IPPROTO_ICMP or IPPROTO_ICMPV6).

    The kernel writes its own identifier into what is sent; the reply has it too.
    """

    __slots__ = ("family", "ident")

    def __init__(self, net: Loopback, family: int, ident: int) -> None:
        super().__init__(net, "ping")
        self.family = family
        self.ident = ident

    def sendto(self, data: bytes, to: Endpoint) -> int:
        echo, reply = (
            (ICMP_ECHO, ICMP_ECHOREPLY)
            if self.family == 4
            else (
                ICMP6_ECHO,
                ICMP6_ECHOREPLY,
            )
        )
        if len(data) < 8 or data[0] != echo or data[1] != 0:
            raise failure(errno.EINVAL)
        address = self.net.route(to[0])
        # The checksum of ICMPv6 covers addresses that this socket never shows; it stays 0.
        body = bytes((reply, 0, 0, 0)) + self.ident.to_bytes(2, "big") + data[6:]
        if self.family == 4:
            body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
        number = self.net.datagram()
        queued = self.deliver(body, (address, 0), number)
        if self.net.observer is not None:
            self.net.observer.datagram_sent(number, self.getsockname(), (address, 0), data, queued)
        return len(data)

    def close(self) -> None:
        self.watcher = None
