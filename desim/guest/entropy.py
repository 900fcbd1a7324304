"""The kernel's random generator (drivers/char/random.c, Linux 6.1): what a number costs.

The numbers themselves come from named streams. What is modelled here is the work of
getting one: until the generator is ready (no RDRAND, nothing collected yet) it makes a
new key out of its pool for every single number; once it is ready it hands out numbers
in batches, one of numbers of each width.
"""

from __future__ import annotations

from desim.ports import RandomStream
from desim.stages import GUEST, mark, stages

FILE = "drivers/char/random.c"

BATCH_BYTES = 96
"""Of a batch of numbers (1.5 ChaCha blocks)."""


class Entropy:
    """The generator of one kernel. ``seeded``: whether it was ready at boot."""

    STAGES = stages(
        GUEST,
        below=mark("get_random_u32_below", file=FILE),
        u32=mark("get_random_u32", file=FILE),
        u16=mark("get_random_u16", file=FILE),
        get_random_bytes=mark("get_random_bytes", file=FILE, size="wanted"),
        crng_make_state=mark("crng_make_state", file=FILE),
        extract_entropy=mark("crng_make_state", "extract_entropy", file=FILE),
    )

    def __init__(self, *, seeded: bool = False) -> None:
        self._ready = seeded
        self._left = {2: 0, 4: 0}
        """Numbers left in the batch of each width in bytes."""

    def below(self, stream: RandomStream, n: int) -> int:
        """A number from 0 to ``n`` - 1."""
        self._take(4)
        return stream.below(n)

    def u32(self, stream: RandomStream) -> int:
        """A number of 32 bits."""
        self._take(4)
        return stream.u32()

    def u16(self, stream: RandomStream) -> int:
        """A number of 16 bits."""
        self._take(2)
        return stream.u32() & 0xFFFF

    def get_random_bytes(self, wanted: range) -> None:
        """So many bytes at once; nobody here reads them."""

    def _take(self, width: int) -> None:
        if not self._ready:
            self.extract_entropy()
            return
        if self._left[width] == 0:
            self._left[width] = BATCH_BYTES // width
            self.crng_make_state()
        self._left[width] -= 1

    def crng_make_state(self) -> None:
        """A new key from the last one, and a batch of numbers from it."""

    def extract_entropy(self) -> None:
        """The same before anything was collected: the key comes from the pool each time."""
