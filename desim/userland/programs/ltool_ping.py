"""``ltool ping DST N INTERVAL_US SIZE TRAIN``: trains of echo requests over a raw socket.

Theory of operation
-------------------
As the kernel traces (``ftrace_``) and the stamps of the recordings show it:

* a schedule is made 2 ms before the first train; train k is due k intervals later, and
  the tool sleeps until then (``nanosleep``, so 50 us of timer slack come on top);
* the requests of a train go out back to back. Each is built and summed, the clock is
  read, ``sendto`` called, the clock read again;
* then for each reply: ``ppoll`` with the time that is left, ``recvmsg`` with MSG_DONTWAIT,
  the clock. The kernel's receive stamp comes with the message (SO_TIMESTAMP);
* it waits for replies until the next train is due, after the last train for 300 ms
  more. Intervals below 1 ms do not cut the waiting short: the next train leaves when it
  is due but never before the replies of the one before, or 300 ms, have passed.

Sequence numbers count from 0 through all trains, the identifier is the process number,
the payload SIZE bytes 0xa5. A reply that never came shows as -1.
"""

from __future__ import annotations

from desim.ports import POLLIN
from desim.stages import GUEST, mark, stages
from desim.userland.calls import sys
from desim.userland.program import Part
from desim.userland.programs.ltool_common import (
    BUFFER,
    LAST_WAIT_NS,
    LEAD_NS,
    MAX_PACKETS,
    NS_PER_US,
    RCVBUF,
    Result,
    number,
    since,
    sleep_until,
    trains,
)
from desim.userland.uapi import (
    MSG_DONTWAIT,
    SO_RCVBUF,
    SO_TIMESTAMP,
)
from desim.wire.icmp import HEADER_LEN, ICMP_ECHOREPLY, Icmp

FILL = b"\xa5"
SHORT_INTERVAL_US = 1000
NO_RTT_NS = 1 << 60
"""What the smallest round trip of none at all is."""


class Ping:
    """The tool's own code between the system calls."""

    STAGES = stages(
        GUEST,
        echo_request=mark("echo_request", file="ltool.c", size="fill"),
        echo_reply=mark("echo_reply", file="ltool.c"),
    )

    def echo_request(self, ident: int, sequence: int, fill: bytes) -> bytes:
        """Build a request and sum it up."""
        return Icmp.echo(ident, sequence & 0xFFFF, fill).emit()

    def echo_reply(self, packet: bytes, ident: int) -> int | None:
        """The sequence number of a reply to us, on 16 bits; None for any other packet."""
        start = (packet[0] & 15) * 4 if packet else 0
        message = packet[start : start + HEADER_LEN]
        if len(message) < HEADER_LEN or message[0] != ICMP_ECHOREPLY:
            return None
        if int.from_bytes(message[4:6], "big") != ident:
            return None
        return int.from_bytes(message[6:8], "big")


def ping(argv: list[str]) -> Part[Result]:
    """Send, wait, and print the stamps."""
    dst = argv[0]
    n = number(argv[1], "N", low=1, high=MAX_PACKETS)
    interval_us = number(argv[2], "INTERVAL_US")
    size = number(argv[3], "SIZE", high=65507)
    train = number(argv[4], "TRAIN", low=1, high=MAX_PACKETS)
    count = trains(n, train)
    to = (yield from sys.resolve(dst)), 0
    code = yield from sys.load(Ping)
    fd = yield from sys.socket("icmp")
    yield from sys.setsockopt(fd, SO_RCVBUF, RCVBUF)
    yield from sys.setsockopt(fd, SO_TIMESTAMP, 1)
    ident = (yield from sys.getpid()) & 0xFFFF
    fill = FILL * size
    send, sent, krx, recv = ([-1] * count for _ in range(4))
    due = (yield from sys.clock_gettime()) + LEAD_NS
    for first in range(0, count, train):
        yield from sleep_until(due)
        due += interval_us * NS_PER_US
        for at in range(first, first + train):
            packet = code.echo_request(ident, at, fill)
            send[at] = yield from sys.clock_gettime()
            yield from sys.sendto(fd, packet, to)
            sent[at] = now = yield from sys.clock_gettime()
        last = first + train == count
        patient = last or interval_us < SHORT_INTERVAL_US
        deadline = now + LAST_WAIT_NS if patient else due
        missing = train
        while missing and now < deadline:
            ((_, events),) = yield from sys.ppoll([(fd, POLLIN)], deadline - now)
            if not events:
                break
            message = yield from sys.recvmsg(fd, BUFFER, MSG_DONTWAIT)
            now = yield from sys.clock_gettime()
            sequence = code.echo_reply(message.data, ident)
            if sequence is None:
                continue
            # What came too late for its own train still counts for it.
            at = first + train - 1 - ((first + train - 1 - sequence) & 0xFFFF)
            if at >= 0 and recv[at] < 0:
                recv[at] = now
                krx[at] = message.stamp_ns if message.stamp_ns is not None else -1
                missing -= at >= first
    return _result(dst, n, interval_us, size, train, send, sent, krx, recv)


def _result(
    dst: str,
    n: int,
    interval_us: int,
    size: int,
    train: int,
    send: list[int],
    sent: list[int],
    krx: list[int],
    recv: list[int],
) -> Result:
    t0 = send[0]
    trips = [got - went for got, went in zip(recv, send, strict=True) if got >= 0]
    return {
        "test": "ping",
        "dst": dst,
        "n": n,
        "interval_us": interval_us,
        "size": size,
        "train": train,
        "t0_ns": t0,
        "received": len(trips),
        "rtt_min_ns": min(trips, default=NO_RTT_NS),
        "rtt_mean_ns": sum(trips) // len(trips) if trips else 0,
        "rtt_max_ns": max(trips, default=0),
        "send_ns": since(send, t0),
        "sent_ns": since(sent, t0),
        "krx_ns": since(krx, t0),
        "recv_ns": since(recv, t0),
    }
