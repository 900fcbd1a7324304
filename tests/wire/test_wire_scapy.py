"""The same headers, byte for byte, as scapy writes them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_strategies import (
    arps,
    dhcps,
    dnses,
    icmps,
    ip6s,
    ips,
    ipv4s,
    macs,
    payloads,
    segment_frames,
    tcp_options,
    tcps,
    u16,
    udps,
)

from desim.wire.addresses import ip_text, mac_text
from desim.wire.arp import Arp
from desim.wire.dhcp import Dhcp
from desim.wire.dns import Dns
from desim.wire.ethernet import Ethernet
from desim.wire.frame import Frame
from desim.wire.icmp import Icmp
from desim.wire.icmpv6 import Icmpv6
from desim.wire.ipv4 import Ipv4
from desim.wire.ipv6 import Ipv6
from desim.wire.tcp import Tcp, TcpOptions
from desim.wire.udp import Udp

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    scapy: Any = pytest.importorskip("scapy.all")

few = settings(max_examples=25, deadline=None)


def again(packet: Any) -> bytes:
    """The bytes of a packet that scapy has read, with lengths and checksums made anew."""
    for name in ("len", "ihl", "chksum", "dataofs", "plen"):
        layer = packet
        while layer:
            if name in getattr(layer, "fields", {}):
                layer.delfieldval(name)
            layer = layer.payload
    packet.clear_cache()
    return bytes(packet)


@few
@given(arps, macs, macs)
def test_arp(arp: Arp, dst: bytes, src: bytes) -> None:
    theirs = scapy.Ether(dst=mac_text(dst), src=mac_text(src)) / scapy.ARP(
        op=arp.op,
        hwsrc=mac_text(arp.sender_mac),
        psrc=ip_text(arp.sender_ip),
        hwdst=mac_text(arp.target_mac),
        pdst=ip_text(arp.target_ip),
    )
    assert Ethernet(dst, src, 0x0806, arp.emit()).emit() == bytes(theirs)


@few
@given(ipv4s.filter(lambda packet: not packet.options))
def test_ipv4(packet: Ipv4) -> None:
    flags = ("DF" if packet.df else "") + ("+MF" if packet.mf else "")
    theirs = scapy.IP(
        src=ip_text(packet.src),
        dst=ip_text(packet.dst),
        proto=packet.protocol,
        id=packet.ident,
        ttl=packet.ttl,
        tos=packet.tos,
        flags=flags.strip("+"),
        frag=packet.offset // 8,
    ) / scapy.Raw(packet.payload)
    assert packet.emit() == bytes(theirs)


@few
@given(
    icmps.filter(lambda message: message.type in (0, 8)) | st.builds(Icmp.echo, u16, u16, payloads)
)
def test_icmp_echo(message: Icmp) -> None:
    theirs = scapy.ICMP(
        type=message.type, code=message.code, id=message.ident, seq=message.sequence
    ) / scapy.Raw(message.payload)
    assert message.emit() == bytes(theirs)


@few
@given(udps, ips, ips)
def test_udp(datagram: Udp, src: bytes, dst: bytes) -> None:
    theirs = (
        scapy.IP(src=ip_text(src), dst=ip_text(dst))
        / scapy.UDP(sport=datagram.sport, dport=datagram.dport)
        / scapy.Raw(datagram.payload)
    )
    assert datagram.emit(src, dst) == bytes(theirs)[20:]


@few
@given(tcps, ips, ips, tcp_options)
def test_tcp(segment: Tcp, src: bytes, dst: bytes, options: TcpOptions) -> None:
    segment.options = TcpOptions(options.mss, options.sack_permitted, options.timestamps).emit()
    theirs_options: list[tuple[str, Any]] = []
    if options.mss is not None:
        theirs_options.append(("MSS", options.mss))
    nops: list[tuple[str, Any]] = [("NOP", None), ("NOP", None)]
    if options.timestamps is not None:
        theirs_options += [("SAckOK", b"")] if options.sack_permitted else nops
        theirs_options.append(("Timestamp", options.timestamps))
    elif options.sack_permitted:
        theirs_options += [*nops, ("SAckOK", b"")]
    theirs = (
        scapy.IP(src=ip_text(src), dst=ip_text(dst))
        / scapy.TCP(
            sport=segment.sport,
            dport=segment.dport,
            seq=segment.seq,
            ack=segment.ack,
            flags=segment.flags,
            window=segment.window,
            urgptr=segment.urgent,
            options=theirs_options,
        )
        / scapy.Raw(segment.payload)
    )
    assert segment.emit(src, dst) == bytes(theirs)[20:]


@few
@given(segment_frames().filter(lambda frame: not frame.segment.options))
def test_built_segment(frame: Frame) -> None:
    assert again(scapy.Ether(frame.raw)) == frame.raw


@few
@given(dhcps)
def test_dhcp_header(message: Dhcp) -> None:
    theirs = scapy.BOOTP(
        op=message.op,
        htype=message.htype,
        hlen=len(message.chaddr),
        hops=message.hops,
        xid=message.xid,
        secs=message.secs,
        flags=message.flags,
        ciaddr=ip_text(message.ciaddr),
        yiaddr=ip_text(message.yiaddr),
        siaddr=ip_text(message.siaddr),
        giaddr=ip_text(message.giaddr),
        chaddr=message.chaddr,
        sname=message.sname,
        file=message.file,
    )
    assert message.emit()[:236] == bytes(theirs)[:236]


def test_dhcp_options() -> None:
    mine = Dhcp(
        2, 1, bytes(6), [(53, b"\2"), (54, bytes((10, 0, 2, 2))), (51, bytes((0, 1, 81, 128)))]
    )
    options = [("message-type", "offer"), ("server_id", "10.0.2.2"), ("lease_time", 86400), "end"]
    assert mine.emit()[240:] == bytes(scapy.DHCP(options=options))


@few
@given(dnses)
def test_dns_questions_and_records_are_read_alike(message: Dns) -> None:
    theirs = scapy.DNS(message.emit())
    assert theirs.id == message.ident
    assert [each.qtype for each in theirs.qd] == [each.qtype for each in message.questions]
    assert [each.type for each in theirs.an] == [each.rtype for each in message.answers]
    assert [each.ttl for each in theirs.ar] == [each.ttl for each in message.additional]


def test_dns_query() -> None:
    theirs = scapy.DNS(id=7, rd=1, qd=scapy.DNSQR(qname="www.qemu.org"))
    mine = Dns.parse(bytes(theirs))
    assert mine.questions[0].name == "www.qemu.org"
    assert mine.emit() == bytes(theirs)


@few
@given(ip6s, ip6s, u16, u16, payloads)
def test_ipv6_echo(src: bytes, dst: bytes, ident: int, sequence: int, data: bytes) -> None:
    body = ident.to_bytes(2, "big") + sequence.to_bytes(2, "big") + data
    mine = Ipv6(src, dst, 58, Icmpv6(128, 0, body).emit(src, dst), hop_limit=255)
    theirs = scapy.IPv6(src=ip_text(src), dst=ip_text(dst), hlim=255) / scapy.ICMPv6EchoRequest(
        id=ident, seq=sequence, data=data
    )
    assert mine.emit() == bytes(theirs)
