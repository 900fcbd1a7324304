"""A bare slirp between a guest whose segments a law writes, and a host with one program."""

from __future__ import annotations

from desim.devices import SlirpVersion, UserNet
from desim.engine.draw import Draw
from desim.ports import POLLIN, POLLOUT, Endpoint
from desim.slirp.slirp import Slirp
from desim.testing import Connection, Ledger, NoLoop, Peer, VirtualClock, Wire
from desim.wire.addresses import LOOPBACK
from desim.wire.segment import Segment
from desim.wire.tcp import ACK, SYN

GATEWAY = "10.0.2.2"
WINDOW = 60_000
"""What the guest's segments offer, if a law does not say otherwise."""
MS = 1_000_000
SECOND_NS = 1_000_000_000
LISTENER, CONNECTION, DATAGRAMS = 3, 5, 9
"""Descriptors: the host has one of each."""


class Program:
    """The host's kernel with one program: what it says, what it hears, what it has room for."""

    def __init__(self) -> None:
        self.says = bytearray()
        self.ended = False
        """Whether it has closed its half."""
        self.hears = bytearray()
        self.room = 1 << 20
        """What its socket takes."""
        self.told_end = False
        """Whether it was told that the guest says no more."""
        self.calls: list[Endpoint] = []
        """Those who want to be accepted."""
        self.datagrams: list[bytes] = []
        self.closed: list[int] = []
        self._watched: dict[int, int] = {}
        self._always: dict[int, int] = {}

    def listen(self, address: bytes, port: int, *, backlog: int = 1) -> int:
        return LISTENER

    def accept(self, fd: int) -> tuple[int, Endpoint]:
        if not self.calls:
            raise BlockingIOError
        return CONNECTION, self.calls.pop(0)

    def connect(self, address: bytes, port: int) -> int:
        return CONNECTION

    def recv(self, fd: int, size: int) -> bytes:
        if not self.says and not self.ended:
            raise BlockingIOError
        data = bytes(self.says[:size])
        del self.says[:size]
        return data

    def send(self, fd: int, data: bytes) -> int:
        if data and not self.room:
            raise BlockingIOError
        data = data[: self.room]
        self.hears += data
        self.room -= len(data)
        return len(data)

    def send_oob(self, fd: int, data: bytes) -> int:
        return self.send(fd, data)

    def peer_gone(self, fd: int) -> bool:
        return False

    def take_error(self, fd: int) -> OSError | None:
        return None

    def shutdown(self, fd: int, *, read: bool = False, write: bool = False) -> None:
        self.told_end = self.told_end or write

    def close(self, fd: int) -> None:
        self.closed.append(fd)

    def bind_udp(self, address: bytes, port: int) -> int:
        return DATAGRAMS

    def sendto(self, fd: int, data: bytes, to: Endpoint, *, ttl: int | None = None) -> int:
        self.datagrams.append(data)
        return len(data)

    def recvfrom(self, fd: int, size: int) -> tuple[bytes, Endpoint]:
        raise BlockingIOError

    def recv_error(self, fd: int) -> tuple[int, int, bytes] | None:
        return None

    def sockname(self, fd: int) -> Endpoint:
        return LOOPBACK, 5000

    def resolvers(self) -> list[bytes]:
        return []

    def collect(self) -> None:
        """A poll begins."""

    def watch(self, fd: int, events: int) -> None:
        self._watched[fd] = events

    def watch_always(self, fd: int, events: int) -> None:
        self._always[fd] = events

    def stop_watching(self, fd: int) -> None:
        self._always.pop(fd, None)

    def ready_always(self) -> list[int]:
        return [fd for fd in self._always if self.revents(fd)]

    def revents(self, fd: int) -> int:
        events = self._watched.get(fd, 0) | self._always.get(fd, 0)
        found = 0
        if fd == LISTENER and self.calls:
            found = POLLIN
        elif fd == CONNECTION:
            found = POLLIN * bool(self.says or self.ended) | POLLOUT * bool(self.room)
        return events & found

    def forget(self) -> None:
        """Watches last for one poll."""
        self._watched.clear()


class Bed:
    """slirp, its guest and its host. Time stands still but in ``wait``."""

    def __init__(self, version: SlirpVersion = "4.7", *, resolved: bool = True) -> None:
        self.clock = VirtualClock(SECOND_NS)
        self.wire = Wire()
        self.ledger = Ledger()
        self.program = Program()
        self.slirp = Slirp(
            clock=self.clock,
            net=self.wire,
            sockets=self.program,  # type: ignore[arg-type]  # it need not do all
            loop=NoLoop(),
            ledger=self.ledger,
            config=UserNet(version=version),
        )
        self.peer = Peer(self.wire, self.slirp.slirp_input)
        if resolved:
            self.peer.resolve(GATEWAY)
        self.poll()

    def poll(self, turns: int = 2) -> None:
        """Turns of the main loop, at this instant."""
        for _ in range(turns):
            self.program.forget()
            self.slirp.pollfds_fill()
            self.slirp.pollfds_poll()

    def wait(self, ms: int, step: int = 500) -> None:
        """So many milliseconds, with a turn of the main loop each ``step``."""
        left = ms
        while left > 0:
            self.clock.pass_by(min(step, left) * MS)
            left -= step
            self.poll(1)

    def connected(self, draw: Draw) -> Connection:
        """A connection that the guest has opened to the host's program."""
        conn = self.peer.connection((GATEWAY, 80), port=3000, iss=draw.between(0, 0xFFFF_FFFF))
        conn.window = WINDOW
        conn.send(SYN)
        self.poll()
        conn.segments()
        conn.send(ACK)
        self.poll()
        return conn

    def heard(self, conn: Connection) -> list[Segment]:
        """What slirp has sent on the connection since the last time, after a turn."""
        self.poll()
        return conn.segments()
