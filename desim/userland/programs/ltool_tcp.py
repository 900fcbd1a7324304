"""The TCP subcommands of ``ltool``: bulk, ping-pong and drips, each from both ends.

* ``source HOST PORT BYTES WSIZE [LINGER_MS]``: connect, write BYTES in pieces of WSIZE, ask
  SIOCOUTQ every 0.2 ms until all is acknowledged, end the sending side and wait for the
  peer's end, at most LINGER_MS (3000).
* ``sink PORT``: accept one connection and read up to 65,536 bytes at a time to its end.
* ``tcpcli HOST PORT MSG N PAUSE_US``: N times write MSG bytes and read as many back, each
  after a pause; then end the sending side and wait for the peer's end.
* ``tcpsrv PORT MSG N``: the other end of it.
* ``drip HOST PORT N SIZE PAUSE_US``: N writes of SIZE bytes, one each PAUSE_US, with
  TCP_NODELAY (a recorded one sent on behind what was not acknowledged); then as ``source``,
  with 60 s for the acknowledgements and 5 s for the end.
* ``slowsrv PORT MSG N DELAY_US MODE``: N times, mode 0: read MSG bytes, sleep, write as many
  back; mode 1: wait for the first of them, sleep, then read (as the recorded reads, each
  that long behind the packet, show).

What is written is one buffer over and over. Where the kernel has no TCP_INFO (the
simulated host), the result has no ``tcp_info``.

Assumed: everything that neither a trace nor a packet shows, such as the order of
``getsockopt`` and ``shutdown``.
"""

from __future__ import annotations

import errno

from desim.ports import POLLIN
from desim.stages import GUEST, mark, stages
from desim.userland.calls import sys
from desim.userland.program import Part
from desim.userland.programs.ltool_common import (
    BUFFER,
    NS_PER_MS,
    NS_PER_US,
    Result,
    mbit_s,
    number,
    port,
    since,
    sleep_until,
)
from desim.userland.uapi import (
    SHUT_WR,
    SO_REUSEADDR,
    TCP_NODELAY,
)
from desim.wire.addresses import IP_ANY

ACKED_LOOK_NS = 200 * NS_PER_US
ACKED_WAIT_NS = 60_000 * NS_PER_MS
SOURCE_LINGER_MS = 3000
DRIP_LINGER_MS = 5000
TCP_INFO_FIELDS = (
    "snd_mss",
    "rcv_mss",
    "advmss",
    "snd_cwnd",
    "snd_ssthresh",
    "rtt_us",
    "rttvar_us",
    "rto_us",
    "ato_us",
    "rcv_space",
    "rcv_ssthresh",
    "snd_wscale",
    "rcv_wscale",
    "options",
    "retrans",
    "total_retrans",
    "lost",
    "unacked",
    "pmtu",
    "reordering",
)
"""What the tool prints of TCP_INFO."""
MAX_BYTES = 1 << 40
MAX_PIECE = 1 << 26
MAX_LINGER_MS = 3_600_000


