"""The socket buffer: one packet on its way through the guest's kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from desim.data import Protocol
from desim.guest.net.skbuff import rx_room
from desim.guest.net.tcp.tcp_skb import RcvSkb
from desim.wire.frame import Frame

CHECKSUM_NONE = 0
CHECKSUM_UNNECESSARY = 1
CHECKSUM_PARTIAL = 3

NETWORK, TRANSPORT = 14, 34
"""Where the headers are in a packet that TCP sends: behind Ethernet's, and behind IPv4's of 20
bytes (``skb_network_offset``, ``skb_transport_offset``)."""


class Memory(Protocol):
    """What a packet lies in."""

    def free(self) -> None:
        """One packet less lies in it."""


class Skb:
    """``struct sk_buff``.

    Sending: ``head`` is the linear part, from the Ethernet header on; ``frags`` the
    page fragments behind it (a TCP socket's payload). With CHECKSUM_PARTIAL the
    device sums from ``csum_start`` (offset into ``head``) to the end and stores
    at ``csum_start + csum_offset``. ``gso_size`` > 0 asks for TCP segmentation
    into ``gso_segs`` pieces. ``ignore_df`` allows IP to fragment it here, DF or not.

    Receiving: ``frame`` is what the card wrote, ``head`` its bytes; ``frags`` are
    the payloads that GRO has merged behind it, ``gso_segs`` their number plus one.

    ``tstamp`` is when it was received, if some socket wants to know; else 0.
    ``truesize`` is the memory of a reassembled packet; 0 stands for that of its frame's
    buffer (``truesize_of``).

    ``page`` is the page that a short received packet shares with others: how many of them
    are still there.

    ``slabs`` are the caches that a sent packet's memory goes back to, and ``destructor``
    is called when that happens: its socket wants to know.

    ``cb`` is TCP's view of a received segment, from GRO on (``TCP_SKB_CB``).
    """

    __slots__ = (
        "cb",
        "csum_offset",
        "csum_start",
        "destructor",
        "frags",
        "frame",
        "gso_segs",
        "gso_size",
        "head",
        "ignore_df",
        "ip_summed",
        "page",
        "protocol",
        "slabs",
        "truesize",
        "tstamp",
        "vlan_tci",
    )

    def __init__(self, head: bytes, frame: Frame | None = None) -> None:
        self.head = head
        self.frags: Sequence[bytes] = ()
        self.frame = frame
        self.protocol = 0
        self.ip_summed = CHECKSUM_NONE
        self.csum_start = 0
        self.csum_offset = 0
        self.gso_size = 0
        self.gso_segs = 0
        self.ignore_df = False
        self.tstamp = 0
        self.truesize = 0
        self.vlan_tci: int | None = None
        self.cb: RcvSkb | None = None
        self.page: list[int] | None = None
        self.slabs: tuple[Memory, ...] = ()
        self.destructor: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self.head) + sum(map(len, self.frags))


def truesize_of(skb: Skb) -> int:
    """What a received packet is charged with."""
    return skb.truesize or rx_room(len(skb))[0]
