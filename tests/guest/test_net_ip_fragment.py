"""Fragments of the guest: those it sends and those it puts together again."""

from __future__ import annotations

import errno
from collections.abc import Callable
from itertools import pairwise

import pytest
from fakes_net import GUEST, GUEST_MAC, SECOND, SLIRP, SLIRP_MAC, Guest, answer_arp
from hypothesis import given, settings
from hypothesis import strategies as st

from desim.guest.net.device import Device
from desim.guest.net.ip import DF, IP_PMTUDISC_DO, IP_PMTUDISC_DONT
from desim.guest.net.ip_fragment import (
    HIGH_THRESH,
    IP_MAX_DIST,
    IPQ_SIZE,
    IpFragments,
    coalesced_truesize,
)
from desim.guest.net.skbuff import rx_room
from desim.guest.net.udp import UdpSocket
from desim.guest.skb import Skb
from desim.wire.addresses import IP_BROADCAST, ip
from desim.wire.ethernet import ETH_P_IP, Ethernet
from desim.wire.frame import Frame
from desim.wire.icmp import (
    ICMP_DEST_UNREACH,
    ICMP_ECHOREPLY,
    ICMP_EXC_FRAGTIME,
    ICMP_HOST_UNREACH,
    ICMP_TIME_EXCEEDED,
    Icmp,
)
from desim.wire.ipv4 import PROTO_ICMP, PROTO_TCP, PROTO_UDP, Ipv4
from desim.wire.segment import build_segment
from desim.wire.tcp import RST, SYN
from desim.wire.udp import Udp

OTHER = ip("10.0.2.3")


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


def to_guest(packet: Ipv4) -> Frame:
    return Frame(Ethernet(GUEST_MAC, SLIRP_MAC, ETH_P_IP, packet.emit()).emit()).padded()


def sent(guest: Guest) -> list[Ipv4]:
    packets = [Ipv4.parse(frame.raw[14:]) for frame in guest.take()]
    assert all(packet.sum_ok for packet in packets)
    return packets


def joined(packets: list[Ipv4]) -> bytes:
    """The datagram of fragments that came in ascending order, and nothing else."""
    assert {packet.ident for packet in packets} == {packets[0].ident}
    assert [packet.mf for packet in packets] == [True] * (len(packets) - 1) + [False]
    data = b""
    for packet in packets:
        assert packet.offset == len(data)
        data += packet.payload
    return data


