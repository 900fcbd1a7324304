from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import ip6s, ips, macs

from desim.wire import addresses
from desim.wire.addresses import (
    broadcast_of,
    in_network,
    ip,
    ip_text,
    is_multicast_ip,
    is_multicast_mac,
    mac,
    mac_text,
    mask_from_prefix,
    multicast_mac,
    network_of,
    prefix_from_mask,
)
from desim.wire.errors import WireError


@given(macs)
def test_mac_text_reads_back(address: bytes) -> None:
    assert mac(mac_text(address)) == address


@given(ips | ip6s)
def test_ip_text_reads_back(address: bytes) -> None:
    assert ip(ip_text(address)) == address


@given(st.lists(st.sampled_from([b"\0\0", b"\0\1", b"\xfe\x80"]), min_size=8, max_size=8))
def test_ipv6_text_is_the_shortest_form_of_rfc_5952(groups: list[bytes]) -> None:
    address = b"".join(groups)
    if address[:10] != bytes(10):  # those that embed IPv4 are written differently
        assert ip_text(address) == str(ipaddress.IPv6Address(address))


WRITTEN = st.lists(
    st.sampled_from([":", "::", "0", "1", "fe80", "AbC", "00001", "g", "%1", "1.2.3.4"])
)


@given(WRITTEN.map("".join) | WRITTEN.map(":".join))
def test_an_ipv6_address_is_read_as_ipaddress_reads_it(text: str) -> None:
    try:
        expected = None if "%" in text else ipaddress.IPv6Address(text).packed
    except ValueError:
        expected = None
    try:
        found = ip(text) if ":" in text else None
    except WireError:
        found = None
    assert found == expected


def test_ipv6_text_does_not_show_embedded_ipv4() -> None:
    assert ip_text(bytes(10) + b"\xff\xff\x0a\x00\x02\x02") == "::ffff:a00:202"


def test_mac_takes_dashes_and_capitals() -> None:
    assert mac("52-54-00-12-AB-56") == b"\x52\x54\x00\x12\xab\x56"


@pytest.mark.parametrize(
    "text", ["", "52:54:00:12:34", "52:54:00:12:34:5g", "52:54-00:12:34:56", "525400123456"]
)
def test_bad_mac_is_named(text: str) -> None:
    with pytest.raises(WireError, match="is not a MAC address; expected"):
        mac(text)


@pytest.mark.parametrize(
    "text",
    ["", "10.0.2", "10.0.2.256", "10.0.02.2", "10.0.2.2 ", "a.b.c.d", "10.0.2.2\n", "١.1.1.1"],
)
def test_bad_ipv4_is_named(text: str) -> None:
    with pytest.raises(WireError, match="is not an IP address; expected"):
        ip(text)


@pytest.mark.parametrize("text", [":", "fec0:::2", "fe80::1%eth0", "1:2:3:4:5:6:7:8:9"])
def test_bad_ipv6_is_named(text: str) -> None:
    with pytest.raises(WireError, match=r"IPv6|scope"):
        ip(text)


def test_text_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(WireError, match="4 or 16 bytes, not 5"):
        ip_text(bytes(5))
    with pytest.raises(WireError, match="6 bytes, not 4"):
        mac_text(bytes(4))


@given(st.integers(0, 32), ips)
def test_network_arithmetic_agrees_with_ipaddress(prefix: int, address: bytes) -> None:
    network = ipaddress.ip_network((address, prefix), strict=False)
    mask = mask_from_prefix(prefix)
    assert mask == network.netmask.packed
    assert prefix_from_mask(mask) == prefix
    assert network_of(address, mask) == network.network_address.packed
    assert broadcast_of(network_of(address, mask), mask) == network.broadcast_address.packed
    assert in_network(address, network.network_address.packed, mask)


def test_ipv6_has_masks_too() -> None:
    assert network_of(ip("fec0::5054:ff"), mask_from_prefix(64, 16)) == ip("fec0::")


def test_impossible_masks_are_refused() -> None:
    with pytest.raises(WireError, match="0 to 32"):
        mask_from_prefix(33)
    with pytest.raises(WireError, match="ones, then zeros"):
        prefix_from_mask(ip("255.0.255.0"))
    with pytest.raises(WireError, match="different families"):
        network_of(ip("10.0.2.2"), mask_from_prefix(64, 16))


def test_multicast() -> None:
    assert is_multicast_ip(ip("224.0.0.1"))
    assert is_multicast_ip(ip("ff02::16"))
    assert not is_multicast_ip(addresses.IP_BROADCAST)
    assert is_multicast_mac(addresses.BROADCAST_MAC)
    assert not is_multicast_mac(mac("52:54:00:12:34:56"))
    assert multicast_mac(ip("239.129.2.3")) == mac("01:00:5e:01:02:03")
    assert multicast_mac(ip("ff02::1:ff12:3456")) == mac("33:33:ff:12:34:56")
