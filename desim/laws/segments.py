"""The TCP connections of a run as the two ends of the wire saw them, for laws about segments.

A stream is what one end sends on one connection. An end's own capture point has its segments
as they leave, before any filter, and the other end's as they come in, behind all filters. A
SYN with another sequence number is another connection of the same ports.
"""

from __future__ import annotations

from typing import Literal

from desim.laws.judged import once
from desim.laws.law import Run
from desim.wire.addresses import ip_text
from desim.wire.parsed import Segment
from desim.wire.tcp import ACK, FIN, SYN

Ends = Literal["slirp", "guest"]
POINTS: tuple[tuple[Ends, str, bool], ...] = (("slirp", "slirp", True), ("guest", "nic", False))
"""Each end with its capture point, and whether what it sends goes to the guest."""
HALF = 1 << 31
Key = tuple[bytes, int, bytes, int]
"""Address and port of the end that sends, then of the other."""


class Stream:
    """What one end sends on one connection, and what it gets meanwhile."""

    __slots__ = ("_peer_isn", "end", "events", "isn", "key", "sent")

    def __init__(self, end: Ends, key: Key) -> None:
        self.end = end
        self.key = key
        self.isn = 0
        """The sequence number of its SYN, or of the first segment that was seen."""
        self._peer_isn: int | None = None
        self.sent: list[tuple[int, Segment]] = []
        """When (ns), and which."""
        self.events: list[tuple[int, bool, Segment]] = []
        """Those and the other end's that came in with right sums: when, whether sent, which."""

    @property
    def name(self) -> str:
        """For messages: ``slirp 10.0.2.2:40000 > 10.0.2.15:5000``."""
        src, sport, dst, dport = self.key
        return f"{self.end} {ip_text(src)}:{sport} > {ip_text(dst)}:{dport}"

    def is_another(self, segment: Segment, ours: bool) -> bool:
        """Whether a segment begins another connection of the same ports."""
        if not segment.flags & SYN:
            return False
        if ours:
            return bool(self.sent) and segment.seq != self.isn
        return self._peer_isn is not None and segment.seq != self._peer_isn

    def distance(self, segment: Segment, ours: bool) -> int:
        """How far its numbers are from where both ends began."""
        mine, theirs = (segment.seq, segment.ack) if ours else (segment.ack, segment.seq)
        told = self.sent and (ours or segment.flags & ACK)
        return (_apart(mine, self.isn) if told else 0) + _apart(theirs, self._peer_isn or theirs)

    def take(self, time: int, segment: Segment, ours: bool) -> None:
        """One more segment; ``ours``: this end has sent it."""
        if ours:
            if not self.sent:
                self.isn = segment.seq
            self.sent.append((time, segment))
        elif self._peer_isn is None:
            self._peer_isn = segment.seq
        self.events.append((time, ours, segment))

    def offset(self, seq: int) -> int:
        """Where a sequence number of this end stands, counted from its SYN; may be negative."""
        distance = seq - self.isn & 0xFFFFFFFF
        return distance if distance < HALF else distance - (1 << 32)


def _apart(one: int, other: int) -> int:
    distance = one - other & 0xFFFFFFFF
    return min(distance, (1 << 32) - distance)


def length(segment: Segment) -> int:
    """The sequence numbers that a segment takes."""
    return len(segment.payload) + bool(segment.flags & SYN) + bool(segment.flags & FIN)


def streams(run: Run) -> list[Stream]:
    """Those of both ends, in the order in which they began."""
    return once(run, _streams)


def _streams(run: Run) -> list[Stream]:
    found: list[Stream] = []
    for end, point, to_guest in POINTS:
        current: dict[Key, Stream] = {}
        before: dict[Key, Stream] = {}
        made: list[Stream] = []
        for time, towards, frame in run.packets.get(point, ()):
            segment = frame.segment
            if segment is None or (towards != to_guest and not segment.sums_ok):
                continue
            ours = towards == to_guest
            key = segment.src, segment.sport, segment.dst, segment.dport
            if not ours:
                key = segment.dst, segment.dport, segment.src, segment.sport
            stream = newest = current.get(key)
            if newest is not None and key in before and segment.flags & (SYN | ACK) != SYN:
                # slirp's old connection of these ports may still answer for the new one: solookup
                # looks first at the one that it found last. So may one that has not been opened,
                # with its SYN-ACK.
                stream = min(newest, before[key], key=lambda one: one.distance(segment, ours))
                if stream.is_another(segment, ours):
                    stream = newest  # or a third one, if it is none of that's either
            if stream is None or (stream is newest and stream.is_another(segment, ours)):
                if stream is not None:
                    before[key] = stream
                stream = current[key] = Stream(end, key)
                made.append(stream)
            stream.take(time, segment, ours)
        found += [stream for stream in made if stream.sent]
    return found
