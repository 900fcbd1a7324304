"""The kernel's random generator (drivers/char/random.c, Linux 6.1): what a number costs.

The numbers themselves come from named streams. What is modelled here is the work of
getting one: until the generator is ready (no RDRAND, nothing collected yet) it makes a
new key out of its pool for every single number; once it is ready it hands out numbers
in batches.
"""

from __future__ import annotations

from typing import Protocol

from desim.kernel.stages import stage

BATCH = 24
"""Numbers of 32 bits in a batch (1.5 ChaCha blocks)."""


class Stream(Protocol):
    """A named stream."""

    def below(self, n: int) -> int:
        """A number from 0 to ``n`` - 1."""


class Entropy:
    """The generator of one kernel. ``seeded``: whether it was ready at boot."""

    def __init__(self, *, seeded: bool = False) -> None:
        self._ready = seeded
        self._left = 0

    @stage("get_random_u32_below", file="drivers/char/random.c")
    def below(self, stream: Stream, n: int) -> int:
        """A number from 0 to ``n`` - 1."""
        if not self._ready:
            self.extract_entropy()
        elif self._left == 0:
            self._left = BATCH
            self.crng_make_state()
        self._left -= self._ready
        return stream.below(n)

    @stage("crng_make_state", file="drivers/char/random.c")
    def crng_make_state(self) -> None:
        """A new key from the last one, and a batch of numbers from it."""

    @stage("crng_make_state", "extract_entropy", file="drivers/char/random.c")
    def extract_entropy(self) -> None:
        """The same before anything was collected: the key comes from the pool each time."""
