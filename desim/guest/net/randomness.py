"""What chance the stack needs, and where it comes from.

Linux draws initial sequence numbers, ports, IP identifications and the reachable
time of neighbours from its random generator. Here each use has a stream with a
name, so that a new use disturbs no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Stream(Protocol):
    """One named stream of random numbers."""

    def u32(self) -> int:
        """A number of 32 bits (``get_random_u32``)."""

    def below(self, n: int) -> int:
        """A number from 0 to ``n`` - 1 (``prandom_u32_max``); ``n`` is at least 1."""


Random = Callable[[str], Stream]
"""The stream of a name; the same name gives the same stream."""
