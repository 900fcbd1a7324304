"""The smallest value of a key at which a condition holds.

Theory of operation
-------------------
First some values are tried at equal distances, both ends among them. Between the last that does
not hold and the first that does, three more are tried at equal distances, and so on, until two
neighbours are left. Several at a time keep several processors busy, and the same ones are tried
however many there are: so the answer depends on nothing else.

That is right if the condition, once it holds, holds from there on. All that was tried is looked at
in the end: if it holds at a value and not at a larger one, that is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from desim.data import NamedTuple
from desim.scenario.conditions import Wanted
from desim.scenario.metrics import Value
from desim.scenario.values import Axis, Ends
from desim.sweeps.search import Point, Search, chosen
from desim.sweeps.sweep import Progress

FIRST = 9
"""How many values are tried first."""
INNER = 3
"""How many between two."""


class Try(NamedTuple):
    """One value that was tried."""

    value: object
    figure: Value | None
    holds: bool


class Found(NamedTuple):
    """What came of a search."""

    key: str
    ends: Ends
    wanted: Wanted
    tries: list[Try]
    """In the order of the values."""
    answer: Try | None
    """The smallest value that holds; None: none was found."""
    before: Try | None
    """The value before that, which does not hold."""
    broken: list[tuple[Try, Try]]
    """Neighbours among those tried of which the smaller one holds and the larger one does not."""
    runs: int


class Find:
    """A search for one value. ``steps`` makes it, and leaves ``found``."""

    found: Found

    def __init__(self, search: Search, key: str, ends: Ends, wanted: Sequence[Wanted]) -> None:
        """``wanted``: the same condition on each figure that may be meant."""
        self.search = search
        self.key = key
        self.ends = ends
        self.wanted = {one.name: one for one in wanted}
        self.last = (ends.last - ends.first) // ends.step
        self._metrics = list(self.wanted)
        self._points: dict[int, Point] = {}

    def steps(self) -> Iterator[Progress]:
        """Try values until the answer is known. Raises ``UserError``."""
        yield from self._try(_between(-1, self.last + 1, FIRST, both=True))
        name = chosen(list(self.wanted), list(self._points.values()))
        self._metrics = [name]
        while (gap := self._gap(name)) is not None:
            yield from self._try(_between(*gap, INNER))
        self.found = self._found(name)

    def _try(self, places: Sequence[int]) -> Iterator[Progress]:
        ends, points = self.ends, list[Point]()
        values = tuple(ends.value(ends.first + place * ends.step) for place in places)
        yield from self.search.tried([Axis(self.key, values)], self._metrics, points)
        self._points.update(zip(places, points, strict=True))

    def _holds(self, name: str, place: int) -> bool:
        figure = self._points[place].figures[name]
        return figure is not None and self.wanted[name].condition.holds(figure)

    def _first(self, name: str) -> int | None:
        """The place of the smallest value so far that holds."""
        return next((place for place in sorted(self._points) if self._holds(name, place)), None)

    def _gap(self, name: str) -> tuple[int, int] | None:
        """The places between which the answer lies; None: it is known."""
        first = self._first(name)
        if first is None or first == 0:
            return None
        before = max(place for place in self._points if place < first)
        return None if first - before == 1 else (before, first)

    def _found(self, name: str) -> Found:
        places = sorted(self._points)
        tries = [
            Try(
                self.ends.value(self.ends.first + place * self.ends.step),
                self._points[place].figures[name],
                self._holds(name, place),
            )
            for place in places
        ]
        at = next((number for number, one in enumerate(tries) if one.holds), None)
        return Found(
            self.key,
            self.ends,
            self.wanted[name],
            tries,
            None if at is None else tries[at],
            tries[at - 1] if at else None,
            [(a, b) for a, b in pairwise(tries) if a.holds and not b.holds],
            self.search.runs,
        )


def _between(low: int, high: int, count: int, *, both: bool = False) -> list[int]:
    """At most ``count`` places between two, at equal distances; ``both``: with their neighbours."""
    if both:
        low, high = low + 1, high - 1
        steps = max(1, min(count - 1, high - low))
        return sorted({low + (high - low) * number // steps for number in range(steps + 1)})
    steps = min(count + 1, high - low)
    return [low + (high - low) * number // steps for number in range(1, steps)]
