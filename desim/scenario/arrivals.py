"""How often a command comes again: ``every = "1ms"``, or by chance.

``"uniform 1ms .. 3ms"`` has each distance equally likely, and ``"exponential 1ms"`` has a mean. The
first one starts at the command's ``at``, and each other one so long after the one before.
Chance is drawn from a stream of the terminal's name, so it is that of the scenario's seed and
the same on every machine: the logarithm is decimal arithmetic, which has one right answer.
"""

from __future__ import annotations

from typing import Literal

from desim.data import NamedTuple
from desim.engine.streams import Stream
from desim.scenario.durations import parse_duration

FORMS = '"1ms", "uniform 1ms .. 3ms" or "exponential 1ms"'
_U32 = 1 << 32


class Arrivals(NamedTuple):
    """The distances between starts: from ``least`` to ``most`` ns, or with the mean ``least``."""

    kind: Literal["fixed", "uniform", "exponential"]
    least: int
    most: int

    def instants(self, begin: int, times: int, stream: Stream) -> list[int]:
        """``times`` instants (ns) from ``begin`` on, in order."""
        found = [begin]
        for _ in range(times - 1):
            found.append(found[-1] + self._distance(stream))
        return found

    def _distance(self, stream: Stream) -> int:
        if self.kind == "fixed":
            return self.least
        if self.kind == "uniform":
            # 64 bits, because a distance may be longer than 2**32 ns.
            drawn = stream.u32() << 32 | stream.u32()
            return self.least + drawn * (self.most - self.least + 1) // (1 << 64)
        return _exponential(self.least, stream.u32())


def _exponential(mean: int, drawn: int) -> int:
    from decimal import ROUND_HALF_EVEN, Context, Decimal  # slow to load, and few scenarios need it

    exact = Context(prec=40, rounding=ROUND_HALF_EVEN)
    share = exact.divide(Decimal(drawn + 1), Decimal(_U32))
    return int(exact.multiply(Decimal(-mean), exact.ln(share)))


def read_arrivals(text: str) -> Arrivals:
    """Raises ``ValueError`` that says what is allowed."""
    kind, _, rest = text.strip().partition(" ")
    if kind == "exponential":
        mean = _length(rest)
        return Arrivals("exponential", mean, mean)
    if kind == "uniform":
        low, dots, high = rest.partition("..")
        if not dots:
            raise ValueError(f"must be {FORMS}")
        least, most = _length(low), _length(high)
        if least > most:
            raise ValueError("the range is empty: its end comes before its beginning")
        return Arrivals("uniform", least, most)
    if kind and kind[0].isalpha():
        raise ValueError(f"must be {FORMS}")
    length = _length(text)
    return Arrivals("fixed", length, length)


def _length(text: str) -> int:
    length = parse_duration(text)
    if length == 0:
        raise ValueError("must be longer than nothing")
    return length
