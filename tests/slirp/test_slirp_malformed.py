"""Malformed input of every kind, in all protocols: nothing escapes, grows, or is made up.

test_slirp_hostile.py mangles frames so that the first check fails. Here what is wrong is
behind checks that pass: lengths and checksums of the layers below are right.
"""

from __future__ import annotations

import random
import struct

import pytest
from hostile import (
    FRAMES,
    GUEST,
    GUEST6,
    GUEST_MAC,
    HOST,
    HOST6,
    HOST_MAC,
    SECOND,
    Bed,
    arp_reply,
    ipv4,
    ipv6,
    repaired,
    tcp,
    udp,
    versions,
)
from hypothesis import given
from hypothesis import strategies as st

from desim.devices import HostFwd
from desim.slirp.arp import ARP_TABLE_SIZE
from desim.slirp.icmp6 import NDP_TABLE_SIZE
from desim.slirp.tcp_var import TCPSTATES
from desim.slirp.tftp import TFTP_SESSIONS_MAX
from desim.slirp.version import VERSION_2_8, VERSION_4_7, Version
from desim.wire.addresses import ip
from desim.wire.frame import Frame

FIN, SYN, RST, ACK = 1, 2, 4, 16
MBUF_WINDOW_S = 250
"""Longer than anything without a connection lives (UDP and ping sockets: 240 s)."""
EVERYBODY = ip("ff02::1")


def neighbour(kind: int, body: bytes, dst: bytes = HOST6) -> bytes:
    message = bytes((kind, 0, 0, 0)) + body
    return repaired(ipv6(58, message, dst=dst, hop_limit=255))


def dhcp(options: bytes) -> bytes:
    body = b"\1\1\6\0" + bytes(24) + GUEST_MAC + bytes(202) + b"\x63\x82\x53\x63" + options
    return ipv4(17, udp(body, sport=68, dport=67))


def dhcpv6(message: bytes) -> bytes:
    body = struct.pack("!HHHH", 546, 547, 8 + len(message), 0) + message
    return repaired(ipv6(17, body, dst=ip("ff02::1:2")))


def tftp(message: bytes) -> bytes:
    return ipv4(17, udp(message, sport=3010, dport=69))


WHOLE = [
    *FRAMES,
    neighbour(133, bytes(4) + b"\1\1" + GUEST_MAC, EVERYBODY),
    neighbour(135, bytes(4) + HOST6 + b"\1\1" + GUEST_MAC),
    neighbour(136, b"\x60\0\0\0" + GUEST6 + b"\2\1" + GUEST_MAC),
    dhcp(bytes((53, 1, 3, 50, 4)) + GUEST + b"\x37\3\1\3\6\x0c\2vm\xff"),
    dhcpv6(b"\x0b\x12\x34\x56" + bytes.fromhex("000100040001000200060004001700 3b")),
    tftp(b"\0\1a.txt\0octet\0blksize\x001000\0tsize\x000\0"),
    tcp(b"data", flags=SYN | FIN),
]
"""Every kind of frame that the stack reads, and that it understands."""


@pytest.mark.slow
@versions
def test_every_packet_may_end_after_any_byte(version: Version) -> None:
    bed = Bed(version)
    for raw in WHOLE:
        for size in range(14, min(len(raw), 400)):
            bed.slirp.slirp_input(Frame(repaired(raw[:size])))
        bed.poll()
    bed.wait(MBUF_WINDOW_S)
    held = bed.held()
    assert held["UDP"] == held["ping"] == held["fragments"] == held["buffered"] == 0
    assert bed.stuck() or bed.works()


@pytest.mark.slow
@versions
def test_every_byte_behind_good_checksums_may_be_anything(version: Version) -> None:
    bed = Bed(version)
    for raw in WHOLE[::2]:
        for at in range(14, min(len(raw), 130)):
            for value in (0, 0x80, 0xFF):
                changed = raw[:at] + bytes((value,)) + raw[at + 1 :]
                bed.slirp.slirp_input(Frame(repaired(changed, lengths=False)))
        bed.poll()
    assert bed.stuck() or bed.works() or bed.stuck()


