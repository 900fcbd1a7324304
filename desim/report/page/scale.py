"""Where an instant lies across a picture, which instants have a mark, and how a time is written."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from desim.data import NamedTuple
from desim.report.page import svg
from desim.report.text import four_digits

UNITS = (("s", 10**9), ("ms", 10**6), ("µs", 10**3))


class Scale(NamedTuple):
    """A stretch of virtual time, from ``begin`` to ``end`` (ns), over the width of a picture."""

    begin: int
    end: int

    @property
    def length(self) -> int:
        """In ns; never 0, so that a ratio of it can be had."""
        return max(self.end - self.begin, 1)

    def at(self, time: int) -> str:
        """Where an instant lies, in percent."""
        return svg.percent(time - self.begin, self.length)

    def width(self, ns: int) -> str:
        """How wide a time is, in percent."""
        return svg.percent(ns, self.length)

    def marks(self, most: int = 8) -> list[int]:
        """Times since the beginning (ns) that have a mark: round ones, at most ``most`` of them."""
        step = round_step(self.length, most)
        return list(range(0, self.length + 1, step))

    def axis(self, y: int, height: int, most: int = 8) -> Iterator[Markup]:
        """Marks down to ``y``, over ``height``, with their times since the beginning below it."""
        unit, one = unit_of(round_step(self.length, most))
        for ns in self.marks(most):
            place = svg.percent(ns, self.length)
            yield svg.line(place, y - height, place, y, "grid")
            # What stands at an end must not stick out.
            anchor = "start" if ns == 0 else "middle" if ns * 20 < 19 * self.length else "end"
            said = svg.decimal(ns, one) if ns else f"0 {unit}"
            yield svg.text(said, place, y + 14, "time", text_anchor=anchor)


def round_step(length: int, most: int) -> int:
    """The smallest of 1, 2, 5, 10, ... that goes into ``length`` at most ``most`` times."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if step * factor * most >= length:
                return step * factor
        step *= 10


def unit_of(ns: int) -> tuple[str, int]:
    """The unit that suits times of this size, and how many ns it has."""
    return next(((name, one) for name, one in UNITS if ns >= one), ("ns", 1))


def short(ns: int) -> str:
    """``1,948 µs``: below 100 ms in whole microseconds, else four digits and a unit."""
    if ns < 10**3:
        return f"{ns} ns"
    if ns < 100 * 10**6:
        return f"{ns // 10**3:,} µs"
    return f"{four_digits(ns, 10**9)} s" if ns >= 10**9 else f"{four_digits(ns, 10**6)} ms"


def tenths(ns: int) -> str:
    """``771.3 µs``: one decimal, of the unit that ``short`` has."""
    if ns < 10**3:
        return f"{ns} ns"
    if ns < 100 * 10**6:
        return f"{ns // 10**3:,}.{ns // 100 % 10} µs"
    return short(ns)


def exact(ns: int) -> str:
    """``1,948,370``: every nanosecond, as tables have them."""
    return f"{ns:,}"


def instant(ns: int) -> str:
    """``5.000429154 s`` since power-on."""
    return f"{ns // 10**9}.{ns % 10**9:09d} s"
