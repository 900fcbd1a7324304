"""What a run came to, in a few figures: transfers, the card's work, losses.

Everything here is counted, from the captures and the trace; nothing is estimated.

* A *transfer* is one direction of a TCP connection that carried data, as its sender's end of
  the wire saw it. It lasts from the first frame with data to the acknowledgement of the last
  byte. A frame whose bytes had all been sent before counts as a retransmission.
* *Interrupts* are those that the guest's processor took from the card.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from desim.config import MachineConfig
from desim.e1000.interrupts import LINE
from desim.engine.trace import Trace
from desim.events import MitigationEnded
from desim.machine.capture import Captured
from desim.slirp.reasons import IP6_HOP_BY_HOP
from desim.stages import Landmark
from desim.wire.addresses import ip_text
from desim.wire.parsed import Segment, parse_segment

NORMAL_LOSSES = (IP6_HOP_BY_HOP.code,)
"""Reasons for which a frame that ends is nobody's loss: reports that no one asked for."""

_SPACE = 1 << 32
_HALF = 1 << 31


class Transfer(NamedTuple):
    """One direction of a TCP connection that carried data."""

    sender: str
    """``guest:80``, ``host:39866``; another address is written out."""
    receiver: str
    size: int
    """Bytes of the stream that were sent, each once."""
    begin_ns: int
    """The first frame with data, at the sender's end of the wire."""
    end_ns: int
    """The acknowledgement of the last byte, there; without one, the last frame with data."""
    retransmitted: int
    """Frames whose bytes had all been sent before."""

    @property
    def duration_ns(self) -> int:
        """How long it took."""
        return self.end_ns - self.begin_ns

    @property
    def rate(self) -> int | None:
        """Bytes per second, rounded down; None if it took no time."""
        return self.size * 10**9 // self.duration_ns if self.duration_ns else None


class Card(NamedTuple):
    """What the card did."""

    to_guest: int
    """Frames that it received."""
    from_guest: int
    """Frames that it sent."""
    lost: int
    """Frames that ended anywhere but where they were to go, without those in ``unused``."""
    unused: int
    """Frames that nobody was to have: see ``NORMAL_LOSSES``."""
    interrupts: int
    """In the whole run."""
    boot_interrupts: int
    """Up to the end of the guest's boot."""
    busy_ns: int
    """How long transfers were under way; without any, from the first to the last frame behind
    the boot."""
    busy_interrupts: int
    """Interrupts in that time."""
    busy_frames: int
    """Frames in that time, both ways."""
    held_back: int
    """Times that the line rose only when a window of interrupt mitigation had ended."""

    @property
    def per_second(self) -> int | None:
        """Interrupts per second of ``busy_ns``; None if there was no such time."""
        return self.busy_interrupts * 10**9 // self.busy_ns if self.busy_ns else None


class _Flow:
    """One direction of a connection, as it builds up."""

    __slots__ = ("acked", "acked_ns", "base", "begin_ns", "high", "last_ns", "repeated")

    def __init__(self) -> None:
        self.base: int | None = None
        self.high = 0
        self.acked = 0
        self.acked_ns = 0
        self.begin_ns: int | None = None
        self.last_ns = 0
        self.repeated = 0

    def sent(self, time: int, segment: Segment) -> None:
        """The sender has sent a segment."""
        if segment.flags & 2 or self.base is None:  # SYN takes a number itself
            self.base = (segment.seq + (segment.flags >> 1 & 1)) % _SPACE
        size = len(segment.payload)
        if not size:
            return
        offset = (segment.seq - self.base) % _SPACE
        if offset >= _HALF or offset + size <= self.high:
            self.repeated += 1
            return
        if self.begin_ns is None:
            self.begin_ns = time
        self.high = offset + size
        self.last_ns = time

    def heard(self, time: int, segment: Segment) -> None:
        """The sender hears what the other side has."""
        if self.base is None or not segment.flags & 16:
            return
        offset = min((segment.ack - self.base) % _SPACE, self.high)
        if self.acked < offset:
            self.acked, self.acked_ns = offset, time


