"""The UDP subcommands of ``ltool``: trains of numbered datagrams, to be echoed or collected.

* ``udpsend HOST PORT ROUNDS TRAIN SIZE GAP_US INTERVAL_US ECHO``: ROUNDS trains of TRAIN
  datagrams of SIZE bytes, GAP_US apart, one train each INTERVAL_US. With ECHO 1 it waits for
  every train to come back, as ``ping`` does.
* ``udprecv PORT N TIMEOUT_MS``: collect up to N datagrams; the first may take for ever, each
  other TIMEOUT_MS.
* ``udpecho PORT [N]``: send back what comes, N datagrams or for ever.

A datagram begins with its number, 32 bits, low byte first.
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
    NS_PER_MS,
    NS_PER_US,
    RCVBUF,
    Result,
    number,
    port,
    since,
    sleep_until,
    trains,
)
from desim.userland.uapi import (
    MSG_DONTWAIT,
    SO_RCVBUF,
    SO_REUSEADDR,
    SO_TIMESTAMP,
)
from desim.wire.addresses import IP_ANY

NUMBER_LEN = 4
MAX_SIZE = 65507


class Udp:
    """The tool's own code between the system calls."""

    STAGES = stages(
        GUEST,
        udp_datagram=mark("udp_datagram", file="ltool.c"),
        udp_number=mark("udp_number", file="ltool.c"),
    )

    def udp_datagram(self, sequence: int, rest: bytes) -> bytes:
        """Number a datagram."""
        return sequence.to_bytes(NUMBER_LEN, "little") + rest

    def udp_number(self, data: bytes) -> int:
        """The number of a datagram; -1 if it is too short for one."""
        return int.from_bytes(data[:NUMBER_LEN], "little") if len(data) >= NUMBER_LEN else -1


def udpsend(argv: list[str]) -> Part[Result]:
    """Send, and with ECHO wait for the answers."""
    rounds = number(argv[2], "ROUNDS", low=1, high=MAX_PACKETS)
    train = number(argv[3], "TRAIN", low=1, high=MAX_PACKETS)
    size = number(argv[4], "SIZE", low=NUMBER_LEN, high=MAX_SIZE)
    gap_us = number(argv[5], "GAP_US")
    interval_us = number(argv[6], "INTERVAL_US")
    echo = number(argv[7], "ECHO", high=1)
    count = trains(rounds, train)
    to = (yield from sys.resolve(argv[0])), port(argv[1])
    code = yield from sys.load(Udp)
    fd = yield from sys.socket("udp")
    yield from sys.setsockopt(fd, SO_RCVBUF, RCVBUF)
    yield from sys.setsockopt(fd, SO_TIMESTAMP, 1)
    yield from sys.bind(fd, IP_ANY, 0)
    rest = bytes(size - NUMBER_LEN)
    send, sent, krx, recv = ([-1] * count for _ in range(4))
    due = (yield from sys.clock_gettime()) + LEAD_NS
    for first in range(0, count, train):
        yield from sleep_until(due)
        due += interval_us * NS_PER_US
        for at in range(first, first + train):
            if gap_us and at > first:
                yield from sleep_until(send[at - 1] + gap_us * NS_PER_US)
            datagram = code.udp_datagram(at, rest)
            send[at] = yield from sys.clock_gettime()
            yield from sys.sendto(fd, datagram, to)
            sent[at] = now = yield from sys.clock_gettime()
        deadline = now + LAST_WAIT_NS if first + train == count else due
        missing = train if echo else 0
        while missing and now < deadline:
            ((_, events),) = yield from sys.ppoll([(fd, POLLIN)], deadline - now)
            if not events:
                break
            message = yield from sys.recvmsg(fd, BUFFER, MSG_DONTWAIT)
            now = yield from sys.clock_gettime()
            at = code.udp_number(message.data)
            if 0 <= at < count and recv[at] < 0:
                recv[at] = now
                krx[at] = message.stamp_ns if message.stamp_ns is not None else -1
                missing -= at >= first
    t0 = send[0]
    trips = [got - went for got, went in zip(recv, send, strict=True) if got >= 0]
    return {
        "test": "udpsend",
        "host": argv[0],
        "port": to[1],
        "rounds": rounds,
        "train": train,
        "size": size,
        "gap_us": gap_us,
        "interval_us": interval_us,
        "t0": t0,
        "received": len(trips),
        "rtt_mean_ns": sum(trips) // len(trips) if trips else 0,
        "send_ns": since(send, t0),
        "sent_ns": since(sent, t0),
        "krx_ns": since(krx, t0),
        "recv_ns": since(recv, t0),
    }


def udprecv(argv: list[str]) -> Part[Result]:
    """Collect."""
    n = number(argv[1], "N", low=1, high=10_000_000)
    timeout_ns = number(argv[2], "TIMEOUT_MS", low=1, high=3_600_000) * NS_PER_MS
    code = yield from sys.load(Udp)
    fd = yield from sys.socket("udp")
    yield from sys.setsockopt(fd, SO_RCVBUF, RCVBUF)
    yield from sys.setsockopt(fd, SO_TIMESTAMP, 1)
    yield from sys.bind(fd, IP_ANY, port(argv[0]))
    seq: list[int] = []
    krx: list[int] = []
    recv: list[int] = []
    while len(seq) < n:
        if seq:
            ((_, events),) = yield from sys.ppoll([(fd, POLLIN)], timeout_ns)
            if not events:
                break
        message = yield from sys.recvmsg(fd, BUFFER)
        recv.append((yield from sys.clock_gettime()))
        seq.append(code.udp_number(message.data))
        krx.append(message.stamp_ns if message.stamp_ns is not None else -1)
    t0 = recv[0]
    return {
        "test": "udprecv",
        "port": port(argv[0]),
        "n": len(seq),
        "t0": t0,
        "seq": seq,
        "krx_ns": [stamp - t0 for stamp in krx],
        "recv_ns": since(recv, t0),
    }


def udpecho(argv: list[str]) -> Part[Result]:
    """Send back."""
    n = number(argv[1], "N", low=1) if len(argv) > 1 else None
    fd = yield from sys.socket("udp")
    yield from sys.setsockopt(fd, SO_RCVBUF, RCVBUF)
    yield from sys.setsockopt(fd, SO_REUSEADDR, 1)
    yield from sys.bind(fd, IP_ANY, port(argv[0]))
    done = 0
    while n is None or done < n:
        data, peer = yield from sys.recvfrom(fd, BUFFER)
        yield from sys.sendto(fd, data, peer)
        done += 1
    return {"test": "udpecho", "port": port(argv[0]), "n": done}
