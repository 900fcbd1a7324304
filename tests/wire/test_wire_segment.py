from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import macs, segment_frames

from desim.wire.addresses import ip, mac
from desim.wire.errors import WireError
from desim.wire.ethernet import ETH_P_IP, ETH_P_IPV6, Ethernet
from desim.wire.frame import Frame
from desim.wire.ipv4 import PROTO_TCP, PROTO_UDP, Ipv4
from desim.wire.segment import Segment, build_segment, parse_segment
from desim.wire.tcp import ACK, SYN, Tcp, TcpOptions

HOST = ip("10.0.2.2")
GUEST = ip("10.0.2.15")
MACS = (mac("52:54:00:12:34:56"), mac("52:55:0a:00:02:02"))


def built(payload: bytes = b"hello", flags: int = ACK, dst: bytes = GUEST, **given: Any) -> Frame:
    options = {"ident": 1, "ttl": 64, "tos": 0, "df": False} | given
    return build_segment(*MACS, HOST, dst, 40000, 5556, 1, 2, flags, 65535, payload, **options)


def fields(segment: Segment | None) -> dict[str, object]:
    assert segment is not None
    names = [name for name in Segment.__slots__ if name not in ("_raw", "sums")]
    return {name: getattr(segment, name) for name in names}


def layers(raw: bytes) -> tuple[Ethernet, Ipv4, Tcp]:
    frame = Ethernet.parse(raw)
    packet = Ipv4.parse(frame.payload)
    return frame, packet, Tcp.parse(packet.payload, packet.src, packet.dst)


@given(segment_frames())
def test_built_frame_is_what_the_layers_build(frame: Frame) -> None:
    ethernet, packet, tcp = layers(frame.raw)
    packet.payload = tcp.emit(packet.src, packet.dst)
    ethernet.payload = packet.emit()
    assert ethernet.emit() == frame.raw
    assert packet.sum_ok
    assert tcp.sum_ok


@given(segment_frames())
def test_segment_that_is_carried_is_the_one_in_the_bytes(frame: Frame) -> None:
    parsed = Frame(frame.raw).segment
    assert fields(frame.segment) == fields(parsed)
    assert parsed is not None
    assert parsed.sums_ok


@given(segment_frames(), st.data())
def test_sums_ok_agrees_with_the_layers(frame: Frame, data: st.DataObject) -> None:
    raw = bytearray(frame.raw)
    raw[data.draw(st.integers(14, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    segment = parse_segment(bytes(raw))
    if segment is not None:
        _, packet, tcp = layers(bytes(raw))
        assert segment.sums_ok == (packet.sum_ok and tcp.sum_ok)


@given(st.binary(max_size=120) | segment_frames().map(lambda frame: frame.raw), st.data())
def test_segment_is_found_where_the_layers_find_one(raw: bytes, data: st.DataObject) -> None:
    damaged = bytearray(raw)
    if raw:
        damaged[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = bytes(damaged[: data.draw(st.integers(0, len(raw)))])
    segment = Frame(raw).segment
    try:
        frame, packet, tcp = layers(raw)
    except WireError:
        assert segment is None
        return
    plain = frame.ethertype == ETH_P_IP and frame.vlan_tci is None
    plain = plain and packet.protocol == PROTO_TCP and not packet.fragment
    if segment is None:
        # The reserved flag of IPv4 is not kept by the layers.
        assert not plain or packet.options or raw[20] & 0x80
    else:
        assert plain
        assert segment.payload == tcp.payload
        assert (segment.seq, segment.ack, segment.flags) == (tcp.seq, tcp.ack, tcp.flags)


def test_built_frame_is_not_summed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Segment, "_sum", lambda self: pytest.fail("summed twice"))
    for frame in (built(), built().padded()):
        assert frame.segment is not None
        assert frame.segment.sums_ok


def test_segment_is_read_once() -> None:
    frame = Frame(built().raw)
    assert frame.segment is frame.segment


def test_padding_carries_the_segment_over() -> None:
    frame = built(b"")
    padded = frame.padded()
    assert len(padded) == 60
    assert padded.segment is frame.segment
    assert Frame(padded.raw).segment is not None


def test_padding_is_no_payload() -> None:
    segment = Frame(built(b"hi").padded().raw).segment
    assert segment is not None
    assert segment.payload == b"hi"
    assert segment.sums_ok


def test_padding_can_complete_a_frame() -> None:
    frame = Frame(built(b"\0\0").raw[:-1])
    assert frame.segment is None
    assert frame.padded().segment is not None


def test_long_frame_is_its_own_padded_form() -> None:
    frame = built(bytes(100))
    assert frame.padded() is frame


def test_padding_keeps_the_number() -> None:
    assert Frame(b"x", 7).padded().number == 7


def test_repr_of_a_frame_recreates_it() -> None:
    assert repr(Frame(b"ab")) == "Frame(b'ab')"


def test_syn_tells_its_mss() -> None:
    frame = built(b"", options=TcpOptions(mss=1400).emit())
    assert frame.segment is not None
    assert frame.segment.mss == 1400
    assert built().segment.mss is None
    assert "mss=1400" in repr(frame.segment)


def other(**changes: Any) -> bytes:
    tcp = Tcp(1, 2, 3, 4, SYN, 5).emit(HOST, GUEST)
    packet = {"src": HOST, "dst": GUEST, "protocol": PROTO_TCP, "payload": tcp} | changes
    ethertype = packet.pop("ethertype", ETH_P_IP)
    vlan_tci = packet.pop("vlan_tci", None)
    return Ethernet(*MACS, ethertype, Ipv4(**packet).emit(), vlan_tci).emit()


def test_plain_frame_has_a_segment() -> None:
    assert Frame(other(df=True)).segment is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"mf": True},
        {"offset": 8},
        {"options": bytes(4)},
        {"protocol": PROTO_UDP},
        {"ethertype": ETH_P_IPV6},
        {"vlan_tci": 1},
        {"payload": b"\0" * 16},
    ],
)
def test_frame_that_is_not_plain_has_none(changes: dict[str, Any]) -> None:
    assert Frame(other(**changes)).segment is None


@pytest.mark.parametrize(
    "changes",
    [
        {"ident": 65536},
        {"ttl": -1},
        {"flags": 0x100},
        {"dst": bytes(16)},
        {"options": b"x"},
        {"options": bytes(44)},
        {"payload": bytes(65496)},
    ],
)
def test_segment_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        built(**changes)


@given(macs)
def test_no_frame_of_14_bytes_has_a_segment(address: bytes) -> None:
    assert Frame(address + address + b"\x08\0").segment is None
