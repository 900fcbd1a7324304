"""How many TCP segments per second pass the slirp stack alone, in both directions.

    python -m benchmarks slirp [--profile | --against DIR]

No net layer, no card, no guest: frames go straight in and out, and the host's side
takes and gives at once. The guest's frames arrive as bytes, as the card hands them on:
the stack reads them and verifies their sums. Making them, and reading what the stack
sent, is the guest's work and not timed. Each figure counts the segments with data,
and their payload; the ACKs come with them.

CPU time, the best of several turns. ``--against`` takes turns with the ``desim`` of
another checkout, and prints the ratio.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

from desim.devices import HostFwd, UserNet
from desim.host.sockets import QemuSockets
from desim.host.tcp import TcpSocket
from desim.ports import POLLIN, POLLOUT
from desim.slirp import Slirp
from desim.testing import Host, Ledger, NoLoop, VirtualClock
from desim.wire.addresses import LOOPBACK, ip
from desim.wire.frame import Frame
from desim.wire.segment import Segment, build_segment

GUEST = ip("10.0.2.15")
HOST = ip("10.0.2.2")
GUEST_MAC = bytes.fromhex("525400123456")
HOST_MAC = bytes.fromhex("52550a000202")
GUEST_PORT, SERVER_PORT, FORWARDED_PORT = 3000, 80, 5555
HERE = Path(__file__).resolve().parents[1]
MSS = 1460
SYN, PSH, ACK = 2, 8, 16
PAYLOAD = (bytes(range(256)) * 6)[:MSS]
ROUND_TRIP_NS = 100_000
TURNS = 5
BATCH = 200
"""Frames of the guest that are made at a time, while the watch stands."""


class FastSockets(QemuSockets):
    """A host whose one connection swallows everything, and gives ``supply`` at each read."""

    supply = b""

    def state(self, fd: int) -> int:
        found = super().state(fd)
        if found & POLLOUT and self.supply:
            found |= POLLIN
        return found

    def send(self, fd: int, data: bytes) -> int:
        return len(data)

    def recv(self, fd: int, size: int) -> bytes:
        return self.supply[:size] if self.supply else super().recv(fd, size)


class Watch:
    """Runs inside ``with``; profiles there, if there is a profile."""

    def __init__(self, profile: cProfile.Profile | None) -> None:
        self.profile = profile
        self.seconds = 0.0

    def __enter__(self) -> None:
        if self.profile is not None:
            self.profile.enable()
        self._start = process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += process_time() - self._start
        if self.profile is not None:
            self.profile.disable()


class Bed:
    """A stack, its host, and a guest with one connection."""

    def __init__(self, profile: cProfile.Profile | None) -> None:
        self.watch = Watch(profile)
        self.frames: list[Frame] = []
        self.clock = VirtualClock(1_000_000_000)
        host = Host(qemu=self._qemu)
        self.server = TcpSocket(host.kernel.tcp, None)
        self.server.bind(LOOPBACK, SERVER_PORT)
        self.server.listen(1)
        self.client = TcpSocket(host.kernel.tcp, None)
        self.slirp = Slirp(
            clock=self.clock,
            net=self,
            sockets=self.sockets,
            loop=NoLoop(),
            ledger=Ledger(),
            config=UserNet(),
        )
        self.slirp.add_hostfwd(
            HostFwd(
                host_addr=LOOPBACK,
                host_port=FORWARDED_PORT,
                guest_addr=GUEST,
                guest_port=GUEST_PORT,
            )
        )
        arp = bytes.fromhex("08060001080006040002") + GUEST_MAC + GUEST + HOST_MAC + HOST
        self.slirp.slirp_input(Frame(HOST_MAC + GUEST_MAC + arp))
        self.seq = 1
        self.ack = 0
        self.peer_port = SERVER_PORT

    def _qemu(self, **ports: Any) -> FastSockets:
        self.sockets = FastSockets(**ports)
        return self.sockets

    def connect(self) -> None:
        """The guest opens the connection."""
        self.guest(SYN)
        self.poll()
        self.poll()
        self._established(self.received()[0])

    def accept(self) -> None:
        """A program of the host opens it, through a forwarded port."""
        self.client.connect(LOOPBACK, FORWARDED_PORT)
        self.poll()
        syn = self.received()[0]
        self.peer_port = syn.sport
        self.ack = syn.seq + 1
        self.guest(SYN | ACK)
        self._established(syn)

    def _established(self, syn: Segment) -> None:
        self.ack = syn.seq + 1
        self.seq += 1
        self.guest(ACK)

    def send(self, frame: Frame) -> int:
        self.frames.append(frame)
        return len(frame.raw)

    def flush(self) -> None:
        """The guest takes all frames."""

    def loopback(self, frame: Frame) -> int:
        raise AssertionError("slirp never loops a frame back")

    def made(self, flags: int, payload: bytes = b"") -> Frame:
        """The guest's next frame, as bytes that nobody has read."""
        frame = build_segment(
            HOST_MAC,
            GUEST_MAC,
            GUEST,
            HOST,
            GUEST_PORT,
            self.peer_port,
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
        self.seq += len(payload)
        return Frame(frame.raw)

    def guest(self, flags: int) -> None:
        self.slirp.slirp_input(self.made(flags))

    def poll(self) -> None:
        self.slirp.pollfds_fill()
        self.sockets.collect()
        self.slirp.pollfds_poll()

    def received(self) -> list[Segment]:
        """What has come to the guest."""
        segments = [frame.segment for frame in self.frames]
        self.frames.clear()
        return [segment for segment in segments if segment is not None]

    def received_bytes(self, count: int) -> Segment:
        """The last of ``count`` bytes that came, each in a segment of its own."""
        segments = [segment for segment in self.received() if segment.payload]
        assert len(segments) == count
        assert segments[-1].seq + 1 == self.ack
        return segments[-1]


class Result(NamedTuple):
    """What one turn moved, and in which time."""

    segments: int
    payload: int
    seconds: float

    @property
    def rate(self) -> float:
        """Segments with data per second."""
        return self.segments / self.seconds


def guest_to_host(segments: int, profile: cProfile.Profile | None) -> Result:
    """Bulk from the guest: slirp acknowledges each segment."""
    bed = Bed(profile)
    bed.connect()
    for _ in range(segments // BATCH):
        frames = [bed.made(ACK, PAYLOAD) for _ in range(BATCH)]
        with bed.watch:
            for frame in frames:
                bed.slirp.slirp_input(frame)
        acks = bed.received()
        assert len(acks) == BATCH
        assert acks[-1].ack == bed.seq
    return Result(segments, segments * MSS, bed.watch.seconds)


def host_to_guest(segments: int, profile: cProfile.Profile | None) -> Result:
    """Bulk to the guest, which acknowledges every second segment."""
    bed = Bed(profile)
    bed.connect()
    bed.sockets.supply = PAYLOAD * 200
    acks: list[Frame] = []
    count = payload = 0
    while count < segments:
        with bed.watch:
            for frame in acks:
                bed.slirp.slirp_input(frame)
            bed.poll()
        acks.clear()
        arrived = bed.received()
        for number, segment in enumerate(arrived, 1):
            assert segment.seq == bed.ack
            bed.ack += len(segment.payload)
            payload += len(segment.payload)
            if number % 2 == 0 or number == len(arrived):
                acks.append(bed.made(ACK))
        count += len(arrived)
    return Result(count, payload, bed.watch.seconds)


def guest_asks(segments: int, profile: cProfile.Profile | None) -> Result:
    """One byte to the host and one back, each carrying the ACK of the other."""
    bed = Bed(profile)
    bed.connect()
    for _ in range(0, segments, 2 * BATCH):
        questions = []
        for _ in range(BATCH):
            questions.append(bed.made(ACK | PSH, b"x"))
            bed.ack += 1
        with bed.watch:
            for question in questions:
                bed.slirp.slirp_input(question)
                bed.sockets.supply = b"y"
                bed.poll()
                bed.sockets.supply = b""
                bed.clock.pass_by(ROUND_TRIP_NS)
        assert bed.received_bytes(BATCH).ack == bed.seq
    return Result(segments, segments, bed.watch.seconds)


def host_asks(segments: int, profile: cProfile.Profile | None) -> Result:
    """One byte to the guest and one back; each side acknowledges before it answers."""
    bed = Bed(profile)
    bed.accept()
    for _ in range(0, segments, 2 * BATCH):
        answers = []
        for _ in range(BATCH):
            bed.ack += 1
            answers += [bed.made(ACK), bed.made(ACK | PSH, b"x")]
        turns = iter(answers)
        with bed.watch:
            for ack, answer in zip(turns, turns, strict=True):
                bed.sockets.supply = b"y"
                bed.poll()
                bed.sockets.supply = b""
                bed.slirp.slirp_input(ack)
                bed.slirp.slirp_input(answer)
                bed.clock.pass_by(ROUND_TRIP_NS)
        assert bed.received_bytes(BATCH).ack + 1 == bed.seq
    return Result(segments, segments, bed.watch.seconds)


BENCHES: dict[str, tuple[Callable[[int, cProfile.Profile | None], Result], int]] = {
    "bulk, guest to host": (guest_to_host, 20_000),
    "bulk, host to guest": (host_to_guest, 20_000),
    "1 byte, the guest asks": (guest_asks, 8_000),
    "1 byte, the host asks": (host_asks, 8_000),
}


def profiled(name: str) -> None:
    """Print the hottest functions of the stack."""
    bench, segments = BENCHES[name]
    profile = cProfile.Profile()
    bench(segments, profile)
    print(f"\n{name}, {segments} segments")
    pstats.Stats(profile).sort_stats("tottime").print_stats(14)


def turn(name: str) -> Result:
    """The best of three runs, after a short one that warms up."""
    bench, segments = BENCHES[name]
    bench(segments // 10, None)
    return max((bench(segments, None) for _ in range(3)), key=lambda result: result.rate)


def turn_in(checkout: Path, name: str) -> Result:
    """The same by the ``desim`` of ``checkout``, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks", "slirp", "--turn", name],
        env={**os.environ, "PYTHONPATH": f"{checkout}{os.pathsep}{HERE}"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return Result(*json.loads(done.stdout))


def compare(checkout: Path) -> None:
    """Take turns with another checkout; each keeps its best turn."""
    for name in BENCHES:
        pairs = [(turn_in(checkout, name), turn_in(HERE, name)) for _ in range(TURNS)]
        there, ours = (max(results, key=lambda r: r.rate) for results in zip(*pairs, strict=True))
        print(f"{name:24} {there.rate:9,.0f} -> {ours.rate:9,.0f} segments/s", end="")
        print(f"   {ours.rate / there.rate:.2f} times as fast", flush=True)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks slirp", description=(__doc__ or "").splitlines()[0]
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--profile", action="store_true", help="show the hottest functions")
    how.add_argument("--against", type=Path, metavar="DIR", help="compare with this checkout")
    how.add_argument("--turn", choices=BENCHES, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.turn:
        print(json.dumps(turn(arguments.turn)))
    elif arguments.against:
        compare(arguments.against)
    elif arguments.profile:
        for name in BENCHES:
            profiled(name)
    else:
        for name in BENCHES:
            best = max((turn(name) for _ in range(TURNS)), key=lambda result: result.rate)
            per_segment_us = 1e6 / best.rate
            print(f"{name:24} {best.rate:9,.0f} segments/s   {per_segment_us:5.1f} us each", end="")
            print(f"   {best.payload / best.seconds / 1e6:7.2f} MB/s of payload")
