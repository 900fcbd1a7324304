"""Which of the packets that a filter sees a fault falls on.

Packets are counted from 1, as the filter sees them. A choice is asked once per packet,
in order, and says yes or no:

    Chance   with a probability that is an exact fraction, from ``first`` on
    Every    ``first``, and every ``period``-th after it
    Listed   those in given ranges
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from desim.data import Protocol

if TYPE_CHECKING:
    from fractions import Fraction

Below = Callable[[int], int]
"""``below(n)``: a number in ``range(n)``, all equally likely; n is at most 2**32."""


class Choice(Protocol):
    """Says of one packet after the other whether it is chosen."""

    def __call__(self) -> bool:
        """The next packet: is it chosen?"""


class Chance(Choice):
    """Each packet from ``first`` on, with ``probability``; a draw for each of them."""

    __slots__ = ("_below", "_early", "_probability")

    def __init__(self, probability: Fraction, below: Below, *, first: int = 1) -> None:
        self._probability = probability
        self._below = below
        self._early = first - 1

    def __call__(self) -> bool:
        """The next packet: yes if a draw falls into the probability."""
        if self._early:
            self._early -= 1
            return False
        return self._below(self._probability.denominator) < self._probability.numerator


class Every(Choice):
    """Packet ``first`` and every ``period``-th behind it."""

    __slots__ = ("_left", "_period")

    def __init__(self, period: int, *, first: int | None = None) -> None:
        self._period = period
        self._left = period if first is None else first

    def __call__(self) -> bool:
        """The next packet: yes if it is ``first``, or a whole number of periods behind it."""
        self._left -= 1
        if self._left:
            return False
        self._left = self._period
        return True


class Listed(Choice):
    """The packets in ``ranges``, given as first and last number of each."""

    __slots__ = ("_number", "_ranges")

    def __init__(self, ranges: Sequence[tuple[int, int]]) -> None:
        self._ranges = ranges
        self._number = 0

    def __call__(self) -> bool:
        """The next packet: yes if its number lies in one of the ranges."""
        self._number += 1
        return any(first <= self._number <= last for first, last in self._ranges)
