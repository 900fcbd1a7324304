"""Laws that hold for every header: what is emitted reads back, and rubbish is refused as such."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wire_strategies import (
    arps,
    dhcps,
    dnses,
    ethernets,
    icmps,
    icmpv6s,
    ip6s,
    ips,
    ipv4s,
    ipv6s,
    tcps,
    udps,
)

from desim.wire.arp import Arp
from desim.wire.dhcp import Dhcp
from desim.wire.dns import Dns
from desim.wire.errors import WireError
from desim.wire.ethernet import Ethernet
from desim.wire.icmp import Icmp
from desim.wire.icmpv6 import Icmpv6
from desim.wire.ipv4 import Ipv4
from desim.wire.ipv6 import Ipv6
from desim.wire.tcp import Tcp, TcpOptions
from desim.wire.udp import Udp


@given(ethernets | arps | ipv4s | icmps | ipv6s | dhcps | dnses)
def test_emitted_header_reads_back(header: Any) -> None:
    assert type(header).parse(header.emit()) == header


@given(udps | tcps, ips | ip6s, st.data())
def test_emitted_transport_header_reads_back(header: Any, src: bytes, data: st.DataObject) -> None:
    dst = data.draw(ips if len(src) == 4 else ip6s)
    read = type(header).parse(header.emit(src, dst), src, dst)
    assert read == header
    assert read.sum_ok


@given(icmpv6s, ip6s, ip6s)
def test_emitted_icmpv6_reads_back(header: Icmpv6, src: bytes, dst: bytes) -> None:
    read = Icmpv6.parse(header.emit(src, dst), src, dst)
    assert read == header
    assert read.sum_ok


@given(ipv4s, st.binary(max_size=46))
def test_padding_behind_ipv4_is_cut_off(packet: Ipv4, padding: bytes) -> None:
    assert Ipv4.parse(packet.emit() + padding) == packet


@given(ipv6s, st.binary(max_size=46))
def test_padding_behind_ipv6_is_cut_off(packet: Ipv6, padding: bytes) -> None:
    assert Ipv6.parse(packet.emit() + padding) == packet


@given(arps, st.binary(max_size=18))
def test_padding_behind_arp_is_not_read(packet: Arp, padding: bytes) -> None:
    assert Arp.parse(packet.emit() + padding) == packet


@given(udps, st.binary(max_size=18))
def test_padding_behind_udp_is_cut_off(datagram: Udp, padding: bytes) -> None:
    assert Udp.parse(datagram.emit(bytes(4), bytes(4)) + padding) == datagram


parsers: list[Callable[[bytes], object]] = [
    Ethernet.parse,
    Arp.parse,
    Ipv4.parse,
    lambda data: Ipv4.parse(data, quoted=True),
    Icmp.parse,
    lambda data: Udp.parse(data, bytes(4), bytes(4)),
    lambda data: Tcp.parse(data, bytes(4), bytes(4)),
    Dhcp.parse,
    lambda data: Dhcp.parse(data, lenient=True),
    Dns.parse,
    Ipv6.parse,
    lambda data: Icmpv6.parse(data, bytes(16), bytes(16)),
]


@pytest.mark.parametrize("parse", parsers)
@given(data=st.binary(max_size=400))
@example(data=b"")
def test_any_bytes_are_read_or_refused(parse: Callable[[bytes], object], data: bytes) -> None:
    with suppress(WireError):
        parse(data)


@pytest.mark.parametrize(
    ("headers", "parse"),
    [
        (ipv4s.map(Ipv4.emit), Ipv4.parse),
        (tcps.map(lambda tcp: tcp.emit(bytes(4), bytes(4))), Tcp.parse),
        (udps.map(lambda udp: udp.emit(bytes(4), bytes(4))), Udp.parse),
        (dhcps.map(Dhcp.emit), Dhcp.parse),
        (dnses.map(Dns.emit), Dns.parse),
    ],
)
@given(data=st.data())
def test_damaged_headers_are_read_or_refused(
    headers: st.SearchStrategy[bytes], parse: Callable[[bytes], object], data: st.DataObject
) -> None:
    raw = bytearray(data.draw(headers))
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=4)):
        raw[at] = data.draw(st.integers(0, 255))
    with suppress(WireError):
        parse(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


@given(st.binary(max_size=40))
def test_tcp_options_are_understood_as_far_as_possible(raw: bytes) -> None:
    assert isinstance(TcpOptions.parse(raw), TcpOptions)
