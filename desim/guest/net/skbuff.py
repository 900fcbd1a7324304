"""How much memory a received packet counts for (include/linux/skbuff.h, e1000_main.c).

TCP advertises half of what its receive buffer has left, and the buffer is charged
with the ``truesize`` of packets, not with their payload; the windows of a reader
that falls behind follow from it. The sizes are those of an x86-64 kernel 6.1:

* a frame above the driver's copybreak (256 bytes with its FCS) is built around the
  card's own buffer: NET_SKB_PAD 64 + 1522, aligned to 1600;
* a shorter one is copied into a page fragment of 1 KiB.
"""

from __future__ import annotations

from functools import lru_cache

SKB_STRUCT = 256
"""``SKB_DATA_ALIGN(sizeof(struct sk_buff))``."""

SKB_SHARED_INFO = 320
"""``SKB_DATA_ALIGN(sizeof(struct skb_shared_info))``."""

MAX_SKB_FRAGS = 17
MAX_TCP_HEADER = 320

_NET_SKB_PAD = 64
_COPYBREAK = 256
_FCS = 4
_LARGE = 1600
_SMALL = 1024 - SKB_SHARED_INFO


def skb_truesize(size: int) -> int:
    """``SKB_TRUESIZE``."""
    return size + SKB_STRUCT + SKB_SHARED_INFO


@lru_cache(maxsize=4096)
def rx_room(frame_len: int) -> tuple[int, int]:
    """Truesize of a received frame, and the bytes of its buffer that may hold a packet."""
    size = _SMALL if frame_len + _FCS <= _COPYBREAK else max(_LARGE, frame_len + _NET_SKB_PAD)
    return skb_truesize(size), size - _NET_SKB_PAD


SEND_SKB_TRUESIZE = skb_truesize(1024 - SKB_SHARED_INFO)
"""What an empty packet of a TCP socket counts for; its payload lies in page fragments."""
