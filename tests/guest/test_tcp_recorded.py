"""The guest's half of recorded connections: slirp's frames in, the guest's out.

What slirp acknowledges is moved to the initial sequence number that our guest drew; all
else of slirp's frames is as recorded. Times come from the recordings where they matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes_net import GUEST_MAC, MS, SECOND, SLIRP, Guest, Peer, answer_arp

from desim.guest.net.socket import TcpSocket
from desim.wire import pcapng
from desim.wire.arp import Arp
from desim.wire.frame import Frame
from desim.wire.segment import Segment, build_segment
from desim.wire.tcp import ACK, PSH, RST, SYN

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "linux"
"""Recorded by QEMU 7.2.22, libslirp 4.7.0, Linux 6.1.192; see the README there."""


def recording(name: str) -> Iterator[Frame]:
    """The frames of the TCP connection and of the ARP exchange in it."""
    for packet in pcapng.read((VECTORS / f"{name}.pcap").read_bytes()):
        kind = packet.raw[12:14]
        if kind == b"\x08\x06" or (kind == b"\x08\x00" and packet.raw[23] == 6):
            yield Frame(packet.raw)


class Replay:
    """A recording, taken frame by frame, beside the guest that has to repeat its half."""

    def __init__(self, name: str) -> None:
        self.guest = Guest()
        self.frames = list(recording(name))
        self.shift = 0

    def slirp(self, count: int = 1) -> None:
        """Give the guest the next ``count`` frames of slirp, in one interrupt.

        Frames of the guest in between stay for ``guest_sends``.
        """
        given = []
        for frame in list(self.frames):
            if count and frame.raw[6:12] != GUEST_MAC:
                self.frames.remove(frame)
                given.append(self.moved(frame))
                count -= 1
        assert not count
        self.guest.put(*given)

    def moved(self, frame: Frame) -> Frame:
        seg = frame.segment
        if seg is None or not seg.flags & ACK:
            return frame
        return build_segment(
            seg.dst_mac,
            seg.src_mac,
            seg.src,
            seg.dst,
            seg.sport,
            seg.dport,
            seg.seq,
            (seg.ack + self.shift) & 0xFFFFFFFF,
            seg.flags,
            seg.window,
            seg.payload,
            ident=seg.ident,
            ttl=seg.ttl,
            tos=seg.tos,
            df=seg.df,
        ).padded()

    def guest_sends(self) -> None:
        """What the guest has sent since the last time is what it sent in the recording."""
        for ours in self.guest.take():
            theirs = next(f for f in self.frames if f.raw[6:12] == GUEST_MAC)
            self.frames.remove(theirs)
            if theirs.segment is None:
                assert ours.raw == theirs.raw
            else:
                assert ours.segment is not None
                self.same(ours, ours.segment, theirs, theirs.segment)

    def same(self, our_frame: Frame, ours: Segment, their_frame: Frame, theirs: Segment) -> None:
        assert ours.sums_ok
        assert len(our_frame) == len(their_frame)
        if theirs.flags & SYN:
            self.shift = ours.seq - theirs.seq
            assert ours.ident == theirs.ident
        assert (ours.seq - theirs.seq - self.shift) & 0xFFFFFFFF == 0
        for name in (
            "ack", "flags", "window", "urgent", "options", "payload", "tos", "ttl", "df",
            "src", "dst", "src_mac", "dst_mac", "sport", "dport",
        ):  # fmt: skip
            assert getattr(ours, name) == getattr(theirs, name), name

    def over(self) -> None:
        """Nothing of the recording is left, and the guest has nothing left to do."""
        self.guest_sends()
        assert self.frames == []
        self.guest.cpu.run(10 * SECOND)
        assert self.guest.take() == []
        assert [name for name in self.guest.cpu.armed() if name.startswith("tcp ret")] == []


def opened(name: str) -> tuple[Replay, TcpSocket]:
    """The handshake: slirp's SYN makes the guest ask who 10.0.2.2 is, then answer."""
    replay = Replay(name)
    server = replay.guest.stack.tcp_socket()
    server.bind(bytes(4), 5556)
    server.listen(1)
    replay.slirp()
    assert Arp.parse(replay.guest.driver.sent[0].raw[14:]).target_ip == SLIRP
    replay.guest_sends()
    replay.slirp()
    replay.guest_sends()
    replay.slirp()
    sock = server.accept()
    server.close()
    return replay, sock