def transfers(frames: Mapping[str, Sequence[Captured]], config: MachineConfig) -> list[Transfer]:
    """All transfers of a run, in the order of their first data.

    ``frames`` is what crossed the ends of the wire: ``slirp`` and ``nic``.
    """
    host = config.user.host if config.user is not None else b""

    def name(address: bytes, port: int, guest: bool) -> str:
        known = "guest" if guest else "host" if address == host else ip_text(address)
        return f"{known}:{port}"

    found: list[Transfer] = []
    # What the guest is sent is seen as slirp sent it, and what it sends as the card did.
    for point, to_guest in (("slirp", True), ("nic", False)):
        flows: dict[tuple[bytes, int, bytes, int], _Flow] = {}
        for packet in frames.get(point, ()):
            segment = parse_segment(packet.frame.raw)
            if segment is None:
                continue
            ends = (segment.src, segment.sport, segment.dst, segment.dport)
            if packet.to_guest == to_guest:
                flows.setdefault(ends, _Flow()).sent(packet.time, segment)
            elif (flow := flows.get(ends[2:] + ends[:2])) is not None:
                flow.heard(packet.time, segment)
        for (src, sport, dst, dport), flow in flows.items():
            if flow.begin_ns is not None:
                end = flow.acked_ns if flow.acked >= flow.high else flow.last_ns
                sender, receiver = name(src, sport, not to_guest), name(dst, dport, to_guest)
                found.append(
                    Transfer(sender, receiver, flow.high, flow.begin_ns, end, flow.repeated)
                )
    return sorted(found, key=lambda transfer: transfer.begin_ns)


def card(
    trace: Trace,
    frames: Mapping[str, Sequence[Captured]],
    counts: Mapping[str, Any],
    booted_ns: int | None,
    sent: Sequence[Transfer],
) -> Card:
    """What the card did.

    ``counts`` are the ledger's, ``booted_ns`` is the end of the boot, ``sent`` all transfers.
    """
    packets = frames.get("nic", ())
    start = booted_ns or 0
    busy = _together((t.begin_ns, t.end_ns) for t in sent)
    first = next((packet.time for packet in packets if packet.time >= start), None)
    if first is not None and not busy:
        busy = [(first, packets[-1].time)]
    to_guest = sum(packet.to_guest for packet in packets)
    interrupts = boot_interrupts = busy_interrupts = 0
    for time in _times(trace, Landmark.INTERRUPT):
        interrupts += 1
        boot_interrupts += booted_ns is None or time < booted_ns
        busy_interrupts += _lies(time, busy)
    unused = _frames(counts["lost"], normal=True)
    return Card(
        to_guest,
        len(packets) - to_guest,
        _frames(counts["lost"], normal=False),
        unused,
        interrupts,
        boot_interrupts,
        sum(end - begin for begin, end in busy),
        busy_interrupts,
        sum(_lies(packet.time, busy) for packet in packets),
        _held_back(trace),
    )


def busy_ns(sent: Sequence[Transfer]) -> int:
    """How long at least one of ``sent`` was under way."""
    return sum(end - begin for begin, end in _together((t.begin_ns, t.end_ns) for t in sent))


def _together(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of time, those that overlap made one."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def _lies(time: int, stretches: Sequence[tuple[int, int]]) -> bool:
    """Whether an instant lies in one of ``stretches``, which are in order and apart."""
    number = bisect_right(stretches, time, key=lambda stretch: stretch[0])
    return number > 0 and time <= stretches[number - 1][1]


def _frames(entries: Iterable[Mapping[str, Any]], *, normal: bool) -> int:
    return sum(e["frames"] for e in entries if (e["code"] in NORMAL_LOSSES) == normal)


def _times(trace: Trace, landmark: Landmark) -> Iterator[int]:
    """When the functions of a landmark were entered, thread by thread."""
    wanted = trace.codes.entries(landmark)
    for record in trace.threads.values():
        if not wanted.isdisjoint(record.codes):
            for time, code in zip(record.times, record.codes, strict=True):
                if code in wanted:
                    yield time


def _held_back(trace: Trace) -> int:
    """How often the line rose only because a window of mitigation had ended."""
    ended = (one.event for one in trace.happened(MitigationEnded))
    return sum(end.holds == LINE and bool(end.causes) and not end.cut for end in ended)
