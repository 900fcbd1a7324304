"""Giving back what a received packet lay in (net/core/skbuff.c, mm/page_alloc.c).

Short packets share a page, four to one; the last of them to go frees it.
"""

from __future__ import annotations

from desim.stages import GUEST, mark, stages


class SkbFree:
    """The end of received packets."""

    STAGES = stages(
        GUEST,
        free_pages=mark("__free_pages", file="mm/page_alloc.c"),
    )

    def consume_skb(self, page: list[int] | None) -> None:
        """A packet has been read; ``page`` is its ``Skb.page``."""
        if page is not None:
            page[0] -= 1
            if page[0] == 0:
                self.free_pages()

    def free_pages(self) -> None:
        """The page allocator gets its page back."""
