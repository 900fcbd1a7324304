"""``nc`` of OpenBSD as Debian 12 ships it (netcat-openbsd 1.219-1), over TCP, UDP and IPv4.

Theory of operation
-------------------
After connecting or accepting, one loop polls four descriptors: input, the socket
for writing, the socket for reading, output. Two buffers of 16384 bytes lie
between them; a read fills what room is left, a write empties what there is, and a
poll always comes before each.

What ends it is where flavours differ:

* End of input closes nothing by itself. With ``-N`` or ``-q`` it shuts down the
  socket's sending side, once all input has been sent.
* A client ends when both its input and the network have ended; a server
  (``-l``) when the network has.
* A reset connection ends both sides of it at once.
* ``-q SECS`` then delays the exit; in this version it does not end a connection
  that the peer keeps open. ``-w SECS`` limits a connect and each poll.

Over UDP (``-u``) each read of input is a datagram. A server peeks at the first datagram, and
connects to its sender; with ``-k`` it takes all comers and can answer none. There is no end of
the network: what ends it is ``-w``, an error (nobody listens), or in a client ``-q``. With ``-v``
or ``-z`` a client first tests for 3 s, or as long as ``-w`` says, whether its port is refused:
the server sees an X at once, another one, and one every second.

Not modelled: UNIX sockets, IPv6, proxies, port ranges and the options for them (refused when a
line is read). The host's asks no server for the names of addresses. Neither side has
/etc/services: the service in "succeeded!" is ``*``, where a real host may print a name (5556 is
``freeciv``).
"""

from __future__ import annotations

import errno

from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, Endpoint
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.getopt import GetoptError, getopt, unmodelled
from desim.userland.programs.output import STDIN, STDOUT, Step, err
from desim.userland.programs.resolver import getaddrinfo, getnameinfo
from desim.userland.uapi import (
    MSG_PEEK,
    POLLNVAL,
    SHUT_RD,
    SHUT_WR,
    SO_REUSEADDR,
    SO_REUSEPORT,
)
from desim.wire.addresses import IP_ANY, ip_text

SPEC = "46bCDdFhI:i:klM:m:NnO:P:p:q:rSs:T:tUuV:vW:w:X:x:Zz"
MODELLED = "4klNnp:q:s:uvw:z"
BUFSIZE = 16384
PEEK_SIZE = 2048
NS = 1_000_000_000
UDP_SCAN_S = 3


USAGE = """\
usage: nc [-46CDdFhklNnrStUuvZz] [-I length] [-i interval] [-M ttl]
\t  [-m minttl] [-O length] [-P proxy_username] [-p source_port]
\t  [-q seconds] [-s sourceaddr] [-T keyword] [-V rtable] [-W recvlimit]
\t  [-w timeout] [-X proxy_protocol] [-x proxy_address[:port]]
\t  [destination] [port]
"""


class _Fatal(Exception):  # noqa: N818 - an end with a message, as the C function is
    """``errx(1, ...)``: the message, without the program's name."""


class Options:
    """The command line, read as ``main`` reads it. Raises ``_Fatal``."""

    def __init__(self, argv: list[str]) -> None:
        options, operands = getopt(argv, SPEC)
        flags = [letter for letter, _ in options]
        values = dict(options)
        self.name = argv[0].rpartition("/")[2]
        self.listen = "l" in flags
        self.keep = "k" in flags
        self.verbose = "v" in flags
        self.numeric = "n" in flags
        self.udp = "u" in flags
        self.scan = "z" in flags
        self.shutdown = "N" in flags
        self.quit_s = _number(values["q"], "quit timer", -(2**31)) if "q" in values else -1
        self.timeout_ns = _number(values["w"], "timeout", 0) * NS if "w" in values else None
        self.source = values.get("s")
        self.source_port = values.get("p")
        self.host: str | None = None
        port: str | None = None
        if self.listen and len(operands) < 2:
            # -l PORT, -l -p PORT, -l -p PORT HOST and -l -s HOST are all good.
            if self.source_port is not None:
                port = self.source_port
                self.host = operands[0] if operands else self.source
            elif operands:
                port = operands[0]
                self.host = self.source
        elif len(operands) == 2 and not (self.listen and self.source_port is not None):
            self.host, port = operands
        elif len(operands) != 1:
            raise GetoptError("")
        if self.listen and self.scan:
            raise _Fatal("cannot use -z and -l")
        if self.keep and not self.listen:
            raise _Fatal("must use -l with -k")
        if port is None:
            raise _Fatal("missing port number")
        self.port = _port(port)

    @property
    def protocol(self) -> str:
        """As messages name it."""
        return "udp" if self.udp else "tcp"

    @property
    def shuts_down(self) -> bool:
        """Whether end of input shuts down the sending side."""
        return self.shutdown or self.quit_s >= 0


