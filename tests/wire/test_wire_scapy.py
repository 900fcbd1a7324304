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
    u32,
    udps,
)

from desim.wire.addresses import ip_text, mac_text
from desim.wire.arp import Arp
from desim.wire.dhcp import Dhcp
from desim.wire.dns import (
    QR,
    TYPE_A,
    TYPE_AAAA,
    TYPE_CNAME,
    Dns,
    Question,
    Record,
    encode_name,
    read_name,
)
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
    scapy: Any = pytest.importorskip(
        "scapy.all", reason="needs scapy, which parses our packets: pip install scapy"
    )

few = settings(max_examples=25, deadline=None)


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
    segment = frame.segment
    assert segment is not None
    theirs = scapy.Ether(dst=mac_text(segment.dst_mac), src=mac_text(segment.src_mac))
    theirs /= scapy.IP(
        src=ip_text(segment.src),
        dst=ip_text(segment.dst),
        id=segment.ident,
        ttl=segment.ttl,
        tos=segment.tos,
        flags="DF" if segment.df else "",
    )
    theirs /= scapy.TCP(
        sport=segment.sport,
        dport=segment.dport,
        seq=segment.seq,
        ack=segment.ack,
        flags=segment.flags,
        window=segment.window,
        urgptr=segment.urgent,
    )
    assert frame.raw == bytes(theirs / scapy.Raw(segment.payload))


@few
@given(dhcps, macs)
def test_dhcp_header(message: Dhcp, chaddr: bytes) -> None:
    message.chaddr = chaddr  # scapy knows no hardware addresses of other lengths
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


hosts = st.sampled_from(["qemu.org", "www.qemu.org", "org", "www.linux.org"])
plain_records = st.one_of(
    st.builds(Record, hosts, st.just(TYPE_A), ips, u32),
    st.builds(Record, hosts, st.just(TYPE_AAAA), ip6s, u32),
    st.builds(Record, hosts, st.just(TYPE_CNAME), hosts.map(encode_name), u32),
)


@few
@given(u16, st.lists(plain_records, max_size=4), st.lists(plain_records, max_size=2))
def test_dns_answers_are_read_alike(
    ident: int, answers: list[Record], additional: list[Record]
) -> None:
    mine = Dns(ident, QR, [Question("www.qemu.org")], answers, [], additional)
    theirs = scapy.DNS(mine.emit())
    assert theirs.id == ident
    assert theirs.qd[0].qname == b"www.qemu.org."
    for section, expected in ((theirs.an, answers), (theirs.ar, additional)):
        found = [section[at] for at in range(len(expected))]
        assert [(each.rrname.decode(), each.type, each.ttl) for each in found] == [
            (f"{each.name}.", each.rtype, each.ttl) for each in expected
        ]
        for each, record in zip(found, expected, strict=True):
            if record.rtype == TYPE_CNAME:
                assert each.rdata.decode() == f"{read_name(record.rdata, 0)[0]}."
            else:
                assert each.rdata == ip_text(record.rdata)


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
