"""A host to test slirp on: Linux with nothing but its loopback interface.

Everything happens at once and without loss. 127.0.0.0/8 and ::1 are reachable, all
else is "network unreachable". What the host's programs see is noted as events, in the
form of the recordings (tests/vectors/slirp/README.md); programs read all that arrives
at once, and a descriptor's poll results follow Linux (``tcp_poll``, ``udp_poll``).

A connection is two ``TcpEnd``s. An end belongs to a program, and is called by its
name, or to slirp, and has a descriptor.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Any

from desim.ports import (
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLPRI,
    Endpoint,
    Fd,
    Timer,
)
from desim.reasons import Reason
from desim.wire.addresses import IP6_ANY, IP6_LOOPBACK, IP_ANY, LOOPBACK, ip_text
from desim.wire.checksum import checksum
from desim.wire.frame import Frame

DEFAULT_TTL = 64
PORT_UNREACHABLE = (3, 3)
PORT_UNREACHABLE6 = (1, 4)
EPHEMERAL = 40000
FIRST_FD = 10


def error(number: int) -> OSError:
    """The OSError, of the right subclass, for an errno."""
    return OSError(number, errno.errorcode[number])


class ManualTimer:
    """A timer of ``ManualClock``."""

    def __init__(self, fire: Callable[[], None]) -> None:
        self.fire = fire
        self.deadline: int | None = None

    def arm(self, deadline: int) -> None:
        self.deadline = deadline

    def cancel(self) -> None:
        self.deadline = None


class ManualClock:
    """A clock that is set by hand."""

    def __init__(self, time: int = 0) -> None:
        self.time = time
        self.timers: list[ManualTimer] = []

    def now(self) -> int:
        return self.time

    def deadlines(self) -> list[int]:
        """When the armed timers run out."""
        return [timer.deadline for timer in self.timers if timer.deadline is not None]

    def fire(self) -> None:
        """Let all due timers run out."""
        for timer in self.timers:
            if timer.deadline is not None and timer.deadline <= self.time:
                timer.deadline = None
                timer.fire()

    def timer(self, name: str, fire: Callable[[], None], *, periodic: bool = False) -> Timer:
        timer = ManualTimer(fire)
        self.timers.append(timer)
        return timer


class NoteLosses:
    """A ledger that keeps what it is told."""

    def __init__(self) -> None:
        self.losses: list[tuple[Frame, str]] = []

    def lost(self, frame: Frame, where: str, why: Reason) -> None:
        self.losses.append((frame, str(why)))

    def held(self, frame: Frame, where: str, why: Reason) -> None:
        """Waiting frames are not kept."""


class NoLoop:
    """A main loop that looks at everything anyway."""

    def notify(self) -> None:
        """Nothing sleeps here."""


class TcpEnd:
    """One end of a connection, or what is left of it."""

    __slots__ = (
        "address",
        "closed",
        "connecting",
        "dead",
        "eof",
        "error",
        "limit",
        "name",
        "peer",
        "rx",
        "shut_r",
        "shut_w",
        "unix",
        "urgent",
    )

    def __init__(self, name: str | None, address: Endpoint) -> None:
        self.name = name
        """The program's name for it; None: it is slirp's."""
        self.address = address
        self.peer: TcpEnd
        self.rx = bytearray()
        self.urgent: int | None = None
        """Where in ``rx`` the urgent byte is."""
        self.eof = False
        self.dead = False
        """Reset or refused; ``error`` is what the next call will say."""
        self.error = 0
        self.closed = False
        self.connecting = False
        self.shut_r = False
        self.shut_w = False
        self.limit: int | None = None
        """How many more bytes it takes; None: any number."""
        self.unix = False
        """It is a Unix socket's: what happens to one end the other knows at once."""


class TcpListener:
    """A listening socket and its queue."""

    __slots__ = ("address", "name", "queue")

    def __init__(self, name: str | None, address: Endpoint) -> None:
        self.name = name
        self.address = address
        self.queue: deque[TcpEnd] = deque()