class Tcp:
    """The tool's own code between the system calls."""

    STAGES = stages(
        GUEST,
        fill_buffer=mark("fill_buffer", file="ltool.c", size="buffer"),
    )

    def fill_buffer(self, buffer: bytearray) -> bytes:
        """Give what will be written a pattern."""
        pattern = bytes(range(256))
        return (pattern * (len(buffer) // 256 + 1))[: len(buffer)]


def _connect(argv: list[str]) -> Part[tuple[int, int, int, int]]:
    """A connection to HOST PORT, and the number of the error that it ended with."""
    to = yield from sys.resolve(argv[0])
    fd = yield from sys.socket("tcp")
    t0 = yield from sys.clock_gettime()
    error = 0
    try:
        yield from sys.connect(fd, to, port(argv[1]))
    except OSError as failed:
        error = failed.errno or errno.EIO
    return fd, t0, (yield from sys.clock_gettime()) - t0, error


def _accept(word: str) -> Part[tuple[int, int]]:
    """The first connection to PORT, and when it was there."""
    listener = yield from sys.socket("tcp")
    yield from sys.setsockopt(listener, SO_REUSEADDR, 1)
    yield from sys.bind(listener, IP_ANY, port(word))
    yield from sys.listen(listener, 8)
    fd, _ = yield from sys.accept(listener)
    return fd, (yield from sys.clock_gettime())


def _acked(fd: int) -> Part[tuple[int, int]]:
    """Wait until all that was written is acknowledged: when, and how much is not."""
    give_up = (yield from sys.clock_gettime()) + ACKED_WAIT_NS
    while True:
        left = yield from sys.outq(fd)
        now = yield from sys.clock_gettime()
        if not left or now >= give_up:
            return now, left
        yield from sys.nanosleep(ACKED_LOOK_NS)


def _tcp_info(fd: int) -> Part[dict[str, dict[str, int]]]:
    try:
        info = yield from sys.tcp_info(fd)
        return {"tcp_info": {name: info[name] for name in TCP_INFO_FIELDS}}
    except OSError as error:
        if error.errno not in (errno.ENOPROTOOPT, errno.EOPNOTSUPP):
            raise
    return {}


def _end(fd: int, linger_ms: int) -> Part[int]:
    """End the sending side and read to the peer's end, for ``linger_ms`` without a byte: when."""
    try:
        yield from sys.shutdown(fd, SHUT_WR)
        while True:
            ((_, events),) = yield from sys.ppoll([(fd, POLLIN)], linger_ms * NS_PER_MS)
            if not events or not (yield from sys.read(fd, BUFFER)):
                break
    except OSError:
        pass  # reset: that is an end, too
    return (yield from sys.clock_gettime())


def _read_all(fd: int, size: int) -> Part[bool]:
    """Read ``size`` bytes: False if the stream ended first."""
    while size:
        data = yield from sys.read(fd, min(size, BUFFER))
        if not data:
            return False
        size -= len(data)
    return True


def _refused(name: str, error: int, connect_ns: int) -> Result:
    return {"test": name, "connect_errno": error, "connect_ns": connect_ns}


def source(argv: list[str]) -> Part[Result]:
    """Send BYTES and time it."""
    size = number(argv[2], "BYTES", high=MAX_BYTES)
    wsize = number(argv[3], "WSIZE", low=1, high=MAX_PIECE)
    linger_ms = SOURCE_LINGER_MS
    if len(argv) > 4:
        linger_ms = number(argv[4], "LINGER_MS", low=1, high=MAX_LINGER_MS)
    code = yield from sys.load(Tcp)
    fd, t0, connect_ns, error = yield from _connect(argv)
    if error:
        return _refused("source", error, connect_ns)
    buffer = code.fill_buffer(bytearray(wsize))
    written = writes = max_write_ns = 0
    while written < size:
        piece = buffer if size - written >= wsize else buffer[: size - written]
        before = yield from sys.clock_gettime()
        written += yield from sys.write(fd, piece)
        max_write_ns = max(max_write_ns, (yield from sys.clock_gettime()) - before)
        writes += 1
    written_ns = (yield from sys.clock_gettime()) - t0
    acked, _ = yield from _acked(fd)
    info = yield from _tcp_info(fd)
    eof = yield from _end(fd, linger_ms)
    yield from sys.close(fd)
    return {
        "test": "source",
        "host": argv[0],
        "port": port(argv[1]),
        "bytes": size,
        "wsize": wsize,
        "writes": writes,
        "max_write_ns": max_write_ns,
        "t0": t0,
        "connect_ns": connect_ns,
        "written_ns": written_ns,
        "acked_ns": acked - t0,
        "mbit_s": mbit_s(size, acked - t0 - connect_ns),
        **info,
        "eof_ns": eof - t0,
    }


def sink(argv: list[str]) -> Part[Result]:
    """Receive all of one connection and time it."""
    fd, t0 = yield from _accept(argv[0])
    sizes: list[int] = []
    stamps: list[int] = []
    histogram: dict[str, int] = {}
    while True:
        data = yield from sys.read(fd, BUFFER)
        now = yield from sys.clock_gettime()
        if not data:
            break
        sizes.append(len(data))
        stamps.append(now)
        histogram[str(len(data))] = histogram.get(str(len(data)), 0) + 1
    info = yield from _tcp_info(fd)
    yield from sys.close(fd)
    read_ns = since(stamps, t0)
    last_ns = read_ns[-1] if read_ns else 0
    return {
        "test": "sink",
        "port": port(argv[0]),
        "bytes": sum(sizes),
        "t_accept": t0,
        "first_ns": read_ns[0] if read_ns else 0,
        "last_ns": last_ns,
        "eof_ns": now - t0,
        "reads": len(sizes),
        "mbit_s": mbit_s(sum(sizes), last_ns),
        "read_sizes": histogram,
        "read_size": sizes,
        "read_ns": read_ns,
        **info,
    }


def tcpcli(argv: list[str]) -> Part[Result]:
    """Play ping-pong, first to move."""
    msg = number(argv[2], "MSG", low=1, high=MAX_PIECE)
    n = number(argv[3], "N", low=1, high=10_000_000)
    pause_us = number(argv[4], "PAUSE_US")
    code = yield from sys.load(Tcp)
    message = code.fill_buffer(bytearray(msg))
    fd, t0, connect_ns, error = yield from _connect(argv)
    if error:
        return _refused("tcpcli", error, connect_ns)
    send: list[int] = []
    sent: list[int] = []
    recv: list[int] = []
    for _ in range(n):
        if pause_us:
            yield from sys.nanosleep(pause_us * NS_PER_US)
        send.append((yield from sys.clock_gettime()))
        yield from sys.write(fd, message)
        sent.append((yield from sys.clock_gettime()))
        if not (yield from _read_all(fd, msg)):
            break
        recv.append((yield from sys.clock_gettime()))
    trips = [got - went for got, went in zip(recv, send, strict=False)]
    info = yield from _tcp_info(fd)
    close = yield from _end(fd, SOURCE_LINGER_MS)
    yield from sys.close(fd)
    return {
        "test": "tcpcli",
        "host": argv[0],
        "port": port(argv[1]),
        "msg": msg,
        "n": n,
        "pause_us": pause_us,
        "t_connect_start": t0,
        "connect_ns": connect_ns,
        "rtt_mean_ns": sum(trips) // len(trips) if trips else 0,
        "send_ns": since(send, t0),
        "sent_ns": since(sent, t0),
        "recv_ns": since(recv, t0),
        **info,
        "close_ns": close - t0,
    }


def tcpsrv(argv: list[str]) -> Part[Result]:
    """Play ping-pong, last to move."""
    msg = number(argv[1], "MSG", low=1, high=MAX_PIECE)
    n = number(argv[2], "N", low=1, high=10_000_000)
    code = yield from sys.load(Tcp)
    message = code.fill_buffer(bytearray(msg))
    fd, t0 = yield from _accept(argv[0])
    read: list[int] = []
    wrote: list[int] = []
    for _ in range(n):
        if not (yield from _read_all(fd, msg)):
            break
        read.append((yield from sys.clock_gettime()))
        yield from sys.write(fd, message)
        wrote.append((yield from sys.clock_gettime()))
    while (yield from sys.read(fd, BUFFER)):
        pass
    eof = yield from sys.clock_gettime()
    info = yield from _tcp_info(fd)
    yield from sys.close(fd)
    return {
        "test": "tcpsrv",
        "port": port(argv[0]),
        "msg": msg,
        "n": n,
        "t_accept": t0,
        "t_eof_ns": eof - t0,
        "read_ns": since(read, t0),
        "wrote_ns": since(wrote, t0),
        **info,
    }


def drip(argv: list[str]) -> Part[Result]:
    """Send little by little."""
    n = number(argv[2], "N", low=1, high=10_000_000)
    size = number(argv[3], "SIZE", low=1, high=MAX_PIECE)
    pause_us = number(argv[4], "PAUSE_US")
    code = yield from sys.load(Tcp)
    message = code.fill_buffer(bytearray(size))
    fd, t0, connect_ns, failed = yield from _connect(argv)
    if failed:
        return _refused("drip", failed, connect_ns)
    yield from sys.setsockopt(fd, TCP_NODELAY, 1)
    send: list[int] = []
    error = 0
    due = t0 + connect_ns
    for _ in range(n):
        yield from sleep_until(due)
        due += pause_us * NS_PER_US
        send.append((yield from sys.clock_gettime()))
        try:
            yield from sys.write(fd, message)
        except OSError as broken:
            error = broken.errno or errno.EIO
            break
    acked, left = yield from _acked(fd)
    info = yield from _tcp_info(fd)
    eof = yield from _end(fd, DRIP_LINGER_MS)
    yield from sys.close(fd)
    return {
        "test": "drip",
        "host": argv[0],
        "port": port(argv[1]),
        "n": n,
        "size": size,
        "pause_us": pause_us,
        "t0": t0,
        "connect_ns": connect_ns,
        "acked_ns": acked - t0,
        "outq": left,
        "errno": error,
        "send_ns": since(send, t0),
        **info,
        "eof_ns": eof - t0,
    }


def slowsrv(argv: list[str]) -> Part[Result]:
    """Answer late, or read late."""
    msg = number(argv[1], "MSG", low=1, high=MAX_PIECE)
    n = number(argv[2], "N", low=1, high=10_000_000)
    delay_us = number(argv[3], "DELAY_US")
    mode = number(argv[4], "MODE", high=1)
    code = yield from sys.load(Tcp)
    message = code.fill_buffer(bytearray(msg))
    fd, t0 = yield from _accept(argv[0])
    read: list[int] = []
    wrote: list[int] = []
    for _ in range(n):
        if mode:
            yield from sys.poll([(fd, POLLIN)])
            yield from sys.nanosleep(delay_us * NS_PER_US)
        if not (yield from _read_all(fd, msg)):
            break
        read.append((yield from sys.clock_gettime()))
        if not mode:
            yield from sys.nanosleep(delay_us * NS_PER_US)
            yield from sys.write(fd, message)
            wrote.append((yield from sys.clock_gettime()))
    info = yield from _tcp_info(fd)
    while (yield from sys.read(fd, BUFFER)):
        pass
    yield from sys.close(fd)
    return {
        "test": "slowsrv",
        "port": port(argv[0]),
        "msg": msg,
        "n": n,
        "delay_us": delay_us,
        "mode": mode,
        "t_accept": t0,
        "read_ns": since(read, t0),
        "write_ns": since(read if mode else wrote, t0),
        **info,
    }
