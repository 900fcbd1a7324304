"""How long messages took, and where their time went: counts, percentiles, a histogram.

All figures are exact: times are sorted, in pieces that lie in a spool, and nothing is sampled or
rounded to a bucket. A percentile is by nearest rank: the smallest time that so many of all are
not longer than.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import Any

from desim.data import NamedTuple
from desim.experiment.journey.stays import joined
from desim.experiment.journey.values import DIRECTIONS, KINDS, Direction, Journey, Kind, Row
from desim.spool import Column, Spool

PERMILLES = {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999}
"""The percentiles, by name, in parts of a thousand."""
BUCKETS = 12
"""A histogram has so many buckets at most."""
_SORTED = 1 << 16


class Bucket(NamedTuple):
    """Messages that took at least ``begin_ns`` and less than ``end_ns``."""

    begin_ns: int
    end_ns: int
    messages: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """All messages of one kind that went one way."""

    kind: Kind
    direction: Direction
    sent: int
    arrived: int
    fates: dict[str, int]
    """Why others have not arrived, and how many."""
    bytes: int
    """Of those that have arrived."""
    mean_ns: Fraction | None
    """None, as all that follows, if none has arrived."""
    min_ns: int | None
    max_ns: int | None
    percentiles: dict[str, int]
    """By the names of ``PERMILLES``, in ns."""
    jitter_ns: Fraction | None
    """The mean difference, up or down, between one message's time and that of the next to arrive
    on the same way; None with less than two."""
    slowest: int
    """The number of the message that took longest; 0 without one."""
    histogram: tuple[Bucket, ...]
    rows: tuple[Row, ...]
    """Where the time of all of them together went; they add up to ``total_ns``."""

    @property
    def total_ns(self) -> int:
        """The time of all messages that have arrived, together."""
        return sum(row.own_ns + row.waiting_ns for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """For the summary: ns, rounded; shares are made of the stations' times."""
        return {
            "kind": self.kind,
            "direction": self.direction,
            "sent": self.sent,
            "arrived": self.arrived,
            "fates": self.fates,
            "bytes": self.bytes,
            "mean_ns": None if self.mean_ns is None else round(self.mean_ns),
            "min_ns": self.min_ns,
            **{f"{name}_ns": self.percentiles.get(name) for name in PERMILLES},
            "max_ns": self.max_ns,
            "jitter_ns": None if self.jitter_ns is None else round(self.jitter_ns),
            "slowest": self.slowest,
            "histogram": [bucket._asdict() for bucket in self.histogram],
            "stations": [row._asdict() for row in self.rows],
        }


def statistics(journeys: Iterable[Journey]) -> list[Statistics]:
    """The figures of each kind and direction that there is."""
    groups: dict[tuple[Kind, Direction], _Group] = {}
    spool = Spool()
    for journey in journeys:
        message = journey.message
        if message is None:
            continue
        key = message.kind, message.direction
        if key not in groups:
            groups[key] = _Group(_Times(spool))
        groups[key].add(journey)
    order = [(kind, direction) for kind in KINDS for direction in DIRECTIONS]
    return [groups[key].statistics(*key) for key in order if key in groups]


class _Times:
    """Times that are sorted in pieces."""

    def __init__(self, spool: Spool) -> None:
        self._column = Column(spool, "q")
        self._ends = [0]
        self._tail: list[int] = []

    def __len__(self) -> int:
        return self._ends[-1] + len(self._tail)

    def append(self, ns: int) -> None:
        self._tail.append(ns)
        if len(self._tail) == _SORTED:
            self._put_away()

    def _put_away(self) -> None:
        self._column.extend(sorted(self._tail))
        self._ends.append(len(self._column))
        self._tail.clear()

    def ordered(self) -> Iterator[int]:
        """All of them, the shortest first."""
        if self._tail:
            self._put_away()
        pieces = zip(self._ends, self._ends[1:], strict=False)
        return heapq.merge(*(islice(self._column.since(a), b - a) for a, b in pieces))


@dataclass
class _Group:
    times: _Times
    sent: int = 0
    size: int = 0
    total: int = 0
    fates: dict[str, int] = field(default_factory=dict)
    rows: dict[tuple[object, ...], Row] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    """The time of the last message of each way."""
    steps: int = 0
    differences: int = 0
    longest: int = -1
    shortest: int = -1
    slowest: int = 0

    def add(self, journey: Journey) -> None:
        message = journey.message
        assert message is not None, "it is one of all messages"
        self.sent += 1
        total = message.total_ns
        if total is None:
            self.fates[message.fate] = self.fates.get(message.fate, 0) + 1
            return
        self.times.append(total)
        self.size += message.size
        self.total += total
        if total > self.longest:
            self.longest, self.slowest = total, message.number
        if self.shortest < 0 or total < self.shortest:
            self.shortest = total
        before = self.last.get(message.name)
        if before is not None:
            self.steps += 1
            self.differences += abs(total - before)
        self.last[message.name] = total
        for row in journey.rows:
            key = row.station, row.file, row.waits_for, row.owner, row.carrier
            known = self.rows.get(key)
            self.rows[key] = row if known is None else joined(known, row)

    def statistics(self, kind: Kind, direction: Direction) -> Statistics:
        count = len(self.times)
        ranks = {-(-count * part // 1000): name for name, part in reversed(PERMILLES.items())}
        edges = _edges(self.shortest, self.longest) if count else []
        percentiles: dict[str, int] = {}
        counts = [0] * len(edges)
        bucket = 0
        for number, ns in enumerate(self.times.ordered(), 1):
            while ns >= edges[bucket + 1]:
                bucket += 1
            counts[bucket] += 1
            if number in ranks:
                for name, part in PERMILLES.items():
                    if -(-count * part // 1000) == number:
                        percentiles[name] = ns
        return Statistics(
            kind,
            direction,
            self.sent,
            count,
            dict(sorted(self.fates.items())),
            self.size,
            Fraction(self.total, count) if count else None,
            self.shortest if count else None,
            self.longest if count else None,
            percentiles,
            Fraction(self.differences, self.steps) if self.steps else None,
            self.slowest,
            tuple(Bucket(a, b, n) for a, b, n in zip(edges, edges[1:], counts, strict=False)),
            tuple(self.rows.values()),
        )


def _edges(shortest: int, longest: int) -> list[int]:
    """Where buckets begin and end: steps of 1, 2 or 5 if the times are alike, else 1, 2, 5, 10,
    or only as many of these as there is room for."""
    if longest < 20 * max(shortest, 1):
        step = 1
        while (longest - shortest) // step + 2 > BUCKETS:
            step = _next(step)
        edges = [shortest // step * step]
        while edges[-1] <= longest:
            edges.append(edges[-1] + step)
        return edges
    for ratio in (0, 10, 100, 1000):  # 0: by 1, 2, 5
        edges = [1]
        while edges[-1] <= longest:
            edges.append(edges[-1] * ratio if ratio else _next(edges[-1]))
        edges = edges[max(n for n, edge in enumerate(edges) if edge <= max(shortest, 1)) :]
        if len(edges) <= BUCKETS + 1:
            break
    return [0, *edges[1:]] if shortest == 0 else edges


def _next(edge: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 ..."""
    first = int(str(edge)[0])
    return edge * 5 // 2 if first == 2 else edge * 2
