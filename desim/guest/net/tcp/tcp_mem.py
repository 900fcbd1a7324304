"""Where what TCP sends lies in memory, as far as that takes time.

Models ``tcp_stream_alloc_skb`` and ``skb_page_frag_refill`` (net/ipv4/tcp.c,
net/core/sock.c), and the end of packets.

Theory of operation
-------------------
A packet of the write queue is a ``struct sk_buff`` that has room for its own clone beside
it (``skbuff_fclone_cache``), and a head of 1 KiB for the headers. What the program writes is
copied into pages, eight at a time, which packets share piece by piece; a block of pages
that nobody else holds any more is filled anew.

A packet on its way through the card is a clone: it holds the same memory. So memory is free
when the packet has been acknowledged *and* the card is done with its copies. When part of a
packet is acknowledged before that, it first gets a head of its own (``skb_unclone``).
"""

from __future__ import annotations

from desim.guest.mm.slab import SKB_HEAD, KmemCache, Slabs
from desim.guest.net.tcp.tcp_skb import SharedMemory, SndSkb
from desim.stages import GUEST, mark, stages
from desim.userland.pages import Pages

FCLONE = 512
"""``sizeof(struct sk_buff_fclones)``, rounded up to cache lines."""
HEAD = 1024
"""MAX_TCP_HEADER and ``skb_shared_info`` together, as ``kmalloc`` rounds them up."""

PAGE_FRAG_BYTES = 32768
"""A block of pages (``SKB_FRAG_PAGE_ORDER``)."""
PAGE_FRAG_ROOM = 32
"""With less than that left a new block is begun (``sk_page_frag_refill``)."""


class TcpMemory:
    """Packets of write queues, and bare ones."""

    STAGES = stages(
        GUEST,
        tcp_stream_alloc_skb=mark("tcp_stream_alloc_skb", file="net/ipv4/tcp.c"),
        tso_fragment=mark("tso_fragment", file="net/ipv4/tcp_output.c"),
        tcp_fragment=mark("tcp_fragment", file="net/ipv4/tcp_output.c"),
        pskb_expand_head=mark("pskb_expand_head", file="net/core/skbuff.c"),
        tcp_wmem_free_skb=mark("tcp_wmem_free_skb", file="include/net/tcp.h"),
        sk_page_frag_refill=mark(
            "sk_page_frag_refill", "skb_page_frag_refill", file="net/core/sock.c"
        ),
        alloc_pages=mark("alloc_pages", file="mm/mempolicy.c"),
        free_compound_page=mark("free_compound_page", file="mm/page_alloc.c"),
    )

    def __init__(self, slabs: Slabs) -> None:
        self._fclone: KmemCache = slabs.cache("skbuff_fclone_cache", FCLONE)
        self._head: KmemCache = slabs.cache(f"kmalloc-{HEAD}", HEAD)
        self._skb: KmemCache = slabs.cache("skbuff_head_cache", SKB_HEAD)

    # Packets.

    def tcp_stream_alloc_skb(self, seq: int, flags: int) -> SndSkb:
        """An empty packet for a queue."""
        self._fclone.alloc()
        skb = SndSkb(seq, flags)
        skb.fclone = SharedMemory(self._fclone.free)
        self._new_head(skb, [])
        return skb

    def alloc_skb(self) -> tuple[SharedMemory, ...]:
        """Memory of a packet without data, which no queue keeps (``alloc_skb``)."""
        self._skb.alloc()
        self._head.alloc()
        return SharedMemory(self._skb.free), SharedMemory(self._head.free)

    def tso_fragment(self, skb: SndSkb, size: int) -> SndSkb:
        """Keep ``size`` bytes of a packet that has not been sent, return the rest."""
        return self._split(skb, size)

    def tcp_fragment(self, skb: SndSkb, size: int) -> SndSkb:
        """The same of one that has."""
        self.skb_unclone(skb)
        return self._split(skb, size)

    def _split(self, skb: SndSkb, size: int) -> SndSkb:
        rest = self.tcp_stream_alloc_skb(skb.seq + size, skb.flags)
        skb.split(size, rest)
        return rest

    def skb_unclone(self, skb: SndSkb) -> None:
        """Before a packet is changed of which a copy is still under way."""
        if skb.head.shared:
            self.pskb_expand_head(skb)

    def pskb_expand_head(self, skb: SndSkb) -> None:
        """A head of its own; the pages are the same."""
        old = skb.head
        pages = list(skb.pages)
        for page in pages:
            page.users += 1
        self._new_head(skb, pages)
        old.free()

    def _new_head(self, skb: SndSkb, pages: list[Pages]) -> None:
        self._head.alloc()
        skb.pages = pages

        def free() -> None:
            self._head.free()
            for page in pages:
                self.put_page(page)

        skb.head = SharedMemory(free)

    def tcp_wmem_free_skb(self, skb: SndSkb) -> None:
        """A packet leaves its queue for good."""
        skb.fclone.free()
        skb.head.free()

    def trim_head(self, skb: SndSkb, size: int) -> None:
        """``tcp_trim_head``: forget ``size`` bytes of acknowledged payload."""
        self.skb_unclone(skb)
        for page in skb.trim_head(size):
            self.put_page(page)

    # Pages.

    def sk_page_frag_refill(self, frag: PageFrag) -> None:
        """See to it that there is room in ``frag``."""
        if frag.pages is not None:
            if frag.pages.users == 1:
                frag.left = PAGE_FRAG_BYTES
            if frag.left >= PAGE_FRAG_ROOM:
                return
            self.put_page(frag.pages)
        frag.pages = self.alloc_pages()
        frag.left = PAGE_FRAG_BYTES

    def alloc_pages(self) -> Pages:
        """Eight pages in a row."""
        return Pages()

    def put_page(self, pages: Pages) -> None:
        """One user less."""
        pages.users -= 1
        if not pages.users:
            self.free_compound_page()

    def free_compound_page(self) -> None:
        """The page allocator gets them back."""


class PageFrag:
    """What a task's next writes are copied into (``struct page_frag``)."""

    __slots__ = ("left", "pages")

    def __init__(self) -> None:
        self.pages: Pages | None = None
        self.left = 0
