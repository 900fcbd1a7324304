"""Where a message was, as few rows as a picture can have: stays that are small are joined.

A *stay* is a stretch of time in which the message was in one place: carried by code of one place,
or lying in one queue for one reason. A stay of less than 1/200 of the whole is joined to a
neighbour of the same carrier, or in the same queue; the longer part gives both its name. Work and
waiting are never joined, so both keep their sums.
"""

from __future__ import annotations

from collections.abc import Iterable

from desim.data import NamedTuple
from desim.experiment.journey import Journey, Row
from desim.report.page.places import Place, place_of

SMALL = 200
"""A stay of less than this part of the whole is joined to a neighbour."""


HOMES = {
    "host program": Place.HOST,
    "QEMU": Place.QEMU,
    "guest kernel": Place.KERNEL,
    "guest program": Place.KERNEL,
}
"""Where who carries a message is at home."""


class Part(NamedTuple):
    """What a stay is made of: a function, or a reason to wait."""

    place: Place | None
    """None: it is a wait."""
    name: str
    ns: int


class Stay(NamedTuple):
    """One row of a waterfall."""

    begin: int
    """ns since the message's beginning."""
    ns: int
    where: str
    """Who carries the message, or the queue that it lies in."""
    lies: bool
    """Whether it lies there and waits."""
    parts: tuple[Part, ...]
    """In the order of time."""

    @property
    def sums(self) -> list[Part]:
        """The parts with the same name together, the longest first."""
        found: dict[tuple[Place | None, str], int] = {}
        for part in self.parts:
            found[part.place, part.name] = found.get((part.place, part.name), 0) + part.ns
        made = [Part(place, name, ns) for (place, name), ns in found.items()]
        return sorted(made, key=lambda part: -part.ns)

    @property
    def places(self) -> list[Place]:
        """The places of its parts, that of most time first; none for a wait."""
        sums: dict[Place, int] = {}
        for part in self.parts:
            if part.place is not None:
                sums[part.place] = sums.get(part.place, 0) + part.ns
        return sorted(sums, key=lambda place: -sums[place])

    @property
    def place(self) -> Place | None:
        """Where most of its time was spent, or, if no place has half of it, where its carrier is
        at home; None for a wait."""
        if self.lies:
            return None
        most = self.places[0]
        inside = sum(part.ns for part in self.parts if part.place is most)
        return most if 2 * inside >= self.ns else HOMES[self.where]

    @property
    def is_mixed(self) -> bool:
        """Whether no place has half of its time."""
        return not self.lies and self.place is not self.places[0]

    @property
    def key(self) -> tuple[str, str]:
        """What the same stay of another run has, too."""
        place = self.place
        return self.where, self.sums[0].name if place is None else place.name


def stays(journey: Journey) -> list[Stay]:
    """The rows of a journey, in the order of time, without gaps; they add up to its total."""
    found: list[Stay] = []
    begin = 0
    for row in journey.stays:
        found.append(_stay(begin, row))
        begin += found[-1].ns
    return _neighbours(_without_small(_neighbours(found), journey.total_ns))


def _neighbours(rows: Iterable[Stay]) -> list[Stay]:
    """What is next to each other and the same as one."""
    found: list[Stay] = []
    for row in rows:
        if found and found[-1].key == row.key and found[-1].lies == row.lies:
            found[-1] = _joined(found[-1], row)
        else:
            found.append(row)
    return found


def _stay(begin: int, row: Row) -> Stay:
    if row.waiting_ns:
        where = row.station if row.carrier is None else row.carrier
        return Stay(
            begin, row.waiting_ns, where, True, (Part(None, reason(row.waits_for), row.waiting_ns),)
        )
    part = Part(place_of(row.owner, row.file), row.station, row.own_ns)
    return Stay(begin, row.own_ns, str(row.carrier), False, (part,))


REASONS = {
    "handshake": "the connection to the guest to be open",
    "poll": "the main loop to wake up from poll",
    "interrupt": "the guest to be interrupted",
    "window": "the sender's window to open",
    "retransmission": "the sender's retransmission timer",
    "interrupt mitigation": "the end of the card's hold-off",
    "interrupts masked by the driver (NAPI)": "the driver to let interrupts through (NAPI)",
    "big lock": "QEMU's big lock",
    "room in the socket buffer": "room in the socket buffer",
    "bytes in front of it": "bytes in front of it",
    "its turn": "its turn",
    "ARP": "an answer to ARP",
    "room in the transmit ring": "room in the card's transmit ring",
}
"""What a journey calls a reason to wait, and what a picture says."""
HOLDERS = {
    "interrupt mitigation": Place.CARD,
    "interrupts masked by the driver (NAPI)": Place.DRIVER,
    "interrupt": Place.DRIVER,
    "handshake": Place.SLIRP,
    "window": Place.SLIRP,
    "retransmission": Place.SLIRP,
    "its turn": Place.SLIRP,
    "ARP": Place.SLIRP,
    "room in the transmit ring": Place.DRIVER,
    "room in the socket buffer": Place.HOST,
    "bytes in front of it": Place.PROGRAM,
}
"""Who holds a message up that waits for that; QEMU's main loop, if nobody else."""
THREADS = {"main": "the main loop", "vcpu": "the vCPU"}


def reason(waits_for: str) -> str:
    """What a wait is for, in words that go behind "waits for"."""
    thread, inside, function = waits_for.partition(" in ")
    if inside and thread in THREADS:
        return f"{THREADS[thread]}, busy in {function}"
    return REASONS.get(waits_for, waits_for)


def waited_for(waits_for: str) -> str:
    """The same, whatever a thread is busy with."""
    thread, inside, _ = waits_for.partition(" in ")
    return f"{THREADS[thread]} to be free" if inside and thread in THREADS else reason(waits_for)


def held_up_by(waits_for: str) -> Place:
    """The place that holds a message up which waits for that."""
    thread, inside, _ = waits_for.partition(" in ")
    if inside and thread in THREADS:
        return Place.KERNEL if thread == "vcpu" else Place.QEMU
    return HOLDERS.get(waits_for, Place.QEMU)


def _joined(*rows: Stay) -> Stay:
    longest = max(rows, key=lambda row: row.ns)
    parts = tuple(part for row in rows for part in row.parts)
    return longest._replace(begin=rows[0].begin, ns=sum(row.ns for row in rows), parts=parts)


def _without_small(rows: Iterable[Stay], total: int) -> list[Stay]:
    """Small rows joined to neighbours, the smallest first, to the shorter one if there are two."""
    found = list(rows)
    left = {row.begin for row in found if row.ns * SMALL < total}
    while left:
        number = min(
            (n for n, row in enumerate(found) if row.begin in left), key=lambda n: found[n].ns
        )
        row = found[number]
        near = [n for n in (number - 1, number + 1) if 0 <= n < len(found) and _fit(row, found[n])]
        left.discard(row.begin)
        if not near:
            continue
        other = min(near, key=lambda n: found[n].ns)
        first, second = sorted((number, other))
        left.discard(found[second].begin)
        left.discard(found[first].begin)
        found[first : second + 1] = [_joined(found[first], found[second])]
        if found[first].ns * SMALL < total:
            left.add(found[first].begin)
    return found


def _fit(one: Stay, other: Stay) -> bool:
    return (one.where, one.lies) == (other.where, other.lies)