@versions
@given(raw=st.sampled_from(WHOLE), data=st.data())
def test_any_part_of_a_packet_may_be_anything(
    version: Version, raw: bytes, data: st.DataObject
) -> None:
    bed = Bed(version)
    at = data.draw(st.integers(14, len(raw)))
    cut = data.draw(st.integers(at, len(raw)))
    changed = raw[:at] + data.draw(st.binary(max_size=40)) + raw[cut:]
    bed.guest(repaired(changed, lengths=data.draw(st.booleans())))
    assert bed.works()


# -- options -------------------------------------------------------------------------------


@versions
@given(
    kind=st.sampled_from([133, 135, 136]),
    options=st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=14))),
)
def test_options_of_neighbour_discovery_may_lie(
    version: Version, kind: int, options: list[tuple[int, int, bytes]]
) -> None:
    bed = Bed(version)
    body = bytes(4) + (b"" if kind == 133 else HOST6)
    body += b"".join(bytes((code, size)) + data for code, size, data in options)
    bed.guest(neighbour(kind, body))
    assert bed.works()


@versions
@given(
    kind=st.integers(0, 255),
    options=st.lists(st.tuples(st.integers(0, 26), st.integers(0, 65535), st.binary(max_size=8))),
)
def test_options_of_dhcpv6_may_lie(
    version: Version, kind: int, options: list[tuple[int, int, bytes]]
) -> None:
    bed = Bed(version)
    body = b"".join(struct.pack("!HH", code, size) + data for code, size, data in options)
    for first in (kind, 11):
        bed.guest(dhcpv6(bytes((first,)) + b"\x12\x34\x56" + body))
    assert bed.works()


@versions
@given(words=st.lists(st.binary(max_size=12), max_size=8), ended=st.booleans())
def test_words_of_tftp_may_be_anything(version: Version, words: list[bytes], ended: bool) -> None:
    bed = Bed(version)
    for head in ([], [b"a.txt", b"octet"]):
        message = b"\0\1" + b"\0".join([*head, *words]) + b"\0" * ended
        for block in range(3):
            bed.guest(tftp(message))
            bed.guest(tftp(b"\0\4" + block.to_bytes(2, "big")))
    assert bed.works()


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_an_option_with_an_impossible_length_ends(size: int) -> None:
    """What advances by a length must not stand still, whatever the protocol."""
    bed = Bed()
    loop = bytes((7, size)) * 20
    bed.guest(repaired(ipv4(1, loop[:40] + b"\x08\0\0\0\0\1\0\1", first=0x4F)))
    bed.guest(dhcp(loop))
    bed.guest(dhcpv6(b"\x0b\0\0\0" + bytes((0, 7, 0, size)) * 20))
    bed.guest(neighbour(135, bytes(4) + HOST6 + loop))
    segment = bytearray(tcp()[34:] + loop[:40])
    segment[12] = 0xF0
    bed.guest(repaired(ipv4(6, bytes(segment))))
    assert bed.works()


# -- fragments -----------------------------------------------------------------------------


@versions
@given(
    pieces=st.lists(
        st.tuples(st.integers(0, 0x1FFF), st.integers(0, 1480), st.booleans(), st.integers(0, 2)),
        max_size=30,
    )
)
def test_fragments_that_reach_beyond_a_datagram_hold_no_more_than_was_sent(
    version: Version, pieces: list[tuple[int, int, bool, int]]
) -> None:
    bed = Bed(version)
    sent = 0
    for start, size, more, ident in pieces:
        raw = ipv4(17, bytes(size), ident=ident, offset=start | (0x2000 if more else 0))
        bed.guest(raw)
        sent += size
        queues = bed.slirp.ip.ipq.values()
        kept = sum(len(fragment.data) for queue in queues for fragment in queue.fragments)
        assert kept <= sent
        assert len(bed.slirp.ip.ipq) <= 3
    bed.wait(31)
    assert bed.held()["fragments"] == 0


