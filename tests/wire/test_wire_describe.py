from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_exchange import exchange
from wire_strategies import segment_frames

from desim.wire import icmp, tcp
from desim.wire.addresses import ip, mac
from desim.wire.arp import Arp
from desim.wire.describe import describe
from desim.wire.dhcp import BOOTREQUEST, Dhcp
from desim.wire.dns import QR, TYPE_A, TYPE_CNAME, TYPE_TXT, Dns, Question, Record, encode_name
from desim.wire.ethernet import ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, Ethernet
from desim.wire.icmp import Icmp
from desim.wire.ipv4 import PROTO_ICMP, PROTO_TCP, PROTO_UDP, Ipv4
from desim.wire.ipv6 import Ipv6
from desim.wire.tcp import Tcp, TcpOptions
from desim.wire.udp import Udp

GUEST_MAC = mac("52:54:00:12:34:56")
HOST_MAC = mac("52:55:0a:00:02:02")
GUEST = ip("10.0.2.15")
HOST = ip("10.0.2.2")


def over_ip(protocol: int, payload: bytes) -> bytes:
    return Ethernet(
        GUEST_MAC, HOST_MAC, ETH_P_IP, Ipv4(HOST, GUEST, protocol, payload).emit()
    ).emit()


def over_udp(sport: int, dport: int, payload: bytes) -> str:
    return describe(over_ip(PROTO_UDP, Udp(sport, dport, payload).emit(HOST, GUEST)))


def over_icmp(message: Icmp) -> str:
    return describe(over_ip(PROTO_ICMP, message.emit()))


def test_an_exchange_reads_as_a_story() -> None:
    assert [describe(raw) for raw in exchange()] == [
        "IP 0.0.0.0.68 > 255.255.255.255.67: BOOTP/DHCP, Request, Discover, length 300, "
        "from 52:54:00:12:34:56, xid 0x00000001, options [53]",
        "IP 10.0.2.2.67 > 255.255.255.255.68: BOOTP/DHCP, Reply, Offer, length 548, "
        "from 52:54:00:12:34:56, xid 0x00000001, Your-IP 10.0.2.15, options [53]",
        "ARP, Request who-has 10.0.2.15 tell 10.0.2.2",
        "ARP, Reply 10.0.2.15 is-at 52:54:00:12:34:56",
        "IP 10.0.2.15 > 10.0.2.2: ICMP echo request, id 1, seq 1, length 64",
        "IP 10.0.2.15 > 10.0.2.2: ICMP echo request, id 1, seq 2, length 11",
        "IP 10.0.2.15.5000 > 10.0.2.2.53: DNS, 1, A? qemu.org., length 26",
        "IP 10.0.2.2.40000 > 10.0.2.15.5556: Flags [S], seq 0, win 65535, "
        "options [mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7], length 0",
        "IP 10.0.2.2.40000 > 10.0.2.15.5556: Flags [P.], seq 1:18, ack 1, win 65535, length 17",
        "IP 10.0.2.2.40000 > 10.0.2.15.5556: Flags [.], seq 18:1478, ack 1, win 65535, length 1460",
        "IP6 fe80::5054:ff:fe12:3456 > fe80::2: ICMP6, echo request, length 11",
    ]


@given(st.binary(max_size=120))
def test_any_bytes_make_one_line(raw: bytes) -> None:
    line = describe(raw)
    assert line
    assert line.isprintable()


