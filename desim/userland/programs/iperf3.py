"""``iperf3`` 3.12 (iperf_client_api.c, iperf_server_api.c, iperf_tcp.c, iperf_udp.c).

Theory of operation
-------------------
A control connection carries states of one byte. The client sends a cookie of 37 bytes; the
server asks for parameters (JSON behind its length in four bytes), then for streams, then says
that the test starts and runs. Each TCP stream begins with the cookie; each UDP stream with a
datagram that the server answers, to which it then connects its socket.

Each side has one loop around select(): the control connection, the streams, and timers for the
end, the statistics and reports of each interval, and, with ``-b``, every millisecond for the
rate. A sender writes up to ten blocks in a turn, or one with ``-b``. At the end the client says
so, both sides exchange what they have counted, and each prints its results.

The numbers in brackets are the real one's descriptors, which are opened here in its order: its
source of random bytes, and a file behind each stream's buffer.

Not modelled: all other options (``iperf3_options``), 64-bit counters, the limits for idle
clients, the share of the processor (0 in the exchange), and a listener on the IPv6 wildcard
address. A name that does not resolve is said to be unavailable, whatever the reason.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

from desim.ports import POLLIN, POLLOUT
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.decimals import general
from desim.userland.programs.iperf3_options import Options
from desim.userland.programs.iperf3_report import FS_OF_US, US, Report, Stream
from desim.userland.programs.output import Stdio, Step, err
from desim.userland.programs.resolver import getaddrinfo
from desim.userland.uapi import SO_RCVTIMEO, SO_REUSEADDR, TCP_MAXSEG, TCP_NODELAY
from desim.wire.addresses import IP_ANY, ip_text

T = TypeVar("T")

VERSION = "3.12"
COOKIE_SIZE = 37
COOKIE_LETTERS = b"abcdefghijklmnopqrstuvwxyz234567"
TEST_START = 1
TEST_RUNNING = 2
TEST_END = 4
PARAM_EXCHANGE = 9
CREATE_STREAMS = 10
SERVER_TERMINATE = 11
CLIENT_TERMINATE = 12
EXCHANGE_RESULTS = 13
DISPLAY_RESULTS = 14
IPERF_START = 15
IPERF_DONE = 16
ACCESS_DENIED = 255

BACKLOG = 2**31 - 1
MULTISEND = 10
PACING_US = 1000
GRACE_US = 40 * US
"""How much longer than a test a server waits for its end."""
LOOPBACK_MSS = 32768
DEFAULT_UDP_BLOCK = 1460
UDP_CONNECT_MSG = b"9876"
UDP_CONNECT_REPLY = b"6789"
UDP_TIMEOUT_NS = 30_000_000_000
MAX_JSON = 1 << 16
UNKNOWN = 2**64 - 1
"""What iperf3 sends for -1."""
_HEADER = struct.Struct("!III")
_SIZE = struct.Struct("!I")
RULE = "-----------------------------------------------------------\n"


class _Failed(Exception):  # noqa: N818 - an end with a message, as the C function is
    """``iperf_errexit``: the message, without the program's name."""


def _attempt(what: str, part: Part[T]) -> Part[T]:
    """The outcome of ``part``; its failure ends the program with ``what`` it was unable to do."""
    try:
        outcome = yield from part
    except InterruptedError:
        raise
    except OSError as error:
        raise _Failed(f"error - unable to {what}: {error.strerror}") from None
    return outcome


class _Timer(NamedTuple):
    """What is due at ``time`` (us); after that every ``every``, if that is not 0."""

    time: int
    sequence: int
    every: int
    action: Callable[[int], Step]


