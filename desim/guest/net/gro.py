"""Generic receive offload (net/core/gro.c, net/ipv4/af_inet.c, net/ipv4/tcp_offload.c).

Theory of operation
-------------------
Segments of one flow that follow one another are merged into one packet before the
stack sees them, so that the stack works (and acknowledges) per batch and not per
segment. A segment joins the packet of its flow when

* both have the same TTL, TOS and DF, the same ACK number, options and flags (but
  for PSH and FIN),
* its sequence number follows, it is not longer than the first, and the packet stays
  below 64 KiB,
* without DF, its IP identification is the packet's first one plus the number of
  segments already in it.

A shorter segment, or one with PSH, FIN, SYN, RST or URG, still joins but closes the
packet. A frame whose IP length disagrees with its size (padding: payloads below 6
bytes) is never merged. What is held leaves when the driver's poll ends; finished
packets are handed on in batches of ``gro_normal_batch`` segments.

The payload stays in one piece per segment: fragments of the packet, up to 17, then
packets in its fragment list, as the driver's ``build_skb`` pages give it.

Not modelled: other protocols' offload (UDP), the timer of ``gro_flush_timeout``
(off by default).
"""

from __future__ import annotations

from collections.abc import Callable

from desim.guest.net.skbuff import MAX_SKB_FRAGS, SKB_STRUCT, rx_room
from desim.guest.net.tcp.tcp_skb import RcvSkb
from desim.guest.skb import Skb
from desim.stages import GUEST, mark, stages
from desim.wire.segment import Segment
from desim.wire.tcp import ACK, CWR, FIN, PSH, RST, SYN, URG

MAX_GRO_SKBS = 8
GRO_NORMAL_BATCH = 8
GRO_MAX_SIZE = 65536

_CLOSING = URG | PSH | RST | SYN | FIN
_MAY_DIFFER = ~(CWR | FIN | PSH)
_ACK_OR_CWR = ACK | CWR
_FIN_PSH = FIN | PSH

FlowKey = tuple[bytes, bytes, int, int]


class Gro:
    """The packets that one NAPI context holds, and those it is about to hand on.

    ``dev_gro_receive`` has its mark where it is called from (``Device.napi_gro_receive``).
    """

    STAGES = stages(
        GUEST,
        skb_gro_receive=mark("skb_gro_receive", file="net/core/gro.c"),
        gro_normal_list=mark(
            "gro_normal_list",
            "netif_receive_skb_list_internal",
            file="net/core/dev.c",
            size="batch",
        ),
    )

    def __init__(self, deliver: Callable[[list[Skb]], None]) -> None:
        self._deliver = deliver
        self.held: dict[FlowKey, Skb] = {}
        self._rx_list: list[Skb] = []
        self._rx_count = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits here."""
        return not self.held and not self._rx_list

    def dev_gro_receive(self, skb: Skb) -> None:
        """Merge ``skb``, hold it, or hand it on as it is."""
        frame = skb.frame
        seg = frame.known if frame is not None else None
        if seg is False:
            assert frame is not None
            seg = frame.segment
        if seg is None:
            self.gro_normal_one(skb, 1)
            return
        options = seg.options
        raw_len, payload_len = len(skb.head), len(seg.payload)
        headers_len = 54 + len(options) if options else 54
        key = (seg.src, seg.dst, seg.sport, seg.dport)
        if raw_len != headers_len + payload_len or not (seg.sums or seg.sums_ok):
            # Padded or broken: nothing of its flow may overtake it.
            skb.cb = RcvSkb(seg, raw_len)
            held = self.held.pop(key, None)
            if held is not None:
                self.gro_complete(held)
            self.gro_normal_one(skb, 1)
            return
        flags = seg.flags
        closes = flags & _CLOSING
        if key in self.held:
            held = self.held[key]
            into = held.cb
            assert into is not None
            if self.tcp_gro_receive(into, seg, flags, payload_len, raw_len):
                if closes or payload_len < into.gso_size:
                    del self.held[key]
                    self.gro_complete(held)
                return
            del self.held[key]
            self.gro_complete(held)
        cb = skb.cb = RcvSkb(seg, raw_len)
        if closes or payload_len < 1:
            self.gro_normal_one(skb, 1)
            return
        if len(self.held) >= MAX_GRO_SKBS:
            oldest = next(iter(self.held))
            self.gro_complete(self.held.pop(oldest))
        cb.gso_size = payload_len
        self.held[key] = skb

    def tcp_gro_receive(
        self, into: RcvSkb, seg: Segment, flags: int, size: int, frame_len: int
    ) -> bool:
        """Whether ``seg``, ``size`` bytes, could be appended to the held packet ``into``."""
        first = into.seg
        if (
            (into.seq + into.len) & 0xFFFFFFFF != seg.seq
            or seg.ack != first.ack
            or not 0 < size <= into.gso_size
            or (flags ^ into.flags) & _MAY_DIFFER
            or flags & _ACK_OR_CWR != ACK
            or seg.options != first.options
            or seg.ttl != first.ttl
            or seg.tos != first.tos
            or seg.df != first.df
            or (not seg.df and (first.ident + into.gso_segs) & 0xFFFF != seg.ident)
            or 40 + into.len + size >= GRO_MAX_SIZE
        ):
            return False
        self.skb_gro_receive(into, seg.payload, size, rx_room(frame_len)[0])
        into.flags |= flags & _FIN_PSH
        return True

    def skb_gro_receive(self, into: RcvSkb, payload: bytes, size: int, truesize: int) -> None:
        """Take over a segment's data: as a fragment while there is room, else as a packet."""
        into.pieces.append(payload)
        into.len += size
        into.gso_segs += 1
        if into.last_frags < MAX_SKB_FRAGS:
            into.last_frags += 1
            into.truesize += truesize - SKB_STRUCT
        else:
            into.has_frag_list = True
            into.last_frags = 0
            into.truesize += truesize
        if not into.has_frag_list:
            into.nr_frags += 1

    def gro_complete(self, skb: Skb) -> None:
        """``napi_gro_complete``: the packet is finished."""
        cb = skb.cb
        assert cb is not None
        segs = cb.gso_segs
        if segs > 1:
            skb.frags = cb.pieces[1:]
            skb.gso_size = cb.gso_size
            skb.gso_segs = segs
        else:
            cb.gso_size = 0
        self.gro_normal_one(skb, segs)

    def gro_normal_one(self, skb: Skb, segs: int) -> None:
        """Put a packet on the list that the stack gets; a full batch goes at once."""
        self._rx_list.append(skb)
        self._rx_count += segs
        if self._rx_count >= GRO_NORMAL_BATCH:
            self.flush_normal()

    def flush_normal(self) -> None:
        """Hand what is on the list on."""
        batch, self._rx_list = self._rx_list, []
        self._rx_count = 0
        if batch:
            self.gro_normal_list(batch)

    def gro_normal_list(self, batch: list[Skb]) -> None:
        """Up the stack."""
        self._deliver(batch)

    def napi_gro_flush(self) -> None:
        """Finish everything that is held, oldest first, and hand it on."""
        while self.held:
            self.gro_complete(self.held.pop(next(iter(self.held))))
        if self._rx_list:
            self.flush_normal()
