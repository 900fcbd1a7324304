"""Memory of sent packets: a new slab is asked for when more packets wait than ever before."""

from __future__ import annotations

from desim.guest.entropy import Entropy
from desim.guest.mm.slab import FEWEST, PAGE, SKB_HEAD, KmemCache, Slabs


class Zero:
    def below(self, n: int) -> int:
        assert n >= 1
        return 0


class CountedCache(KmemCache):
    slabs = 0

    def allocate_slab(self, pages: range) -> None:
        type(self).slabs += 1
        super().allocate_slab(pages)


def cache(size: int) -> type[CountedCache]:
    CountedCache.slabs = 0
    return CountedCache


def test_a_slab_holds_what_fits_into_a_page_and_eight_at_least() -> None:
    for size, objects in ((SKB_HEAD, PAGE // SKB_HEAD), (512, 8), (2048, FEWEST)):
        kind = cache(size)
        made = kind("cache", size, Entropy(), Zero())
        for _ in range(objects):
            made.alloc()
        assert kind.slabs == 0  # the first is there
        made.alloc()
        assert kind.slabs == 1


def test_packets_that_come_and_go_need_no_new_slab() -> None:
    kind = cache(512)
    made = kind("cache", 512, Entropy(), Zero())
    for _ in range(1000):
        made.alloc()
        made.free()
    assert kind.slabs == 0


def test_only_a_new_high_water_mark_costs() -> None:
    kind = cache(512)
    made = kind("cache", 512, Entropy(), Zero())
    for _ in range(2):
        for _ in range(64):
            made.alloc()
        for _ in range(64):
            made.free()
    assert kind.slabs == 7


def test_a_datagram_takes_a_head_and_a_buffer_of_the_next_power_of_two() -> None:
    slabs = Slabs(entropy=Entropy(), random=Zero())
    head, buffer = slabs.alloc_skb(84)
    again = slabs.alloc_skb(100)
    assert again == (head, buffer)
    assert slabs.alloc_skb(1028)[1] is not buffer
    assert slabs.alloc_skb(1028)[0] is head
