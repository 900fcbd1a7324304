"""The transmit ring of the driver (e1000_main.c): context, data and legacy descriptors.

Theory of operation
-------------------
``xmit_frame`` turns one skb into descriptors:

    TSO               context (headers, MSS), data descriptors with TSE
    CHECKSUM_PARTIAL  context (where to sum), data descriptors; never cached
    otherwise         legacy descriptors

The skb's head and each of its fragments are cut into pieces of at most 4096
bytes (less for TSO with a tiny MSS). Two workarounds cut four bytes more:
the last piece of a TSO packet gives up its last four bytes to a descriptor of
their own, and so does the first piece of the first linear non-TSO packet after
one (premature write-back, 8254x errata).

EOP, IFCS, RS and, with a transmit delay, IDE are set in the last descriptor
alone: only that one is written back. ``clean_tx_irq``, in NAPI, looks at the
descriptor that ``next_to_watch`` of a packet's first slot names.

Room is checked twice: before, for this packet plus a gap of two; after, for
the largest packet possible (24 descriptors), so that the queue stops early and
a packet hardly ever comes back as BUSY. It starts again at 32 free ones.

The driver's bytes are put into buffers in guest memory where the real one maps
the skb's own pages; addresses differ, bytes and descriptors do not.

Not modelled: scatter limits of the 82544, PCI-X, the 82547's FIFO, no_fcs.
"""

from __future__ import annotations

from desim.guest.cpu.context import HZ
from desim.guest.drivers.e1000.adapter import Adapter
from desim.guest.drivers.e1000.param import NETIF_MSG_DRV
from desim.guest.drivers.e1000.regs import (
    COLLISION_THRESHOLD,
    CT_SHIFT,
    DESC_SIZE,
    MAIN_C,
    STATUS,
    STATUS_TXOFF,
    TADV,
    TCTL,
    TCTL_CT,
    TCTL_PSP,
    TCTL_RTLC,
    TDBAH,
    TDBAL,
    TDH,
    TDLEN,
    TDT,
    TIDV,
    TIPG,
    TIPG_COPPER,
    TX_CONTEXT,
    TX_DESC,
    TXD_CMD_DEXT,
    TXD_CMD_EOP,
    TXD_CMD_IDE,
    TXD_CMD_IFCS,
    TXD_CMD_IP,
    TXD_CMD_RS,
    TXD_CMD_TCP,
    TXD_CMD_TSE,
    TXD_CMD_VLE,
    TXD_DTYP_D,
    TXD_POPTS_IXSM,
    TXD_POPTS_TXSM,
    TXD_STAT_DD,
)
from desim.guest.drivers.netdevice import NETDEV_TX_BUSY, NETDEV_TX_OK
from desim.guest.skb import CHECKSUM_PARTIAL, NETWORK, TRANSPORT, Skb
from desim.stages import GUEST, mark, stages

MAX_TXD_PWR = 12
MAX_DATA_PER_TXD = 1 << MAX_TXD_PWR
MAX_SKB_FRAGS = 17
DESC_NEEDED = MAX_SKB_FRAGS + 7
TX_WAKE_THRESHOLD = 32
ETH_ZLEN = 60

ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD
IPPROTO_TCP = 6

_UPPER = 12


class TxBuffer:
    """``struct e1000_tx_buffer``: what belongs to one descriptor."""

    __slots__ = (
        "bytecount", "dma", "length", "lower", "next_to_watch", "owned", "segs", "skb",
        "time_stamp",
    )  # fmt: skip

    def __init__(self) -> None:
        self.skb: Skb | None = None
        self.dma = 0
        self.length = 0
        self.lower = 0
        self.owned: tuple[int, ...] = ()
        """Memory to free with this descriptor."""
        self.segs = 0
        self.bytecount = 0
        self.time_stamp = 0
        self.next_to_watch = 0


