"""The figures by which a prediction is judged, from a recording or from a simulation.

Times are ns, rates Mbit/s of virtual time. A percentile of n sorted values is the one at
``int(q * n)``, as the recordings' own tables have it. A bulk transfer lasts from its first
data segment to the first segment from the other side that acknowledges the last; stamps
are whole microseconds, so there is a rate only where that is a hundred of them or more.

Frames are those of ARP and IPv4. The IPv6 frames with which a Linux guest starts come at
times that its kernel draws; ``ipv6_sent`` counts them, for each may have caused an
interrupt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from desim.conform.linux.predict import Predicted
from desim.conform.linux.recording import Test
from desim.data import NamedTuple
from desim.machine.capture import Captured
from desim.wire.ethernet import ETH_P_IPV6
from desim.wire.ipv4 import PROTO_TCP

Number = TypeVar("Number", int, float)

_ETHERNET = 14
_IPV6 = ETH_P_IPV6.to_bytes(2, "big")
_SYN_FIN_RST = 0x07
_ACK = 0x10

RESOLVED_US = 100
"""The shortest transfer whose rate stamps in whole microseconds tell to one percent."""


class Figures(NamedTuple):
    """The figures of one test; None where a test has none."""

    rtt_p50: int | None = None
    rtt_p95: int | None = None
    interrupts: int | None = None
    frames: int | None = None
    mbit_s: float | None = None
    segments_per_ack: float | None = None


def percentile(values: Sequence[Number], hundredths: int) -> Number | None:
    """See the module; None without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, hundredths * len(ordered) // 100)] if ordered else None


def measured(test: Test) -> Figures:
    """What the recording says."""
    lists, out = test.samples, test.out
    if test.host is not None and not _round_trips(lists):
        lists = test.host.samples
    trips = _round_trips(lists)
    wire = next((c["wire"] for c in test.tcp if "wire" in c), None)
    return Figures(
        percentile(trips, 50),
        percentile(trips, 95),
        test.interrupts,
        None if test.frames is None else test.frames - test.ipv6[0],
        _rate(wire) if wire else out.get("mbit_s"),
        _segments_per_ack(
            *max(
                ((c["guest_to_host"], c["host_to_guest"]) for c in test.tcp),
                key=lambda ways: max(w["payload_bytes"] for w in ways),
            )
        )
        if wire
        else None,
    )


def _rate(wire: dict[str, Any]) -> float | None:
    duration_us = wire["all_acked_us"] - wire["first_data_us"]
    return float(wire["mbit_s_to_last_ack"]) if duration_us >= RESOLVED_US else None


def simulated(test: Test, found: Predicted) -> Figures:
    """What the simulation says, of the same figures."""
    trips = _round_trips(found.out) or _round_trips(found.host_out)
    wire = Wire(found.packets)
    is_bulk = any("wire" in c for c in test.tcp)
    rate = wire.mbit_s() if is_bulk else None
    return Figures(
        percentile(trips, 50),
        percentile(trips, 95),
        found.interrupts,
        sum(not _is_ipv6(packet) for packet in found.packets),
        rate if is_bulk else found.out.get("mbit_s"),
        wire.segments_per_ack() if is_bulk else None,
    )


def ipv6_sent(found: Predicted) -> int:
    """How many IPv6 frames the guest has sent."""
    return sum(_is_ipv6(packet) and not packet.to_guest for packet in found.packets)


def _is_ipv6(packet: Captured) -> bool:
    return packet.frame.raw[12:14] == _IPV6


def _round_trips(lists: dict[str, Any]) -> list[int]:
    if "rtt_ns" in lists:
        return list(lists["rtt_ns"])
    if "send_ns" in lists and "recv_ns" in lists:
        pairs = zip(lists["send_ns"], lists["recv_ns"], strict=False)
        return [received - sent for sent, received in pairs if received >= 0]
    return []


def _segments_per_ack(guest: dict[str, Any], host: dict[str, Any]) -> float | None:
    sender, receiver = (guest, host) if guest["payload_bytes"] else (host, guest)
    acks = receiver["pure_acks"]
    return sender["data_segments"] / acks if acks else None


def is_tcp(raw: bytes) -> bool:
    """Whether a frame holds TCP over IPv4."""
    return raw[12:14] == b"\x08\x00" and raw[_ETHERNET + 9] == PROTO_TCP


class Wire:
    """The bulk transfer among captured packets: its data, and the ACKs of it."""

    def __init__(self, packets: Sequence[Captured]) -> None:
        self._ways = (_Way(), _Way())
        for time, to_guest, frame in packets:
            self._packet(time // 1000, self._ways[to_guest], frame.raw)

    def _packet(self, time_us: int, way: _Way, raw: bytes) -> None:
        start = _ETHERNET
        if not is_tcp(raw):
            return
        tcp = start + (raw[start] & 15) * 4
        length = int.from_bytes(raw[start + 2 : start + 4], "big")
        payload = length - (tcp - start) - (raw[tcp + 12] >> 4) * 4
        flags = raw[tcp + 13]
        if payload:
            way.first_data_us = way.first_data_us or time_us
            way.segments += 1
            way.bytes += payload
            end = int.from_bytes(raw[tcp + 4 : tcp + 8], "big") + payload
            if way.end is None or _not_before(end, way.end):
                way.end = end
        elif not flags & _SYN_FIN_RST:
            way.pure_acks += 1
        if flags & _ACK:
            way.acks.append((time_us, int.from_bytes(raw[tcp + 8 : tcp + 12], "big")))

    def mbit_s(self) -> float | None:
        """From the first data to the ACK of the last; see the module."""
        data, other = self._sorted()
        if data.end is None:
            return None
        last = next((time for time, ack in other.acks if _not_before(ack, data.end)), None)
        if last is None or last - data.first_data_us < RESOLVED_US:
            return None
        return round(data.bytes * 8 / (last - data.first_data_us), 3)

    def segments_per_ack(self) -> float | None:
        """Data segments for each pure ACK."""
        data, other = self._sorted()
        return data.segments / other.pure_acks if other.pure_acks else None

    def _sorted(self) -> tuple[_Way, _Way]:
        up, down = self._ways
        return (down, up) if down.bytes > up.bytes else (up, down)


class _Way:
    """One direction of a connection."""

    def __init__(self) -> None:
        self.bytes = 0
        self.segments = 0
        self.first_data_us = 0
        self.end: int | None = None
        """The sequence number behind the last data."""
        self.pure_acks = 0
        self.acks: list[tuple[int, int]] = []
        """When a segment with an ACK was seen (us), and of what."""


def _not_before(one: int, other: int) -> bool:
    """Whether sequence number ``one`` is ``other`` or behind it."""
    return (one - other) & 0xFFFFFFFF < 1 << 31
