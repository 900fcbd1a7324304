"""Checksums and segmentation in software, against the card that does the same in hardware."""

from __future__ import annotations

from fakes_driver import MS, Guest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_driver_tx import finished, tcp_headers, tcp_skb

from desim.guest.net.offload import Offload
from desim.guest.skb import CHECKSUM_NONE, CHECKSUM_PARTIAL, Skb
from desim.wire.checksum import checksum, pseudo_sum

CARD = Guest().up()


def wire(skb: Skb) -> bytes:
    return skb.head + b"".join(skb.frags)


@given(
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=4),
    mss=st.integers(200, 1460),
    flags=st.sampled_from([0x10, 0x18, 0x19, 0x11]),
)
@settings(max_examples=60)
def test_segments_are_those_of_the_card(sizes: list[int], mss: int, flags: int) -> None:
    total = sum(sizes)
    if total <= mss or total % mss == 0:
        return  # no segmentation; and QEMU's card adds a segment of no bytes to a multiple
    data = bytes(number * 7 & 0xFF for number in range(total))
    payload = []
    for size in sizes:
        payload.append(data[:size])
        data = data[size:]
    CARD.net.out.clear()
    CARD.send(tcp_skb(payload, mss=mss, flags=flags))
    CARD.cpu.run(MS)
    by_card = [frame.raw for frame in CARD.net.out]
    segments = Offload().validate_xmit_skb(tcp_skb(payload, mss=mss, flags=flags))
    assert [wire(segment) for segment in segments] == by_card


def test_the_packets_claim_on_its_socket_goes_with_the_last_segment() -> None:
    skb = tcp_skb([bytes(3000)], mss=1460)
    given_back: list[str] = []
    skb.destructor = lambda: given_back.append("claim")
    segments = Offload().validate_xmit_skb(skb)
    assert [segment.destructor is not None for segment in segments] == [False, False, True]
    assert skb.destructor is None
    segments[-1].destructor()
    assert given_back == ["claim"]


def test_congestion_window_reduced_is_said_once() -> None:
    segments = Offload().validate_xmit_skb(tcp_skb([bytes(3000)], mss=1460, flags=0x98))
    assert [segment.head[47] for segment in segments] == [0x90, 0x10, 0x18]


def test_a_packet_of_one_segment_gets_its_checksum_and_stays_itself() -> None:
    skb = tcp_skb([b"Hello"])
    assert Offload().validate_xmit_skb(skb) == [skb]
    assert wire(skb) == finished(tcp_headers(5), b"Hello")
    assert skb.ip_summed == CHECKSUM_NONE


def test_a_packet_that_is_summed_already_is_left_alone() -> None:
    skb = Skb(bytes(60))
    assert Offload().validate_xmit_skb(skb) == [skb]
    assert skb.head == bytes(60)


def test_a_sum_of_zero_is_stored_as_ones() -> None:
    """RFC 768: zero would mean that there is none."""
    head = bytearray(42)
    head[34:42] = bytes((0, 1, 0, 2, 0, 10, 0, 0))
    pseudo = pseudo_sum(bytes(4), bytes(4), 17, 10) % 0xFFFF
    head[40:42] = pseudo.to_bytes(2, "big")
    rest = checksum(bytes(head[34:]))
    skb = Skb(bytes(head))
    skb.frags = [rest.to_bytes(2, "big")]
    skb.ip_summed, skb.csum_start, skb.csum_offset = CHECKSUM_PARTIAL, 34, 6
    Offload().validate_xmit_skb(skb)
    assert skb.head[40:42] == b"\xff\xff"
