"""How many TCP segments per second pass the slirp stack alone, in both directions.

    python benchmarks/bench_slirp.py [--profile]

No net layer, no card, no guest: frames go straight in and out. The host's side takes
and gives at once. Each figure counts the segments with data; their ACKs come with them.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable

from desim.ports import POLLIN, POLLOUT
from desim.slirp import Slirp, SlirpConfig
from desim.slirp.testbed import LoopbackHost, ManualClock, NoLoop, NoteLosses
from desim.wire.addresses import ip
from desim.wire.frame import Frame
from desim.wire.segment import build_segment

GUEST = ip("10.0.2.15")
HOST = ip("10.0.2.2")
GUEST_MAC = bytes.fromhex("525400123456")
HOST_MAC = bytes.fromhex("52550a000202")
MSS = 1440
SYN, ACK, PSH = 2, 16, 8


class FastHost(LoopbackHost):
    """A host whose one connection swallows everything, and offers ``supply`` without end."""

    supply = b""

    def _ready(self, fd: int) -> int:
        return super()._ready(fd) | (POLLIN if self.supply else 0) | POLLOUT

    def send(self, fd: int, data: bytes) -> int:
        return len(data)

    def recv(self, fd: int, size: int) -> bytes:
        return self.supply[:size] if self.supply else super().recv(fd, size)


class Bed:
    """A stack with one open connection from the guest."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.clock = ManualClock(1_000_000_000)
        self.host = FastHost(self.clock, [])
        self.host.host_listen("s", (ip("127.0.0.1"), 80))
        self.slirp = Slirp(
            clock=self.clock,
            net=self,
            sockets=self.host,
            loop=NoLoop(),
            ledger=NoteLosses(),
            config=SlirpConfig(),
        )
        arp = bytes.fromhex("08060001080006040002") + GUEST_MAC + GUEST + HOST_MAC + HOST
        self.slirp.slirp_input(Frame(HOST_MAC + GUEST_MAC + arp))
        self.seq = 1
        self.ack = 0
        self.guest(SYN)
        self.seq += 1
        self.poll()
        self.poll()
        answer = self.frames.pop().segment
        assert answer is not None
        self.ack = answer.seq + 1
        self.guest(ACK)

    def send(self, frame: Frame) -> int:
        self.frames.append(frame)
        return len(frame.raw)

    def flush(self) -> None:
        """The guest takes all frames."""

    def loopback(self, frame: Frame) -> int:
        raise AssertionError("slirp never loops a frame back")

    def guest(self, flags: int, payload: bytes = b"") -> None:
        self.slirp.slirp_input(
            build_segment(
                HOST_MAC,
                GUEST_MAC,
                GUEST,
                HOST,
                3000,
                80,
                self.seq & 0xFFFFFFFF,
                self.ack & 0xFFFFFFFF,
                flags,
                65535,
                payload,
                ident=1,
                ttl=64,
                tos=0,
                df=True,
            )
        )
        self.seq += len(payload)

    def poll(self) -> None:
        self.host.prepare()
        self.slirp.pollfds_fill()
        self.host.poll()
        self.slirp.pollfds_poll()

    def take(self) -> int:
        """The guest reads what came: how many segments with data."""
        count = 0
        for frame in self.frames:
            segment = frame.segment
            assert segment is not None
            if segment.payload:
                count += 1
                self.ack = segment.seq + len(segment.payload)
        self.frames.clear()
        return count


def guest_to_host(segments: int) -> int:
    """Bulk from the guest: each segment is acknowledged."""
    bed = Bed()
    payload = bytes(range(256)) * 5 + bytes(180)
    for _ in range(segments):
        bed.guest(ACK, payload)
        bed.frames.clear()
    return segments


def host_to_guest(segments: int) -> int:
    """Bulk to the guest, which acknowledges every second segment."""
    bed = Bed()
    bed.host.supply = bytes(range(256)) * 1024
    count = 0
    while count < segments:
        bed.poll()
        frames, bed.frames = bed.frames, []
        for number, frame in enumerate(frames):
            segment = frame.segment
            assert segment is not None
            bed.ack = segment.seq + len(segment.payload)
            if number & 1 or number == len(frames) - 1:
                bed.guest(ACK)
        count += len(frames)
    return count


def ping_pong(segments: int) -> int:
    """One byte there, one byte back."""
    bed = Bed()
    count = 0
    while count < segments:
        bed.guest(ACK | PSH, b"x")
        bed.host.supply = b"y"
        bed.poll()
        bed.host.supply = b""
        count += 1 + bed.take()
        bed.clock.time += 1_000_000
    return count


BENCHES: dict[str, tuple[Callable[[int], int], int]] = {
    "guest to host, 1460 bytes": (guest_to_host, 60_000),
    "host to guest, 1440 bytes": (host_to_guest, 60_000),
    "ping-pong, 1 byte": (ping_pong, 30_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="show the hottest functions")
    arguments = parser.parse_args()
    for name, (bench, segments) in BENCHES.items():
        bench(segments // 20)
        if arguments.profile:
            profile = cProfile.Profile()
            profile.runcall(bench, segments // 4)
            print(f"\n{name}")
            pstats.Stats(profile).sort_stats("tottime").print_stats(14)
            continue
        start = time.perf_counter()
        count = bench(segments)
        print(f"{name:28} {count / (time.perf_counter() - start):10,.0f} segments/s")


if __name__ == "__main__":
    main()