@pytest.mark.parametrize(
    "name",
    [
        "seed_direct_tcg_openbsd_plain",
        "seed_direct_icount3_openbsd_plain",
        "seed_hub_tcg_openbsd_plain",
    ],
)
def test_a_line_and_a_plain_close(name: str) -> None:
    replay, sock = opened(name)
    replay.slirp()
    assert sock.recv(2048) == b"Hello qemu Geust\n"
    replay.guest_sends()
    replay.guest.cpu.run(3500 * MS)
    replay.slirp()
    assert sock.recv(2048) == b""
    sock.close()
    replay.guest_sends()
    replay.slirp()
    replay.over()


def test_a_line_and_two_fins_that_cross() -> None:
    replay, sock = opened("seed_direct_tcg_busybox_N")
    # busybox nc finds its input at the end and closes its side, while slirp's data and
    # FIN still wait for the card's interrupt.
    sock.shutdown(1)
    replay.guest_sends()
    replay.slirp(3)
    assert sock.recv(2048) == b"Hello qemu Geust\n"
    assert sock.recv(2048) == b""
    sock.close()
    replay.over()


# Runs whose captures are too long to keep: what they showed, in figures.

TICK_ORIGIN_NS = 976_909 * 1000
"""Where the tick of the two recorded runs with timers lies in their stamps: all their
retransmissions are this much behind the grid of the timer wheel, modulo 2.048 s."""


def client(guest: Guest, address: bytes = SLIRP, port: int = 1234) -> tuple[TcpSocket, Peer]:
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(address, port)
    (syn,) = guest.segments()
    peer = Peer(guest, sport=port, dport=syn.sport, iss=0)
    peer.ack = syn.seq + 1
    peer.send(SYN | ACK, mss=1460)
    sock.connect(address, port)
    return sock, peer


def test_retransmissions_of_a_dead_connection() -> None:
    """``tcp_rto_small``: eight writes of 100 bytes, 50 ms apart; the last two are lost."""
    guest = Guest().know_slirp()
    guest.cpu.run(8_071_816_000 - TICK_ORIGIN_NS)
    sock, peer = client(guest)
    sock.set_nodelay(True)
    start = guest.cpu.time
    for number in range(8):
        guest.cpu.run(start + number * 50 * MS - guest.cpu.time)
        sock.send(bytes(100))
        (data,) = guest.segments()
        assert len(data.payload) == 100
        if number < 6:
            # The round trip that was measured: with 200 ms it makes 51 jiffies.
            guest.cpu.run(107_000)
            peer.ack += 100
            assert peer.send(ACK) == []
    sent: list[tuple[int, int]] = []
    guest.driver.sent_at.clear()
    for _ in range(60 * 250):
        guest.cpu.run(4 * MS)
        at = [(when - start) // MS for when in guest.driver.sent_at]
        sent += zip(at, [len(s.payload) for s in guest.segments()], strict=True)
    # Both segments travel as one from now on.
    recorded = [506, 938, 1770, 3434, 6730, 13386, 26698]
    assert [size for _, size in sent[:7]] == [200] * 7
    for (ours, _), theirs in zip(sent, recorded, strict=False):
        assert abs(ours - theirs) <= 1
    assert sent[7][0] == pytest.approx(54_346, abs=1)
    # 204 ms, doubled eight times, in jiffies.
    assert sock.sk.rto == 51 << 8


def test_syns_to_a_dead_peer() -> None:
    """``tcp_syn_timeout``: SYN repeated at +1, 3, 7, 15, 31, 63 s, given up after 129.25 s."""
    guest = Guest().know_slirp()
    guest.cpu.run(17_142_420_000 - TICK_ORIGIN_NS)
    start = guest.cpu.time
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    guest.take()
    guest.driver.sent_at.clear()
    times = []
    while not sock.sk.err:
        guest.cpu.run(4 * MS)
        times += [(when - start) / MS for when in guest.driver.sent_at]
        guest.take()
    assert times == pytest.approx([1018.5, 3034.5, 7130.5, 15322.5, 31450.5, 63706.5], abs=0.1)
    assert (guest.cpu.time - start) / MS == pytest.approx(129_250, abs=10)
    with pytest.raises(TimeoutError):
        sock.connect(SLIRP, 80)
    sock.close()
    assert guest.stack.idle()


def test_a_refused_port() -> None:
    """``tcp_refused``: the RST that slirp sends for a port of the host that nobody has."""
    guest = Guest()
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 9)
    (request,) = guest.take()
    guest.put(answer_arp(guest, request))
    (syn,) = guest.segments()
    peer = Peer(guest, sport=9, dport=syn.sport, iss=0)
    peer.ack = syn.seq + 1
    assert peer.send(RST | ACK) == []
    with pytest.raises(ConnectionRefusedError):
        sock.connect(SLIRP, 9)


