"""The receive ring of the driver (e1000_main.c): legacy descriptors, 2 KiB buffers.

Theory of operation
-------------------
The ring of ``count`` descriptors lies in guest memory. ``alloc_rx_buffers`` gives
buffers to the card and writes RDT: the index of the *last* buffer it filled,
so that the card stops one short of the ring and full never looks like empty.

``clean_rx_irq`` walks from ``next_to_clean`` while descriptors carry DD:

    length > copybreak    the buffer itself goes up the stack, the slot gets a new one
    length <= copybreak   its bytes are copied, the slot keeps its buffer

Lengths include four bytes of FCS that QEMU counts and does not write. After
every 16 descriptors, and at the end for what is left, used slots go back to the
card: one tail write for each batch.

A frame that the card wrote into one buffer comes out as the Frame that went in
(``Memory.frame_at``); if anything else has touched those bytes, as a new one.

Every descriptor is checked twice: that a slot given to the card is clean, and
that it comes back with the address that was written.

Memory costs time, so that much of it is here: a copied packet gets a quarter of a
page (``page_frag_alloc_1k``), a buffer that went up the stack is replaced by the next
piece of a 32 KiB block; the pages behind them are asked for when these are used up.

Not modelled: jumbo frames (``open`` refuses an MTU above 1500), NETIF_F_RXALL
and RXFCS, TBI.
"""

from __future__ import annotations

import struct

from desim.guest.drivers.e1000.adapter import Adapter
from desim.guest.drivers.e1000.itr import itr_register
from desim.guest.drivers.e1000.regs import (
    DESC_SIZE,
    ITR,
    MAIN_C,
    RADV,
    RCTL,
    RCTL_BAM,
    RCTL_BSEX,
    RCTL_EN,
    RCTL_LPE,
    RCTL_MO,
    RCTL_SBP,
    RCTL_SZ_4096,
    RDBAH,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    RDTR,
    RX_DESC,
    RXCSUM,
    RXCSUM_TUOFL,
    RXD_ERR_FRAME_ERR_MASK,
    RXD_ERR_TCPE,
    RXD_SPC_VLAN_MASK,
    RXD_STAT_DD,
    RXD_STAT_EOP,
    RXD_STAT_IXSM,
    RXD_STAT_TCPCS,
    RXD_STAT_VP,
)
from desim.guest.skb import CHECKSUM_UNNECESSARY, Skb
from desim.stages import GUEST, mark, stages
from desim.wire.frame import Frame

RX_BUFFER_WRITE = 16
"""How many buffers are given back at a time (E1000_RX_BUFFER_WRITE)."""

RX_SLOT = 2048
"""Bytes of one buffer: RCTL.BSIZE."""

FRAGS_PER_PAGE = 4
"""Small packets that share a page: ``napi_alloc_skb`` cuts pieces of 1 KiB (Linux 6.1)."""

LEFT_AT_BOOT = 1
"""Pieces that are left of the page when the driver begins. Seen in all recordings: the
second short packet of a boot asks for a page, then each fourth; who has had the other
three is not known."""

FRAGS_PER_BLOCK = 17
"""Buffers of 1920 bytes (1522 and headroom, then ``skb_shared_info``) in a block of 32 KiB."""

_ADDRESS = struct.Struct("<Q")
_STATUS = 12
_FCS = 4


