"""Memory of what TCP sends: who holds it, when it goes back, where new memory is needed."""

from __future__ import annotations

from typing import Any

import pytest

from desim.guest.entropy import Entropy
from desim.guest.mm.slab import FREE_AT_BOOT, KmemCache, Slabs
from desim.guest.net.tcp.tcp_mem import PAGE_FRAG_BYTES, PageFrag, TcpMemory
from desim.guest.net.tcp.tcp_skb import SndSkb
from desim.userland.pages import Pages
from desim.wire.tcp import ACK


class Zero:
    def below(self, n: int) -> int:
        return 0


class Counted(TcpMemory):
    allocated = freed = 0

    def alloc_pages(self) -> Pages:
        self.allocated += 1
        return super().alloc_pages()

    def free_compound_page(self) -> None:
        self.freed += 1


@pytest.fixture
def slabs() -> Slabs:
    return Slabs(entropy=Entropy(), random=Zero())


@pytest.fixture
def memory(slabs: Slabs) -> Counted:
    return Counted(slabs)


def used(slabs: Slabs) -> tuple[int, int]:
    """Fast clones and heads in use."""
    fclones, heads = slabs.cache("skbuff_fclone_cache", 512), slabs.cache("kmalloc-1024", 1024)
    return fclones.used, heads.used


def write(memory: TcpMemory, skb: SndSkb, frag: PageFrag, data: bytes) -> None:
    while data:
        memory.sk_page_frag_refill(frag)
        assert frag.pages is not None
        offset = PAGE_FRAG_BYTES - frag.left
        piece, data = data[: frag.left], data[frag.left :]
        frag.left -= len(piece)
        skb.append(piece, frag.pages, offset)


def test_a_packet_goes_back_when_it_is_acknowledged_and_the_card_is_done(
    slabs: Slabs, memory: Counted
) -> None:
    skb = memory.tcp_stream_alloc_skb(1, ACK)
    clone = skb.fclone.get(), skb.head.get()
    assert used(slabs) == (1, 1)
    memory.tcp_wmem_free_skb(skb)
    assert used(slabs) == (1, 1)
    for part in clone:
        part.free()
    assert used(slabs) == (0, 0)


def test_a_bare_packet_is_no_fast_clone(slabs: Slabs, memory: Counted) -> None:
    parts = memory.alloc_skb()
    assert used(slabs) == (0, 1)
    for part in parts:
        part.free()
    assert used(slabs) == (0, 0)


def test_cutting_a_packet_takes_one_more_and_both_hold_the_page_of_the_piece_that_is_cut(
    memory: Counted, slabs: Slabs
) -> None:
    skb, frag = memory.tcp_stream_alloc_skb(1, ACK), PageFrag()
    write(memory, skb, frag, bytes(10_000))
    rest = memory.tso_fragment(skb, 4_000)
    assert (skb.len, rest.len, rest.seq) == (4_000, 6_000, 4_001)
    assert used(slabs) == (2, 2)
    assert frag.pages is not None
    assert frag.pages.users == 3
    memory.tcp_wmem_free_skb(skb)
    assert frag.pages.users == 2
    memory.tcp_wmem_free_skb(rest)
    assert frag.pages.users == 1
    assert memory.freed == 0  # the writer's own


def test_pages_that_only_the_writer_holds_are_filled_anew(memory: Counted) -> None:
    frag = PageFrag()
    for _ in range(5):
        skb = memory.tcp_stream_alloc_skb(1, ACK)
        write(memory, skb, frag, bytes(PAGE_FRAG_BYTES))
        memory.tcp_wmem_free_skb(skb)
    assert memory.allocated == 1


def test_pages_in_flight_are_left_to_their_packets(memory: Counted) -> None:
    frag = PageFrag()
    packets = []
    for _ in range(3):
        skb = memory.tcp_stream_alloc_skb(1, ACK)
        write(memory, skb, frag, bytes(PAGE_FRAG_BYTES))
        packets.append(skb)
    assert memory.allocated == 3
    for skb in packets:
        memory.tcp_wmem_free_skb(skb)
    assert memory.freed == 2  # the last block is still the writer's


def test_an_acknowledged_part_under_way_costs_a_head_once(slabs: Slabs, memory: Counted) -> None:
    skb, frag = memory.tcp_stream_alloc_skb(1, ACK), PageFrag()
    write(memory, skb, frag, bytes(10_000))
    clone = skb.fclone.get(), skb.head.get()
    memory.trim_head(skb, 1_460)
    assert used(slabs) == (1, 2)
    memory.trim_head(skb, 1_460)
    assert used(slabs) == (1, 2)
    assert b"".join(skb.payload()) == bytes(10_000 - 2_920)
    for part in clone:
        part.free()
    assert used(slabs) == (1, 1)
    memory.tcp_wmem_free_skb(skb)
    assert used(slabs) == (0, 0)
    assert frag.pages is not None
    assert frag.pages.users == 1


def test_new_slabs_are_needed_where_the_recordings_show_them(monkeypatch: Any) -> None:
    """The fourth packet that is alive at once finds no head, and then every eighth."""
    asked: list[int] = []

    def allocate_slab(self: KmemCache, pages: range) -> None:
        asked.append(self.used)

    monkeypatch.setattr(KmemCache, "allocate_slab", allocate_slab)
    memory = TcpMemory(Slabs(entropy=Entropy(), random=Zero()))
    for _ in range(15):
        memory.tcp_stream_alloc_skb(1, ACK)
    assert asked == [FREE_AT_BOOT["kmalloc-1024"] + 1, FREE_AT_BOOT["kmalloc-1024"] + 9]