class UdpEnd:
    """A UDP or ping socket."""

    __slots__ = ("address", "bound", "error", "errors", "label", "last", "name", "ping", "queue")

    def __init__(self, name: str | None, address: Endpoint, bound: bool, ping: bool) -> None:
        self.name = name
        self.address = address
        self.bound = bound
        """It has its port by its own wish."""
        self.ping = ping
        self.label = ""
        self.last: Endpoint | None = None
        """Who sent the last datagram that a program got."""
        self.queue: deque[tuple[bytes, Endpoint]] = deque()
        self.errors: deque[tuple[int, int, bytes]] = deque()
        self.error = 0


class LoopbackHost:
    """``HostSockets`` for slirp, and the programs on the other side."""

    def __init__(self, clock: ManualClock, resolvers: list[bytes]) -> None:
        self.clock = clock
        self.events: list[dict[str, Any]] = []
        self._resolvers = resolvers
        self._fds: dict[Fd, TcpEnd | TcpListener | UdpEnd] = {}
        self._next_fd = FIRST_FD
        self._next_port = EPHEMERAL
        self._labels = 0
        self._watched: dict[Fd, int] = {}
        self._revents: dict[Fd, int] = {}
        self._listeners: list[TcpListener] = []
        self._udp: list[UdpEnd] = []
        self._accepted: dict[str, int] = {}
        self.conns: dict[str, TcpEnd] = {}
        self.socks: dict[str, UdpEnd] = {}
        self.unix: dict[str, TcpListener] = {}

    def note(self, kind: str, **fields: Any) -> None:
        """Something that a program saw."""
        self.events.append({"t": self.clock.time, "ev": kind, **fields})

    # -- poll --------------------------------------------------------------------------

    def prepare(self) -> None:
        """A new poll: nothing is watched."""
        self._watched.clear()

    def poll(self) -> bool:
        """Find out what is ready; whether anything is."""
        self._revents = {
            fd: found
            for fd, events in self._watched.items()
            if (found := self._ready(fd) & (events | POLLERR | POLLHUP))
        }
        return bool(self._revents)

    def watch(self, fd: Fd, events: int) -> None:
        self._watched[fd] = events

    def revents(self, fd: Fd) -> int:
        return self._revents.get(fd, 0)

    def _ready(self, fd: Fd) -> int:
        end = self._fds.get(fd)
        if isinstance(end, TcpListener):
            return POLLIN if end.queue else 0
        if isinstance(end, UdpEnd):
            found = POLLIN if end.queue else 0
            return found | POLLOUT | (POLLERR if end.errors or end.error else 0)
        if end is None:
            return 0
        found = POLLPRI if end.urgent is not None else 0
        if end.dead:
            return found | POLLIN | POLLOUT | POLLHUP | (POLLERR if end.error else 0)
        if end.rx or end.eof or end.shut_r:
            found |= POLLIN
        if (end.eof or end.shut_r) and end.shut_w:
            found |= POLLHUP
        if end.shut_w or end.peer.limit is None or end.peer.limit > 0:
            found |= POLLOUT
        return found

    def _add(self, end: TcpEnd | TcpListener | UdpEnd) -> Fd:
        fd = self._next_fd
        self._next_fd += 1
        self._fds[fd] = end
        return fd

    def _port(self) -> int:
        self._next_port += 1
        return self._next_port

    # -- TCP as slirp uses it ----------------------------------------------------------

    def listen(self, address: bytes, port: int, *, backlog: int = 1) -> Fd:
        if any(_overlap(other.address, (address, port)) for other in self._listeners):
            raise error(errno.EADDRINUSE)
        listener = TcpListener(None, (address, port))
        self._listeners.append(listener)
        return self._add(listener)

    def accept(self, fd: Fd) -> tuple[Fd, Endpoint]:
        listener = self._fds[fd]
        assert isinstance(listener, TcpListener)
        if not listener.queue:
            raise BlockingIOError(errno.EAGAIN, "nobody waits")
        end = listener.queue.popleft()
        return self._add(end), end.peer.address

    def connect(self, address: bytes, port: int) -> Fd:
        _reachable(address)
        if address == bytes(len(address)):
            address = LOOPBACK if len(address) == 4 else IP6_LOOPBACK
        end = TcpEnd(None, (address, self._port()))
        listener = self._listener((address, port))
        if listener is None:
            end.dead = True
            end.error = errno.ECONNREFUSED
        else:
            self._connect(end, listener)
        return self._add(end)

    def connect_unix(self, path: str) -> Fd:
        listener = self.unix.get(path)
        if listener is None:
            raise error(errno.ENOENT)
        end = TcpEnd(None, (LOOPBACK, 0))
        self._connect(end, listener)
        end.unix = end.peer.unix = True
        return self._add(end)

    def spawn(self, command: str) -> Fd:
        raise error(errno.ENOENT)

    def recv(self, fd: Fd, size: int) -> bytes:
        end = self._tcp(fd)
        rx = end.rx
        if rx:
            count = min(size, len(rx))
            if end.urgent is not None:
                # A read stops in front of the urgent byte.
                if 0 < end.urgent < count:
                    count = end.urgent
                end.urgent -= count
                if end.urgent < 0:
                    end.urgent = None
            data = bytes(rx[:count])
            del rx[:count]
            return data
        self._raise(end)
        if end.eof or end.dead or end.shut_r:
            return b""
        raise BlockingIOError(errno.EAGAIN, "nothing has arrived")

    def send(self, fd: Fd, data: bytes) -> int:
        return self._send(self._tcp(fd), data, False)

    def send_oob(self, fd: Fd, data: bytes) -> int:
        return self._send(self._tcp(fd), data, True)

    def peer_gone(self, fd: Fd) -> bool:
        end = self._tcp(fd)
        # A Unix socket goes on naming its peer (unix_getname).
        return not end.unix and (end.dead or (end.eof and end.shut_w))

    def shutdown(self, fd: Fd, *, read: bool = False, write: bool = False) -> None:
        end = self._tcp(fd)
        if end.dead:
            raise error(errno.ENOTCONN)
        if read:
            end.shut_r = True
        if write:
            self._fin(end)

    def close(self, fd: Fd) -> None:
        end = self._fds.pop(fd)
        self._watched.pop(fd, None)
        self._revents.pop(fd, None)
        if isinstance(end, TcpEnd):
            self._close(end)
        elif isinstance(end, TcpListener):
            self._listeners.remove(end)
            for waiting in end.queue:
                self._reset(waiting.peer)
        elif not end.ping:
            self._udp.remove(end)

    def sockname(self, fd: Fd) -> Endpoint:
        return self._fds[fd].address

    def _tcp(self, fd: Fd) -> TcpEnd:
        end = self._fds[fd]
        assert isinstance(end, TcpEnd)
        return end

    @staticmethod
    def _raise(end: TcpEnd) -> None:
        if end.error:
            number, end.error = end.error, 0
            raise error(number)

    # -- TCP in general ----------------------------------------------------------------

    def _listener(self, address: Endpoint) -> TcpListener | None:
        for listener in self._listeners:
            host, port = listener.address
            if port == address[1] and host in (address[0], bytes(len(address[0]))):
                return listener
        return None

    def _connect(self, end: TcpEnd, listener: TcpListener) -> None:
        name = listener.name
        if name is not None:
            self._accepted[name] = number = self._accepted.get(name, 0) + 1
            name = f"{name}.{number}"
        other = TcpEnd(name, listener.address)
        end.peer = other
        other.peer = end
        if name is None:
            listener.queue.append(other)
        else:
            self.conns[name] = other
            self.note("accept", listener=listener.name, conn=name)

    def _send(self, end: TcpEnd, data: bytes, urgent: bool) -> int:
        self._raise(end)
        if end.dead or end.shut_w:
            raise BrokenPipeError(errno.EPIPE, "the connection is gone")
        peer = end.peer
        if peer.limit is not None and data:
            data = data[: peer.limit]
            if not data:
                raise BlockingIOError(errno.EAGAIN, "the peer takes no more")
            peer.limit -= len(data)
        if not data:
            return 0
        if peer.closed:
            # The kernel takes it; then the other side answers with a reset.
            self._reset(end)
        elif peer.name is not None:
            self.note("host_data", conn=peer.name, data=bytes(data))
        else:
            peer.rx += data
            if urgent:
                peer.urgent = len(peer.rx) - 1
        return len(data)

    def _fin(self, end: TcpEnd) -> None:
        if end.shut_w:
            return
        end.shut_w = True
        peer = end.peer
        peer.eof = True
        if peer.name is not None and not peer.closed:
            self.note("host_eof", conn=peer.name)

    def _reset(self, end: TcpEnd) -> None:
        """A RST arrives at ``end``."""
        if end.dead:
            return
        end.dead = True
        end.error = errno.EPIPE if end.eof else errno.ECONNRESET
        # A program that has read the end of the stream reads no more.
        if end.name is not None and not end.closed and not end.eof:
            # It learns of the error by reading, once.
            end.error = 0
            self.note("host_reset", conn=end.name)

    def _close(self, end: TcpEnd) -> None:
        end.closed = True
        if end.dead:
            return
        if end.rx:
            self._reset(end.peer)
        else:
            self._fin(end)
            if end.unix:
                # Nobody is left to refuse what would still be sent (unix_release_sock).
                end.peer.shut_w = True

    # -- UDP and ping as slirp uses them -----------------------------------------------

    def bind_udp(self, address: bytes, port: int) -> Fd:
        if port and any(_overlap(end.address, (address, port)) for end in self._udp):
            raise error(errno.EADDRINUSE)
        end = UdpEnd(None, (address, port or self._port()), port != 0, False)
        self._udp.append(end)
        return self._add(end)

    def open_ping(self, family: int) -> Fd:
        return self._add(UdpEnd(None, (bytes(4 if family == 4 else 16), 0), False, True))

    def sendto(self, fd: Fd, data: bytes, to: Endpoint, *, ttl: int | None = None) -> int:
        end = self._fds[fd]
        assert isinstance(end, UdpEnd)
        if end.ping and data[:2] != b"\x08\0":
            raise error(errno.EINVAL)
        if not (end.ping or to[1]):
            raise error(errno.EINVAL)
        _reachable(to[0])
        # Linux looks for a route first (udp_sendmsg), for an old error where it allocates.
        if end.error:
            number, end.error = end.error, 0
            raise error(number)
        if end.ping:
            reply = b"\0\0\0\0\0\1" + data[6:]
            reply = reply[:2] + checksum(reply).to_bytes(2, "big") + reply[4:]
            end.queue.append((reply, to))
            return len(data)
        if len(data) > 65507:
            raise error(errno.EMSGSIZE)
        self._datagram(end, data, to, DEFAULT_TTL if ttl is None else ttl)
        return len(data)

    def recvfrom(self, fd: Fd, size: int) -> tuple[bytes, Endpoint]:
        end = self._fds[fd]
        assert isinstance(end, UdpEnd)
        if end.error:
            number, end.error = end.error, 0
            raise error(number)
        if not end.queue:
            raise BlockingIOError(errno.EAGAIN, "nothing has arrived")
        data, sender = end.queue.popleft()
        return data[:size], sender

    def recv_error(self, fd: Fd) -> tuple[int, int, bytes] | None:
        end = self._fds[fd]
        assert isinstance(end, UdpEnd)
        if not end.errors:
            return None
        if len(end.errors) == 1:
            end.error = 0
        return end.errors.popleft()

    def resolvers(self) -> list[bytes]:
        return self._resolvers

    def _datagram(self, end: UdpEnd, data: bytes, to: Endpoint, ttl: int) -> None:
        host, port = end.address
        any_host = bytes(len(host))
        if host == any_host:
            host = LOOPBACK if len(host) == 4 else IP6_LOOPBACK
        if to[0] == bytes(len(to[0])):
            to = (LOOPBACK if len(to[0]) == 4 else IP6_LOOPBACK, to[1])
        target = self._udp_end(to)
        if target is None:
            if end.name is None:
                kind = PORT_UNREACHABLE if len(host) == 4 else PORT_UNREACHABLE6
                end.errors.append((*kind, to[0]))
                end.error = errno.ECONNREFUSED
        elif target.name is None:
            target.queue.append((data, (host, port)))
        else:
            target.last = (host, port)
            self.note("udp", sock=target.name, source=self._label(end), ttl=ttl, data=data)

    def _udp_end(self, address: Endpoint) -> UdpEnd | None:
        exact = [e for e in self._udp if e.address == address]
        loose = [e for e in self._udp if e.address == (bytes(len(address[0])), address[1])]
        return next(iter(exact + loose), None)

    def _label(self, end: UdpEnd) -> str | list[str | int]:
        if end.bound:
            return [ip_text(end.address[0]), end.address[1]]
        if not end.label:
            self._labels += 1
            end.label = f"port-{self._labels}"
        return end.label

    # -- programs ----------------------------------------------------------------------

    def host_listen(self, name: str, address: Endpoint) -> None:
        self._listeners.append(TcpListener(name, address))

    def host_listen_unix(self, name: str) -> None:
        self.unix[name] = TcpListener(name, (LOOPBACK, 0))

    def host_connect(self, name: str, source: Endpoint, to: Endpoint) -> None:
        listener = self._listener(to)
        if listener is None:
            self.note("host_refused", conn=name)
            return
        end = self.conns[name] = TcpEnd(name, source)
        self.note("host_connected", conn=name)
        self._connect(end, listener)

    def host_send(self, name: str, data: bytes, urgent: bool) -> str | None:
        """The name of the error, if there is one."""
        end = self.conns[name]
        try:
            if end.dead or end.shut_w or not end.peer.closed:
                self._send(end, data, urgent)
            else:
                # Taken by the kernel; then the other side answers with a reset.
                self._reset(end)
        except OSError as failure:
            return errno.errorcode[failure.errno or errno.EIO]
        return None

    def host_shutdown(self, name: str) -> None:
        end = self.conns[name]
        if not end.dead:
            self._fin(end)

    def host_close(self, name: str, reset: bool) -> None:
        end = self.conns[name]
        if end.dead or end.closed:
            return
        end.closed = True
        end.limit = None
        if reset:
            end.dead = True
            self._reset(end.peer)
        else:
            self._fin(end)
            if end.unix:
                end.peer.shut_w = True

    def host_accept_bytes(self, name: str, count: int | None) -> None:
        self.conns[name].limit = count

    def udp_bind(self, name: str, address: Endpoint) -> None:
        end = self.socks[name] = UdpEnd(name, address, True, False)
        self._udp.append(end)

    def udp_send(self, name: str, to: Endpoint | str, data: bytes) -> bool:
        """False if there is nobody to send to."""
        end = self.socks[name]
        if isinstance(to, str):
            if to == "peer":
                target = end.last
            else:
                found = [e for e in self._udp if e.label == to]
                target = (LOOPBACK if len(end.address[0]) == 4 else IP6_LOOPBACK, 0)
                target = (target[0], found[0].address[1]) if found else None
            if target is None:
                return False
            to = target
        self._datagram(end, data, to, DEFAULT_TTL)
        return True


def _overlap(a: Endpoint, b: Endpoint) -> bool:
    """Whether two sockets cannot both be bound so."""
    any_host = bytes(len(a[0]))
    return a[1] == b[1] and len(a[0]) == len(b[0]) and (a[0] == b[0] or any_host in (a[0], b[0]))


def _reachable(address: bytes) -> None:
    """Raise what Linux says if ``address`` is not on the loopback interface."""
    if len(address) == 4:
        good = address[0] == LOOPBACK[0] or address == IP_ANY
    else:
        good = address in (IP6_LOOPBACK, IP6_ANY)
    if not good:
        raise error(errno.ENETUNREACH)