class RxRing:
    """``struct e1000_rx_ring``; ``buffers[i]`` is the address behind slot i, 0 for none."""

    STAGES = stages(
        GUEST,
        setup_rx_resources=mark("e1000_setup_rx_resources", file=MAIN_C),
        setup_rctl=mark("e1000_setup_rctl", file=MAIN_C),
        configure_rx=mark("e1000_configure_rx", file=MAIN_C),
        alloc_rx_buffers=mark("e1000_alloc_rx_buffers", file=MAIN_C, size="slots"),
        clean_rx_irq=mark("e1000_clean_rx_irq", file=MAIN_C),
        alloc_frag=mark("e1000_alloc_frag", file=MAIN_C),
        copybreak=mark("e1000_copybreak", file=MAIN_C),
        build_skb=mark("napi_build_skb", file="net/core/skbuff.c"),
        page_frag_cache_refill=mark("__page_frag_cache_refill", file="mm/page_alloc.c"),
        alloc_pages=mark("__alloc_pages", file="mm/page_alloc.c"),
        receive_skb=mark("e1000_receive_skb", file=MAIN_C, size="skb"),
        clean_rx_ring=mark("e1000_clean_rx_ring", file=MAIN_C),
        free_rx_resources=mark("e1000_free_rx_resources", file=MAIN_C),
    )

    __slots__ = (
        "_adapter", "_block", "_page", "_ring", "_sharing", "buffers", "count", "desc",
        "discarding", "next_to_clean", "next_to_use",
    )  # fmt: skip

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.count = 0
        self.desc = 0
        self._ring = memoryview(b"")
        """The descriptors, where they lie."""
        self.buffers: list[int] = []
        self.next_to_use = 0
        self.next_to_clean = 0
        self.discarding = False
        self._page = LEFT_AT_BOOT
        self._sharing = [LEFT_AT_BOOT]
        self._block = 0

    @property
    def unused(self) -> int:
        """Slots that could be given to the card (E1000_DESC_UNUSED)."""
        room = self.next_to_clean - self.next_to_use - 1
        return room if self.next_to_clean > self.next_to_use else room + self.count

    def setup_rx_resources(self) -> bool:
        """Get memory for the ring; False when there is none."""
        count = self._adapter.options.rx_count
        size = (count * DESC_SIZE + 4095) & -4096
        desc = self._adapter.memory.alloc(size, align=4096)
        if not desc:
            return False
        self.count = count
        self.desc = desc
        self.buffers = [0] * count
        self._ring = self._adapter.memory.map(desc, size)
        self._ring[:] = bytes(size)
        self.next_to_use = self.next_to_clean = 0
        return True

    def setup_rctl(self) -> None:
        """What to accept, and how large buffers are; EN is left as it is."""
        adapter = self._adapter
        rctl = adapter.er32(RCTL) & ~RCTL_MO
        rctl |= RCTL_BAM
        rctl &= ~(RCTL_SBP | RCTL_LPE | RCTL_SZ_4096 | RCTL_BSEX)
        adapter.ew32(RCTL, rctl)

    def configure_rx(self) -> None:
        """Delays, throttling, ring; then enable, before there is any buffer."""
        adapter = self._adapter
        er32, ew32, options = adapter.er32, adapter.ew32, adapter.options
        rctl = er32(RCTL)
        ew32(RCTL, rctl & ~RCTL_EN)
        ew32(RDTR, options.rx_int_delay)
        ew32(RADV, options.rx_abs_int_delay)
        if adapter.itr_setting != 0:
            ew32(ITR, itr_register(adapter.itr))
        ew32(RDLEN, self.count * DESC_SIZE)
        ew32(RDBAH, self.desc >> 32)
        ew32(RDBAL, self.desc & 0xFFFFFFFF)
        ew32(RDT, 0)
        ew32(RDH, 0)
        rxcsum = er32(RXCSUM) & ~RXCSUM_TUOFL
        ew32(RXCSUM, rxcsum | RXCSUM_TUOFL if options.rx_csum else rxcsum)
        ew32(RCTL, rctl | RCTL_EN)

    def alloc_rx_buffers(self, slots: range) -> None:
        """Give so many slots to the card, and tell it with one write of RDT."""
        adapter = self._adapter
        ring, buffers, count = self._ring, self.buffers, self.count
        assert len(slots) < count
        i = self.next_to_use
        for _ in slots:
            buffer = buffers[i]
            if not buffer:
                buffer = self.alloc_frag()
                if not buffer:
                    adapter.alloc_rx_buff_failed += 1
                    break
                buffers[i] = buffer
            at = i * DESC_SIZE
            assert not ring[at + _STATUS]
            _ADDRESS.pack_into(ring, at, buffer)
            i += 1
            if i == count:
                i = 0
        if i != self.next_to_use:
            self.next_to_use = i
            adapter.ew32(RDT, (i or count) - 1)

    def clean_rx_irq(self, budget: int) -> int:
        """Hand up to ``budget`` received frames to the stack; how many descriptors it took."""
        adapter = self._adapter
        ring, look = self._ring, adapter.look
        work_done = cleaned_count = 0
        total_bytes = total_packets = 0
        i = self.next_to_clean
        while True:
            at = i * DESC_SIZE
            look()
            buffer, length, _, status, errors, special = RX_DESC.unpack_from(ring, at)
            if not status & RXD_STAT_DD or work_done >= budget:
                break
            work_done += 1
            cleaned_count += 1
            assert buffer == self.buffers[i]
            assert length <= RX_SLOT
            skb = self._take(i, length, status, errors)
            i += 1
            if i == self.count:
                i = 0
            if skb is not None:
                total_bytes += length - _FCS
                total_packets += 1
                if not status & RXD_STAT_IXSM:  # QEMU's card always says IXSM
                    self._rx_checksum(status, errors, skb)
                self.receive_skb(status, special, skb)
            ring[at + _STATUS] = 0
            if cleaned_count >= RX_BUFFER_WRITE:
                self.alloc_rx_buffers(range(cleaned_count))
                cleaned_count = 0
        self.next_to_clean = i
        unused = self.unused
        if unused:
            self.alloc_rx_buffers(range(unused))
        adapter.total_rx_packets += total_packets
        adapter.total_rx_bytes += total_bytes
        adapter.device.stats.rx_bytes += total_bytes
        adapter.device.stats.rx_packets += total_packets
        return work_done

    def _take(self, i: int, length: int, status: int, errors: int) -> Skb | None:
        """The packet in slot ``i``; None for one that is dropped.

        Above ``copybreak`` the slot loses its buffer in either case. The packet
        carries its own bytes, so the buffer is free again at once.
        """
        memory, buffer = self._adapter.memory, self.buffers[i]
        skb = None
        small = length <= self._adapter.copybreak
        if not status & RXD_STAT_EOP:
            # A frame in several buffers is tossed, up to and including its end.
            self.discarding = True
        elif self.discarding:
            self.discarding = False
        elif not errors & RXD_ERR_FRAME_ERR_MASK:
            size = length - _FCS
            frame = memory.frame_at(buffer, size)
            if frame is None:
                frame = Frame(memory.read(buffer, size))
            skb = self.copybreak(frame) if small else self.build_skb(frame)
        if not small:
            self.buffers[i] = 0
            memory.free(buffer)
        return skb

    def alloc_frag(self) -> int:
        """Memory for one slot; 0 when there is none."""
        if self._block == 0:
            self._block = FRAGS_PER_BLOCK
            self.page_frag_cache_refill()
        self._block -= 1
        return self._adapter.memory.alloc(RX_SLOT, align=RX_SLOT)

    def copybreak(self, frame: Frame) -> Skb:
        """A packet of its own for a short frame, which is copied."""
        if self._page == 0:
            self._page = FRAGS_PER_PAGE
            self._sharing = [FRAGS_PER_PAGE]
            self.alloc_pages()
        self._page -= 1
        skb = Skb(frame.raw, frame)
        skb.page = self._sharing
        return skb

    def build_skb(self, frame: Frame) -> Skb:
        """A packet around the buffer itself."""
        return Skb(frame.raw, frame)

    def page_frag_cache_refill(self) -> None:
        """A new block of eight pages."""

    def alloc_pages(self) -> None:
        """The page allocator; pages are never short here."""

    def _rx_checksum(self, status: int, errors: int, skb: Skb) -> None:
        """What the card says of TCP and UDP checksums, unless it says IXSM."""
        if errors & RXD_ERR_TCPE:
            self._adapter.hw_csum_err += 1
        elif status & RXD_STAT_TCPCS:
            skb.ip_summed = CHECKSUM_UNNECESSARY
            self._adapter.hw_csum_good += 1

    def receive_skb(self, status: int, special: int, skb: Skb) -> None:
        """Note protocol and VLAN tag, and go up the stack."""
        head = skb.head
        skb.protocol = head[12] << 8 | head[13]
        if status & RXD_STAT_VP:
            skb.vlan_tci = special & RXD_SPC_VLAN_MASK
        self._adapter.device.napi_gro_receive(skb)

    def clean_rx_ring(self) -> None:
        """Take every buffer back, and start over at slot 0."""
        memory = self._adapter.memory
        for i, buffer in enumerate(self.buffers):
            if buffer:
                memory.free(buffer)
                self.buffers[i] = 0
        self._ring[:] = bytes(len(self._ring))
        self.next_to_clean = self.next_to_use = 0
        self._adapter.ew32(RDH, 0)
        self._adapter.ew32(RDT, 0)

    def free_rx_resources(self) -> None:
        self.clean_rx_ring()
        self._adapter.memory.unmap(self.desc, len(self._ring))
        self._adapter.memory.free(self.desc)
        self.desc = 0
