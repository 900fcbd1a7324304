from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import ip6s, ips, u8, u16

from desim.wire.checksum import checksum, ones_sum, pseudo_sum
from desim.wire.errors import WireError


def plain_sum(data: bytes) -> int:
    """RFC 1071 section 4.1, word by word."""
    data += bytes(len(data) & 1)
    total = 0
    for high, low in zip(data[::2], data[1::2], strict=True):
        total += high << 8 | low
        total = (total & 0xFFFF) + (total >> 16)
    return total


edges = st.lists(
    st.sampled_from([b"\0\0", b"\xff\xff", b"\0\1", b"\xff\xfe", b"\x80\0"]), max_size=8
)
datas = st.binary(max_size=200) | edges.map(b"".join) | edges.map(lambda e: b"".join(e)[1:])


@given(datas)
def test_sum_is_that_of_a_plain_loop(data: bytes) -> None:
    assert ones_sum(data) == plain_sum(data)


@given(datas)
def test_checksum_is_the_inverted_sum(data: bytes) -> None:
    assert checksum(data) == plain_sum(data) ^ 0xFFFF


@given(
    st.sampled_from([184 << n for n in range(9)] + [1460, 1500, 65535]),
    st.integers(-3, 3),
    datas.filter(bool) | st.sampled_from([b"\xff", b"\0\0\0\1"]),
)
def test_long_data_is_summed_by_halves(size: int, more: int, pattern: bytes) -> None:
    data = (pattern * (size // len(pattern) + 4))[: size + more]
    assert ones_sum(data) == plain_sum(data)
    assert checksum(data) == plain_sum(data) ^ 0xFFFF


@given(datas, edges.map(b"".join))
def test_initial_goes_into_the_sum(data: bytes, before: bytes) -> None:
    assert checksum(data, ones_sum(before)) == checksum(before + data)


@given(datas)
def test_bytes_are_summed_where_they_lie(data: bytes) -> None:
    assert ones_sum(memoryview(data)) == ones_sum(bytearray(data)) == ones_sum(data)


def test_only_zeros_sum_to_zero() -> None:
    assert ones_sum(b"") == ones_sum(bytes(5)) == 0
    assert ones_sum(b"\xff\xff") == ones_sum(b"\xff\xfe\0\1") == 0xFFFF
    assert checksum(b"") == 0xFFFF
    assert checksum(b"\xff\xff") == 0


def test_the_example_of_rfc_1071() -> None:
    assert ones_sum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2


@given(ips, ips, u8, u16)
def test_ipv4_pseudo_header(src: bytes, dst: bytes, protocol: int, length: int) -> None:
    header = src + dst + bytes((0, protocol)) + length.to_bytes(2, "big")
    assert checksum(b"", pseudo_sum(src, dst, protocol, length)) == checksum(header)


@given(ip6s, ip6s, u8, u16)
def test_ipv6_pseudo_header(src: bytes, dst: bytes, protocol: int, length: int) -> None:
    header = src + dst + length.to_bytes(4, "big") + bytes((0, 0, 0, protocol))
    assert checksum(b"", pseudo_sum(src, dst, protocol, length)) == checksum(header)


def test_pseudo_header_of_mixed_families_is_refused() -> None:
    with pytest.raises(WireError, match="one family"):
        pseudo_sum(bytes(4), bytes(16), 6, 20)
