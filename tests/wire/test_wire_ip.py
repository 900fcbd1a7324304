"""Ethernet, ARP, IPv4, IPv6, ICMP: what each refuses, and what each is careful about."""

from __future__ import annotations

import pytest

from desim.wire.addresses import BROADCAST_MAC, ip, mac
from desim.wire.arp import ARPOP_REPLY, ARPOP_REQUEST, Arp
from desim.wire.errors import WireError
from desim.wire.ethernet import ETH_P_ARP, ETH_P_IP, Ethernet
from desim.wire.icmp import ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, Icmp
from desim.wire.icmpv6 import ICMPV6_ECHO_REQUEST, Icmpv6
from desim.wire.ipv4 import PROTO_UDP, Ipv4
from desim.wire.ipv6 import Ipv6

GUEST_MAC = mac("52:54:00:12:34:56")
GUEST = ip("10.0.2.15")
HOST = ip("10.0.2.2")


def test_arp_request_bytes() -> None:
    request = Arp(ARPOP_REQUEST, GUEST_MAC, GUEST, bytes(6), HOST)
    frame = Ethernet(BROADCAST_MAC, GUEST_MAC, ETH_P_ARP, request.emit())
    assert frame.emit().hex() == (
        "ffffffffffff" + "525400123456" + "0806"
        "0001080006040001" + "525400123456" + "0a00020f" + "000000000000" + "0a000202"
    )


def test_arp_of_other_hardware_is_refused() -> None:
    raw = bytearray(Arp(ARPOP_REPLY, GUEST_MAC, GUEST, bytes(6), HOST).emit())
    raw[1] = 6
    with pytest.raises(WireError, match="hardware type 6"):
        Arp.parse(bytes(raw))


def test_arp_wants_whole_addresses() -> None:
    with pytest.raises(WireError, match="6, 4, 6 and 4"):
        Arp(ARPOP_REPLY, b"", GUEST, bytes(6), HOST).emit()


def test_vlan_tag_is_read_and_written() -> None:
    frame = Ethernet(BROADCAST_MAC, GUEST_MAC, ETH_P_IP, b"x", 0x2005)
    assert frame.emit()[12:] == bytes.fromhex("810020050800") + b"x"
    assert Ethernet.parse(frame.emit()).vlan_tci == 0x2005


@pytest.mark.parametrize("raw", [bytes(13), bytes(12) + b"\x81\0" + bytes(3)])
def test_short_ethernet_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError, match="Ethernet"):
        Ethernet.parse(raw)


@pytest.mark.parametrize(
    "frame", [Ethernet(b"", GUEST_MAC, 0), Ethernet(GUEST_MAC, GUEST_MAC, 1 << 16)]
)
def test_ethernet_that_does_not_fit_is_refused(frame: Ethernet) -> None:
    with pytest.raises(WireError):
        frame.emit()


def test_ipv4_header_bytes() -> None:
    packet = Ipv4(HOST, GUEST, PROTO_UDP, b"hi", ident=7, tos=16, df=True)
    raw = packet.emit()
    assert raw.hex() == "4510001600074000401122b00a0002020a00020f" + b"hi".hex()
    assert Ipv4.parse(raw).sum_ok


def test_bad_ipv4_sum_is_seen() -> None:
    raw = bytearray(Ipv4(HOST, GUEST, PROTO_UDP).emit())
    raw[8] -= 1
    assert not Ipv4.parse(bytes(raw)).sum_ok


def test_fragment_knows_that_it_is_one() -> None:
    assert Ipv4(HOST, GUEST, PROTO_UDP, mf=True).fragment
    assert Ipv4(HOST, GUEST, PROTO_UDP, offset=8).fragment
    assert not Ipv4(HOST, GUEST, PROTO_UDP, df=True).fragment


def test_quoted_packet_may_be_cut_off() -> None:
    raw = Ipv4(HOST, GUEST, PROTO_UDP, bytes(100)).emit()[:28]
    assert len(Ipv4.parse(raw, quoted=True).payload) == 8
    with pytest.raises(WireError, match="only 28 bytes are here"):
        Ipv4.parse(raw)


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [(0, 0x65, "version 6"), (0, 0x44, "header length 16"), (3, 19, "header length 20")],
)
def test_impossible_ipv4_header_is_refused(at: int, value: int, why: str) -> None:
    raw = bytearray(Ipv4(HOST, GUEST, PROTO_UDP).emit())
    raw[at] = value
    with pytest.raises(WireError, match=why):
        Ipv4.parse(bytes(raw))


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (Ipv4(b"", GUEST, 6), "4 bytes"),
        (Ipv4(HOST, GUEST, 6, options=b"x"), "in fours"),
        (Ipv4(HOST, GUEST, 6, options=bytes(44)), "in fours"),
        (Ipv4(HOST, GUEST, 6, bytes(65516)), "65536 bytes"),
        (Ipv4(HOST, GUEST, 6, offset=4), "multiple of 8"),
        (Ipv4(HOST, GUEST, 6, ttl=256), "ttl 256"),
        (Ipv4(HOST, GUEST, 6, ident=-1), "ident -1"),
    ],
)
def test_ipv4_that_does_not_fit_is_refused(packet: Ipv4, why: str) -> None:
    with pytest.raises(WireError, match=why):
        packet.emit()


def test_ipv6_refuses_what_is_not_ipv6() -> None:
    with pytest.raises(WireError, match="version 4"):
        Ipv6.parse(b"\x45" + bytes(39))
    with pytest.raises(WireError, match="payload of 1 bytes"):
        Ipv6.parse(b"\x60\0\0\0\0\1" + bytes(34))


@pytest.mark.parametrize(
    "packet",
    [
        Ipv6(HOST, GUEST, 58),
        Ipv6(bytes(16), bytes(16), 58, flow_label=1 << 20),
        Ipv6(bytes(16), bytes(16), 256),
        Ipv6(bytes(16), bytes(16), 58, bytes(65536)),
    ],
)
def test_ipv6_that_does_not_fit_is_refused(packet: Ipv6) -> None:
    with pytest.raises(WireError):
        packet.emit()


def test_echo_and_its_reply() -> None:
    request = Icmp.echo(0x1234, 5, b"abc")
    assert (request.type, request.ident, request.sequence) == (8, 0x1234, 5)
    assert Icmp.echo(1, 2, reply=True).type == 0


def test_bad_icmp_sum_is_seen() -> None:
    raw = Icmp.echo(1, 1, b"abc").emit()
    assert Icmp.parse(raw).sum_ok
    assert not Icmp.parse(raw[:-1] + b"d").sum_ok


def test_unreachable_says_the_mtu() -> None:
    assert Icmp(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1400).mtu == 1400


def test_icmp_that_does_not_fit_is_refused() -> None:
    with pytest.raises(WireError):
        Icmp(256, 0).emit()
    with pytest.raises(WireError):
        Icmpv6(256, 0).emit(bytes(16), bytes(16))


def test_bad_icmpv6_sum_is_seen() -> None:
    src, dst = ip("fe80::1"), ip("fe80::2")
    raw = Icmpv6(ICMPV6_ECHO_REQUEST, 0, b"\0\1\0\1").emit(src, dst)
    assert Icmpv6.parse(raw, src, dst).sum_ok
    assert not Icmpv6.parse(raw, src, src).sum_ok
