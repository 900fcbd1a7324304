"""The system calls of a script, as those of the modelled guest.

Each is a call of ``desim.userland.calls`` and what its result means in the script's words.
A call, flag or option that the guest has not got is refused by its name.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from desim.conform.packetdrill.errors import NotModelled, ScriptError
from desim.conform.packetdrill.script import (
    Anything,
    Expression,
    Function,
    Names,
    Struct,
    SystemCall,
)
from desim.data import NamedTuple
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP
from desim.userland.program import Call
from desim.userland.uapi import (
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    MSG_DONTWAIT,
    MSG_MORE,
    MSG_PEEK,
    MSG_WAITALL,
    O_RDONLY,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
)
from desim.wire.addresses import IP_ANY, ip
from desim.wire.errors import WireError

PORT = 8080
"""Where a program listens, and where it connects to, unless the script says otherwise."""
O_RDWR = 2
O_NONBLOCK = 0x800
SENDING = {"MSG_DONTWAIT": MSG_DONTWAIT, "MSG_MORE": MSG_MORE}
RECEIVING = {"MSG_DONTWAIT": MSG_DONTWAIT, "MSG_PEEK": MSG_PEEK, "MSG_WAITALL": MSG_WAITALL}
IOCTLS = {"SIOCOUTQ": "outq", "TIOCOUTQ": "outq", "SIOCINQ": "inq", "FIONREAD": "inq"}
INSTEAD = {
    "epoll_pwait": "epoll_wait()",
    "ppoll": "poll()",
    "select": "poll()",
}
"""Calls that the guest has not got, and what does the same."""
EPOLL = {
    "EPOLL_CTL_ADD": EPOLL_CTL_ADD,
    "EPOLL_CTL_MOD": EPOLL_CTL_MOD,
    "EPOLL_CTL_DEL": EPOLL_CTL_DEL,
}
EVENTS = {
    "POLLIN": POLLIN,
    "POLLOUT": POLLOUT,
    "POLLERR": POLLERR,
    "POLLHUP": POLLHUP,
    "POLLRDHUP": POLLRDHUP,
}
OPTIONS = (
    "SO_KEEPALIVE",
    "SO_LINGER",
    "SO_RCVBUF",
    "SO_REUSEADDR",
    "SO_REUSEPORT",
    "SO_SNDBUF",
    "TCP_CORK",
    "TCP_KEEPCNT",
    "TCP_KEEPIDLE",
    "TCP_KEEPINTVL",
    "TCP_MAXSEG",
    "TCP_NODELAY",
    "TCP_QUICKACK",
    "TCP_USER_TIMEOUT",
)
"""Options that can be set, and asked for."""


def ask(name: str, *arguments: Any) -> Call:
    """A call of the guest's kernel."""
    return Call(name, arguments)


class Wanted(NamedTuple):
    """A call, and how its result reads."""

    call: Call
    result: Callable[[Any], int]
    differs: Callable[[Any], str] = lambda _: ""
    """What of the result is not as the script says, besides its number."""


