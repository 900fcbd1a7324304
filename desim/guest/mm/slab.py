"""Where sent packets lie: the kernel's slab allocator (mm/slub.c), as far as it takes time.

A cache hands out objects of one size from slabs, pages cut into pieces. As long as a slab
has room that costs next to nothing. When all are full the cache needs a new slab; its free
pieces are put into a random order (SLAB_FREELIST_RANDOM), for which the random generator is
asked: dear before it is seeded. That is why the first train of packets that all wait takes
longer than the next.

Not modelled: giving slabs back, and caches that others use as well.
"""

from __future__ import annotations

from desim.guest.entropy import Entropy
from desim.ports import RandomStream
from desim.stages import GUEST, Build, bare, mark, stages

PAGE = 4096
SKB_HEAD = 256
"""``sizeof(struct sk_buff)``, rounded up."""
OVERHEAD = 16 + 15 + 320
"""What a datagram's buffer has beside it: the link's header, alignment, ``skb_shared_info``."""
FEWEST = 8
"""Objects that a slab has at least on a machine with one processor, up to 4 KiB each."""


FREE_AT_BOOT = {
    "kmalloc-1024": 3,
    "kmalloc-2048": 5,
    "skbuff_fclone_cache": 15,
    "skbuff_head_cache": 22,
}
"""Pieces that are left when the machine has started: the recorded trains and uploads need new
slabs when they have more packets than that. Other caches begin with a full slab."""


class KmemCache:
    """The objects of one size."""

    STAGES = stages(
        GUEST,
        allocate_slab=mark("allocate_slab", file="mm/slub.c", size="pages"),
        shuffle_freelist=mark("shuffle_freelist", file="mm/slub.c", size="pieces"),
    )

    def __init__(self, name: str, size: int, entropy: Entropy, random: RandomStream) -> None:
        self._size = size
        self._per_slab = max(PAGE // size, FEWEST)
        self._capacity = FREE_AT_BOOT.get(name, self._per_slab)
        self.used = 0
        """Objects that are out."""
        self._entropy = entropy
        self._random = random

    def alloc(self) -> None:
        """One object more."""
        self.used += 1
        if self.used > self._capacity:
            self._capacity += self._per_slab
            self.allocate_slab(range(-(-self._per_slab * self._size // PAGE)))

    def free(self) -> None:
        """One object less."""
        self.used -= 1

    def allocate_slab(self, pages: range) -> None:
        """So many pages from the page allocator, which clears them (INIT_ON_ALLOC)."""
        self.shuffle_freelist(range(self._per_slab))

    def shuffle_freelist(self, pieces: range) -> None:
        """Pieces in random order."""
        self._entropy.below(self._random, len(pieces))


class Slabs:
    """The caches that packets come from."""

    def __init__(self, *, entropy: Entropy, random: RandomStream, build: Build = bare) -> None:
        self._entropy = entropy
        self._random = random
        self._build = build
        self._caches: dict[str, KmemCache] = {}

    def alloc_skb(self, length: int) -> tuple[KmemCache, KmemCache]:
        """Memory for a datagram of ``length`` bytes with its headers: to be given back."""
        size = 1 << (length + OVERHEAD - 1).bit_length()
        caches = self.cache("skbuff_head_cache", SKB_HEAD), self.cache(f"kmalloc-{size}", size)
        for cache in caches:
            cache.alloc()
        return caches

    def cache(self, name: str, size: int) -> KmemCache:
        """The one of that name, whose objects have ``size`` bytes."""
        cache = self._caches.get(name)
        if cache is None:
            made: KmemCache = self._build(KmemCache)(name, size, self._entropy, self._random)
            cache = self._caches[name] = made
        return cache
