"""Heights of values: from 0, or by their logarithm where they differ by much; in whole numbers.

``log2`` is worked out by squaring, bit by bit, so it is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from markupsafe import Markup

from desim.data import NamedTuple
from desim.report.page import svg
from desim.report.page.scale import round_step
from desim.scenario.metrics import Value

BITS = 12
"""Of a logarithm, behind the point."""
MUCH = 8
"""Values that differ by more than this factor are shown by their logarithms."""
_ONE = 1 << 62


def log2(value: Value) -> int:
    """The logarithm of a positive value to the base 2, times ``1 << BITS``, rounded down."""
    numerator, denominator = value.numerator, value.denominator
    whole = numerator.bit_length() - denominator.bit_length()
    rest = (
        (numerator * _ONE // denominator) >> whole
        if whole >= 0
        else ((numerator * _ONE << -whole) // denominator)
    )
    if rest < _ONE:
        whole, rest = whole - 1, rest * 2
    bits = 0
    for _ in range(BITS):
        rest = rest * rest // _ONE
        bits *= 2
        if rest >= 2 * _ONE:
            bits, rest = bits + 1, rest // 2
    return (whole << BITS) + bits


class Vertical(NamedTuple):
    """Values from ``low`` to ``high`` over ``height`` pixels; the largest is on top."""

    low: Value
    high: Value
    height: int
    logarithmic: bool

    @classmethod
    def of(cls, values: list[Value], height: int) -> Vertical:
        """The scale that has room for all of ``values``, of which there is one at least."""
        low, high = min(values), max(values)
        if low > 0 and high > MUCH * low:
            return cls(low * Fraction(4, 5), high * Fraction(5, 4), height, True)
        return cls(0, high * Fraction(21, 20) if high > 0 else 1, height, False)

    def at(self, value: Value) -> int:
        """How many pixels a value is from the top."""
        if not self.logarithmic:
            return self.height - int(value * self.height / self.high)
        low, high = log2(self.low), log2(self.high)
        return self.height - (log2(value) - low) * self.height // max(high - low, 1)

    def marks(self) -> Iterator[int]:
        """Round values that have a mark."""
        if not self.logarithmic:
            step = round_step(max(int(self.high), 1), 5)
            yield from range(0, int(self.high) + 1, step)
            return
        size = 1
        while size <= self.high:
            for factor in (1, 2, 5):
                if self.low <= size * factor <= self.high:
                    yield size * factor
            size *= 10

    def axis(self, y: int, left: str, say: Callable[[int], str]) -> Iterator[Markup]:
        """Lines across at the marks, with their values at the left; the top is at ``y``."""
        for value in self.marks():
            at = y + self.at(value)
            yield svg.line(left, at, "100%", at, "grid")
            yield svg.text(say(value), 0, at + 4, "time")