def _number(text: str, what: str, low: int, high: int = 2**31 - 1) -> int:
    """``strtonum``."""
    signed = text.lstrip(" \t\n\v\f\r")
    digits = signed[1:] if signed[:1] in ("+", "-") else signed
    if not (digits.isascii() and digits.isdigit()):
        raise _Fatal(f"{what} invalid: {text}")
    # No bound has twenty digits, and Python refuses to read thousands of them.
    value = int(digits.lstrip("0")[:20] or "0")
    if signed[0] == "-":
        value = -value
    if not low <= value <= high:
        raise _Fatal(f"{what} too {'small' if value < low else 'large'}: {text}")
    return value


def _port(text: str) -> int:
    return _number(text, "port number", 1, 65535)


def check(argv: list[str]) -> str | None:
    """Refuse what exists in the real program only."""
    problem = unmodelled(argv, SPEC, MODELLED.replace(":", ""))
    if problem:
        return problem
    _, operands = _split(argv)
    if len(operands) == 2 and "-" in operands[1].lstrip("-"):
        return f"{argv[0]}: port ranges ({operands[1]}) are not modelled"
    return None


def _split(argv: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        return getopt(argv, SPEC)
    except GetoptError:
        return [], []


def nc(argv: list[str]) -> Program:
    """``main``: 0 after a connection, 1 if there was none."""
    name = argv[0].rpartition("/")[2]
    yield from sys.ignore_sigpipe()
    try:
        options = Options(argv)
    except GetoptError as error:
        text = f"{name}: {error}\n" if str(error) else ""
        yield from err(text + USAGE)
        return 1
    except _Fatal as fatal:
        yield from err(f"{name}: {fatal}\n")
        return 1
    try:
        if options.listen:
            return (yield from _serve(name, options))
        return (yield from _connect(name, options))
    except _Fatal as fatal:
        yield from err(f"{name}: {fatal}\n")
        return 1


def _resolve(name: str, port: int, options: Options) -> Part[bytes]:
    try:
        if options.numeric:
            address = yield from sys.resolve(name)
        else:
            address = yield from getaddrinfo(name)
    except OSError as error:
        raise _Fatal(f'getaddrinfo for host "{name}" port {port}: {error.strerror}') from None
    if options.numeric and name != ip_text(address):
        raise _Fatal(f'getaddrinfo for host "{name}" port {port}: Name or service not known')
    return address


def _report(what: str, endpoint: Endpoint, options: Options) -> Step:
    """``report_sock``: an endpoint by its name, unless ``-n``; or that it cannot be asked for."""
    address, port = endpoint
    try:
        text = ip_text(address) if options.numeric else (yield from getnameinfo(address))
    except OSError as error:
        yield from err(f"{options.name}: getnameinfo: {error.strerror}\n")
        return
    yield from err(f"{what} on {text} {port}\n")


def _serve(name: str, options: Options) -> Program:
    if options.udp:
        return (yield from _serve_udp(options))
    listener = yield from local_listen(options)
    if options.verbose:
        yield from _report_listener("Listening", listener, options)
    while True:
        fd, client = yield from sys.accept(listener)
        yield from sys.set_nonblocking(fd, True)
        if options.verbose:
            yield from _report("Connection received", client, options)
        yield from readwrite(fd, options)
        yield from sys.close(fd)
        if not options.keep:
            break
    yield from sys.close(listener)
    yield from _delay_exit(options)
    return 0


def _serve_udp(options: Options) -> Program:
    while True:
        fd = yield from local_listen(options)
        if options.verbose:
            yield from _report_listener("Bound", fd, options)
        if not options.keep:
            _, client = yield from sys.recvfrom(fd, PEEK_SIZE, MSG_PEEK)
            yield from sys.connect(fd, *client)
            if options.verbose:
                yield from _report("Connection received", client, options)
        yield from readwrite(fd, options)
        yield from sys.close(fd)
        if not options.keep:
            return 0


def _report_listener(what: str, fd: int, options: Options) -> Step:
    endpoint = yield from sys.getsockname(fd)
    yield from _report(what, endpoint, options)


def local_listen(options: Options) -> Part[int]:
    """A listening socket."""
    address = IP_ANY
    if options.host is not None:
        address = yield from _resolve(options.host, options.port, options)
    fd = yield from sys.socket(options.protocol)
    yield from sys.setsockopt(fd, SO_REUSEADDR, 1)
    yield from sys.setsockopt(fd, SO_REUSEPORT, 1)
    try:
        yield from sys.bind(fd, address, options.port)
        if not options.udp:
            yield from sys.listen(fd, 1)
    except OSError as error:
        raise _Fatal(f"{error.strerror}") from None
    return fd


def _connect(name: str, options: Options) -> Program:
    assert options.host is not None
    address = yield from _resolve(options.host, options.port, options)
    fd = yield from remote_connect(name, address, options)
    if fd < 0:
        return 1
    if options.udp and (options.verbose or options.scan):
        if not (yield from _udptest(fd, options)):
            return 1
    if options.verbose or options.scan:
        where = (
            options.host
            if options.host == ip_text(address)
            else (f"{options.host} ({ip_text(address)})")
        )
        if options.verbose:
            protocol = options.protocol
            yield from err(f"Connection to {where} {options.port} port [{protocol}/*] succeeded!\n")
    if not options.scan:
        yield from readwrite(fd, options)
    yield from sys.close(fd)
    if options.scan:
        return 0
    yield from _delay_exit(options)
    return 0


def _udptest(fd: int, options: Options) -> Part[bool]:
    """Whether nobody says that the port is refused."""
    seconds = UDP_SCAN_S if options.timeout_ns is None else options.timeout_ns // NS
    for number in range(seconds + 2):
        if number > 1:
            yield from sys.nanosleep(NS)
        try:
            yield from sys.write(fd, b"X")
        except ConnectionRefusedError:
            return False
        except OSError:
            if not number:
                return False
    return True


def remote_connect(name: str, address: bytes, options: Options) -> Part[int]:
    """A connected socket, or -1."""
    fd = yield from sys.socket(options.protocol)
    if options.source is not None or options.source_port is not None:
        source = IP_ANY
        if options.source is not None:
            source = yield from _resolve(options.source, 0, options)
        port = 0 if options.source_port is None else _port(options.source_port)
        yield from sys.setsockopt(fd, SO_REUSEADDR, 1)
        yield from sys.setsockopt(fd, SO_REUSEPORT, 1)
        try:
            yield from sys.bind(fd, source, port)
        except OSError as error:
            raise _Fatal(f"bind failed: {error.strerror}") from None
    yield from sys.set_nonblocking(fd, True)
    outcome = yield from _timeout_connect(fd, address, options)
    if outcome is None:
        return fd
    if options.verbose:
        host = options.host
        where = host if host == ip_text(address) else f"{host} ({ip_text(address)})"
        failed = "timed out" if outcome.errno == errno.EINPROGRESS else "failed"
        target = f"{options.port} ({options.protocol})"
        yield from err(f"{name}: connect to {where} port {target} {failed}: {outcome.strerror}\n")
    yield from sys.close(fd)
    return -1


def _timeout_connect(fd: int, address: bytes, options: Options) -> Part[OSError | None]:
    try:
        yield from sys.connect(fd, address, options.port)
        return None
    except BlockingIOError as started:
        found = yield from sys.poll([(fd, POLLOUT)], options.timeout_ns)
        if not found[0][1]:
            return started
        error = yield from sys.socket_error(fd)
        return error
    except OSError as error:
        return error


def readwrite(fd: int, options: Options) -> Step:
    """Copy between input, socket and output until one of the ends described above."""
    stdin, netout, netin, stdout = STDIN, fd, fd, STDOUT
    out_buffer = in_buffer = b""
    while True:
        if stdin < 0 and netin < 0 and not out_buffer and not in_buffer:
            return
        if netout < 0 and stdout < 0:
            return
        if options.listen and netin < 0 and not out_buffer and not in_buffer:
            return
        stdin_events = POLLIN if len(out_buffer) < BUFSIZE else 0
        netin_events = POLLIN if len(in_buffer) < BUFSIZE else 0
        found = yield from sys.poll(
            [
                (stdin, stdin_events),
                (netout, POLLOUT if out_buffer else 0),
                (netin, netin_events),
                (stdout, POLLOUT if in_buffer else 0),
            ],
            options.timeout_ns,
        )
        (_, on_stdin), (_, on_netout), (_, on_netin), (_, on_stdout) = found
        if not (on_stdin or on_netout or on_netin or on_stdout):
            return
        broken = POLLERR | POLLNVAL
        # What is there can be read after a hang-up; whoever has no room has not asked for it.
        if on_stdin & broken or (stdin_events and on_stdin & (POLLIN | POLLHUP) == POLLHUP):
            stdin = -1
        if netout >= 0 and on_netout & POLLHUP and options.shuts_down:
            yield from _shutdown(netout, SHUT_WR)
        if on_netout & (broken | POLLHUP):
            netout = -1
        if on_netin & broken or (netin_events and on_netin & (POLLIN | POLLHUP) == POLLHUP):
            netin = -1
        if on_stdout & (broken | POLLHUP):
            stdout = -1
        if netout < 0:
            stdin = -1
        if stdout < 0 and netin >= 0:
            yield from _shutdown(netin, SHUT_RD)
            netin = -1

        if stdin >= 0 and on_stdin & POLLIN and len(out_buffer) < BUFSIZE:
            data = yield from _fill(stdin, BUFSIZE - len(out_buffer))
            if data == b"":
                stdin = -1
            out_buffer += data or b""
        if netout >= 0 and on_netout & POLLOUT and out_buffer:
            taken = yield from _drain(netout, out_buffer)
            if taken < 0:
                netout = -1
            else:
                out_buffer = out_buffer[taken:]
        if netin >= 0 and on_netin & POLLIN and len(in_buffer) < BUFSIZE:
            data = yield from _fill(netin, BUFSIZE - len(in_buffer))
            if data == b"":
                yield from _shutdown(netin, SHUT_RD)
                netin = -1
            in_buffer += data or b""
        if stdout >= 0 and on_stdout & POLLOUT and in_buffer:
            taken = yield from _drain(stdout, in_buffer)
            if taken < 0:
                stdout = -1
            else:
                in_buffer = in_buffer[taken:]
        if stdin < 0 and not out_buffer and netout >= 0:
            if options.shuts_down:
                yield from _shutdown(netout, SHUT_WR)
            netout = -1
            if options.udp and options.quit_s >= 0:
                yield from _shutdown(netin, SHUT_RD)
                netin = -1
        if netin < 0 and not in_buffer:
            stdout = -1


def _fill(fd: int, room: int) -> Part[bytes | None]:
    """What there is to read: b"" at the end or on an error, None if nothing yet."""
    try:
        data = yield from sys.read(fd, room)
    except BlockingIOError:
        return None
    except OSError:
        return b""
    return data


def _drain(fd: int, data: bytes) -> Part[int]:
    """How much ``fd`` took: -1 on an error."""
    try:
        taken = yield from sys.write(fd, data)
    except BlockingIOError:
        return 0
    except OSError:
        return -1
    return taken


def _shutdown(fd: int, how: int) -> Step:
    try:
        yield from sys.shutdown(fd, how)
    except OSError:
        pass  # ENOTCONN once both directions are closed


def _delay_exit(options: Options) -> Step:
    if options.quit_s > 0:
        yield from sys.sleep_ns(options.quit_s * NS)