class Test:
    """One test, as one side of it sees it."""

    def __init__(self, options: Options, out: Stdio) -> None:
        self.options = options
        self.out = out
        self.server = options.server
        self.state = IPERF_START
        self.cookie = b""
        self.control = -1
        self.listener = -1
        self.entropy = -1
        """The source of random bytes."""
        self.done = False
        self.sender = False
        """Whether this side sends."""
        self.streams: list[Stream] = []
        self.report = Report([], server=self.server, udp=False, sender=False, form=options.unit)
        self.bytes = self.blocks = 0
        self._timers: list[_Timer] = []
        self._made = 0

    # --- text

    def say(self, text: str) -> Step:
        """Print."""
        yield from self.out.write(text.encode())

    # --- timers

    def after(self, us: int, action: Callable[[int], Step], *, every: bool = False) -> Step:
        """Call ``action`` in so many us, or at each multiple."""
        now = yield from _now()
        self._add(now + us, us if every else 0, action)

    def _add(self, time: int, every: int, action: Callable[[int], Step]) -> None:
        self._made += 1
        self._timers.append(_Timer(time, self._made, every, action))
        self._timers.sort(key=lambda timer: timer[:2])

    def timeout_ns(self, now: int) -> int | None:
        """How long until the next timer."""
        return max(0, self._timers[0].time - now) * 1000 if self._timers else None

    def run_timers(self) -> Step:
        """Call what is due, each once."""
        now = yield from _now()
        for timer in [one for one in self._timers if one.time <= now]:
            self._timers.remove(timer)
            yield from timer.action(now)
            if timer.every:
                self._add(timer.time + timer.every, timer.every, timer.action)

    # --- control connection

    def set_state(self, state: int) -> Step:
        """Enter a state, and tell the other side."""
        self.state = state
        yield from _attempt("send control message", sys.write(self.control, bytes([state])))

    def send_json(self, text: str) -> Step:
        """A text behind its length."""
        data = text.encode()
        for part in (_SIZE.pack(len(data)), data):
            yield from _attempt("send control message", sys.write(self.control, part))

    def receive_json(self, what: str) -> Part[dict[str, Any]]:
        """What the other side sends so."""
        head = yield from _attempt(f"receive {what}", read_all(self.control, _SIZE.size))
        size = _SIZE.unpack(head)[0] if len(head) == _SIZE.size else 0
        data = b""
        if 0 < size <= MAX_JSON:
            data = yield from _attempt(f"receive {what}", read_all(self.control, size))
        try:
            found = json.loads(data, parse_float=Fraction)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise _Failed(f"error - unable to receive {what}: Bad file descriptor")
        return found

    # --- streams

    def add_stream(self, fd: int) -> Step:
        """A stream has a buffer of random bytes, and a file behind it."""
        yield from sys.open("/dev/null")
        if self.entropy < 0:
            self.entropy = yield from sys.open("/dev/urandom")
        data = yield from sys.read(self.entropy, self.options.block)
        self.streams.append(Stream(fd, len(self.streams) + 1, self.sender, data))
        local = yield from sys.getsockname(fd)
        peer = yield from sys.getpeername(fd)
        yield from self.say(
            f"[{fd:3d}] local {ip_text(local[0])} port {local[1]} "
            f"connected to {ip_text(peer[0])} port {peer[1]}\n"
        )

    def start(self) -> Step:
        """The test starts: clocks and timers."""
        options = self.options
        now = yield from _now()
        for stream in self.streams:
            stream.start = now
        self.report = Report(
            self.streams,
            server=self.server,
            udp=options.udp,
            sender=self.sender,
            form=options.unit,
        )
        info = yield from self._info(self.streams[0])
        self.report.retransmits = self.sender and info is not None
        if options.duration_s:
            grace = GRACE_US if self.server else 0
            yield from self.after(options.duration_s * US + grace, self._time_is_over)
        if options.interval_us:
            yield from self.after(options.interval_us, self.statistics, every=True)
            yield from self.after(options.interval_us, self._report_interval, every=True)
        if self.sender and options.rate:
            for stream in self.streams:
                yield from self.after(PACING_US, self._throttle(stream), every=True)

    def _throttle(self, stream: Stream) -> Callable[[int], Step]:
        def action(now: int) -> Step:
            yield from ()
            self.check_throttle(stream, now)

        return action

    def check_throttle(self, stream: Stream, now: int) -> None:
        """Whether a stream may send: not while it has sent more than its rate allows."""
        if not self.done and self.options.rate:
            elapsed = now - stream.start
            stream.green = elapsed > 0 and stream.sent * 8 * US // elapsed < self.options.rate

    def _time_is_over(self, now: int) -> Step:
        self.done = True
        if self.server:
            yield from self.close_streams()
            yield from sys.close(self.control)
            self.state = IPERF_DONE

    def statistics(self, now: int, *, last: bool = False) -> Step:
        """Close an interval of each stream."""
        if self.done and not last:
            return
        for stream in self.streams:
            end = yield from _now()
            info = yield from self._info(stream)
            stream.close_interval(end, info, self.options.udp)

    def _info(self, stream: Stream) -> Part[dict[str, int] | None]:
        if self.options.udp:
            return None
        try:
            info = yield from sys.tcp_info(stream.fd)
        except OSError:
            return None
        return info

    def _report_interval(self, now: int) -> Step:
        if not self.done:
            yield from self.say(self.report.interval(self.options.interval_us // 10))

    def print_results(self) -> Step:
        """The last interval, and the whole test."""
        yield from self.say(self.report.interval(self.options.interval_us // 10))
        yield from self.say(self.report.results())

    def close_streams(self) -> Step:
        """Close the streams' sockets."""
        for stream in self.streams:
            yield from sys.close(stream.fd)

    # --- data

    def watched(self) -> list[tuple[int, int]]:
        """The streams, and what they are waited for.

        The real one waits for one that has sent all, or has ended, too, and so runs in circles
        until the control connection speaks.
        """
        wanted = POLLIN
        if self.sender:
            wanted = 0 if self.enough() else POLLOUT
        return [(stream.fd, wanted if stream.green else 0) for stream in self.streams]

    def send(self, ready: set[int]) -> Step:
        """Up to ten blocks for each stream that can take them; one, if there is a rate."""
        options = self.options
        for _ in range(1 if options.rate else MULTISEND):
            now = yield from _now()
            active = False
            for stream in self.streams:
                if not stream.green or stream.fd not in ready:
                    continue
                if not options.rate and self.enough():
                    break
                yield from self._send_block(stream, now)
                active = True
                if options.rate:
                    self.check_throttle(stream, now)
            if not active:
                break

    def _send_block(self, stream: Stream, now: int) -> Step:
        data = stream.data
        if self.options.udp:
            stream.packets += 1
            data = _HEADER.pack(now // US, now % US, stream.packets) + data[_HEADER.size :]
            taken = yield from _attempt("write to stream socket", sys.write(stream.fd, data))
        else:
            stream.pending = stream.pending or len(data)
            part = write_all(stream.fd, data[: stream.pending])
            taken = yield from _attempt("write to stream socket", part)
            stream.pending -= taken
        stream.sent += taken
        stream.this_interval += taken
        self.bytes += taken
        self.blocks += not stream.pending

    def receive(self, ready: set[int]) -> Step:
        """What has come, up to a block for each stream."""
        for stream in self.streams:
            if stream.fd not in ready:
                continue
            part = read_all(stream.fd, len(stream.data), whole=not self.options.udp)
            data = yield from _attempt("read from stream socket", part)
            self.bytes += len(data)
            self.blocks += 1
            stream.green = bool(data) or self.options.udp
            if self.state != TEST_RUNNING or not data:
                continue
            if self.options.udp and len(data) >= _HEADER.size:
                now = yield from _now()
                seconds, us, number = _HEADER.unpack(data[: _HEADER.size])
                stream.arrived(number, now - seconds * US - us)
            stream.received += len(data)
            stream.this_interval += len(data)

    def enough(self) -> bool:
        """Whether as much has been sent or received as ``-n`` or ``-k`` says."""
        options = self.options
        return bool(
            (options.bytes and self.bytes >= options.bytes)
            or (options.blocks and self.blocks >= options.blocks)
        )

    # --- results

    def send_results(self) -> Step:
        """Tell the other side what was counted here."""
        knows = UNKNOWN if not self.sender else int(self.report.retransmits)
        rows = ",".join(map(self._row, self.streams))
        congestion = "" if self.options.udp else '"congestion_used":"cubic",'
        yield from self.send_json(
            f'{{"cpu_util_total":0,"cpu_util_user":0,"cpu_util_system":0,'
            f'"sender_has_retransmits":{knows},{congestion}"streams":[{rows}]}}'
        )

    def _row(self, stream: Stream) -> str:
        known = stream.sender and self.report.retransmits
        jitter = general(Fraction(stream.jitter, FS_OF_US * US), 15)
        return (
            f'{{"id":{stream.id},"bytes":{stream.sent if stream.sender else stream.received},'
            f'"retransmits":{stream.retrans if known else UNKNOWN},"jitter":{jitter},'
            f'"errors":{stream.errors},"packets":{stream.packets},"start_time":0,'
            f'"end_time":{general(Fraction(stream.end - stream.start, US), 15)}}}'
        )

    def receive_results(self) -> Step:
        """What the other side has counted."""
        found = yield from self.receive_json("results")
        if not self.sender and not self.server:
            self.report.retransmits = found.get("sender_has_retransmits") == 1
        rows = {row["id"]: row for row in found.get("streams", [])}
        for stream in self.streams:
            row = rows.get(stream.id)
            if row is None:
                raise _Failed("error - stream has an invalid id")
            stream.peer_packets = row["packets"]
            time_us = int(Fraction(row["end_time"]) * US)
            if stream.sender:
                stream.jitter = int(Fraction(row["jitter"]) * FS_OF_US * US)
                stream.errors = row["errors"]
                stream.received = row["bytes"]
                stream.receiver_us = time_us
            else:
                stream.sent = row["bytes"]
                stream.retrans = row["retransmits"]
                stream.sender_us = time_us


def _now() -> Part[int]:
    now = yield from sys.now()
    return now // 1000


def read_all(fd: int, size: int, *, whole: bool = True) -> Part[bytes]:
    """``Nread``: up to ``size`` bytes, fewer at the end of input or where reading would wait."""
    data = b""
    while len(data) < size:
        try:
            more = yield from sys.read(fd, size - len(data))
        except BlockingIOError:
            break
        data += more
        if not more or not whole:
            break
    return data


def write_all(fd: int, data: bytes) -> Part[int]:
    """``Nwrite``: how much was written before writing would have had to wait."""
    written = 0
    while written < len(data):
        try:
            written += yield from sys.write(fd, data[written:] if written else data)
        except BlockingIOError:
            break
    return written


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled, and what the real one refuses."""
    try:
        Options(argv)
    except ValueError as error:
        return f"iperf3: {error}"
    return None


def iperf3(argv: list[str]) -> Program:
    """``main``."""
    options = Options(argv)
    out = Stdio()
    yield from sys.ignore_sigpipe()
    yield from sys.catch_sigint()
    status = 0
    try:
        status = yield from (_serve(options, out) if options.server else _run(options, out))
    except _Failed as failed:
        status = 1
        yield from err(f"iperf3: {failed}\n")
    yield from out.flush()
    return status


def _interrupted(test: Test) -> Step:
    """``iperf_got_sigend``: print what there is, tell the other side."""
    if not test.server or test.state == TEST_RUNNING:
        test.done = True
        yield from test.statistics(0, last=True)
        yield from test.print_results()
    if test.control >= 0:
        state = SERVER_TERMINATE if test.server else CLIENT_TERMINATE
        try:
            yield from sys.write(test.control, bytes([state]))
        except OSError:
            pass  # nobody is there
    raise _Failed(f"interrupt - the {'server' if test.server else 'client'} has terminated")


# --- the client


def _run(options: Options, out: Stdio) -> Program:
    test = Test(options, out)
    test.sender = not options.reverse
    try:
        yield from _client(test)
    except InterruptedError:
        yield from _interrupted(test)
    return 0


def _client(test: Test) -> Step:
    options = test.options
    test.entropy = yield from sys.open("/dev/urandom")
    letters = yield from sys.read(test.entropy, COOKIE_SIZE)
    test.cookie = bytes(COOKIE_LETTERS[letter % 32] for letter in letters[:-1]) + b"\0"
    yield from _connect(test)
    while test.state != IPERF_DONE:
        now = yield from _now()
        running = test.state == TEST_RUNNING
        draining = test.state == TEST_END and not test.sender
        fds = [(test.control, POLLIN)]
        fds += test.watched() if running or draining else []
        # Before and after the test the real one does not run its timers, but does not wait
        # beyond them either: it runs in circles, as with a stream that needs nothing more.
        found = yield from sys.poll(fds, test.timeout_ns(now) if running else None)
        ready = {fd for fd, revents in found if revents}
        if test.control in ready:
            yield from _client_message(test)
        if test.state == TEST_RUNNING:
            if not running and not options.udp:
                for stream in test.streams:
                    yield from sys.set_nonblocking(stream.fd, True)
            yield from (test.send(ready) if test.sender else test.receive(ready))
            yield from test.run_timers()
            if test.done or test.enough():
                yield from _end(test)
        elif test.state == TEST_END and not test.sender:
            yield from test.receive(ready)
    yield from test.say("\niperf Done.\n")


def _connect(test: Test) -> Step:
    options = test.options
    try:
        address = yield from getaddrinfo(options.host)
    except OSError:
        text = "Resource temporarily unavailable"
        raise _Failed(f"error - unable to connect to server: {text}") from None
    test.control = yield from sys.socket("tcp")
    try:
        yield from sys.connect(test.control, address, options.port)
    except InterruptedError:
        raise
    except OSError as error:
        raise _Failed(f"error - unable to connect to server: {error.strerror}") from None
    yield from sys.setsockopt(test.control, TCP_NODELAY, 1)
    yield from sys.write(test.control, test.cookie)
    if options.udp and not options.block:
        options.block = yield from _mss(test.control)


def _mss(fd: int) -> Part[int]:
    """What fits one segment; the host's kernel says it of loopback as the real one does."""
    try:
        mss = yield from sys.getsockopt(fd, TCP_MAXSEG)
    except OSError:
        return LOOPBACK_MSS
    return mss or DEFAULT_UDP_BLOCK


def _client_message(test: Test) -> Step:
    data = yield from _attempt("receive control message", sys.read(test.control, 1))
    if not data:
        raise _Failed("error - control socket has closed unexpectedly")
    test.state = data[0]
    if test.state == PARAM_EXCHANGE:
        yield from test.send_json(_parameters(test))
        options = test.options
        yield from test.say(f"Connecting to host {options.host}, port {options.port}\n")
        if options.reverse:
            yield from test.say(f"Reverse mode, remote host {options.host} is sending\n")
    elif test.state == CREATE_STREAMS:
        for _ in range(test.options.streams):
            yield from _create_stream(test)
    elif test.state == TEST_START:
        yield from test.start()
    elif test.state == EXCHANGE_RESULTS:
        yield from test.send_results()
        yield from test.receive_results()
    elif test.state == DISPLAY_RESULTS:
        yield from test.close_streams()
        yield from test.print_results()
        yield from test.set_state(IPERF_DONE)
        yield from sys.close(test.control)
    elif test.state == SERVER_TERMINATE:
        yield from test.statistics(0, last=True)
        yield from test.print_results()
        raise _Failed("error - the server has terminated")
    elif test.state == ACCESS_DENIED:
        raise _Failed("error - the server is busy running a test. try again later")


def _parameters(test: Test) -> str:
    options = test.options
    rows = ['"udp":true' if options.udp else '"tcp":true', '"omit":0']
    rows += [f'"time":{options.duration_s}', f'"num":{options.bytes}']
    rows += [f'"blockcount":{options.blocks}']
    rows += ['"nodelay":true'] if options.no_delay else []
    rows += [f'"parallel":{options.streams}']
    rows += ['"reverse":true'] if options.reverse else []
    rows += [f'"len":{options.block}']
    rows += [f'"bandwidth":{options.rate}'] if options.rate else []
    rows += [f'"pacing_timer":{PACING_US}', f'"client_version":"{VERSION}"']
    return "{" + ",".join(rows) + "}"


def _create_stream(test: Test) -> Step:
    options = test.options
    address, _ = yield from sys.getpeername(test.control)
    fd = yield from sys.socket("udp" if options.udp else "tcp")
    if options.no_delay and not options.udp:
        yield from sys.setsockopt(fd, TCP_NODELAY, 1)
    try:
        yield from sys.connect(fd, address, options.port)
        if options.udp:
            yield from sys.setsockopt(fd, SO_RCVTIMEO, UDP_TIMEOUT_NS)
            yield from sys.write(fd, UDP_CONNECT_MSG)
            yield from sys.read(fd, len(UDP_CONNECT_REPLY))
            yield from sys.setsockopt(fd, SO_RCVTIMEO, 0)
        else:
            yield from sys.write(fd, test.cookie)
    except InterruptedError:
        raise
    except OSError as error:
        what = "read from" if options.udp else "connect"
        raise _Failed(f"error - unable to {what} stream: {error.strerror}") from None
    yield from test.add_stream(fd)


def _end(test: Test) -> Step:
    """The test is over: tell the server."""
    if not test.options.udp:
        for stream in test.streams:
            yield from sys.set_nonblocking(stream.fd, False)
    test.done = True
    yield from test.statistics(0, last=True)
    yield from test.set_state(TEST_END)


# --- the server


def _serve(options: Options, out: Stdio) -> Program:
    number = 0
    while True:
        number += 1
        test = Test(Options(["iperf3", "-s"]), out)
        test.options.port, test.options.unit = options.port, options.unit
        test.options.interval_us = options.interval_us
        try:
            yield from _server(test, number)
        except InterruptedError:
            yield from _interrupted(test)
        except _Failed as failed:
            yield from err(f"iperf3: {failed}\n")
        yield from _clean_up(test)
        if options.one_off:
            return 0


def _listen(kind: str, port: int) -> Part[int]:
    fd = yield from sys.socket(kind)
    yield from sys.setsockopt(fd, SO_REUSEADDR, 1)
    try:
        yield from sys.bind(fd, IP_ANY, port)
        if kind == "tcp":
            yield from sys.listen(fd, BACKLOG)
    except InterruptedError:
        raise
    except OSError as error:
        text = f"error - unable to start listener for connections: {error.strerror}"
        yield from err(f"iperf3: {text}\n")
        raise _Failed("exiting") from None
    return fd


def _server(test: Test, number: int) -> Step:
    options = test.options
    test.listener = yield from _listen("tcp", options.port)
    text = f"{RULE}Server listening on {options.port} (test #{number})\n{RULE}"
    yield from test.say(text)
    waiting = test.listener
    """Where the next stream comes."""
    while test.state != IPERF_DONE:
        now = yield from _now()
        timeout_ns = test.timeout_ns(now)
        fds = [(fd, POLLIN) for fd in sorted({test.listener, test.control, waiting} - {-1})]
        fds += test.watched() if test.state == TEST_RUNNING else []
        found = yield from sys.poll(fds, timeout_ns)
        ready = {fd for fd, revents in found if revents}
        if test.listener in ready and test.state != CREATE_STREAMS:
            yield from _accept(test)
            if test.state == CREATE_STREAMS and options.udp:
                waiting = yield from _listen("udp", options.port)
                yield from test.set_state(CREATE_STREAMS)
        if test.control in ready:
            yield from _server_message(test)
        if test.state == CREATE_STREAMS and waiting in ready:
            waiting = yield from _accept_stream(test, waiting)
            if len(test.streams) == options.streams:
                if options.udp:
                    yield from sys.close(waiting)
                waiting = test.listener
                yield from test.set_state(TEST_START)
                yield from test.start()
                yield from test.set_state(TEST_RUNNING)
        if test.state == TEST_RUNNING and ready:
            yield from (test.send(ready) if test.sender else test.receive(ready))
        if not ready or timeout_ns == 0:
            yield from test.run_timers()


def _accept(test: Test) -> Step:
    fd, client = yield from sys.accept(test.listener)
    if test.control >= 0:
        yield from sys.write(fd, bytes([ACCESS_DENIED]))
        yield from sys.close(fd)
        return
    test.control = fd
    yield from sys.setsockopt(fd, TCP_NODELAY, 1)
    part = read_all(fd, COOKIE_SIZE)
    test.cookie = yield from _attempt("receive cookie at server", part)
    yield from test.set_state(PARAM_EXCHANGE)
    found = yield from test.receive_json("parameters")
    options = test.options
    options.udp = "udp" in found
    options.reverse = test.sender = "reverse" in found
    options.no_delay = "nodelay" in found
    options.duration_s = found.get("time", 10)
    options.bytes, options.blocks = found.get("num", 0), found.get("blockcount", 0)
    options.streams = found.get("parallel", 1)
    options.block = found.get("len", options.block)
    options.rate = found.get("bandwidth", 0)
    test.state = CREATE_STREAMS
    if not options.udp:
        yield from test.set_state(CREATE_STREAMS)
    yield from test.say(f"Accepted connection from {ip_text(client[0])}, port {client[1]}\n")


def _accept_stream(test: Test, waiting: int) -> Part[int]:
    """A stream has come; where the next one will."""
    if test.options.udp:
        _, client = yield from sys.recvfrom(waiting, len(UDP_CONNECT_MSG))
        yield from sys.connect(waiting, *client)
        following = yield from _listen("udp", test.options.port)
        yield from sys.write(waiting, UDP_CONNECT_REPLY)
        yield from test.add_stream(waiting)
        yield from sys.set_nonblocking(waiting, not test.sender)
        return following
    fd, _ = yield from sys.accept(waiting)
    cookie = yield from read_all(fd, COOKIE_SIZE)
    if cookie != test.cookie:
        yield from sys.write(fd, bytes([ACCESS_DENIED]))
        yield from sys.close(fd)
        return waiting
    yield from test.add_stream(fd)
    yield from sys.set_nonblocking(fd, True)
    return waiting


def _server_message(test: Test) -> Step:
    data = yield from _attempt("receive control message", read_all(test.control, 1))
    if not data:
        yield from err("iperf3: the client has unexpectedly closed the connection\n")
        test.state = IPERF_DONE
        return
    test.state = data[0]
    if test.state == TEST_END:
        test.done = True
        yield from test.statistics(0, last=True)
        yield from test.close_streams()
        yield from test.print_results()
        yield from test.set_state(EXCHANGE_RESULTS)
        yield from test.receive_results()
        yield from test.send_results()
        yield from test.set_state(DISPLAY_RESULTS)
    elif test.state == CLIENT_TERMINATE:
        yield from test.print_results()
        yield from err("iperf3: the client has terminated\n")
        yield from test.close_streams()
        test.state = IPERF_DONE


def _clean_up(test: Test) -> Step:
    """Close what is open but standard input and output."""
    for fd in range(3, 3 + 4 * (len(test.streams) + 2)):
        try:
            yield from sys.close(fd)
        except OSError:
            pass  # it was not open
