"""One side of a test of ``iperf3``: its control connection, timers, streams and results.

How a test goes is told in ``desim.userland.programs.iperf3``. Times are in microseconds.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

from desim.data import NamedTuple
from desim.ports import POLLIN, POLLOUT
from desim.userland.calls import sys
from desim.userland.program import Part
from desim.userland.programs.decimals import general
from desim.userland.programs.iperf3_options import Options
from desim.userland.programs.iperf3_report import FS_OF_US, US, Report, Stream
from desim.userland.programs.output import Stdio, Step
from desim.wire.addresses import ip_text

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


class Failed(Exception):  # noqa: N818 - an end with a message, as the C function is
    """``iperf_errexit``: the message, without the program's name."""


def attempt(what: str, part: Part[T]) -> Part[T]:
    """The outcome of ``part``; its failure ends the program with ``what`` it was unable to do."""
    try:
        outcome = yield from part
    except InterruptedError:
        raise
    except OSError as error:
        raise Failed(f"error - unable to {what}: {error.strerror}") from None
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
        now = yield from now_us()
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
        now = yield from now_us()
        for timer in [one for one in self._timers if one.time <= now]:
            self._timers.remove(timer)
            yield from timer.action(now)
            if timer.every:
                self._add(timer.time + timer.every, timer.every, timer.action)

    # --- control connection

    def set_state(self, state: int) -> Step:
        """Enter a state, and tell the other side."""
        self.state = state
        yield from attempt("send control message", sys.write(self.control, bytes([state])))

    def send_json(self, text: str) -> Step:
        """A text behind its length."""
        data = text.encode()
        for part in (_SIZE.pack(len(data)), data):
            yield from attempt("send control message", sys.write(self.control, part))

    def receive_json(self, what: str) -> Part[dict[str, Any]]:
        """What the other side sends so."""
        head = yield from attempt(f"receive {what}", read_all(self.control, _SIZE.size))
        size = _SIZE.unpack(head)[0] if len(head) == _SIZE.size else 0
        data = b""
        if 0 < size <= MAX_JSON:
            data = yield from attempt(f"receive {what}", read_all(self.control, size))
        try:
            found = json.loads(data, parse_float=Fraction)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Failed(f"error - unable to receive {what}: Bad file descriptor")
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
        now = yield from now_us()
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
            end = yield from now_us()
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
            now = yield from now_us()
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
            taken = yield from attempt("write to stream socket", sys.write(stream.fd, data))
        else:
            stream.pending = stream.pending or len(data)
            part = write_all(stream.fd, data[: stream.pending])
            taken = yield from attempt("write to stream socket", part)
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
            data = yield from attempt("read from stream socket", part)
            self.bytes += len(data)
            self.blocks += 1
            stream.green = bool(data) or self.options.udp
            if self.state != TEST_RUNNING or not data:
                continue
            if self.options.udp and len(data) >= _HEADER.size:
                now = yield from now_us()
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
                raise Failed("error - stream has an invalid id")
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


def now_us() -> Part[int]:
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
