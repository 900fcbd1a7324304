"""``nc`` of busybox as Debian 12 ships it (busybox-static 1.35.0), over TCP and IPv4.

Theory of operation
-------------------
One loop polls input and socket and copies 1024 bytes at a time, with a blocking
write. End of input shuts down the sending side at once; end of the network, or an
error on it, ends the program with status 0, whatever input is left. A listener is
closed as soon as it has accepted. ``-w`` limits connecting and accepting only.

Not modelled: ``-e``, ``-f``, ``-i`` and ``-ll`` (refused when a line is read), and that
the real one listens on the IPv6 wildcard address, which takes IPv4 clients too.
This build knows no ``-v``, ``-k``, ``-N``, ``-q`` or ``-s``.
"""

from __future__ import annotations

from desim.ports import POLLIN, POLLOUT
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.busybox import BANNER, Fatal, applet
from desim.userland.programs.getopt import GetoptError, getopt, unmodelled, whole
from desim.userland.programs.output import STDIN, STDOUT, Step, err
from desim.userland.programs.resolver import getaddrinfo
from desim.userland.uapi import (
    SHUT_WR,
    SO_REUSEADDR,
)
from desim.wire.addresses import IP_ANY, ip_text

SPEC = "lp:w:i:f:e:"
MODELLED = "lpw"
BUFSIZE = 1024
NS = 1_000_000_000

USAGE = (
    BANNER
    + """
Usage: nc [-iN] [-wN] [-l] [-p PORT] [-f FILE|IPADDR PORT] [-e PROG]

Open a pipe to IP:PORT or FILE

\t-l\tListen mode, for inbound connects
\t\t(use -ll with -e for persistent server)
\t-p PORT\tLocal port
\t-w SEC\tConnect timeout
\t-i SEC\tDelay interval for lines sent
\t-f FILE\tUse file (ala /dev/ttyS0) instead of network
\t-e PROG\tRun PROG after connect
"""
)


def check(argv: list[str]) -> str | None:
    """Refuse what exists in the real program only."""
    problem = unmodelled(argv, SPEC, MODELLED)
    if problem is None:
        try:
            options, _ = getopt(argv, SPEC)
        except GetoptError:
            return None
        if sum(letter == "l" for letter, _ in options) > 1:
            return f"{argv[0]}: -ll is not modelled; it needs -e, which is not modelled either"
    return problem


def nc(argv: list[str]) -> Program:
    """``nc_main``."""
    return applet("nc", USAGE, _main(argv))


def _main(argv: list[str]) -> Program:
    options, operands = getopt(argv, SPEC)
    values = dict(options)
    listen = "l" in values
    if len(operands) > (1 if listen else 2) or not (listen or operands):
        raise GetoptError("")
    local_port = _port(values.get("p", "0"))
    limit_ns = _seconds(values["w"]) * NS if "w" in values else None
    connection = _accept if listen else _connect
    yield from _copy((yield from connection(operands, local_port, limit_ns)))
    return 0


def _port(text: str) -> int:
    port = whole(text, 0, 65535)
    if port is None:
        raise Fatal(f"bad port '{text}'")
    return port


def _seconds(text: str) -> int:
    seconds = whole(text, 0, 2**31 - 1)
    if seconds is None:
        raise Fatal(f"invalid number '{text}'")
    return seconds


def _address(name: str) -> Part[bytes]:
    try:
        address = yield from getaddrinfo(name)
    except OSError:
        raise Fatal(f"bad address '{name}'") from None
    return address


def _socket(address: bytes, port: int) -> Part[int]:
    fd = yield from sys.socket("tcp")
    yield from sys.setsockopt(fd, SO_REUSEADDR, 1)
    if port or address != IP_ANY:
        try:
            yield from sys.bind(fd, address, port)
        except OSError as error:
            raise Fatal(f"bind: {error.strerror}") from None
    return fd


def _accept(operands: list[str], port: int, limit_ns: int | None) -> Part[int]:
    address = (yield from _address(operands[0])) if operands else IP_ANY
    listener = yield from _socket(address, port)
    try:
        yield from sys.listen(listener, 1)
    except OSError as error:
        raise Fatal(f"listen: {error.strerror}") from None
    if not port:
        _, chosen = yield from sys.getsockname(listener)
        yield from err(f"{chosen}\n")
    yield from _limit(listener, POLLIN, limit_ns)
    fd: int
    fd, _ = yield from sys.accept(listener)
    yield from sys.close(listener)
    return fd


def _connect(operands: list[str], local_port: int, limit_ns: int | None) -> Part[int]:
    address = yield from _address(operands[0])
    port = _port(operands[1]) if len(operands) > 1 else 0
    fd = yield from _socket(IP_ANY, local_port)
    try:
        # The real one's alarm interrupts a blocking connect(); here poll measures the time.
        yield from sys.set_nonblocking(fd, limit_ns is not None)
        try:
            yield from sys.connect(fd, address, port)
        except BlockingIOError:
            yield from _limit(fd, POLLOUT, limit_ns)
            if error := (yield from sys.socket_error(fd)):
                raise error from None
        yield from sys.set_nonblocking(fd, False)
    except OSError as error:
        raise Fatal(
            f"can't connect to remote host ({ip_text(address)}): {error.strerror}"
        ) from None
    return fd


def _limit(fd: int, events: int, limit_ns: int | None) -> Step:
    """Wait for ``events``, at most ``limit_ns``."""
    if limit_ns is not None:
        found = yield from sys.poll([(fd, events)], limit_ns)
        if not found[0][1]:
            raise Fatal("timed out")


def _copy(fd: int) -> Step:
    stdin = STDIN
    while True:
        found = yield from sys.poll([(stdin, POLLIN), (fd, POLLIN)])
        if found[0][1]:
            data = yield from _read(stdin)
            if data:
                yield from _write(fd, data)
            else:
                yield from _shutdown(fd)
                stdin = -1
        if found[1][1]:
            data = yield from _read(fd)
            if not data:
                return
            yield from _write(STDOUT, data)


def _read(fd: int) -> Part[bytes]:
    try:
        data = yield from sys.read(fd, BUFSIZE)
    except OSError:
        return b""
    return data


def _write(fd: int, data: bytes) -> Step:
    try:
        yield from sys.write(fd, data)
    except OSError as error:
        raise Fatal(f"short write: {error.strerror}") from None


def _shutdown(fd: int) -> Step:
    try:
        yield from sys.shutdown(fd, SHUT_WR)
    except OSError:
        pass  # the connection has gone meanwhile; the next poll says so