class TxRing:
    """``struct e1000_tx_ring``."""

    STAGES = stages(
        GUEST,
        setup_tx_resources=mark("e1000_setup_tx_resources", file=MAIN_C),
        configure_tx=mark("e1000_configure_tx", file=MAIN_C),
        xmit_frame=mark("e1000_xmit_frame", file=MAIN_C, size="skb"),
        tso=mark("e1000_tso", file=MAIN_C),
        tx_csum=mark("e1000_tx_csum", file=MAIN_C),
        tx_map=mark("e1000_tx_map", file=MAIN_C, size="skb"),
        tx_queue=mark("e1000_tx_queue", file=MAIN_C),
        clean_tx_irq=mark("e1000_clean_tx_irq", file=MAIN_C),
        unmap_and_free_tx_resource=mark("e1000_unmap_and_free_tx_resource", file=MAIN_C),
        consume_skb=mark("napi_consume_skb", file="net/core/skbuff.c"),
        clean_tx_ring=mark("e1000_clean_tx_ring", file=MAIN_C),
        free_tx_resources=mark("e1000_free_tx_resources", file=MAIN_C),
    )

    __slots__ = (
        "_adapter", "_ring", "_txd_cmd", "buffer_info", "count", "desc", "last_tx_tso",
        "next_to_clean", "next_to_use",
    )  # fmt: skip

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._txd_cmd = 0
        self._ring = memoryview(b"")
        """The descriptors, where they lie."""
        self.count = 0
        self.desc = 0
        self.buffer_info: list[TxBuffer] = []
        self.next_to_use = 0
        self.next_to_clean = 0
        self.last_tx_tso = False

    @property
    def unused(self) -> int:
        """Free descriptors, one always kept back (E1000_DESC_UNUSED)."""
        room = self.next_to_clean - self.next_to_use - 1
        return room if self.next_to_clean > self.next_to_use else room + self.count

    @property
    def asks_for_delay(self) -> bool:
        """Whether the last descriptor of a packet has IDE: its interrupt may be held back."""
        return bool(self._txd_cmd & TXD_CMD_IDE)

    def setup_tx_resources(self) -> bool:
        """Get memory for the ring; False when there is none."""
        count = self._adapter.options.tx_count
        size = (count * DESC_SIZE + 4095) & -4096
        desc = self._adapter.memory.alloc(size, align=4096)
        if not desc:
            return False
        self.count = count
        self.desc = desc
        self.buffer_info = [TxBuffer() for _ in range(count)]
        self._ring = self._adapter.memory.map(desc, size)
        self._ring[:] = bytes(size)
        self.next_to_use = self.next_to_clean = 0
        return True

    def configure_tx(self) -> None:
        """Ring, gaps, delays; TCTL without EN, which the watchdog sets with the link."""
        adapter = self._adapter
        er32, ew32, options = adapter.er32, adapter.ew32, adapter.options
        ew32(TDLEN, self.count * DESC_SIZE)
        ew32(TDBAH, self.desc >> 32)
        ew32(TDBAL, self.desc & 0xFFFFFFFF)
        ew32(TDT, 0)
        ew32(TDH, 0)
        ew32(TIPG, TIPG_COPPER)
        ew32(TIDV, options.tx_int_delay)
        ew32(TADV, options.tx_abs_int_delay)
        tctl = er32(TCTL) & ~TCTL_CT
        tctl |= TCTL_PSP | TCTL_RTLC | COLLISION_THRESHOLD << CT_SHIFT
        adapter.hw.config_collision_dist()
        self._txd_cmd = TXD_CMD_EOP | TXD_CMD_IFCS | TXD_CMD_RS
        if options.tx_int_delay:
            self._txd_cmd |= TXD_CMD_IDE
        # Read before the collision distance was set: that comes back with the link.
        ew32(TCTL, tctl)

    def xmit_frame(self, skb: Skb, more: bool) -> int:
        """Queue ``skb``; tell the card unless ``more`` packets follow at once."""
        device = self._adapter.device
        if len(skb) < ETH_ZLEN:  # eth_skb_pad, which makes it linear
            skb.head = b"".join((skb.head, *skb.frags)).ljust(ETH_ZLEN, b"\0")
            skb.frags = []
        mss = skb.gso_size
        max_per_txd, power = MAX_DATA_PER_TXD, MAX_TXD_PWR
        if mss:
            max_per_txd = min(mss << 2, max_per_txd)
            power = max_per_txd.bit_length() - 1
        count = 1
        if mss or skb.ip_summed == CHECKSUM_PARTIAL:
            count += 1
        if not skb.frags and self.last_tx_tso and not mss:
            count += 1
        round_up = (1 << power) - 1
        count += (len(skb.head) + round_up) >> power
        for frag in skb.frags:
            count += (len(frag) + round_up) >> power
        if self.maybe_stop_tx(count + 2):
            return NETDEV_TX_BUSY

        first = self.next_to_use
        lower, upper = TXD_CMD_IFCS, 0
        head = skb.head
        if mss:
            head = self.tso(skb)
            self.last_tx_tso = True
            lower |= TXD_CMD_DEXT | TXD_DTYP_D | TXD_CMD_TSE
            upper |= (TXD_POPTS_TXSM | TXD_POPTS_IXSM) << 8
        elif self.tx_csum(skb):
            lower |= TXD_CMD_DEXT | TXD_DTYP_D
            upper |= TXD_POPTS_TXSM << 8
        if skb.vlan_tci is not None:
            lower |= TXD_CMD_VLE
            upper |= skb.vlan_tci << 16
        used = self.tx_map(skb, head, first, max_per_txd)
        if not used:
            self._adapter.dev_info("TX DMA map failed")
            self.buffer_info[first].time_stamp = 0
            self.next_to_use = first
            return NETDEV_TX_OK
        assert used <= count
        device.netdev_sent_queue(len(skb))
        self.tx_queue(lower, upper, used)
        self.maybe_stop_tx(DESC_NEEDED)
        if not more or device.netif_xmit_stopped():
            self._adapter.ew32(TDT, self.next_to_use)
        return NETDEV_TX_OK

    def maybe_stop_tx(self, size: int) -> bool:
        """Stop the queue if fewer than ``size`` descriptors are free (e1000_maybe_stop_tx)."""
        if self.unused >= size:
            return False
        # The original looks again here, for a clean-up on another processor.
        self._adapter.device.netif_stop_queue()
        return True

    def tso(self, skb: Skb) -> bytes:
        """The context of a segmentation; the head as the card wants it.

        The card fills in each segment's lengths and checksums: the IP header must
        come with length and checksum 0, the TCP header with the sum of its
        pseudo-header without the length.
        """
        if skb.protocol != ETH_P_IP:
            raise ValueError(f"TSO of protocol {skb.protocol:#06x}: the e1000 does IPv4 only")
        head = bytearray(skb.head)
        ip, tcp = NETWORK, TRANSPORT
        hdr_len = tcp + (head[tcp + 12] >> 4) * 4
        head[ip + 2 : ip + 4] = b"\0\0"
        head[ip + 10 : ip + 12] = b"\0\0"
        words = int.from_bytes(head[ip + 12 : ip + 20], "big")
        # Sixteen-bit words add up modulo 65535, where 0 is written as 0xFFFF.
        head[tcp + 16 : tcp + 18] = ((words + IPPROTO_TCP - 1) % 0xFFFF + 1).to_bytes(2, "big")
        payload = len(skb) - hdr_len
        command = TXD_CMD_IP | TXD_CMD_DEXT | TXD_CMD_TSE | TXD_CMD_TCP | payload
        ip_fields = (ip, ip + 10, tcp - 1)
        tcp_fields = (tcp, tcp + 16, 0)
        self._context(TX_CONTEXT.pack(*ip_fields, *tcp_fields, command, 0, hdr_len, skb.gso_size))
        return bytes(head)

    def tx_csum(self, skb: Skb) -> bool:
        """The context of a checksum, if the stack has left one to the card."""
        if skb.ip_summed != CHECKSUM_PARTIAL:
            return False
        command = TXD_CMD_DEXT
        if skb.protocol == ETH_P_IP:
            transport = skb.head[NETWORK + 9]
        elif skb.protocol == ETH_P_IPV6:
            transport = skb.head[NETWORK + 6]
        else:
            transport = 0
            self._adapter.netdev_msg(NETIF_MSG_DRV, f"checksum_partial proto={skb.protocol:x}!")
        if transport == IPPROTO_TCP:
            command |= TXD_CMD_TCP
        css = skb.csum_start
        self._context(TX_CONTEXT.pack(0, 0, 0, css, css + skb.csum_offset, 0, command, 0, 0, 0))
        return True

    def _context(self, descriptor: bytes) -> None:
        i = self.next_to_use
        info = self.buffer_info[i]
        assert info.skb is None
        info.dma, info.lower = TX_DESC.unpack(descriptor)[:2]
        info.time_stamp = self._adapter.cpu.jiffies
        info.next_to_watch = i
        at = i * DESC_SIZE
        self._ring[at : at + DESC_SIZE] = descriptor
        self.next_to_use = i + 1 if i + 1 < self.count else 0

    def tx_map(self, skb: Skb, head: bytes, first: int, max_per_txd: int) -> int:
        """Put the bytes where the card can read them; how many descriptors they take.

        0 when there is no memory left.
        """
        memory, jiffies = self._adapter.memory, self._adapter.cpu.jiffies
        mss, pieces = skb.gso_size, (head, *skb.frags)
        last_piece = len(pieces) - 1
        owned: list[int] = []
        i = self.next_to_use
        count = 0
        for number, data in enumerate(pieces):
            left = len(data)
            if not left:
                continue
            address = memory.alloc(left)
            if not address:
                for taken in owned:
                    memory.free(taken)
                return 0
            owned.append(address)
            memory.write(address, data)
            while left:
                if count:
                    i = i + 1 if i + 1 < self.count else 0
                size = min(left, max_per_txd)
                if not last_piece and self.last_tx_tso and not mss:
                    self.last_tx_tso = False
                    size -= 4
                if mss and number == last_piece and size == left and size > 8:
                    size -= 4
                info = self.buffer_info[i]
                assert info.skb is None
                info.dma = address
                info.length = size
                info.time_stamp = jiffies
                info.next_to_watch = i
                address += size
                left -= size
                count += 1
        segs = skb.gso_segs or 1
        info = self.buffer_info[i]
        info.skb = skb
        info.owned = tuple(owned)
        info.segs = segs
        # What goes over the wire: every segment repeats the headers.
        info.bytecount = (segs - 1) * len(head) + len(skb)
        self.buffer_info[first].next_to_watch = i
        return count

    def tx_queue(self, lower: int, upper: int, count: int) -> None:
        """Write the data descriptors of one packet."""
        ring = self._ring
        i = self.next_to_use
        for left in range(count, 0, -1):
            info = self.buffer_info[i]
            assert 0 < info.length <= MAX_DATA_PER_TXD
            info.lower = lower | info.length
            if left == 1:
                info.lower |= self._txd_cmd
            TX_DESC.pack_into(ring, i * DESC_SIZE, info.dma, info.lower, upper)
            i = i + 1 if i + 1 < self.count else 0
        self.next_to_use = i

    def clean_tx_irq(self) -> bool:
        """Free what the card has sent; False if that was a whole ring."""
        adapter = self._adapter
        device = adapter.device
        total_bytes = total_packets = bytes_compl = pkts_compl = count = 0
        i = self.next_to_clean
        eop = self.buffer_info[i].next_to_watch
        while self._done(eop) and count < self.count:
            cleaned = False
            while not cleaned:
                info = self.buffer_info[i]
                cleaned = i == eop
                if cleaned:
                    total_packets += info.segs
                    total_bytes += info.bytecount
                    if info.skb is not None:
                        bytes_compl += len(info.skb)
                        pkts_compl += 1
                self.unmap_and_free_tx_resource(i, info)
                count += 1
                i = i + 1 if i + 1 < self.count else 0
            eop = self.buffer_info[i].next_to_watch
        self.next_to_clean = i
        device.netdev_completed_queue(pkts_compl, bytes_compl)
        if count and device.netif_carrier_ok() and self.unused >= TX_WAKE_THRESHOLD:
            if device.netif_queue_stopped() and not adapter.down:
                device.netif_wake_queue()
                adapter.restart_queue += 1
        if adapter.detect_tx_hung:
            adapter.detect_tx_hung = False
            self._detect_hang(eop)
        adapter.total_tx_bytes += total_bytes
        adapter.total_tx_packets += total_packets
        device.stats.tx_bytes += total_bytes
        device.stats.tx_packets += total_packets
        return count < self.count

    def _done(self, i: int) -> bool:
        self._adapter.look()
        return self._ring[i * DESC_SIZE + _UPPER] & TXD_STAT_DD != 0

    def unmap_and_free_tx_resource(self, i: int, info: TxBuffer) -> None:
        """Free one slot, after a look that its descriptor is still the one written."""
        memory, ring = self._adapter.memory, self._ring
        at = i * DESC_SIZE
        dma, lower, _ = TX_DESC.unpack_from(ring, at)
        assert dma == info.dma
        assert lower == info.lower
        for owned in info.owned:
            memory.free(owned)
        info.owned = ()
        if info.skb is not None:
            self.consume_skb()
            info.skb = None
        info.dma = 0
        info.time_stamp = 0
        ring[at + _UPPER : at + DESC_SIZE] = b"\0\0\0\0"

    def consume_skb(self) -> None:
        """The packet itself goes with its last descriptor."""

    def _detect_hang(self, eop: int) -> None:
        adapter = self._adapter
        stamp = self.buffer_info[eop].time_stamp
        if not stamp or adapter.cpu.jiffies <= stamp + adapter.tx_timeout_factor * HZ:
            return
        if adapter.er32(STATUS) & STATUS_TXOFF:
            return
        status = self._ring[eop * DESC_SIZE + _UPPER]
        adapter.netdev_msg(
            NETIF_MSG_DRV,
            "Detected Tx Unit Hang\n"
            "  Tx Queue             <0>\n"
            f"  TDH                  <{adapter.er32(TDH):x}>\n"
            f"  TDT                  <{adapter.er32(TDT):x}>\n"
            f"  next_to_use          <{self.next_to_use:x}>\n"
            f"  next_to_clean        <{self.next_to_clean:x}>\n"
            "buffer_info[next_to_clean]\n"
            f"  time_stamp           <{stamp:x}>\n"
            f"  next_to_watch        <{eop:x}>\n"
            f"  jiffies              <{adapter.cpu.jiffies:x}>\n"
            f"  next_to_watch.status <{status:x}>",
        )
        adapter.device.netif_stop_queue()

    def clean_tx_ring(self) -> None:
        """Drop everything that is queued, and start over at slot 0."""
        adapter = self._adapter
        for info in self.buffer_info:
            for owned in info.owned:
                adapter.memory.free(owned)
        adapter.device.netdev_reset_queue()
        self.buffer_info = [TxBuffer() for _ in range(self.count)]
        self._ring[:] = bytes(len(self._ring))
        self.next_to_use = self.next_to_clean = 0
        self.last_tx_tso = False
        adapter.ew32(TDH, 0)
        adapter.ew32(TDT, 0)

    def free_tx_resources(self) -> None:
        self.clean_tx_ring()
        self._adapter.memory.unmap(self.desc, len(self._ring))
        self._adapter.memory.free(self.desc)
        self.desc = 0
