"""What a law about a part draws: other numbers for each run, the same for the same run."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_128
from typing import TypeVar

from desim.engine.streams import Stream
from desim.laws.law import Run

T = TypeVar("T")


class Draw:
    """Draws from a stream with a name: the same on every machine and Python."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def between(self, first: int, last: int) -> int:
        """A whole number from ``first`` to ``last``, both possible."""
        return first + self._stream.below(last - first + 1)

    def chance(self, one_in: int) -> bool:
        """True once in so many times."""
        return self._stream.below(one_in) == 0

    def pick(self, things: Sequence[T]) -> T:
        """One of ``things``; one that is there twice comes twice as often."""
        return things[self._stream.below(len(things))]

    def data(self, size: int) -> bytes:
        """So many bytes, all of one number that is drawn."""
        return shake_128(self._stream.u32().to_bytes(4, "big")).digest(size)


def drawn(run: Run, name: str) -> Draw:
    """What the law ``name`` draws for ``run``: what it said, and when it ended, decide."""
    seed = run.config.seed << 64 | run.end_ns
    return Draw(Stream(seed, f"law {name}"))
