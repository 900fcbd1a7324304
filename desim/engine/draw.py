"""Choices by chance, from a stream with a name: the same on every machine and Python.

For who makes inputs up: searches, and laws about parts. Whole numbers only; nothing here depends
on ``random``, on hashes or on floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_128
from typing import TypeVar

from desim.engine.streams import Stream

T = TypeVar("T")


class Draw:
    """Draws from the stream ``name`` of ``seed``."""

    __slots__ = ("_stream",)

    def __init__(self, seed: int, name: str) -> None:
        self._stream = Stream(seed, name)

    def between(self, first: int, last: int) -> int:
        """A whole number from ``first`` to ``last``, both possible."""
        return first + self._stream.below(last - first + 1)

    def chance(self, one_in: int) -> bool:
        """True once in so many times."""
        return self._stream.below(one_in) == 0

    def pick(self, things: Sequence[T]) -> T:
        """One of ``things``; one that is there twice comes twice as often."""
        return things[self._stream.below(len(things))]

    def some(self, things: Sequence[T], least: int, most: int) -> list[T]:
        """So many different ones, in the order of ``things``."""
        wanted = self.between(least, min(most, len(things)))
        left = list(range(len(things)))
        chosen = sorted(left.pop(self._stream.below(len(left))) for _ in range(wanted))
        return [things[place] for place in chosen]

    def data(self, size: int) -> bytes:
        """So many bytes, all of one number that is drawn."""
        return shake_128(self._stream.u32().to_bytes(4, "big")).digest(size)
