"""A sweep as pictures: every round trip in its place, and the figures of each run.

A column stands for one value of the key that varies. In it the round trips lie at their heights,
and where more of them are alike the column is wider, so two clouds with nothing between them are
seen as two; a line through percentiles would hide that. The colour says who held a round trip up
where it waited longest, as its waterfall tells (``desim sweep --causes``); where nobody asked for
that, all have one colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from desim.data import NamedTuple
from desim.experiment.rates import FLOOR_NS, rates
from desim.report.page import svg
from desim.report.page.figure import Basis, Figure, Key, Table, Trust
from desim.report.page.scale import exact, short, tenths
from desim.report.page.stays import held_up_by, waited_for
from desim.report.page.sweeping import (
    Column,
    Facet,
    kind_of,
    last,
    percentile,
)
from desim.report.page.vertical import Vertical
from desim.report.text import amount, escape
from desim.scenario.metrics import METRICS, Kind, Value
from desim.sweeps.row import Sample

LEFT = 9
"""Percent of the width that the values at the left take."""
HEIGHT = 260
BIN = 4
"""Pixels of height in which round trips count as alike."""
PANEL = 110
TITLE = 18
GAP = 26

UNITS: Mapping[Kind, str] = {
    "time": "time",
    "count": "number",
    "rate": "bytes per second",
    "frequency": "per second",
    "share": "part of a whole",
    "ratio": "one for one",
}
WORDS = {"ping": "round trips", "message": "messages"}


class Limit(NamedTuple):
    """How often the card may interrupt with one value of InterruptThrottleRate."""

    interval_ns: int
    by: str


Limits = Mapping[int, Sequence[Limit]]


def limits(values: Sequence[object]) -> Limits:
    """For each value the longest and other windows behind a received frame (``desim rates``)."""
    found: dict[int, list[Limit]] = {}
    for row in rates([value for value in values if isinstance(value, int)]):
        limit = Limit(row.received.interval_ns, row.received.decided_by)
        if limit.interval_ns and limit not in found.setdefault(row.requested, []):
            found[row.requested].append(limit)
    return found


def figure(
    facet: Facet,
    key: str,
    shown: Sequence[str],
    name: str,
    trust: Trust,
    costs: str,
    known: Limits,
) -> Figure:
    """The picture of ``facet``; ``key`` varies, ``shown`` are the figures that the sweep is about,
    ``known`` the limits for each value of ``InterruptThrottleRate`` if it is that."""
    samples = [sample for column in facet.columns for sample in column.samples]
    drawing = _Drawing(facet, key, known)
    title = _title(facet, key, samples)
    drawing.times(samples)
    for metric in shown:
        if metric.startswith(("ping.", "message.")) and samples:
            continue
        drawing.panel(metric)
    drawing.named()
    return Figure(
        name=name,
        kind="Sweep",
        title=f"{escape(facet.called)}: {title}" if facet.called else title,
        picture=svg.picture(drawing.y + 2, title, *drawing.parts, class_="sweep"),
        table=_table(facet, key),
        basis=_basis(trust, costs, known),
        legend=_legend(samples, known),
        notes=tuple(_notes(samples, key, known)),
        wide=len(facet.columns) > WIDE,
    )


WIDE = 10
"""More columns than these have no room on a telephone."""


class _Drawing:
    """The panels in the making, one below the other."""

    def __init__(self, facet: Facet, key: str, known: Limits) -> None:
        self.facet = facet
        self.key = key
        self.known = known
        self.parts: list[Markup] = []
        self.y = 0

    # --- across: in hundredths of a percent, so that all is whole

    def _slot(self) -> int:
        return (100 - LEFT) * 100 // max(len(self.facet.columns), 1)

    def _middle(self, number: int) -> int:
        return LEFT * 100 + self._slot() * number + self._slot() // 2

    def times(self, samples: Sequence[Sample]) -> None:
        """The panel with every round trip or message."""
        if not samples:
            return
        scale = Vertical.of([one.time_ns for one in samples], HEIGHT)
        self._head(f"{WORDS[kind_of(samples)]}, each in its place", HEIGHT)
        self.parts += scale.axis(self.y, f"{LEFT}%", short)
        most = max(
            max(_bins(column.samples, scale).values(), default=0) for column in self.facet.columns
        )
        for number, column in enumerate(self.facet.columns):
            self.parts += self._cloud(number, column, scale, most)
        self._foot(HEIGHT)

    def _cloud(self, number: int, column: Column, scale: Vertical, most: int) -> Iterator[Markup]:
        middle = self._middle(number)
        for limit in self.known.get(_whole(column.value), ()):
            if scale.low <= limit.interval_ns <= scale.high:
                yield self._tick(number, self.y + scale.at(limit.interval_ns), "limit", 45)
        colours: dict[int, Counter[str]] = {}
        for sample in column.samples:
            colours.setdefault(_bin(sample, scale), Counter())[_colour(sample)] += 1
        for place, counted in sorted(colours.items()):
            count = sum(counted.values())
            width = max(self._slot() * 80 * count // (100 * most), 40)
            at = middle - width // 2
            for css, part in sorted(counted.items()):
                wide = width * part // count
                y = self.y + place * BIN
                said = f"{part:,} of {len(column.samples):,}"
                yield svg.rect(_percent(at), y, _percent(wide), BIN, f"dot {css}", said)
                at += wide
        times = [sample.time_ns for sample in column.samples]
        if times:
            for share in (50, 99):
                value = percentile(times, share)
                at_y = self.y + scale.at(value)
                yield self._tick(number, at_y, "percentile", 42, f"p{share}: {tenths(value)}")

    def panel(self, metric: str) -> None:
        """The panel of one figure: a dot for each run."""
        kind = METRICS[metric].kind
        values = [
            value for column in self.facet.columns for value in column.figures.get(metric, ())
        ]
        if not values:
            return
        bounds: list[Value] = list(values)
        throttled = metric == "irq_rate" and self.known
        if throttled:
            bounds += [
                _per_second(one.interval_ns) for found in self.known.values() for one in found
            ]
        scale = Vertical.of(bounds, PANEL)
        more = "; dashes: the limit for received frames" if throttled else ""
        self._head(f"{metric}, {UNITS[kind]}{more}", 0)
        self.parts += scale.axis(self.y, f"{LEFT}%", lambda value: say(value, kind))
        for number, column in enumerate(self.facet.columns):
            for limit in self.known.get(_whole(column.value), ()) if throttled else ():
                most = _per_second(limit.interval_ns)
                told = f"at most {most:,} per second: {limit.by}"
                self.parts.append(self._tick(number, self.y + scale.at(most), "limit", 45, told))
            for value in column.figures.get(metric, ()):
                dot = svg.element(
                    "circle",
                    svg.element("title", say(value, kind)),
                    cx=_percent(self._middle(number)),
                    cy=self.y + scale.at(value),
                    r=4,
                    class_="run",
                )
                self.parts.append(dot)
        self._foot(PANEL)

    def _tick(self, number: int, y: int, css: str, half: int, title: str = "") -> Markup:
        """A line across a column; ``half`` is half its length in percent of the column."""
        wide = self._slot() * half // 100
        middle = self._middle(number)
        inside = (svg.element("title", title),) if title else ()
        return svg.element(
            "line",
            *inside,
            x1=_percent(middle - wide),
            x2=_percent(middle + wide),
            y1=y,
            y2=y,
            class_=css,
        )

    def _head(self, title: str, height: int) -> None:
        """A panel's title, and grey behind the columns where QEMU's floor decides."""
        self.parts.append(svg.text(title, 0, self.y + 12, "lane"))
        self.y += TITLE
        if not height:
            return
        for number, column in enumerate(self.facet.columns):
            found = self.known.get(_whole(column.value), ())
            if any(limit.by == "floor" for limit in found):
                left = _percent(LEFT * 100 + self._slot() * number)
                told = f"QEMU's floor decides: {FLOOR_NS // 1000} µs"
                wide = _percent(self._slot())
                self.parts.append(svg.rect(left, self.y, wide, height, "floor", told))

    def _foot(self, height: int) -> None:
        """The values of the key below a panel."""
        self.y += height
        self.parts.append(svg.line(f"{LEFT}%", self.y, "100%", self.y, "axis"))
        every = -(-len(self.facet.columns) // MOST_NAMES)
        for number, column in enumerate(self.facet.columns):
            if number % every == 0:
                word = escape(str(column.value))[:MOST_LETTERS]
                self.parts.append(
                    svg.text(
                        word,
                        _percent(self._middle(number)),
                        self.y + 15,
                        "time",
                        text_anchor="middle",
                    )
                )
        self.y += GAP

    def named(self) -> None:
        """What the columns are."""
        said = escape(last(self.key))
        self.parts.append(svg.text(said, "100%", self.y + 2, "time", text_anchor="end"))
        self.y += 6


UNKNOWN = "what it waited for is not known; desim sweep --causes tells"
MOST_WORDS = 3
"""Reasons that one colour has in the legend."""
MOST_NAMES = 12
MOST_LETTERS = 12
"""Of a value below a column; the table has it as a whole."""


def _per_second(interval_ns: int) -> int:
    """Rounded to the nearest whole number, as ``desim rates`` has it."""
    return (2 * 10**9 + interval_ns) // (2 * interval_ns)


def _percent(hundredths: int) -> str:
    return f"{svg.decimal(hundredths, 100, 2)}%"


def _whole(value: object) -> int:
    return value if isinstance(value, int) else -1


def _bin(sample: Sample, scale: Vertical) -> int:
    return scale.at(sample.time_ns) // BIN


def _bins(samples: Sequence[Sample], scale: Vertical) -> Counter[int]:
    return Counter(_bin(sample, scale) for sample in samples)


def _colour(sample: Sample) -> str:
    """Who held it up."""
    return held_up_by(sample.reason).css if sample.reason else "plain"


def say(value: Value, kind: Kind) -> str:
    """A figure for people."""
    if kind == "time":
        return tenths(int(value))
    if kind == "rate":
        return f"{amount(int(value))}/s"
    return svg.decimal(value.numerator, value.denominator, 1 if value < 100 else 0)


def _title(facet: Facet, key: str, samples: Sequence[Sample]) -> str:
    """Where the longest one percent is shortest, and where it is longest."""
    if not samples:
        return f"{sum(bool(column.figures) for column in facet.columns)} values of {last(key)}"
    ends = [
        (percentile([one.time_ns for one in column.samples], 99), column.value)
        for column in facet.columns
        if column.samples
    ]
    best, worst = min(ends, key=lambda end: end[0]), max(ends, key=lambda end: end[0])
    if best[0] == worst[0]:
        return f"p99 is {short(best[0])} whatever {last(key)} is"
    return (
        f"p99 is {short(best[0])} with {last(key)} = {escape(str(best[1]))} and "
        f"{short(worst[0])} with {escape(str(worst[1]))}"
    )


def _basis(trust: Trust, costs: str, known: Limits) -> tuple[Basis, ...]:
    made = [Basis(f"times (costs {costs})", trust)]
    if known:
        made.insert(0, Basis("limits of the interrupt rate", "verified"))
    return tuple(made)


def _legend(samples: Sequence[Sample], known: Limits) -> tuple[Key, ...]:
    counted: dict[str, Counter[str]] = {}
    for sample in samples:
        words = f"waited for {waited_for(sample.reason)}" if sample.reason else UNKNOWN
        counted.setdefault(_colour(sample), Counter())[words] += 1
    made = [
        Key(css, "; ".join(f"{words} ({n:,})" for words, n in found.most_common(MOST_WORDS)))
        for css, found in sorted(counted.items(), key=lambda one: -sum(one[1].values()))
    ]
    if known:
        made.append(Key("floor", "QEMU's floor decides"))
    return tuple(made)


def _notes(samples: Sequence[Sample], key: str, known: Limits) -> Iterator[str]:
    if samples:
        yield (
            f"{len(samples):,} {WORDS[kind_of(samples)]}. A column is wide where many took the "
            "same time. Thin lines are p50 and p99."
        )
    if known:
        yield (
            "Dashes: the shortest time from one interrupt to that of a received frame with this "
            f"{last(key)}, and its inverse, as desim rates says. After each "
            f"interrupt QEMU waits at least {FLOOR_NS // 1000} µs, that is at most "
            f"{_per_second(FLOOR_NS):,} a second, whatever is asked for. Sent frames have a limit "
            "of their own (TADV), so there can be more interrupts than the dashes say."
        )


def _table(facet: Facet, key: str) -> Table:
    names = [name for name in METRICS if any(name in column.figures for column in facet.columns)]
    head = (escape(last(key)), "samples", *names)
    rows = [
        (
            escape(str(column.value)),
            exact(len(column.samples)),
            *(
                ", ".join(_figure(value) for value in column.figures.get(name, ()))
                for name in names
            ),
        )
        for column in facet.columns
    ]
    return Table(head, rows, frozenset(head[1:]), "Times are in ns, rates in bytes per second.")


def _figure(value: Value) -> str:
    return (
        exact(int(value))
        if value == int(value)
        else svg.decimal(value.numerator, value.denominator, 3)
    )
