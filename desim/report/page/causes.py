"""What the time of messages went into: causes, few enough for a picture.

A cause is work of one place, or waiting in one queue for one thing. Whatever a thread is busy with
while a message waits for it, the cause is that it is not free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from desim.data import NamedTuple
from desim.experiment.journey import Direction, Journey, Kind, Row
from desim.report.page.places import QUEUES, Place, place_of
from desim.report.page.stays import HOMES, waited_for

CAUSES = 8
"""More than these are not told apart: the rest is one."""
FEW = 5
"""Fewer messages than these have no distribution."""


class Cause(NamedTuple):
    """One thing that takes time."""

    place: Place | None
    """None: whatever else there is."""
    waits: bool
    what: str


REST = Cause(None, False, "everything else")


class Trip(NamedTuple):
    """One message that has arrived, and what its time went into."""

    number: int
    begin: int
    ns: int
    parts: dict[Cause, int]

    @property
    def longest(self) -> Cause:
        """What most of its time went into."""
        return max(self.parts, key=lambda cause: self.parts[cause], default=REST)


@dataclass(frozen=True)
class Group:
    """All messages of one kind that went one way and have arrived."""

    kind: Kind
    direction: Direction
    trips: Sequence[Trip]
    causes: Sequence[Cause]
    """Those that are told apart, in the order in which a message meets them."""

    @property
    def called(self) -> str:
        """What they are, in words."""
        if self.kind == "ping":
            return "pings"
        what = "datagrams" if self.kind == "udp" else "messages"
        return f"{what}, {self.direction}"

    def total(self, cause: Cause) -> int:
        """The time that went into a cause, of all messages together."""
        return sum(trip.parts.get(cause, 0) for trip in self.trips)


def groups(journeys: Iterable[Journey]) -> list[Group]:
    """The groups with enough messages for a distribution, in the order of their first ones."""
    found: dict[tuple[Kind, Direction], list[Trip]] = {}
    for journey in journeys:
        message = journey.message
        if journey and message is not None:
            parts: dict[Cause, int] = {}
            for row in journey.rows:
                cause = _cause(row)
                parts[cause] = parts.get(cause, 0) + row.own_ns + row.waiting_ns
            trip = Trip(message.number, journey.begin_ns, journey.total_ns, parts)
            found.setdefault((message.kind, message.direction), []).append(trip)
    return [
        _group(kind, direction, sorted(trips, key=lambda trip: (trip.begin, trip.number)))
        for (kind, direction), trips in sorted(found.items())
        if len(trips) >= FEW
    ]


def _group(kind: Kind, direction: Direction, trips: Sequence[Trip]) -> Group:
    """With the causes that take most of the time; all others become one."""
    totals: dict[Cause, int] = {}
    for trip in trips:
        for cause, ns in trip.parts.items():
            totals[cause] = totals.get(cause, 0) + ns
    most = sorted(totals, key=lambda cause: -totals[cause])[: CAUSES - 1]
    kept = [cause for cause in totals if cause in most]
    if len(kept) < len(totals):
        kept.append(REST)
    few = []
    for trip in trips:
        parts = dict.fromkeys(kept, 0)
        for cause, ns in trip.parts.items():
            parts[cause if cause in parts else REST] += ns
        few.append(trip._replace(parts={cause: ns for cause, ns in parts.items() if ns}))
    return Group(kind, direction, few, kept)


def _cause(row: Row) -> Cause:
    if not row.waiting_ns:
        place = place_of(row.owner, row.file)
        return Cause(place, False, place.value)
    what = waited_for(row.waits_for)
    if row.carrier is not None:
        return Cause(HOMES[row.carrier], True, f"the {row.carrier} waits for {what}")
    queue = QUEUES[row.station]
    return Cause(queue.place, True, f"{queue.words}: waits for {what}")
