from __future__ import annotations

import pytest

from desim.wire import dhcp
from desim.wire.addresses import ip, mac
from desim.wire.dhcp import Dhcp
from desim.wire.errors import WireError

GUEST_MAC = mac("52:54:00:12:34:56")


def discover() -> Dhcp:
    """As busybox udhcpc 1.35 sends it."""
    return Dhcp(
        dhcp.BOOTREQUEST,
        0x44264615,
        GUEST_MAC,
        [
            (dhcp.OPT_MESSAGE_TYPE, bytes((dhcp.DHCPDISCOVER,))),
            (dhcp.OPT_MAX_SIZE, (576).to_bytes(2, "big")),
            (dhcp.OPT_PARAMETERS, bytes((1, 3, 6, 12, 15, 28, 42))),
            (dhcp.OPT_VENDOR_CLASS, b"udhcp 1.35.0"),
            (dhcp.OPT_CLIENT_ID, b"\1" + GUEST_MAC),
        ],
    )


def test_udhcpc_sends_300_bytes() -> None:
    raw = discover().emit(size=dhcp.UDHCPC_LEN)
    assert len(raw) == 300
    assert raw[236:243] == b"\x63\x82\x53\x63\x35\1\1"
    assert Dhcp.parse(raw) == discover()


def test_slirp_sends_548_bytes() -> None:
    offer = Dhcp(dhcp.BOOTREPLY, 1, GUEST_MAC, [(53, b"\2")], yiaddr=ip("10.0.2.15"))
    raw = offer.emit(size=dhcp.SLIRP_LEN)
    assert len(raw) == 548
    assert Dhcp.parse(raw).yiaddr == ip("10.0.2.15")


def test_without_a_size_nothing_follows_the_end() -> None:
    assert discover().emit().endswith(GUEST_MAC + b"\xff")


def test_order_of_options_is_kept() -> None:
    assert [code for code, _ in Dhcp.parse(discover().emit()).options] == [53, 57, 55, 60, 61]


def test_message_type() -> None:
    assert discover().message_type == dhcp.DHCPDISCOVER
    assert Dhcp(1, 1, GUEST_MAC).message_type is None
    assert Dhcp(1, 1, GUEST_MAC, [(53, b"")]).message_type is None


def test_option_is_the_first_of_its_code() -> None:
    message = Dhcp(1, 1, GUEST_MAC, [(12, b"a"), (12, b"b")])
    assert message.option(dhcp.OPT_HOSTNAME) == b"a"
    assert message.option(dhcp.OPT_ROUTER) is None


def test_pads_between_options_are_skipped() -> None:
    assert dhcp.parse_options(b"\0\0\x0c\1a\0\x0f\1b\xff\x01") == [(12, b"a"), (15, b"b")]


def test_missing_end_is_forgiven() -> None:
    assert dhcp.parse_options(b"\x0c\1a") == [(12, b"a")]


@pytest.mark.parametrize("raw", [b"\x35\1\1\x0c\5ab", b"\x35\1\1\x0c"])
def test_option_past_the_end_is_refused_or_left_out(raw: bytes) -> None:
    with pytest.raises(WireError, match="option 12 runs"):
        dhcp.parse_options(raw)
    assert dhcp.parse_options(raw, lenient=True) == [(53, b"\1")]


def test_lenient_message_keeps_the_options_before_the_damage() -> None:
    raw = discover().emit()[:-4]
    with pytest.raises(WireError, match="option 61"):
        Dhcp.parse(raw)
    assert Dhcp.parse(raw, lenient=True).options == discover().options[:-1]


@pytest.mark.parametrize("tail", [b"", bytes(64)])
def test_bootp_without_cookie_has_no_options(tail: bytes) -> None:
    raw = discover().emit()[:236] + tail
    message = Dhcp.parse(raw)
    assert not message.cookie
    assert message.options == []
    assert message.emit(size=len(raw)) == raw


@pytest.mark.parametrize("size", [0, 235])
def test_short_message_is_refused(size: int) -> None:
    with pytest.raises(WireError, match=f"{size} bytes"):
        Dhcp.parse(bytes(size))


def test_long_hardware_address_is_refused() -> None:
    with pytest.raises(WireError, match="17 bytes"):
        Dhcp.parse(bytes((1, 1, 17)) + bytes(300))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Dhcp(1, 1, bytes(17)), "17"),
        (Dhcp(1, 1, GUEST_MAC, file=bytes(129)), "129"),
        (Dhcp(1, 1, GUEST_MAC, ciaddr=b""), "4 bytes"),
        (Dhcp(1, 1 << 32, GUEST_MAC), "xid 32"),
        (Dhcp(1, 1, GUEST_MAC, [(0, b"")]), "option 0"),
        (Dhcp(1, 1, GUEST_MAC, [(255, b"")]), "option 255"),
        (Dhcp(1, 1, GUEST_MAC, [(12, bytes(256))]), "256 bytes"),
        (Dhcp(1, 1, GUEST_MAC, [(12, b"a")], cookie=False), "cookie"),
        (Dhcp(1, 1, GUEST_MAC, [(12, bytes(200)), (15, bytes(200))]), "more than its size 548"),
    ],
)
def test_message_that_does_not_fit_is_refused(message: Dhcp, why: str) -> None:
    with pytest.raises(WireError, match=why):
        message.emit(size=dhcp.SLIRP_LEN)