def payload(size: int) -> bytes:
    """Bytes of which no two places look alike."""
    return b"".join(n.to_bytes(4, "big") for n in range(size // 4 + 1))[:size]


def cut(packet: Ipv4, *ends: int) -> list[Ipv4]:
    """``packet`` in fragments that end at these bytes of its payload, and the rest."""
    edges = [0, *ends, len(packet.payload)]
    return [
        Ipv4(
            packet.src,
            packet.dst,
            packet.protocol,
            packet.payload[start:end],
            packet.ident,
            mf=end < edges[-1],
            offset=start,
        )
        for start, end in pairwise(edges)
    ]


def datagram(data: bytes, *, ident: int = 1, src: bytes = SLIRP, dport: int = 9000) -> Ipv4:
    return Ipv4(src, GUEST, PROTO_UDP, Udp(53, dport, data).emit(src, GUEST), ident)


def receiver(guest: Guest) -> UdpSocket:
    sock = guest.stack.udp_socket()
    sock.bind(bytes(4), 9000)
    return sock


def counters(guest: Guest) -> tuple[int, int, int, int]:
    """ReasmReqds, ReasmOKs, ReasmFails, ReasmTimeout."""
    mib = guest.stack.snmp.ip
    return mib["ReasmReqds"], mib["ReasmOKs"], mib["ReasmFails"], mib["ReasmTimeout"]


# Output


@pytest.mark.parametrize(
    ("size", "frames"),
    [
        (1472, [1514]),
        (2000, [1514, 562]),
        (2952, [1514, 1514]),
        (4000, [1514, 1514, 1082]),
        (8000, [1514] * 5 + [642]),
    ],
)
def test_a_ping_leaves_as_recorded(guest: Guest, size: int, frames: list[int]) -> None:
    """Frame lengths, DF and offsets of the recorded ``ping_size`` tests (sizes_icount0_itr0)."""
    ping = Icmp.echo(7, 1, payload(size)).emit()
    sock = guest.stack.icmp_socket()
    sock.sendto(ping, (SLIRP, 0))
    lengths = [len(frame) for frame in guest.driver.sent]
    packets = sent(guest)
    assert lengths == frames
    assert joined(packets) == ping
    assert {packet.df for packet in packets} == {size == 1472}
    assert {(packet.ttl, packet.tos, packet.src) for packet in packets} == {(64, 0, GUEST)}
    assert guest.stack.snmp.icmp == {"OutMsgs": 1, "OutEchos": 1}


def test_the_identification_is_drawn_once_for_all_fragments(guest: Guest) -> None:
    sock = guest.stack.icmp_socket()
    for _ in range(2):
        sock.sendto(Icmp.echo(7, 1, bytes(2000)).emit(), (SLIRP, 0))
    first, _, second, _ = sent(guest)
    assert second.ident == first.ident + 1


def test_identifications_belong_to_addresses_and_protocol(guest: Guest) -> None:
    """Recorded in one run: TFTP at 0x69b9 while pings were at 0x8ba0."""
    select = guest.stack.ip.ip_select_ident
    first = select(SLIRP, GUEST, PROTO_ICMP)
    other = select(SLIRP, GUEST, PROTO_UDP)
    assert other not in (first, first + 1)
    assert select(SLIRP, GUEST, PROTO_ICMP) == (first + 1) & 0xFFFF


def test_an_identification_jumps_by_less_than_the_jiffies_since_the_last(guest: Guest) -> None:
    """As recorded: pings 2 or 3 jiffies apart are 1 to 3 apart."""
    steps = []
    last = guest.stack.ip.ip_select_ident(SLIRP, GUEST, PROTO_ICMP)
    for _ in range(100):
        guest.cpu.run(10_000_000)
        ident = guest.stack.ip.ip_select_ident(SLIRP, GUEST, PROTO_ICMP)
        steps.append((ident - last) & 0xFFFF)
        last = ident
    assert set(steps) == {1, 2, 3}


def test_an_echo_reply_leaves_in_fragments(guest: Guest) -> None:
    ask = Icmp.echo(7, 3, payload(4000))
    guest.put(*map(to_guest, cut(Ipv4(SLIRP, GUEST, PROTO_ICMP, ask.emit(), 9), 1480, 2960)))
    packets = sent(guest)
    reply = Icmp.parse(joined(packets))
    assert reply.sum_ok
    assert (reply.type, reply.payload) == (ICMP_ECHOREPLY, ask.payload)
    assert [len(packet.payload) for packet in packets] == [1480, 1480, 1048]
    mib = guest.stack.snmp.ip
    assert (mib["FragOKs"], mib["FragCreates"], mib["OutRequests"]) == (1, 3, 1)
    assert guest.stack.snmp.icmp["OutEchoReps"] == guest.stack.snmp.icmp["OutMsgs"] == 1


@pytest.mark.parametrize("size", [1473, 2952, 65507])
def test_a_large_datagram_carries_its_whole_checksum(guest: Guest, size: int) -> None:
    data = payload(size)
    assert guest.stack.udp_socket().sendto(data, (SLIRP, 53)) == size
    udp = Udp.parse(joined(sent(guest)), GUEST, SLIRP)
    assert udp.sum_ok
    assert udp.payload == data
    assert guest.stack.snmp.udp["OutDatagrams"] == 1


def test_no_datagram_is_longer_than_its_length_field(guest: Guest) -> None:
    for address in (SLIRP, GUEST):
        with pytest.raises(OSError) as too_long:
            guest.stack.udp_socket().sendto(bytes(65508), (address, 53))
        assert too_long.value.errno == errno.EMSGSIZE
    with pytest.raises(OSError) as too_long:
        guest.stack.icmp_socket().sendto(bytes(65516), (SLIRP, 0))
    assert too_long.value.errno == errno.EMSGSIZE
    assert guest.take() == []
    assert guest.stack.snmp.udp["OutDatagrams"] == 0


def test_a_connected_socket_counts_datagrams_not_fragments(guest: Guest) -> None:
    sock = guest.stack.udp_socket()
    sock.connect(SLIRP, 53)
    before = sock.inet_id
    sock.send(bytes(3000))
    assert {packet.ident for packet in sent(guest)} == {before}
    assert sock.inet_id == before + 1


def test_who_discovers_the_mtu_himself_gets_no_fragments(guest: Guest) -> None:
    inet = guest.stack.ip
    route = inet.route_output(SLIRP)
    inet.ip_push_pending_frames(
        Skb(bytes(1480)), route, GUEST, SLIRP, PROTO_UDP, pmtudisc=IP_PMTUDISC_DO
    )
    (packet,) = sent(guest)
    assert (packet.df, packet.ident) == (True, 0)
    with pytest.raises(OSError) as too_long:
        inet.ip_push_pending_frames(
            Skb(bytes(1481)), route, GUEST, SLIRP, PROTO_UDP, pmtudisc=IP_PMTUDISC_DO
        )
    assert too_long.value.errno == errno.EMSGSIZE


def test_a_packet_with_df_that_nobody_may_ignore_fails(guest: Guest) -> None:
    inet = guest.stack.ip
    route = inet.route_output(SLIRP)
    with pytest.raises(OSError) as too_long:
        inet.ip_local_out(Skb(bytes(2000)), route, GUEST, SLIRP, PROTO_TCP, 0, DF)
    assert too_long.value.errno == errno.EMSGSIZE
    assert guest.stack.snmp.ip["FragFails"] == 1


def test_pieces_are_multiples_of_eight_whatever_the_mtu(guest: Guest) -> None:
    guest.device.mtu = 601
    data = payload(1745)
    route = guest.stack.ip.route_output(SLIRP)
    guest.stack.ip.ip_push_pending_frames(
        Skb(data), route, GUEST, SLIRP, 99, pmtudisc=IP_PMTUDISC_DONT
    )
    packets = sent(guest)
    assert joined(packets) == data
    # The last piece may use the MTU to the full.
    assert [len(packet.payload) for packet in packets] == [576, 576, 576, 17]


def test_fragments_wait_for_the_neighbour_in_their_order() -> None:
    guest = Guest()
    data = payload(4000)
    guest.stack.udp_socket().sendto(data, (SLIRP, 53))
    (request,) = guest.take()
    guest.put(answer_arp(guest, request))
    assert Udp.parse(joined(sent(guest))).payload == data


def test_a_neighbour_that_does_not_answer_is_one_error_for_udp_and_none_for_the_socket() -> None:
    guest = Guest()
    told = []
    udp_err = guest.stack.icmp.errors[PROTO_UDP]

    def watched(packet: Ipv4, kind: int, code: int, device: Device) -> None:
        told.append((kind, code))
        udp_err(packet, kind, code, device)

    guest.stack.icmp.errors[PROTO_UDP] = watched
    sock = guest.stack.udp_socket()
    sock.connect(SLIRP, 53)
    sock.send(b"\0\x35\0\x35" * 1000)
    guest.cpu.run(5 * SECOND)
    assert told == [(ICMP_DEST_UNREACH, ICMP_HOST_UNREACH)]
    # Not fatal, and nobody has set IP_RECVERR.
    with pytest.raises(BlockingIOError):
        sock.recv(10)


def test_a_link_that_is_down_ends_the_datagram_at_its_first_fragment(guest: Guest) -> None:
    guest.stack.core.dev_deactivate(guest.device)
    guest.stack.udp_socket().sendto(bytes(4000), (SLIRP, 53))
    mib = guest.stack.snmp.ip
    assert (mib["FragFails"], mib["FragCreates"], mib["FragOKs"]) == (1, 0, 0)
    assert guest.device.qdisc_drops == 1


def test_loopback_takes_the_largest_datagram_in_one_piece(guest: Guest) -> None:
    sock = receiver(guest)
    data = payload(65507)
    guest.stack.udp_socket().sendto(data, (GUEST, 9000))
    assert sock.recv(70000) == data
    assert guest.stack.snmp.ip["FragCreates"] == 0


# Input


def test_a_datagram_is_delivered_once_complete(guest: Guest) -> None:
    sock = receiver(guest)
    data = payload(4000)
    *first, last = map(to_guest, cut(datagram(data), 1480, 2960))
    guest.put(*first)
    with pytest.raises(BlockingIOError):
        sock.recv(9000)
    guest.put(last)
    assert sock.recvfrom(9000) == (data, (SLIRP, 53))
    assert counters(guest) == (3, 1, 0, 0)
    mib = guest.stack.snmp.ip
    assert (mib["InReceives"], mib["InDelivers"]) == (3, 1)
    assert guest.stack.frags.mem == 0
    assert guest.cpu.armed() == []


def test_a_raw_socket_gets_the_datagram_with_the_header_of_its_first_fragment(
    guest: Guest,
) -> None:
    sock = guest.stack.icmp_socket()
    reply = Icmp.echo(7, 3, payload(3000), reply=True).emit()
    first, last = cut(Ipv4(SLIRP, GUEST, PROTO_ICMP, reply, 77), 1480)
    first.ttl, last.ttl = 255, 1
    guest.put(to_guest(last), to_guest(first))
    packet = Ipv4.parse(sock.recv(9000))
    assert packet == Ipv4(SLIRP, GUEST, PROTO_ICMP, reply, 77, ttl=255)
    assert packet.sum_ok


def test_a_segment_in_pieces_reaches_tcp(guest: Guest) -> None:
    frame = build_segment(
        GUEST_MAC, SLIRP_MAC, SLIRP, GUEST, 4000, 80, 5, 0, SYN, 1000, bytes(100),
        ident=3, ttl=64, tos=0, df=False,
    )  # fmt: skip
    guest.put(*map(to_guest, cut(Ipv4.parse(frame.raw[14:]), 8, 64)))
    (answer,) = guest.segments()
    assert answer.flags & RST
    assert answer.ack == 5 + 1 + 100


def test_a_segment_that_is_none_is_an_error_of_tcp(guest: Guest) -> None:
    guest.put(*map(to_guest, cut(Ipv4(SLIRP, GUEST, PROTO_TCP, bytes(16), 3), 8)))
    assert guest.stack.snmp.tcp["InErrs"] == guest.stack.snmp.tcp["InSegs"] == 1
    assert guest.take() == []


def test_port_unreachable_quotes_the_reassembled_datagram(guest: Guest) -> None:
    whole = datagram(payload(2000), dport=9)
    guest.put(*map(to_guest, cut(whole, 1480)))
    (packet,) = sent(guest)
    assert Icmp.parse(packet.payload).payload == whole.emit()[:548]


def test_datagrams_are_kept_apart(guest: Guest) -> None:
    sock = receiver(guest)
    a, b = payload(2000), bytes(2000)
    pieces = [*cut(datagram(a, ident=1), 1480), *cut(datagram(b, ident=2), 1480)]
    pieces += cut(datagram(b"c" * 2000, ident=1, src=OTHER), 1480)
    guest.put(*[to_guest(pieces[n]) for n in (0, 4, 2, 1, 3, 5)])
    assert [sock.recv(9000) for _ in range(3)] == [a, b, b"c" * 2000]


def test_fragments_for_others_are_not_kept(guest: Guest) -> None:
    first, _ = cut(datagram(bytes(2000)), 1480)
    first.dst = OTHER
    guest.put(to_guest(first))
    assert counters(guest) == (0, 0, 0, 0)
    assert guest.stack.snmp.ip["InAddrErrors"] == 1


def test_a_duplicate_changes_nothing(guest: Guest) -> None:
    sock = receiver(guest)
    data = payload(4000)
    first, second, third = map(to_guest, cut(datagram(data), 1480, 2960))
    guest.put(first, second, second, first, third)
    assert sock.recv(9000) == data
    assert counters(guest) == (5, 1, 0, 0)


def test_what_lies_within_a_run_is_a_duplicate_whatever_its_bytes(guest: Guest) -> None:
    sock = receiver(guest)
    data = payload(4000)
    whole = datagram(data)
    first, second, third = cut(whole, 1480, 2960)
    inside = Ipv4(SLIRP, GUEST, PROTO_UDP, b"?" * 800, 1, mf=True, offset=1200)
    guest.put(*map(to_guest, (first, second, inside, third)))
    assert sock.recv(9000) == data


def _overlap() -> list[Ipv4]:
    first, _ = cut(datagram(payload(4000)), 1480)
    return [first, Ipv4(SLIRP, GUEST, PROTO_UDP, bytes(1480), 1, mf=True, offset=1472)]


def _overlap_of_two_runs() -> list[Ipv4]:
    # The second fills the gap before the first: a run of its own, though adjacent.
    middle = Ipv4(SLIRP, GUEST, PROTO_UDP, bytes(80), 1, mf=True, offset=80)
    first = Ipv4(SLIRP, GUEST, PROTO_UDP, bytes(80), 1, mf=True)
    return [middle, first, Ipv4(SLIRP, GUEST, PROTO_UDP, bytes(80), 1, mf=True, offset=40)]


def _two_ends() -> list[Ipv4]:
    _, last = cut(datagram(payload(4000)), 1480)
    return [last, Ipv4(SLIRP, GUEST, PROTO_UDP, bytes(8), 1, offset=8000)]


def _beyond_the_end() -> list[Ipv4]:
    _, last = cut(datagram(payload(4000)), 1480)
    return [last, Ipv4(SLIRP, GUEST, PROTO_UDP, bytes(80), 1, mf=True, offset=8000)]


def _end_before_what_is_there() -> list[Ipv4]:
    first, _ = cut(datagram(payload(4000)), 1480)
    return [first, Ipv4(SLIRP, GUEST, PROTO_UDP, bytes(8), 1, offset=8)]


def _nothing() -> list[Ipv4]:
    first, _ = cut(datagram(payload(4000)), 1480)
    return [first, Ipv4(SLIRP, GUEST, PROTO_UDP, bytes(7), 1, mf=True, offset=1480)]


def _too_long() -> list[Ipv4]:
    pieces = [
        Ipv4(SLIRP, GUEST, PROTO_UDP, bytes(1480), 1, mf=True, offset=at)
        for at in range(0, 65120, 1480)
    ]
    return [*pieces, Ipv4(SLIRP, GUEST, PROTO_UDP, bytes(416), 1, offset=65120)]


def _mixed_ecn() -> list[Ipv4]:
    first, last = cut(datagram(payload(4000)), 1480)
    first.tos = 2
    return [first, last]


@pytest.mark.parametrize(
    "wrong",
    [
        _overlap,
        _overlap_of_two_runs,
        _two_ends,
        _beyond_the_end,
        _end_before_what_is_there,
        _nothing,
        _too_long,
        _mixed_ecn,
    ],
)
def test_a_wrong_fragment_ends_the_datagram(guest: Guest, wrong: Callable[[], list[Ipv4]]) -> None:
    sock = receiver(guest)
    for packet in wrong():
        assert counters(guest)[2] == 0
        guest.put(to_guest(packet))
    assert counters(guest)[1:] == (0, 1, 0)
    assert guest.stack.frags.mem == 0
    assert not sock.receive_queue
    assert guest.take() == []
    assert guest.stack.snmp.ip_ext["ReasmOverlaps"] == (wrong in (_overlap, _overlap_of_two_runs))


def test_congestion_met_by_one_fragment_is_met_by_the_datagram(guest: Guest) -> None:
    sock = guest.stack.icmp_socket()
    pieces = cut(Ipv4(SLIRP, GUEST, PROTO_ICMP, Icmp(0, 0, 0, bytes(100)).emit(), 5), 48)
    for piece, tos in zip(pieces, (0x12, 0x13), strict=True):
        piece.tos = tos
    guest.put(*map(to_guest, pieces))
    assert Ipv4.parse(sock.recv(999)).tos == 0x13


@pytest.mark.parametrize(("large", "whole"), [(True, True), (False, False)])
def test_df_of_the_largest_fragment_is_kept(guest: Guest, large: bool, whole: bool) -> None:
    sock = guest.stack.icmp_socket()
    pieces = cut(Ipv4(SLIRP, GUEST, PROTO_ICMP, Icmp(0, 0, 0, bytes(100)).emit(), 5), 80)
    pieces[0].df, pieces[1].df = large, not large
    guest.put(*map(to_guest, pieces))
    assert Ipv4.parse(sock.recv(999)).df is whole


def test_the_stamp_is_that_of_the_fragment_that_came_last(guest: Guest) -> None:
    sock = guest.stack.icmp_socket()
    sock.sock_enable_timestamp(True)
    reply = Icmp.echo(7, 3, payload(2000), reply=True).emit()
    for piece in cut(Ipv4(SLIRP, GUEST, PROTO_ICMP, reply, 77), 1480):
        guest.cpu.run(1000)
        guest.put(to_guest(piece))
    assert sock.recvmsg(9000).stamp_ns == guest.cpu.now()


# Limits


def test_after_30_seconds_the_sender_is_told(guest: Guest) -> None:
    whole = datagram(payload(2000))
    first, _ = cut(whole, 1480)
    guest.put(to_guest(first))
    guest.cpu.run(30 * SECOND)
    assert guest.take() == []
    # The wheel's buckets are 2048 ms wide at that distance.
    guest.cpu.run(2048_000_000)
    (packet,) = sent(guest)
    message = Icmp.parse(packet.payload)
    assert (message.type, message.code) == (ICMP_TIME_EXCEEDED, ICMP_EXC_FRAGTIME)
    assert message.payload == to_guest(first).raw[14:][:548]
    assert counters(guest) == (1, 0, 1, 1)
    assert guest.stack.snmp.icmp["OutTimeExcds"] == 1
    assert guest.stack.frags.mem == 0
    assert guest.stack.frags.peers == {}


def test_odd_bytes_of_a_first_fragment_are_not_quoted(guest: Guest) -> None:
    """As a real kernel does: the quoted header still says 43 bytes."""
    first = Ipv4(SLIRP, GUEST, PROTO_UDP, payload(23), 1, mf=True)
    guest.put(to_guest(first))
    guest.cpu.run(33 * SECOND)
    (packet,) = sent(guest)
    assert Icmp.parse(packet.payload).payload == first.emit()[:36]


def test_nobody_is_told_without_the_first_fragment(guest: Guest) -> None:
    _, last = cut(datagram(payload(2000)), 1480)
    guest.put(to_guest(last))
    guest.cpu.run(33 * SECOND)
    assert guest.take() == []
    assert counters(guest) == (1, 0, 1, 1)


def test_nobody_is_told_of_a_broadcast(guest: Guest) -> None:
    first, _ = cut(datagram(payload(2000)), 1480)
    first.dst = IP_BROADCAST
    guest.put(to_guest(first))
    guest.cpu.run(33 * SECOND)
    assert guest.take() == []
    assert counters(guest) == (1, 0, 1, 1)


def test_a_later_fragment_does_not_prolong_the_wait(guest: Guest) -> None:
    sock = receiver(guest)
    first, second, third = map(to_guest, cut(datagram(payload(4000)), 1480, 2960))
    guest.put(first)
    guest.cpu.run(20 * SECOND)
    guest.put(second)
    guest.cpu.run(13 * SECOND)
    guest.put(third)
    assert not sock.receive_queue
    assert counters(guest) == (3, 0, 1, 1)


def test_the_peers_time_exceeded_is_no_error_of_the_socket(guest: Guest) -> None:
    sock = guest.stack.udp_socket()
    sock.connect(SLIRP, 9)
    sock.send(bytes(2000))
    first, _ = sent(guest)
    error = Icmp(ICMP_TIME_EXCEEDED, ICMP_EXC_FRAGTIME, 0, first.emit()[:28])
    guest.put(to_guest(Ipv4(SLIRP, GUEST, PROTO_ICMP, error.emit())))
    with pytest.raises(BlockingIOError):
        sock.recv(10)


@pytest.mark.parametrize("others", [IP_MAX_DIST - 1, IP_MAX_DIST])
def test_an_identification_that_comes_round_starts_anew(guest: Guest, others: int) -> None:
    sock = receiver(guest)
    data = payload(2000)
    first, last = map(to_guest, cut(datagram(data), 1480))
    guest.put(first)
    for ident in range(others):
        guest.put(to_guest(Ipv4(SLIRP, GUEST, 99, bytes(8), 100 + ident, mf=True)))
    guest.put(last)
    if others < IP_MAX_DIST:
        assert sock.recv(9000) == data
    else:
        assert not sock.receive_queue
        assert guest.stack.snmp.ip["ReasmFails"] == 1
        guest.put(first)
        assert sock.recv(9000) == data


def test_other_sources_do_not_count_as_distance(guest: Guest) -> None:
    sock = receiver(guest)
    first, last = map(to_guest, cut(datagram(payload(2000)), 1480))
    guest.put(first)
    for ident in range(2 * IP_MAX_DIST):
        guest.put(to_guest(Ipv4(OTHER, GUEST, 99, bytes(8), ident, mf=True)))
    guest.put(last)
    assert len(sock.receive_queue) == 1


def test_memory_is_bounded(guest: Guest) -> None:
    sock = receiver(guest)
    frame_room, _ = rx_room(1514)
    fit = HIGH_THRESH // (frame_room + IPQ_SIZE) + 1
    for ident in range(fit + 100):
        guest.put(to_guest(Ipv4(SLIRP, GUEST, 99, bytes(1480), ident, mf=True)))
    frags = guest.stack.frags
    assert len(frags.queues) == fit
    assert frags.mem <= HIGH_THRESH + frame_room + IPQ_SIZE
    assert guest.stack.snmp.ip["ReasmFails"] == 100
    guest.put(*map(to_guest, cut(datagram(payload(2000), ident=9999), 1480)))
    assert not sock.receive_queue
    # When what fills it has been given up there is room again.
    guest.cpu.run(33 * SECOND)
    assert frags.mem == 0
    guest.put(*map(to_guest, cut(datagram(payload(2000), ident=9999), 1480)))
    assert len(sock.receive_queue) == 1


def test_a_reassembled_datagram_is_charged_with_its_buffers(guest: Guest) -> None:
    sock = receiver(guest)
    for ident in range(3):
        pieces = cut(datagram(bytes(65000), ident=ident), *range(1480, 65008, 1480))
        guest.put(*map(to_guest, pieces))
    # 44 buffers of 2176 bytes, 17 of them without their ``struct sk_buff``: two fit.
    assert sock.rmem_alloc == 2 * (44 * 2176 - 17 * 256)
    assert (len(sock.receive_queue), sock.drops) == (2, 1)


def test_a_small_rest_is_copied_into_the_first_buffer() -> None:
    first, _ = rx_room(1514)
    rest, _ = rx_room(60)
    assert coalesced_truesize([(bytes(1480), 1514), (bytes(22), 60)]) == first
    assert coalesced_truesize([(bytes(1480), 1514), (bytes(23), 60)]) == first + rest - 256


# Laws


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[bytes], list[Ipv4]]:
    """A few datagrams, and the fragments of all of them in any order."""
    datagrams, pieces = [], []
    for ident in range(draw(st.integers(1, 3))):
        data = payload(draw(st.integers(16, 3000)))[::-1]
        datagrams.append(data)
        whole = datagram(data, ident=ident)
        edges = st.integers(1, (len(whole.payload) - 1) // 8).map(lambda n: n * 8)
        ends = sorted(draw(st.sets(edges, max_size=12)) | {8})
        pieces += cut(whole, *ends)
    order = draw(st.permutations(pieces))
    return datagrams, order


@pytest.mark.slow
@settings(max_examples=150)
@given(conversations())
def test_any_order_of_any_fragments_gives_the_datagrams(
    case: tuple[list[bytes], list[Ipv4]],
) -> None:
    datagrams, pieces = case
    guest = Guest().know_slirp()
    sock = receiver(guest)
    for piece in pieces:
        guest.put(to_guest(piece))
    got = [sock.recv(9000) for _ in datagrams]
    assert not sock.receive_queue
    assert sorted(got) == sorted(datagrams)
    assert guest.stack.frags.mem == 0
    assert guest.stack.frags.queues == {}


FRAGMENTS = st.builds(
    lambda start, blocks, odd, mf, ident: (start * 8, blocks * 8 + odd, mf, ident),
    st.integers(0, 12),
    st.integers(0, 8),
    st.sampled_from([0, 0, 0, 3]),
    st.booleans(),
    st.integers(0, 1),
)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(FRAGMENTS, max_size=25))
def test_whatever_arrives_nothing_is_delivered_that_was_not_sent(
    arrivals: list[tuple[int, int, bool, int]],
) -> None:
    """Each byte says where it belongs; what is delivered is a whole prefix of that."""
    guest = Guest().know_slirp()
    sock = guest.stack.icmp_socket()
    text = {ident: Icmp(0, 0, ident, payload(256)).emit() for ident in range(2)}
    for offset, size, mf, ident in arrivals:
        data = text[ident][offset : offset + size]
        guest.put(to_guest(Ipv4(SLIRP, GUEST, PROTO_ICMP, data, ident, mf=mf, offset=offset)))
        frags = guest.stack.frags
        held = sum(queue.truesize + IPQ_SIZE for queue in frags.queues.values())
        assert frags.mem == held
        for queue in frags.queues.values():
            assert queue.timer.pending
            assert queue.meat == sum(
                end - start for start, end in zip(queue.run_starts, queue.run_ends, strict=True)
            )
    for message, *_ in sock.receive_queue:
        packet = Ipv4.parse(message.data)
        assert packet.payload == text[packet.ident][: len(packet.payload)]
    guest.cpu.run(33 * SECOND)
    assert guest.stack.frags.queues == {}
    assert guest.stack.frags.peers == {}
    assert guest.stack.frags.mem == 0


@settings(max_examples=60)
@given(st.integers(0, 40000), st.sampled_from([576, 601, 1280, 1500]))
def test_what_one_guest_cuts_another_puts_together(size: int, mtu: int) -> None:
    data = payload(size)
    guest, peer = Guest().know_slirp(), Guest().know_slirp()
    guest.device.mtu = mtu
    sock = receiver(peer)
    peer.stack.del_address("eth0", GUEST)
    peer.stack.add_address("eth0", SLIRP, 24)
    guest.stack.udp_socket().sendto(data, (SLIRP, 9000))
    frames = guest.take()
    assert all(len(frame) <= mtu + 14 or len(frame) == 60 for frame in frames)
    peer.put(*[Frame(GUEST_MAC + frame.raw[6:]) for frame in frames])
    assert sock.recv(40000) == data


def test_reassembly_needs_somebody_to_tell(guest: Guest) -> None:
    alone = IpFragments(cpu=guest.cpu, snmp=guest.stack.snmp)
    with pytest.raises(AssertionError, match="no ICMP above"):
        alone.time_exceeded(datagram(b""), 28)
