"""How long messages took: histogram, quantiles stacked by cause, and a heat map over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from desim.report.page import svg
from desim.report.page.causes import Cause, Group
from desim.report.page.figure import Basis, Figure, Key, Table, Trust
from desim.report.page.places import Place
from desim.report.page.scale import Scale, exact, short, tenths
from desim.report.page.sweeping import percentile
from desim.report.page.vertical import Vertical
from desim.report.text import percent

BINS = 60
"""Of the histogram."""
COLUMNS = 120
"""Messages that the quantiles show, evenly among all of them."""
CELLS = (60, 20)
"""Across and down, of the heat map."""
HIGH = 120
TITLE = 18
GAP = 30
PATTERNS = 3
"""Ways to hatch one colour."""


def figure(group: Group, name: str, trust: Trust, costs: str) -> Figure:
    """The picture of a group."""
    looks = _looks(group.causes)
    times = [trip.ns for trip in group.trips]
    p50, p99 = percentile(times, 50), percentile(times, 99)
    title = (
        f"{len(times):,} {group.called}: half within {short(p50)}, 99 % within {short(p99)}, "
        f"the longest {short(max(times))}"
    )
    drawing = _Drawing(group, looks)
    drawing.histogram()
    drawing.quantiles()
    drawing.heat()
    whole = sum(times)
    return Figure(
        name=name,
        kind="Distribution",
        title=title,
        picture=svg.picture(drawing.y, title, *drawing.parts, class_="distribution"),
        table=_table(group, drawing.bins),
        basis=(
            Basis("what a message waits for", "verified"),
            Basis(f"times (costs {costs})", trust),
        ),
        legend=tuple(
            Key(looks[cause], f"{cause.what} ({_share(group.total(cause), whole)})")
            for cause in group.causes
        ),
        notes=(
            "Hatched: waiting there; plain: work there. Shares are those of the time of all "
            "messages together. In the histogram a colour says what most of a message's time went "
            "into, and the line how many took no longer. In the quantiles each column is one "
            "message.",
        ),
    )


def _share(part: int, whole: int) -> str:
    return f"{percent(part, whole) or '<1'} %"


def _looks(causes: Sequence[Cause]) -> Mapping[Cause, str]:
    """The class of each cause: its place's colour, hatched if it waits; two that wait in one place
    are hatched in two ways."""
    waiting: Counter[Place] = Counter()
    found = {}
    for cause in causes:
        if cause.place is None:
            found[cause] = "rest"
        elif cause.waits:
            way = min(waiting[cause.place], PATTERNS - 1)
            waiting[cause.place] += 1
            found[cause] = f"{cause.place.css}-waits-{way}"
        else:
            found[cause] = cause.place.css
    return found


class _Drawing:
    """The three panels in the making."""

    def __init__(self, group: Group, looks: Mapping[Cause, str]) -> None:
        self.group = group
        self.looks = looks
        self.parts: list[Markup] = []
        self.y = 0
        times = [trip.ns for trip in group.trips]
        self.across = Vertical.of([time for time in times if time] or [1], BINS * 100)
        self.bins: dict[int, Counter[Cause]] = {}
        for trip in group.trips:
            self.bins.setdefault(self._bin(trip.ns), Counter())[trip.longest] += 1

    def _bin(self, ns: int) -> int:
        """The number of the bin in which a time is, the shortest being 0."""
        if ns <= self.across.low:
            return 0
        return min((self.across.height - self.across.at(ns)) // 100, BINS - 1)

    def _head(self, title: str) -> None:
        self.parts.append(svg.text(title, 0, self.y + 12, "lane"))
        self.y += TITLE

    def _foot(self) -> None:
        self.parts.append(svg.line(0, self.y + HIGH, "100%", self.y + HIGH, "axis"))
        self.y += HIGH

    def histogram(self) -> None:
        """How many took how long, and how many no longer."""
        self._head("how many took how long; the line: how many took no longer")
        most = max(sum(counts.values()) for counts in self.bins.values())
        whole = len(self.group.trips)
        so_far = 0
        last = HIGH
        for number in range(BINS):
            counts = self.bins.get(number, Counter[Cause]())
            base = HIGH
            for cause in self.group.causes:
                if counts[cause]:
                    top = base - max(HIGH * counts[cause] // most, 1)
                    said = f"{counts[cause]:,}: most of it {cause.what}"
                    self._box(number, BINS, top, base, self.looks[cause], said)
                    base = top
            so_far += sum(counts.values())
            line = HIGH - HIGH * so_far // whole
            said = f"{svg.decimal(100 * so_far, whole, 1)} % took no longer"
            self._box(number, BINS, line, line + 2, "ecdf", said)
            if line != last:
                left = svg.percent(number, BINS)
                self.parts.append(svg.line(left, self.y + line, left, self.y + last + 1, "rise"))
            last = line
        self._foot()
        self.parts += self._times()
        self.y += GAP

    def _box(self, number: int, of: int, top: int, base: int, css: str, said: str) -> None:
        left, wide = svg.percent(number, of), svg.percent(1, of)
        self.parts.append(svg.rect(left, self.y + top, wide, base - top, css, said))

    def _times(self) -> Iterator[Markup]:
        """Round times below the histogram."""
        last = -100
        for mark in self.across.marks():
            at = self.across.height - self.across.at(mark)
            if at - last >= self.across.height // 14:
                place = svg.percent(at, self.across.height)
                anchor = "start" if at * 20 < self.across.height else "middle"
                if at * 20 > 19 * self.across.height:
                    anchor = "end"
                yield svg.text(short(mark), place, self.y + 14, "time", text_anchor=anchor)
                last = at

    def quantiles(self) -> None:
        """Messages from the shortest to the longest, each with what its time went into."""
        self._head("from the shortest to the longest: what the time went into")
        ordered = sorted(self.group.trips, key=lambda trip: trip.ns)
        columns = min(COLUMNS, len(ordered))
        scale = Vertical(0, max(ordered[-1].ns, 1), HIGH, False)
        for number in range(columns):
            trip = ordered[(2 * number + 1) * len(ordered) // (2 * columns)]
            share = svg.decimal(100 * (2 * number + 1), 2 * columns, 1)
            so_far = 0
            for cause in self.group.causes:
                ns = trip.parts.get(cause, 0)
                base, top = scale.at(so_far), scale.at(so_far + ns)
                so_far += ns
                if base > top:
                    said = f"{share} % ({tenths(trip.ns)}): {tenths(ns)} {cause.what}"
                    self._box(number, columns, top, base, self.looks[cause], said)
        for mark in scale.marks():
            if mark:
                y = self.y + scale.at(mark)
                self.parts.append(svg.line(0, y, "100%", y, "grid"))
                self.parts.append(svg.text(short(mark), 0, y - 3, "time halo"))
        self._foot()
        for quarter in range(5):
            anchor = ("start", "middle", "middle", "middle", "end")[quarter]
            said = f"{25 * quarter} %"
            place = f"{25 * quarter}%"
            self.parts.append(svg.text(said, place, self.y + 14, "time", text_anchor=anchor))
        self.y += GAP

    def heat(self) -> None:
        """When messages began, and how long they took."""
        self._head("over time: how many began when, and took how long (upwards)")
        across, down = CELLS
        trips = self.group.trips
        begin, end = trips[0].begin, trips[-1].begin + 1
        cells = Counter(
            ((trip.begin - begin) * across // (end - begin), self._bin(trip.ns) * down // BINS)
            for trip in trips
        )
        most = max(cells.values())
        side = HIGH // down
        for (column, row), count in sorted(cells.items()):
            strength = svg.decimal(15 * most + 85 * count, 100 * most, 2)
            self.parts.append(
                svg.rect(
                    svg.percent(column, across),
                    self.y + HIGH - side * (row + 1),
                    svg.percent(1, across),
                    side,
                    "heat",
                    f"{count:,}",
                    fill_opacity=strength,
                )
            )
        self._foot()
        self.parts += Scale(begin, end).axis(self.y, 0)
        self.y += GAP - 8


def _table(group: Group, bins: Mapping[int, Counter[Cause]]) -> Table:
    """The times themselves, in twenty steps, and what these messages' time went into."""
    ordered = sorted(group.trips, key=lambda trip: trip.ns)
    head = ("%", "message", "ns", *(cause.what for cause in group.causes))
    rows = []
    for share in (0, 1, *range(5, 100, 5), 99, 100):
        trip = ordered[max(-(-len(ordered) * share // 100), 1) - 1]
        parts = [exact(trip.parts.get(cause, 0)) for cause in group.causes]
        rows.append((str(share), str(trip.number), exact(trip.ns), *parts))
    longest = sum(bins.values(), Counter[Cause]())
    said = "; ".join(f"{longest[cause]:,} {cause.what}" for cause in group.causes if longest[cause])
    note = f"What most of the time went into: {said}." if longest else ""
    return Table(head, rows, frozenset(head), note)
