"""What a run came to, in a few figures: transfers, the card's work, losses.

Everything here is counted, from the captures and the trace; nothing is estimated.

* A *transfer* is one direction of a TCP connection that carried data, as its sender's end of
  the wire saw it. It lasts from the first frame with data to the acknowledgement of the last
  byte. A frame whose bytes had all been sent before counts as a retransmission.
* *Interrupts* are those that the guest's processor took from the card
  (``desim.experiment.interrupts``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from desim.config import MachineConfig
from desim.data import NamedTuple
from desim.e1000.reasons import FILTERED_ADDRESS
from desim.experiment.interrupts import Interrupts, Stretches, lies, together
from desim.machine.capture import Captured
from desim.machine.vm import point_of
from desim.slirp.reasons import IP6_HOP_BY_HOP
from desim.wire.addresses import ip_text
from desim.wire.parsed import Segment, parse_segment

NORMAL_LOSSES = (IP6_HOP_BY_HOP.code, FILTERED_ADDRESS.code)
"""Reasons for which a frame that ends is nobody's loss: reports that no one asked for, and what a
card of several on one wire sees of the others."""

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
    boot: Interrupts
    """Up to the end of the guest's boot."""
    run: Interrupts
    """From there on."""
    busy: Interrupts
    """While transfers were under way; without any, from the first to the last frame behind the
    boot."""
    busy_frames: int
    """Frames in that time, both ways."""

    @property
    def interrupts(self) -> int:
        """Interrupts of the whole run that the guest's processor took."""
        return self.boot.taken + self.run.taken

    @property
    def held_back(self) -> int:
        """Times that the line rose only because a window of mitigation had ended."""
        return self.boot.held_back + self.run.held_back

    @property
    def per_second(self) -> int | None:
        """Interrupts per second of the busy time; None if there was no such time."""
        busy = self.busy
        return busy.taken * 10**9 // busy.length_ns if busy.length_ns else None


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


def transfers(
    frames: Mapping[str, Sequence[Captured]],
    config: MachineConfig,
    guests: Mapping[bytes, str] | None = None,
) -> list[Transfer]:
    """All transfers of a run, in the order of their first data.

    ``frames`` is what crossed the ends of the wire: ``slirp`` and ``nic``. ``guests`` are the
    guests by their addresses, where there are several.
    """
    hosts = [one.user.host for one in config.machines if one.user is not None]
    known = {**dict.fromkeys(hosts, "host"), **(guests or {})}

    def name(address: bytes, port: int, guest: bool) -> str:
        side = own if guest and not guests else known.get(address) or ip_text(address)
        return f"{side}:{port}"

    found: list[Transfer] = []
    # What a guest is sent is seen as slirp sent it, and what it sends as the card did.
    seen = [(one, way) for one in config.machines for way in (("slirp", True), ("nic", False))]
    for machine, (whose, to_guest) in seen:
        point = point_of(machine.machine, whose)
        own = machine.guest_side
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


def intervals(
    packets: Sequence[Captured],
    booted_ns: int | None,
    end_ns: int,
    sent: Sequence[Transfer],
) -> dict[str, Stretches]:
    """The intervals of a run in which interrupts are counted: those of ``Card``.

    ``packets`` are those that passed the card, ``booted_ns`` is the end of the boot, ``sent`` all
    transfers.
    """
    boot: list[tuple[int, int]] = [(0, end_ns if booted_ns is None else booted_ns - 1)]
    run = [] if booted_ns is None else [(booted_ns, end_ns)]
    busy = together((t.begin_ns, t.end_ns) for t in sent)
    first = next((packet.time for packet in packets if packet.time >= (booted_ns or 0)), None)
    if first is not None and not busy:
        busy = [(first, packets[-1].time)]
    return {"boot": boot, "run": run, "busy": busy}


def card(
    packets: Sequence[Captured],
    losses: Sequence[Mapping[str, Any]],
    busy: Stretches,
    interrupts: Mapping[str, Interrupts],
) -> Card:
    """What a card did.

    ``packets`` are those that passed it, ``losses`` its machine's in the ledger, ``interrupts``
    those of ``intervals``, of which ``busy`` is one.
    """
    to_guest = sum(packet.to_guest for packet in packets)
    return Card(
        to_guest,
        len(packets) - to_guest,
        _frames(losses, normal=False),
        _frames(losses, normal=True),
        interrupts["boot"],
        interrupts["run"],
        interrupts["busy"],
        sum(lies(packet.time, busy) for packet in packets),
    )


def busy_ns(sent: Sequence[Transfer]) -> int:
    """How long at least one of ``sent`` was under way."""
    return sum(end - begin for begin, end in together((t.begin_ns, t.end_ns) for t in sent))


def _frames(entries: Iterable[Mapping[str, Any]], *, normal: bool) -> int:
    return sum(e["frames"] for e in entries if (e["code"] in NORMAL_LOSSES) == normal)
