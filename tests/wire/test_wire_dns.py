from __future__ import annotations

import pytest
from hypothesis import given
from wire_strategies import names

from desim.wire import dns
from desim.wire.dns import Dns, Question, Record, encode_name, read_name
from desim.wire.errors import WireError

HEADER = bytes.fromhex("000181800000000000000000")


@given(names)
def test_name_reads_back(name: str) -> None:
    raw = encode_name(name)
    assert read_name(b"xx" + raw, 2) == (name, 2 + len(raw))


def test_name_bytes() -> None:
    assert encode_name("www.qemu.org") == b"\3www\4qemu\3org\0"
    assert encode_name("www.qemu.org.") == encode_name("www.qemu.org")
    assert encode_name("") == encode_name(".") == b"\0"


def test_dots_and_odd_bytes_in_labels_are_escaped() -> None:
    assert read_name(b"\5a.b\\\xff\0", 0)[0] == "a\\.b\\\\\\255"
    assert encode_name("a\\.b\\\\\\255") == b"\5a.b\\\xff\0"


@pytest.mark.parametrize(
    "name", ["a..b", ".a", "x" * 64, ".".join(["x" * 63] * 4), "é", "a\\256", "a\\", "\\é"]
)
def test_impossible_name_is_refused(name: str) -> None:
    with pytest.raises(WireError, match="DNS"):
        encode_name(name)


def test_longest_name_is_taken() -> None:
    name = ".".join(["x" * 63] * 3 + ["x" * 61])
    assert len(encode_name(name)) == 255
    assert read_name(encode_name(name), 0)[0] == name


def test_pointer_is_followed() -> None:
    raw = b"\4qemu\3org\0" + b"\3www\xc0\x00" + b"z"
    assert read_name(raw, 10) == ("www.qemu.org", 16)


@pytest.mark.parametrize(
    ("raw", "at"),
    [
        (b"\xc0\x00", 0),  # to itself
        (b"\xc0\x02\xc0\x00", 0),  # forward
        (b"\1a\xc0\x00", 0),  # round and round
        (b"\xc0", 0),
        (b"\3ab", 0),
        (b"\3abc", 0),
        (b"\x40a\0", 0),
        (b"", 0),
    ],
)
def test_broken_name_is_refused(raw: bytes, at: int) -> None:
    with pytest.raises(WireError, match="DNS"):
        read_name(raw, at)


def test_chain_of_pointers_is_limited() -> None:
    raw = b"\0" + b"".join((0xC000 | max(0, n - 2)).to_bytes(2, "big") for n in range(1, 400, 2))
    assert read_name(raw, 201) == ("", 203)
    with pytest.raises(WireError, match="more than 127 pointers"):
        read_name(raw, 399)


def test_name_that_pointers_make_too_long_is_refused() -> None:
    raw = b"".join(b"\x3f" + b"x" * 63 for _ in range(4)) + b"\0"
    with pytest.raises(WireError, match="longer than 255"):
        read_name(raw, 0)


def test_answer_points_back_to_its_question() -> None:
    message = Dns(7, 0x8180, [Question("qemu.org")], [Record("qemu.org", 1, bytes(4), 60)])
    raw = message.emit()
    assert raw[12:] == (
        b"\4qemu\3org\0\0\1\0\1" + b"\xc0\x0c\0\1\0\1" + b"\0\0\0\x3c" + b"\0\4" + bytes(4)
    )
    assert Dns.parse(raw) == message


def test_names_far_into_a_message_are_written_out() -> None:
    big = [Record("a", 16, bytes(60000))]
    message = Dns(7, 0, [], [*big, Record("b", 1, b""), Record("b", 1, b"")])
    assert Dns.parse(message.emit()) == message


def test_compressed_name_inside_data_is_expanded() -> None:
    raw = (
        HEADER[:4]
        + bytes.fromhex("0001000100000000")
        + (b"\3www\4qemu\3org\0\0\5\0\1")
        + (b"\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x10")
    )
    record = Dns.parse(raw).answers[0]
    assert record.name == "www.qemu.org"
    assert record.rdata == encode_name("qemu.org")


def test_mail_exchanger_keeps_its_preference() -> None:
    rdata = b"\0\x0a" + encode_name("mx.org")
    message = Dns(1, 0, [], [Record("org", dns.TYPE_MX, rdata)])
    assert Dns.parse(message.emit()).answers[0].rdata == rdata


def test_name_past_the_data_of_its_record_is_refused() -> None:
    raw = HEADER[:6] + b"\0\1\0\0\0\0" + b"\0\0\5\0\1\0\0\0\0\0\1" + b"\1a\0"
    with pytest.raises(WireError, match="past the data"):
        Dns.parse(raw)


@pytest.mark.parametrize(
    "raw",
    [
        HEADER[:-1],
        HEADER[:4] + b"\0\1\0\0\0\0\0\0" + b"\0\0\1\0",
        HEADER[:6] + b"\0\1\0\0\0\0" + b"\0\0\1\0\1\0\0\0\0\0",
        HEADER[:6] + b"\0\1\0\0\0\0" + b"\0\0\1\0\1\0\0\0\0\0\4abc",
    ],
)
def test_truncated_message_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError, match="DNS"):
        Dns.parse(raw)


def test_message_that_does_not_fit_is_refused() -> None:
    with pytest.raises(WireError, match="does not fit"):
        Dns(1 << 16).emit()


def test_rcode() -> None:
    assert Dns(1, 0x8183).rcode == dns.NXDOMAIN