@versions
@given(order=st.permutations(range(6)), twice=st.integers(0, 5))
def test_fragments_in_any_order_make_the_datagram_once(
    version: Version, order: list[int], twice: int
) -> None:
    bed = Bed(version)
    data = bytes(n % 251 for n in range(470))
    whole = udp(data)
    parts = [(at, whole[at : at + 80]) for at in range(0, len(whole), 80)]
    for number in [*order[:3], twice, *order[3:]]:
        at, part = parts[number]
        more = 0x2000 if at + 80 < len(whole) else 0
        bed.guest(ipv4(17, part, offset=at // 8 | more))
    assert bed.delivered() == [data]


@versions
def test_a_flood_of_fragments_of_one_datagram_keeps_one_copy(version: Version) -> None:
    bed = Bed(version)
    for number in range(5000):
        at = 8 * (number % 100)
        bed.slirp.slirp_input(Frame(ipv4(17, bytes(16), offset=0x2000 | at // 8 + 1)))
    assert bed.held()["fragments"] <= 101
    bed.wait(31)
    assert bed.held()["fragments"] == 0
    assert bed.works()


@versions
def test_fragments_of_ipv6_are_not_put_together(version: Version) -> None:
    bed = Bed(version)
    whole = struct.pack("!HHHH", 3000, 9000, 24, 0) + b"0123456789abcdef"
    for at, part in ((0, whole[:16]), (16, whole[16:])):
        head = struct.pack("!BBHI", 17, 0, at | (at == 0), 9)
        bed.guest(ipv6(44, head + part))
    assert bed.delivered() == []
    assert bed.held()["fragments"] == 0
    assert bed.works()


@versions
@given(length=st.integers(0, 0xFFFF), data=st.binary(max_size=100))
def test_a_length_in_ipv6_may_lie(version: Version, length: int, data: bytes) -> None:
    bed = Bed(version)
    for protocol in (6, 17, 58, 0, 44):
        raw = repaired(ipv6(protocol, data, length=length), lengths=False)
        bed.slirp.slirp_input(Frame(raw))
    bed.poll()
    assert bed.works()


# -- TCP -----------------------------------------------------------------------------------


class Peer:
    """The guest's end of a connection to the program that listens, brought to a state."""

    def __init__(self, version: Version, six: bool = False) -> None:
        self.bed = Bed(version)
        self.six = six
        self.seq = 1000
        self.ack = 0
        self.bed.guest(arp_reply())
        self.bed.guest(neighbour(136, b"\x60\0\0\0" + GUEST6 + b"\2\1" + GUEST_MAC))

    def send(self, flags: int, data: bytes = b"", *, ack: int | None = None, seq: int = 0) -> None:
        """``seq`` is an offset from the right number."""
        header = struct.pack(
            "!HHIIBBHHH",
            3000,
            80,
            (self.seq + seq) & 0xFFFFFFFF,
            (self.ack if ack is None else ack) & 0xFFFFFFFF,
            0x50,
            flags,
            65535,
            0,
            0,
        )
        frame = ipv6(6, header + data) if self.six else ipv4(6, header + data)
        for reply in self.bed.guest(repaired(frame)):
            self._saw(reply.raw)
        if not seq and ack is None:
            self.seq += len(data) + bool(flags & SYN) + bool(flags & FIN)

    def _saw(self, raw: bytes) -> None:
        if raw[12:14] == b"\x86\xdd" and raw[20] == 6:
            part = raw[54:]
        elif raw[12:14] == b"\x08\0" and raw[23] == 6:
            part = raw[34 : 14 + int.from_bytes(raw[16:18], "big")]
        else:
            return
        seq, flags = int.from_bytes(part[4:8], "big"), part[13]
        if flags & RST:
            return
        end = seq + len(part) - (part[12] >> 4 << 2) + bool(flags & SYN) + bool(flags & FIN)
        self.ack = max(self.ack, end) if self.ack else end

    @property
    def state(self) -> str:
        """The stack's, of this connection."""
        found = [so for so in self.bed.slirp.tcp_subr.tcb if so.lhost[1] == 3000]
        return TCPSTATES[found[0].so_tcpcb.t_state] if found else "GONE"

    def reach(self, state: str) -> None:
        host = self.bed.host
        self.send(SYN)
        if state == "SYN_RCVD":
            return
        self.send(ACK)
        conn = "s6.1" if self.six else "s.1"
        if state in ("CLOSE_WAIT", "LAST_ACK"):
            self.send(FIN | ACK)
        if state in ("FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT", "LAST_ACK"):
            host.host_close(conn, False)
            before = len(self.bed.wire.sent)
            self.bed.poll()
            for frame in self.bed.wire.sent[before:]:
                self._saw(frame.raw)
        if state in ("FIN_WAIT_2", "TIME_WAIT"):
            self.send(ACK)
        if state == "TIME_WAIT":
            self.send(FIN | ACK)


STATES = ["SYN_RCVD", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "FIN_WAIT_2", "LAST_ACK"]
STATES.append("TIME_WAIT")


@versions
@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("state", STATES)
def test_acknowledging_what_was_never_sent_moves_no_state(
    version: Version, six: bool, state: str
) -> None:
    peer = Peer(version, six)
    peer.reach(state)
    assert peer.state == state
    peer.bed.host.events.clear()
    for beyond in (1, 2, 1000, 65536, 1 << 30, (1 << 31) - 2):
        peer.send(ACK, b"", ack=peer.ack + beyond)
        if state == "SYN_RCVD" and peer.state == "GONE":
            break  # RFC 9293 3.10.7.4: such an ACK is answered with a reset.
        assert peer.state == state
    assert peer.bed.delivered() == []
    assert peer.bed.works()


@versions
@given(
    six=st.booleans(),
    state=st.sampled_from(STATES),
    segments=st.lists(
        st.tuples(
            st.integers(0, 63),
            st.sampled_from([0, 0, 1, -1, 70_000, -70_000, 1 << 31]),
            st.sampled_from([None, None, 1, -1, 1 << 30, 1 << 31]),
            st.binary(max_size=5),
        ),
        max_size=12,
    ),
)
def test_any_segments_in_any_state(
    version: Version,
    six: bool,
    state: str,
    segments: list[tuple[int, int, int | None, bytes]],
) -> None:
    peer = Peer(version, six)
    peer.reach(state)
    for flags, seq, ack, data in segments:
        peer.send(flags, data, seq=seq, ack=None if ack is None else peer.ack + ack)
        for so in peer.bed.slirp.tcp_subr.tcb:
            assert so.so_snd.cc <= so.so_snd.datalen
            assert so.so_rcv.cc <= so.so_rcv.datalen
    assert peer.bed.works()


def gone(bed: Bed, seconds: int) -> None:
    """Let ``seconds`` pass without keeping what is sent meanwhile."""
    for _ in range(2 * seconds):
        bed.clock.pass_by(SECOND // 2)
        bed.poll(1)
        bed.wire.sent.clear()
        bed.ledger.losses.clear()


@pytest.mark.slow
@versions
def test_ten_thousand_half_open_connections_of_the_guest(version: Version) -> None:
    bed = Bed(version)
    bed.guest(arp_reply())
    at_rest = bed.held()
    for number in range(10_000):
        bed.slirp.slirp_input(Frame(tcp(sport=1024 + number)))
    bed.poll()
    held = bed.held()
    assert held["TCP"] == at_rest["TCP"] + 10_000
    assert held["descriptors"] == at_rest["descriptors"] + 10_000
    assert held["buffered"] == held["frames"] == 0
    gone(bed, 80)
    assert bed.held() == at_rest
    assert bed.works()


@versions
def test_half_open_connections_of_a_guest_that_cannot_be_found(version: Version) -> None:
    bed = Bed(version)
    at_rest = bed.held()
    for number in range(100):
        bed.slirp.slirp_input(Frame(tcp(sport=1024 + number)))
        bed.host.run()
    bed.poll()
    assert bed.held()["frames"] == 100
    # In the older stack each frame waits for its own second.
    gone(bed, 90 if version is VERSION_4_7 else 1000)
    assert bed.held() == at_rest
    assert bed.works()


@pytest.mark.slow
@versions
def test_three_thousand_half_open_connections_by_hostfwd(version: Version) -> None:
    ports = range(10_000, 10_100)
    rules = [
        HostFwd(host_addr=ip("127.0.0.1"), host_port=port, guest_addr=GUEST, guest_port=22)
        for port in ports
    ]
    bed = Bed(version, hostfwd=rules)
    bed.guest(arp_reply())
    at_rest = bed.held()
    for number in range(30):
        for port in ports:
            client = (ip("127.0.0.1"), 1024 + number)
            bed.host.host_connect(f"{port}.{number}", client, (ip("127.0.0.1"), port))
        bed.poll(1)
    held = bed.held()
    assert held["TCP"] == at_rest["TCP"] + 3_000
    assert held["frames"] == 0
    syns = [frame.segment for frame in bed.wire.sent if frame.segment is not None]
    assert len({(syn.sport, syn.dst) for syn in syns}) == 30
    gone(bed, 80)
    assert bed.held() == at_rest
    assert bed.works()


# -- floods --------------------------------------------------------------------------------


@versions
def test_tables_keep_their_size_whatever_the_guest_is_called(version: Version) -> None:
    bed = Bed(version)
    at_rest = bed.held()
    draw = random.Random(1)
    for number in range(3000):
        mac = b"\x52\x54" + draw.randbytes(4)
        address = b"\x0a\0\2" + bytes((16 + number % 200,))
        own6 = GUEST6[:8] + draw.randbytes(8)
        for raw in (
            HOST_MAC
            + mac
            + bytes.fromhex("08060001080006040002")
            + mac
            + address
            + HOST_MAC
            + HOST,
            neighbour(136, b"\x60\0\0\0" + own6 + b"\2\1" + mac),
            tftp(b"\0\1a.txt\0octet\0"),
        ):
            source = raw[:6] + mac + raw[12:]
            if raw[12:14] == b"\x86\xdd":
                source = repaired(source[:22] + own6 + source[38:])
            elif raw[23:24] == b"\x11":
                source = repaired(source[:26] + address + source[30:])
            bed.slirp.slirp_input(Frame(source))
        bed.slirp.slirp_input(Frame(dhcp(bytes((53, 1, 1))).replace(GUEST_MAC, mac)))
    held = bed.held()
    assert held["ARP"] <= ARP_TABLE_SIZE
    assert held["NDP"] <= NDP_TABLE_SIZE
    assert held["TFTP"] <= TFTP_SESSIONS_MAX
    assert held["TCP"] == at_rest["TCP"]
    assert held["UDP"] == at_rest["UDP"]
    gone(bed, MBUF_WINDOW_S)
    assert bed.held()["frames"] == 0


@pytest.mark.slow
@versions
def test_sessions_of_datagrams_end_and_give_back_their_descriptors(version: Version) -> None:
    bed = Bed(version)
    bed.guest(arp_reply())
    at_rest = bed.held()
    for number in range(2000):
        bed.slirp.slirp_input(Frame(ipv4(17, udp(b"x", sport=1024 + number))))
        ping = repaired(ipv4(1, struct.pack("!BBHHH", 8, 0, 0, number, 0), ident=number))
        bed.slirp.slirp_input(Frame(ping[:30] + ip("127.0.0.1") + ping[34:]))
        bed.host.run()
    assert bed.held()["UDP"] == at_rest["UDP"] + 2000
    assert len(bed.delivered()) == 2000
    gone(bed, MBUF_WINDOW_S)
    assert bed.held() == at_rest
    assert bed.works()


def test_frames_that_nobody_answers_for_are_dropped_after_their_second() -> None:
    bed = Bed(VERSION_4_7)
    for number in range(500):
        source = b"\x0a\0\2" + bytes((16 + number % 200,))
        raw = ipv4(1, b"\x08\0" + struct.pack("!HHH", 0, 1, number))
        bed.slirp.slirp_input(Frame(repaired(raw[:26] + source + raw[30:])))
    assert bed.held()["frames"] == 500
    bed.wait(2)
    assert bed.held()["frames"] == 0
    assert bed.ledger.reasons == ["slirp: no answer to ARP"] * 500


def test_the_older_stack_drops_them_one_by_one() -> None:
    bed = Bed(VERSION_2_8)
    for number in range(20):
        raw = ipv4(1, b"\x08\0" + struct.pack("!HHH", 0, 1, number))
        source = b"\x0a\0\2" + bytes((16 + number,))
        bed.slirp.slirp_input(Frame(repaired(raw[:26] + source + raw[30:])))
    assert bed.held()["frames"] == 20
    bed.wait(60)
    assert bed.held()["frames"] == 0
    assert len(bed.ledger.reasons) == 20


def test_the_older_stack_leaves_frames_behind_for_good() -> None:
    """Two sessions wait; when the guest is found, the last is emptied, the first is passed."""
    bed = Bed(VERSION_2_8)
    echo = repaired(ipv4(1, b"\x08\0" + struct.pack("!HHH", 0, 1, 1)))
    bed.guest(echo)
    bed.guest(echo)
    bed.guest(ipv4(17, udp(b"x")))
    for data in (b"a", b"b"):
        bed.host.udp_send("u", "peer", data)
        bed.poll()
    assert bed.held()["frames"] == 4
    bed.guest(arp_reply())
    assert bed.stuck()
    assert bed.held()["frames"] == 1
    assert not bed.guest(echo)
    assert bed.held()["frames"] == 2
