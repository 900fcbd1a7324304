"""All TCP sockets of the host: who listens where, who is connected to whom, what rests.

The kernel's hash tables (net/ipv4/inet_hashtables.c) and TIME_WAIT
(inet_timewait_sock.c).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from typing import Generic, TypeVar

from desim.data import NamedTuple, Protocol
from desim.host.loopback import Bindable, Endpoints, Loopback, wildcard
from desim.ports import Endpoint, Random
from desim.userland.uapi import SocketRow, owners
from desim.wire.addresses import IP_ANY

TIME_WAIT_NS = 60_000_000_000
"""TCP_TIMEWAIT_LEN; also how long an orphan stays in FIN_WAIT2."""


class TimeWait(NamedTuple):
    """A connection that is over, but whose endpoints still rest."""

    local: Endpoint
    remote: Endpoint
    until_ns: int


class Entry(Bindable, Protocol):
    """What the table looks at of a socket."""

    remote: Endpoint | None
    state: str
    owner: tuple[int, str] | None
    backlog: int

    def forgotten(self) -> bool:
        """Whether the kernel has given it up."""

    def queues(self) -> tuple[int, int]:
        """Recv-Q and Send-Q, as netstat and ss show them."""


S = TypeVar("S", bound=Entry)


class Tcp(Endpoints, Generic[S]):
    """All TCP sockets of the host, in the order in which they began to listen or to connect."""

    def __init__(self, net: Loopback, random: Random) -> None:
        super().__init__(random)
        self.net = net
        self.sockets: dict[S, None] = {}
        self._listeners: dict[int, dict[S, None]] = {}
        """Those that listen, by port, in the order in which they began to."""
        self._time_wait: deque[TimeWait] = deque()
        self._resting: Counter[int] = Counter()
        """Of how many connections in TIME_WAIT it is the local port."""

    def listen(self, socket: S, port: int) -> None:
        """``socket`` takes the connections of ``port`` from now on."""
        self.sockets[socket] = None
        self._listeners.setdefault(port, {})[socket] = None

    def remove(self, socket: S) -> None:
        """``socket`` neither listens nor is connected any more."""
        self.sockets.pop(socket, None)
        port = 0 if socket.local is None else socket.local[1]
        held = self._listeners.get(port)
        if held is not None:
            held.pop(socket, None)
            if not held:
                del self._listeners[port]

    def listener(self, address: bytes, port: int) -> S | None:
        """Who takes connections to ``address``:``port``: an exact address before a wildcard."""
        found: S | None = None
        for socket in self._listeners.get(port, ()):
            if not socket.listening or socket.local is None:
                continue
            if socket.local[0] == address:
                return socket
            same_family = len(socket.local[0]) == len(address)
            if found is None and same_family and wildcard(socket.local[0]):
                found = socket
        return found

    def connected(self, local: Endpoint, remote: Endpoint) -> bool:
        """Whether there is a connection between the two (``__inet_check_established``)."""
        return any(
            socket.local == local and socket.remote == remote and not socket.listening
            for socket in self.sockets
        )

    def rest(self, local: Endpoint, remote: Endpoint) -> None:
        """The end that closed first keeps its endpoints for a while (TIME_WAIT)."""
        self._time_wait.append(TimeWait(local, remote, self.net.now() + TIME_WAIT_NS))
        self._resting[local[1]] += 1

    def time_wait(self) -> deque[TimeWait]:
        """The connections in TIME_WAIT now, in the order in which they end."""
        now = self.net.now()
        entries, resting = self._time_wait, self._resting
        while entries and entries[0].until_ns <= now:
            port = entries.popleft().local[1]
            resting[port] -= 1
            if not resting[port]:
                del resting[port]
        return entries

    def resting(self) -> Collection[int]:
        self.time_wait()
        return self._resting

    def rows(self) -> list[SocketRow]:
        """What netstat and ss show: listeners newest first, then connections, as in /proc/net."""
        rows = [_row(socket) for socket in reversed(self.sockets) if socket.listening]
        rows += [
            _row(socket)
            for socket in self.sockets
            if not socket.listening and not socket.forgotten()
        ]
        rows += [
            SocketRow("tcp" if len(local[0]) == 4 else "tcp6", 0, 0, local, remote, "TIME_WAIT")
            for local, remote, _ in self.time_wait()
        ]
        return rows


def _row(socket: Entry) -> SocketRow:
    local = socket.local or (IP_ANY, 0)
    return SocketRow(
        "tcp" if len(local[0]) == 4 else "tcp6",
        *socket.queues(),
        local,
        None if socket.listening else socket.remote,
        socket.state,
        owners(socket.owner),
        socket.backlog if socket.listening else None,
    )