def reader(port: int) -> tuple[Guest, TcpSocket, Peer]:
    guest = Guest().know_slirp()
    server = guest.stack.tcp_socket()
    server.bind(bytes(4), port)
    server.listen(1)
    peer = Peer(guest, sport=40000, dport=port, iss=0)
    peer.ack = peer.send(SYN, mss=1460)[0].seq + 1
    peer.send(ACK)
    return guest, server.accept(), peer


@pytest.mark.parametrize(
    ("size", "pause_ms", "windows"),
    [
        (1, 200, [64239, 64238, 64237, 64236]),
        (100, 45, [64140, 64040, 64040, 64040]),
        (1460, 30, [62780, 62780, 62780, 62780]),
    ],
)
def test_a_reader_that_keeps_up(size: int, pause_ms: int, windows: list[int]) -> None:
    """``tcp_acks_tcg``: one ACK per message, never delayed, and these windows."""
    guest, sock, peer = reader(5630)
    acks = []
    for number in range(40):
        sent_at = guest.cpu.time
        answer = peer.send(ACK | PSH, bytes(size))
        assert sock.recv(65536) == bytes(size)
        answer += guest.segments()
        assert [(s.flags, s.ack) for s in answer] == [(ACK, 1 + (number + 1) * size)]
        assert guest.cpu.time == sent_at
        acks += [s.window for s in answer]
        guest.cpu.run(pause_ms * MS)
    assert acks[:4] == windows
    if size > 1:
        assert set(acks[4:]) == {windows[3]}


def test_an_answer_within_40_ms_carries_the_ack() -> None:
    """``tcp_delack_tcg``, reply20ms: only the first message gets an ACK of its own."""
    guest, sock, peer = reader(5641)
    lone = []
    for _ in range(12):
        answer = peer.send(ACK | PSH, b"q")
        sock.recv(10)
        guest.cpu.run(20 * MS)
        lone += answer + guest.segments()
        sock.send(b"a")
        (data,) = guest.segments()
        assert data.ack == peer.seq
        peer.ack += 1
        peer.send(ACK)
        guest.cpu.run(1 * MS)
    assert len(lone) == 1


def test_an_answer_after_100_ms_comes_too_late() -> None:
    """``tcp_delack_tcg``, reply100ms: every message is acknowledged at once."""
    guest, sock, peer = reader(5640)
    for _ in range(12):
        answer = peer.send(ACK | PSH, b"q")
        sock.recv(10)
        assert len(answer + guest.segments()) == 1
        guest.cpu.run(100 * MS)
        sock.send(b"a")
        guest.take()
        peer.ack += 1
        peer.send(ACK)
        guest.cpu.run(20 * MS)


def test_a_reader_that_does_not_read() -> None:
    """``tcp_delack_tcg``, lateread_zero: the window follows the memory that is left."""
    guest, sock, peer = reader(5645)
    windows = []
    # Segments per interrupt and after which time the ACK came, as recorded.
    for segments, delay_ms in [
        (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 45), (9, 45), (10, 45),
        (8, 45), (3, 45),
    ]:  # fmt: skip
        frames = []
        for _ in range(segments):
            frames.append(peer.frame(ACK, bytes(1460)))
            peer.seq += 1460
        guest.put(*frames)
        acks = guest.segments()
        if delay_ms:
            assert acks == []
            guest.cpu.run(delay_ms * MS)
            acks = guest.segments()
        assert [s.ack for s in acks] == [peer.seq]
        windows += [s.window for s in acks]
    assert windows == [
        62780, 61320, 58400, 55480, 49640, 43800, 37960, 29200, 21900, 11680, 4380, 0,
    ]  # fmt: skip
    assert len(sock.recv(100_000)) == 66 * 1460
    (update,) = guest.segments()
    assert update.window == 62780


def test_frames_of_slirp_reach_only_its_mac() -> None:
    guest, _, peer = reader(5000)
    raw = peer.frame(ACK | PSH, b"abc").raw
    guest.put(Frame(b"\x52\x54\x00\x00\x00\x01" + raw[6:]))
    assert guest.take() == []
    assert guest.stack.snmp.ip["InDiscards"] == 1