class Reader:
    """Reads the calls of one script. ``fd`` gives the guest's descriptor for the script's."""

    def __init__(self, fd: Callable[[int], int], peer: bytes) -> None:
        self._fd = fd
        self._peer = peer

    def read(self, line: int, call: SystemCall) -> Wanted:
        """What to ask of the guest; raises ``NotModelled`` or ``ScriptError``."""
        method = getattr(self, f"_{call.name}", None)
        if method is None:
            instead = INSTEAD.get(call.name)
            hint = f" (use {instead})" if instead else ""
            raise NotModelled(line, f"the system call {call.name}(){hint}")
        try:
            wanted: Wanted = method(line, *call.arguments)
        except TypeError:
            count = len(call.arguments)
            raise ScriptError(line, f"{call.name}() does not take {count} arguments") from None
        return wanted

    # Values.

    def _number(self, line: int, value: Expression, what: str) -> int:
        if isinstance(value, int) and -(1 << 31) <= value < 1 << 32:
            return value
        raise ScriptError(line, f"{what} has to be a number")

    def _descriptor(self, line: int, value: Expression) -> int:
        return self._fd(self._number(line, value, "a descriptor"))

    def _names(self, line: int, value: Expression, known: tuple[str, ...], what: str) -> set[str]:
        """Constants joined by |, all of which have to be ``known``."""
        if value == 0:
            return set()
        if not isinstance(value, Names):
            raise ScriptError(line, f"{what} has to be names joined by |, or 0")
        for name in value.names:
            if name not in known and name != "0":
                raise NotModelled(line, f"{what} {name}")
        return set(value.names)

    def _size(self, line: int, value: Expression) -> int:
        size = self._number(line, value, "a length")
        if not 0 <= size <= 1 << 24:
            raise NotModelled(line, f"a length of {size}")
        return size

    def _vector(self, line: int, value: Expression) -> int:
        """The length of ``[{..., 1000}, {..., 500}]`` or of a message header with that."""
        if isinstance(value, Struct) and "msg_iov" in value.members:
            value = value.members["msg_iov"]
        if not isinstance(value, list):
            raise ScriptError(line, "expected a list of buffers, [{..., LENGTH}, ...]")
        total = 0
        for part in value:
            if not isinstance(part, Struct) or len(part.nameless) != 2:
                raise ScriptError(line, "expected a list of buffers, [{..., LENGTH}, ...]")
            total += self._size(line, part.nameless[1])
        return total

    def _address(self, line: int, value: Expression, usual: bytes) -> tuple[bytes, int]:
        if isinstance(value, Anything):
            return usual, PORT
        if not isinstance(value, Struct):
            raise ScriptError(line, "expected ... or {sa_family = AF_INET, ...}")
        family = value.members.get("sa_family")
        if family != Names(("AF_INET",)):
            raise NotModelled(line, f"addresses of {family}")
        port, address = value.members.get("sin_port"), value.members.get("sin_addr")
        if not isinstance(port, Function) or not isinstance(address, Function):
            raise ScriptError(line, 'expected sin_port=htons(N), sin_addr=inet_addr("A.B.C.D")')
        number = self._number(line, port.arguments[0] if port.arguments else ANY, "a port")
        text = address.arguments[0] if address.arguments else ANY
        try:
            packed = ip(text) if isinstance(text, str) else b""
        except WireError:
            packed = b""
        if len(packed) != 4 or not 0 <= number <= 0xFFFF:
            raise ScriptError(line, "expected an IPv4 address and a port of 16 bits")
        return packed, number

    # Calls, by name.

    def _socket(
        self, line: int, domain: Expression, kind: Expression, protocol: Expression
    ) -> Wanted:
        if not (isinstance(domain, Anything) or domain == Names(("AF_INET",))):
            raise NotModelled(line, f"sockets of {domain}")
        names = self._names(
            line, kind, ("SOCK_STREAM", "SOCK_NONBLOCK", "SOCK_CLOEXEC"), "a socket of type"
        )
        if "SOCK_STREAM" not in names or protocol not in (Names(("IPPROTO_TCP",)), 0):
            raise NotModelled(line, f"sockets of {kind}, {protocol}")
        return Wanted(ask("socket", "tcp"), int)

    def _bind(self, line: int, fd: Expression, address: Expression, _: Expression) -> Wanted:
        to = self._address(line, address, IP_ANY)
        return Wanted(ask("bind", self._descriptor(line, fd), *to), _nothing)

    def _listen(self, line: int, fd: Expression, backlog: Expression) -> Wanted:
        count = self._number(line, backlog, "a backlog")
        return Wanted(ask("listen", self._descriptor(line, fd), count), _nothing)

    def _accept(self, line: int, fd: Expression, _: Expression, __: Expression) -> Wanted:
        return Wanted(ask("accept", self._descriptor(line, fd)), _first)

    def _accept4(
        self, line: int, fd: Expression, _: Expression, __: Expression, flags: Expression
    ) -> Wanted:
        self._names(line, flags, ("SOCK_CLOEXEC",), "accept4() with")
        return Wanted(ask("accept", self._descriptor(line, fd)), _first)

    def _connect(self, line: int, fd: Expression, address: Expression, _: Expression) -> Wanted:
        to = self._address(line, address, self._peer)
        return Wanted(ask("connect", self._descriptor(line, fd), *to), _nothing)

    def _read(self, line: int, fd: Expression, _: Expression, size: Expression) -> Wanted:
        return self._receive(line, fd, self._size(line, size), 0)

    def _recv(
        self, line: int, fd: Expression, _: Expression, size: Expression, flags: Expression
    ) -> Wanted:
        return self._receive(line, fd, self._size(line, size), flags)

    def _recvfrom(
        self,
        line: int,
        fd: Expression,
        _: Expression,
        size: Expression,
        flags: Expression,
        *__: Expression,
    ) -> Wanted:
        return self._receive(line, fd, self._size(line, size), flags)

    def _readv(self, line: int, fd: Expression, buffers: Expression, _: Expression) -> Wanted:
        return self._receive(line, fd, self._vector(line, buffers), 0)

    def _recvmsg(self, line: int, fd: Expression, message: Expression, flags: Expression) -> Wanted:
        return self._receive(line, fd, self._vector(line, message), flags)

    def _receive(self, line: int, fd: Expression, size: int, flags: Expression) -> Wanted:
        given = self._names(line, flags, tuple(RECEIVING), "reading with")
        bits = sum(RECEIVING[name] for name in given)
        if bits & MSG_PEEK and bits & MSG_WAITALL:
            raise NotModelled(line, "reading with MSG_PEEK|MSG_WAITALL")
        return Wanted(ask("recv", self._descriptor(line, fd), size, bits), len)

    def _write(self, line: int, fd: Expression, _: Expression, size: Expression) -> Wanted:
        return self._transmit(line, fd, self._size(line, size), 0)

    def _send(
        self, line: int, fd: Expression, _: Expression, size: Expression, flags: Expression
    ) -> Wanted:
        return self._transmit(line, fd, self._size(line, size), flags)

    def _sendto(
        self,
        line: int,
        fd: Expression,
        _: Expression,
        size: Expression,
        flags: Expression,
        *__: Expression,
    ) -> Wanted:
        return self._transmit(line, fd, self._size(line, size), flags)

    def _writev(self, line: int, fd: Expression, buffers: Expression, _: Expression) -> Wanted:
        return self._transmit(line, fd, self._vector(line, buffers), 0)

    def _sendmsg(self, line: int, fd: Expression, message: Expression, flags: Expression) -> Wanted:
        return self._transmit(line, fd, self._vector(line, message), flags)

    def _transmit(self, line: int, fd: Expression, size: int, flags: Expression) -> Wanted:
        given = self._names(line, flags, (*SENDING, "MSG_NOSIGNAL"), "writing with")
        bits = sum(SENDING.get(name, 0) for name in given)
        call = ask("send", self._descriptor(line, fd), bytes(size), bits)
        return Wanted(call, int)

    def _open(self, line: int, name: Expression, flags: Expression) -> Wanted:
        if not isinstance(name, str):
            raise ScriptError(line, 'open() takes a name, "/tmp/file"')
        self._names(line, flags, ("O_RDONLY",), "open() with")
        return Wanted(ask("open", name, O_RDONLY), int)

    def _sendfile(
        self, line: int, out: Expression, source: Expression, at: Expression, size: Expression
    ) -> Wanted:
        if not isinstance(at, list) or len(at) != 1:
            raise ScriptError(line, "sendfile() takes its offset as [N]")
        offset = self._number(line, at[0], "an offset")
        fds = self._descriptor(line, out), self._descriptor(line, source)
        return Wanted(ask("sendfile", *fds, offset, self._number(line, size, "a length")), int)

    def _shutdown(self, line: int, fd: Expression, how: Expression) -> Wanted:
        known = {"SHUT_RD": SHUT_RD, "SHUT_WR": SHUT_WR, "SHUT_RDWR": SHUT_RDWR}
        if str(how) not in known:
            raise ScriptError(line, "shutdown() takes SHUT_RD, SHUT_WR or SHUT_RDWR")
        return Wanted(ask("shutdown", self._descriptor(line, fd), known[str(how)]), _nothing)

    def _close(self, line: int, fd: Expression) -> Wanted:
        return Wanted(ask("close", self._descriptor(line, fd)), _nothing)

    def _fcntl(self, line: int, fd: Expression, what: Expression, flags: Expression = 0) -> Wanted:
        descriptor = self._descriptor(line, fd)
        if str(what) != "F_SETFL":
            raise NotModelled(line, f"fcntl() with {what}")
        names = self._names(line, flags, ("O_RDWR", "O_NONBLOCK"), "a file with")
        return Wanted(ask("set_nonblocking", descriptor, "O_NONBLOCK" in names), _nothing)

    def _setsockopt(
        self,
        line: int,
        fd: Expression,
        level: Expression,
        option: Expression,
        value: Expression,
        _: Expression,
    ) -> Wanted:
        name = str(option)
        if name not in OPTIONS:
            raise NotModelled(line, f"the socket option {name}")
        number = self._linger(line, value) if name == "SO_LINGER" else value
        number = number[0] if isinstance(number, list) and number else number
        return Wanted(
            ask(
                "setsockopt",
                self._descriptor(line, fd),
                name,
                self._number(line, number, "an option's value"),
            ),
            _nothing,
        )

    def _getsockopt(
        self,
        line: int,
        fd: Expression,
        level: Expression,
        option: Expression,
        value: Expression,
        _: Expression,
    ) -> Wanted:
        wanted = value[0] if isinstance(value, list) and value else value
        if str(option) == "SO_LINGER":
            wanted = self._linger(line, value)
        if str(option) in OPTIONS:
            call = ask("getsockopt", self._descriptor(line, fd), str(option))
            return Wanted(call, _nothing, differs=_other_than(wanted))
        if str(option) != "SO_ERROR":
            raise NotModelled(line, f"getsockopt() with {option}")
        call = ask("socket_error", self._descriptor(line, fd))

        def differs(error: OSError | None) -> str:
            number = (error.errno or 0) if error is not None else 0
            name = errno.errorcode.get(number, str(number))
            return "" if str(wanted) in (name, str(number), "...") else f"SO_ERROR is {name}"

        return Wanted(call, _nothing, differs=differs)

    def _linger(self, line: int, value: Expression) -> Expression:
        """``{onoff=1, linger=SECONDS}`` as one number, -1 for off."""
        if isinstance(value, Anything):
            return value
        if not isinstance(value, Struct) or set(value.members) != {"onoff", "linger"}:
            raise ScriptError(line, "SO_LINGER is {onoff=1, linger=SECONDS}")
        return value.members["linger"] if value.members["onoff"] else -1

    def _poll(self, line: int, fds: Expression, _: Expression, timeout: Expression) -> Wanted:
        if not isinstance(fds, list):
            raise ScriptError(line, "poll() takes a list, [{fd=N, events=POLLIN, revents=...}]")
        asked = []
        for one in fds:
            if not isinstance(one, Struct) or "fd" not in one.members:
                raise ScriptError(line, "poll() takes [{fd=N, events=POLLIN, revents=...}]")
            names = self._names(line, one.members.get("events", 0), tuple(EVENTS), "poll() for")
            mask = sum(EVENTS[name] for name in names if name in EVENTS)
            asked.append((self._descriptor(line, one.members["fd"]), mask))
        expected = [one.members.get("revents", 0) for one in fds if isinstance(one, Struct)]

        def differs(found: list[tuple[int, int]]) -> str:
            for (_, revents), wanted in zip(found, expected, strict=True):
                names = [name for name, bit in EVENTS.items() if revents & bit]
                given = list(wanted.names) if isinstance(wanted, Names) else []
                if not isinstance(wanted, Anything) and sorted(names) != sorted(given):
                    return f"revents is {'|'.join(names) or 0}"
            return ""

        limit_ms = self._number(line, timeout, "a timeout")
        limit = None if limit_ms < 0 else limit_ms * 1_000_000
        return Wanted(ask("poll", asked, limit), _ready, differs=differs)

    def _epoll_create(self, line: int, _: Expression) -> Wanted:
        return Wanted(ask("epoll_create"), int)

    def _epoll_create1(self, line: int, flags: Expression) -> Wanted:
        self._names(line, flags, ("EPOLL_CLOEXEC",), "epoll_create1() with")
        return Wanted(ask("epoll_create"), int)

    def _epoll_ctl(
        self, line: int, epfd: Expression, what: Expression, fd: Expression, event: Expression = 0
    ) -> Wanted:
        operation = EPOLL.get(str(what))
        if operation is None:
            raise ScriptError(line, f"epoll_ctl() takes {', '.join(EPOLL)}")
        mask, data = (0, 0) if event == 0 else self._event(line, event)
        fds = self._descriptor(line, epfd), self._descriptor(line, fd)
        return Wanted(ask("epoll_ctl", fds[0], operation, fds[1], mask, data), _nothing)

    def _event(self, line: int, event: Expression) -> tuple[int, int]:
        if not isinstance(event, Struct) or not {"events", "fd"} >= set(event.members):
            raise ScriptError(line, "epoll's events are {events=EPOLLIN, fd=N}")
        known = {"E" + name: bit for name, bit in EVENTS.items()}
        names = self._names(line, event.members.get("events", 0), tuple(known), "epoll with")
        data = self._number(line, event.members.get("fd", 0), "the descriptor of an event")
        return sum(known.get(name, 0) for name in names), data

    def _epoll_wait(
        self, line: int, epfd: Expression, event: Expression, most: Expression, wait: Expression
    ) -> Wanted:
        if self._number(line, most, "the number of events") > 1:
            raise NotModelled(line, "epoll_wait() for more than one event: a script shows one")
        expected = None if isinstance(event, Anything) else self._event(line, event)

        def differs(found: list[tuple[int, int]]) -> str:
            if not found or expected in (None, found[0]):
                return ""
            names = [f"E{name}" for name, bit in EVENTS.items() if found[0][0] & bit]
            return f"the event is {'|'.join(names) or 0} of {found[0][1]}"

        limit_ms = self._number(line, wait, "a timeout")
        limit = None if limit_ms < 0 else limit_ms * 1_000_000
        call = ask("epoll_wait", self._descriptor(line, epfd), most, limit)
        return Wanted(call, len, differs=differs)

    def _ioctl(self, line: int, fd: Expression, what: Expression, value: Expression) -> Wanted:
        call = IOCTLS.get(str(what))
        if call is None:
            raise NotModelled(line, f"ioctl() with {what}")
        wanted = value[0] if isinstance(value, list) and value else value
        asked = ask(call, self._descriptor(line, fd))
        return Wanted(asked, _nothing, differs=_other_than(wanted))


ANY: Expression = Anything()


def _other_than(wanted: Expression) -> Callable[[int], str]:
    def differs(value: int) -> str:
        return "" if isinstance(wanted, Anything) or value == wanted else f"it gives {value}"

    return differs


def _nothing(_: object) -> int:
    return 0


def _first(pair: tuple[int, object]) -> int:
    return pair[0]


def _ready(found: list[tuple[int, int]]) -> int:
    return sum(1 for _, revents in found if revents)