@given(segment_frames().map(lambda frame: frame.raw) | st.sampled_from(exchange()), st.data())
def test_damaged_frames_make_one_line(raw: bytes, data: st.DataObject) -> None:
    damaged = bytearray(raw)
    for at in data.draw(st.lists(st.integers(12, len(raw) - 1), max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    assert describe(bytes(damaged[: data.draw(st.integers(0, len(raw)))])).isprintable()


def test_arp_probe_shows_whom_it_probes() -> None:
    for op, text in (
        (1, "ARP, Request who-has 10.0.2.2 (52:55:0a:00:02:02) tell 10.0.2.15"),
        (3, "ARP, op 3, 10.0.2.15 (52:54:00:12:34:56) > 10.0.2.2"),
    ):
        arp = Arp(op, GUEST_MAC, GUEST, HOST_MAC, HOST).emit()
        assert describe(Ethernet(HOST_MAC, GUEST_MAC, ETH_P_ARP, arp).emit()) == text


def test_unknown_ethertype_shows_the_macs() -> None:
    frame = Ethernet(GUEST_MAC, HOST_MAC, 0x88CC, bytes(46), vlan_tci=5)
    assert describe(frame.emit()) == (
        "vlan 5, 52:55:0a:00:02:02 > 52:54:00:12:34:56, ethertype 0x88cc, length 64"
    )


def test_malformed_layers_say_why() -> None:
    assert describe(b"abc").startswith("malformed: Ethernet: 3 bytes")
    frame = Ethernet(GUEST_MAC, HOST_MAC, ETH_P_IP, b"\x45")
    assert describe(frame.emit()).endswith(
        "length 15, malformed: IPv4: 1 bytes; the header alone has 20"
    )
    assert describe(over_ip(PROTO_TCP, b"x")).startswith("IP 10.0.2.2 > 10.0.2.15: malformed: TCP")


def test_bad_checksums_are_said() -> None:
    raw = over_ip(PROTO_TCP, Tcp(1, 2, 3, 4, tcp.ACK, 5, payload=b"a").emit(HOST, GUEST))
    assert "checksum" not in describe(raw)
    assert describe(raw[:-1] + b"b").endswith("length 1 (bad checksum)")
    echo = over_ip(PROTO_ICMP, Icmp.echo(1, 2, b"a").emit())
    assert describe(echo[:-1] + b"b").endswith("length 9 (bad checksum)")
    assert describe(raw[:22] + b"\x01" + raw[23:]).endswith("length 1 (bad checksum)")


def test_fragments_are_not_read_further() -> None:
    packet = Ipv4(HOST, GUEST, PROTO_UDP, bytes(8), ident=7, offset=1480, mf=True)
    frame = Ethernet(GUEST_MAC, HOST_MAC, ETH_P_IP, packet.emit())
    assert describe(frame.emit()) == ("IP 10.0.2.2 > 10.0.2.15: protocol 17, fragment 7:8@1480+")


def test_bootp_of_other_hardware_shows_what_it_has() -> None:
    message = Dhcp(BOOTREQUEST, 1, b"", ciaddr=GUEST, cookie=False)
    assert over_udp(68, 67, message.emit(size=300)).endswith(
        ": BOOTP/DHCP, Request, length 300, xid 0x00000001, Client-IP 10.0.2.15, options []"
    )


def test_unknown_protocol_is_numbered() -> None:
    assert describe(over_ip(47, b"abc")) == "IP 10.0.2.2 > 10.0.2.15: protocol 47, length 3"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (TcpOptions(sack=((1, 2), (3, 4))).emit(), "nop,nop,sack {1:2} {3:4}"),
        (b"\x1c\x04\x00\x01", "opt 28 0x0001"),
        (b"\x02\x09\x00\x00", "malformed"),
    ],
)
def test_tcp_options(options: bytes, text: str) -> None:
    raw = Tcp(1, 2, 3, 4, tcp.URG, 5, 6, options).emit(HOST, GUEST)
    line = describe(over_ip(PROTO_TCP, raw))
    assert line.endswith(f"Flags [U], win 5, urg 6, options [{text}], length 0")


def test_dns_answers() -> None:
    answers = [
        Record("a.org", TYPE_CNAME, encode_name("b.org")),
        Record("b.org", TYPE_A, bytes((1, 2, 3, 4))),
        Record("b.org", TYPE_TXT, b"xyz"),
    ]
    message = Dns(9, QR, [Question("a.org")], answers)
    assert ": DNS, 9, A? a.org., CNAME b.org., A 1.2.3.4, TXT (3 bytes), length" in over_udp(
        53, 5000, message.emit()
    )
    refused = Dns(9, QR | 5, [Question("a.org", 99)])
    assert ": DNS, 9, TYPE99? a.org., rcode 5, length" in over_udp(53, 5000, refused.emit())


def test_rubbish_on_a_known_port_is_still_udp() -> None:
    assert ": UDP, length 1, malformed: DNS" in over_udp(53, 5000, b"x")
    assert ": UDP, length 1, malformed: DHCP" in over_udp(67, 68, b"x")
    assert over_udp(7, 7, b"x").endswith(": UDP, length 1")


def test_icmp_errors_say_what_they_are_about() -> None:
    quote = Ipv4(GUEST, HOST, PROTO_UDP, Udp(5, 6, bytes(99)).emit(GUEST, HOST)).emit()[:28]
    about = " for 10.0.2.15.5 > 10.0.2.2.6 protocol 17, length 36"
    unreachable = icmp.ICMP_DEST_UNREACH
    for message, text in (
        (Icmp(unreachable, icmp.ICMP_PORT_UNREACH, 0, quote), "port unreachable"),
        (
            Icmp(unreachable, icmp.ICMP_FRAG_NEEDED, 1400, quote),
            "unreachable, need to frag (mtu 1400)",
        ),
        (Icmp(unreachable, 99, 0, quote), "code 99 unreachable"),
        (Icmp(icmp.ICMP_TIME_EXCEEDED, 0, 0, quote), "time exceeded, code 0"),
    ):
        assert over_icmp(message) == f"IP 10.0.2.2 > 10.0.2.15: ICMP {text}{about}"
    assert over_icmp(Icmp(unreachable, 1)).endswith("host unreachable, malformed quote, length 8")
    assert over_icmp(Icmp(13, 0)).endswith("ICMP type 13, code 0, length 8")
    assert over_icmp(Icmp.echo(1, 2, reply=True)).endswith("echo reply, id 1, seq 2, length 8")


def test_hop_by_hop_header_is_passed() -> None:
    packet = Ipv6(bytes(16), ip("ff02::16"), 0, b"\x3a\0\5\2\0\0\1\0" + b"\x8f\0\0\0" + bytes(4))
    frame = Ethernet(mac("33:33:00:00:00:16"), GUEST_MAC, ETH_P_IPV6, packet.emit())
    assert describe(frame.emit()).startswith("IP6 :: > ff02::16: ICMP6, multicast listener report")
