"""Neighbour discovery and listener reports, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.wire.addresses import ip
from desim.wire.errors import WireError
from desim.wire.icmpv6_mld import GroupRecord, mld2_report, parse_mld2_report
from desim.wire.icmpv6_nd import (
    NdOptions,
    Neighbour,
    PrefixInfo,
    RouterAdvertisement,
    neighbour_advertisement,
    neighbour_solicitation,
    router_solicitation,
)

addresses = st.binary(min_size=16, max_size=16)
macs = st.binary(min_size=6, max_size=6)


@given(addresses, st.none() | macs, st.none() | macs)
def test_a_solicitation_comes_back_as_it_went(
    target: bytes, lladdr: bytes | None, nonce: bytes | None
) -> None:
    read = Neighbour.parse(neighbour_solicitation(target, lladdr=lladdr, nonce=nonce).body)
    assert read == Neighbour(target, 0, NdOptions(source_lladdr=lladdr, nonce=nonce))


@given(addresses, st.sampled_from((0, 0x20, 0x60, 0xE0)), st.none() | macs)
def test_an_advertisement_comes_back_as_it_went(
    target: bytes, flags: int, lladdr: bytes | None
) -> None:
    read = Neighbour.parse(neighbour_advertisement(target, flags, lladdr=lladdr).body)
    assert read == Neighbour(target, flags, NdOptions(target_lladdr=lladdr))


def test_a_router_solicitation_names_its_sender() -> None:
    assert router_solicitation(b"\2\0\0\0\0\1").body == bytes(4) + b"\1\1\2\0\0\0\0\1"


def test_slirps_advertisement() -> None:
    """From ``idle_ipv6_on``."""
    body = bytes.fromhex(
        "4000070800000000000000000101525600000002030440c0000151800000384000000000"
        "fec00000000000000000000000000000"
    )
    prefix = PrefixInfo(ip("fec0::"), 64, True, True, 86400, 14400)
    options = NdOptions(source_lladdr=bytes.fromhex("525600000002"), prefixes=[prefix])
    assert RouterAdvertisement.parse(body) == RouterAdvertisement(64, 0, 1800, 0, 0, options)


def test_the_first_of_an_option_counts() -> None:
    options = b"".join(kind + bytes((at,)) * 6 for kind in (b"\1\1", b"\2\1") for at in (1, 2))
    read = NdOptions.parse(options)
    assert (read.source_lladdr, read.target_lladdr) == (b"\1" * 6, b"\1" * 6)


def test_unknown_options_are_stepped_over() -> None:
    assert NdOptions.parse(b"\x19\3" + bytes(22) + b"\1\1" + b"\7" * 6).source_lladdr == b"\7" * 6


@pytest.mark.parametrize("options", [bytes(8), b"\1", b"\1\2" + bytes(6)])
def test_an_option_that_cannot_be_is_refused(options: bytes) -> None:
    with pytest.raises(WireError, match="neighbour discovery: option"):
        NdOptions.parse(options)


def test_a_short_message_is_refused() -> None:
    with pytest.raises(WireError, match="a target needs 20"):
        Neighbour.parse(bytes(19))
    with pytest.raises(WireError, match="router advertisement"):
        RouterAdvertisement.parse(bytes(11))


@given(st.lists(st.builds(GroupRecord, st.integers(1, 6), addresses), max_size=5))
def test_a_report_comes_back_as_it_went(records: list[GroupRecord]) -> None:
    assert parse_mld2_report(mld2_report(records).body) == records


def test_a_report_of_another_size_is_refused() -> None:
    body = mld2_report([GroupRecord(4, ip("ff02::1:ff12:3456"))]).body
    with pytest.raises(WireError, match="records without sources"):
        parse_mld2_report(body[:-1])
    with pytest.raises(WireError, match="with sources"):
        parse_mld2_report(body[:7] + b"\1" + body[8:])
