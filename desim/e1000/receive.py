"""Receiving: from the net layer into the ring of descriptors (hw/net/e1000.c).

8254x manual, section 3.2; QEMU's ``e1000_receive_iov`` and what it calls.

Theory of operation
-------------------
``can_receive`` (link, RCTL.EN, bus master, RDH != RDT, no hold-off) is what the net
layer asks *before* it hands over a new frame; while it says no, frames wait in the
net layer's queues. A *flush* of those queues does not ask again: what does not fit
then is lost, with RXO.

One frame: padded to 60 bytes; dropped if oversize (RCTL.LPE, SBP) or not for us
(``receive_filter``); its VLAN tag taken out (CTRL.VME); then, descriptor by descriptor,
RCTL's buffer size bytes to memory until all are written. Without RCTL.SECRC the length
counts four bytes of FCS, which are *not* written but may take up a descriptor of their
own. A descriptor with buffer address 0 is marked done and skipped. One whose use brings
RDH back to where it started ends the frame as an overrun. All of it, statistics, RXT0
and RXDMT0 included, happens at one instant.

Every write of RCTL starts the *hold-off*: until the current millisecond plus 1000 the
card takes nothing, and then it flushes the queues.

QEMU 7.2 writes a descriptor with DD clear and then DD alone; nobody can look in
between, so this writes it once, as 2.8 does.

Not modelled, because QEMU does not: checksum offload (RXCSUM), the 48 KiB FIFO,
delayed write-back, the loopback bits of RCTL, errors other than overrun. Nor is this, which
QEMU does: it takes the tag out in the buffer of whoever hands the frame over, so that a
hub's ports behind this card get a frame whose addresses lie four bytes too far back.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from desim.e1000 import reasons
from desim.e1000.pci import ADDRESS_MASK, PciFunction
from desim.e1000.registers import (
    BPRC,
    CTRL,
    CTRL_VME,
    MPC,
    MPRC,
    MTA,
    RA,
    RAH_AV,
    RCTL,
    RCTL_BAM,
    RCTL_EN,
    RCTL_LPE,
    RCTL_MPE,
    RCTL_SBP,
    RCTL_SECRC,
    RCTL_UPE,
    RCTL_VFE,
    RDBAH,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    RNBC,
    ROC,
    RXDMT0,
    RXO,
    RXT0,
    STATUS,
    STATUS_LU,
    VET,
    VFTA,
)
from desim.e1000.statistics import BROADCAST, inc_reg_if_not_full, update_rx_total_stats
from desim.ports import Clock, Ledger, NetPort
from desim.reasons import Reason
from desim.stages import QEMU, Landmark, mark, stages
from desim.wire.frame import FCS_LEN, MIN_FRAME, Frame

FILE = "hw/net/e1000.c"

DESCRIPTOR = struct.Struct("<QHHBBH")
"""Buffer address, length, checksum, status, errors, special (manual, 3.2.3)."""
DESCRIPTOR_LEN = DESCRIPTOR.size

_ADDRESS = struct.Struct("<IH")
"""A MAC address as a pair of registers has it."""
_RECEIVE_ADDRESSES = range(RA, RA + 32, 2)
"""Where the lower halves of such pairs are (RAL)."""

# A descriptor's status (manual, 3.2.3.1).
DD = 0x01
EOP = 0x02
IXSM = 0x04
VP = 0x08

MAXIMUM_ETHERNET_VLAN_SIZE = 1522
MAXIMUM_ETHERNET_LPE_SIZE = 16384
"""Bytes as the frame comes, without FCS (``e1000x_is_oversized``; 8.0 counts otherwise)."""

MTA_SHIFT = (4, 3, 2, 0)
"""Which bits of an address are its hash, by RCTL.MO (``e1000x_rx_group_filter``)."""

NS_PER_MS = 1_000_000
FLUSH_QUEUE_MS = 1000
"""How long an RCTL write holds reception off (``set_rx_control``)."""


def rxbuf_size(rctl: int) -> int:
    """Bytes of one receive buffer (``e1000x_rxbufsize``; manual, RCTL.BSIZE and BSEX)."""
    size = rctl >> 16 & 3
    if rctl & 1 << 25:
        # BSEX multiplies by 16; with size 0 it is reserved, and QEMU falls back to 2048.
        return (2048, 16384, 8192, 4096)[size]
    return 2048 >> size


class Receiver:
    """Owns the receive ring's head, the buffer size and the hold-off.

    RDH stays below the ring's length, unless the guest has put it beyond.
    """

    STAGES = stages(
        QEMU,
        set_rx_control=mark("set_rx_control", file=FILE),
        e1000_flush_queue_timer=mark("e1000_flush_queue_timer", file=FILE),
        set_rdt=mark("set_rdt", file=FILE),
        e1000_receive_iov=mark(
            "e1000_receive_iov", file=FILE, size="frame.raw", landmark=Landmark.DELIVERED
        ),
        receive_filter=mark("receive_filter", file=FILE),
    )

    __slots__ = (
        "clock",
        "entrance",
        "flush_queue_timer",
        "held_off",
        "ledger",
        "mac_reg",
        "net",
        "pci",
        "rxbuf_min_shift",
        "rxbuf_size",
        "set_ics",
    )

    def __init__(
        self,
        *,
        mac_reg: list[int],
        clock: Clock,
        pci: PciFunction,
        net: NetPort,
        ledger: Ledger,
        set_ics: Callable[[int, int], None],
    ) -> None:
        self.mac_reg = mac_reg
        self.clock = clock
        self.pci = pci
        self.net = net
        self.ledger = ledger
        self.set_ics = set_ics
        self.entrance: Callable[[Frame], int] = self.e1000_receive_iov
        """What takes a frame from the net layer."""
        self.rxbuf_size = 0
        self.rxbuf_min_shift = 1
        self.held_off = False
        self.flush_queue_timer = clock.timer(
            "e1000.flush_queue_timer", self.e1000_flush_queue_timer
        )

    def reset(self) -> None:
        """End the hold-off. The buffer size stays, as in QEMU; it is set again with RCTL."""
        self.flush_queue_timer.cancel()
        self.held_off = False
        self.rxbuf_min_shift = 1

    def set_rx_control(self, index: int, val: int) -> None:
        """A write of RCTL; it also makes the card deaf for a second."""
        self.mac_reg[RCTL] = val
        self.rxbuf_size = rxbuf_size(val)
        self.rxbuf_min_shift = (val >> 8 & 3) + 1
        self.held_off = True
        now_ms = self.clock.now() // NS_PER_MS
        self.flush_queue_timer.arm((now_ms + FLUSH_QUEUE_MS) * NS_PER_MS)

    def e1000_flush_queue_timer(self) -> None:
        """The hold-off is over."""
        self.held_off = False
        self.net.flush()

    def set_rdt(self, index: int, val: int) -> None:
        """A write of RDT: with a free descriptor, whatever waits is pushed into the card."""
        self.mac_reg[RDT] = val & 0xFFFF
        if self.has_rxbufs(1):
            self.net.flush()

    def try_again(self) -> None:
        """Something that kept frames back may have changed: bus master has been set."""
        self.net.flush()

    def can_receive(self) -> bool:
        """Whether a frame sent now would be taken (``e1000_can_receive``)."""
        mac_reg = self.mac_reg
        return (
            mac_reg[RDH] != mac_reg[RDT]
            and not self.held_off
            and self.pci.bus_master
            and mac_reg[RCTL] & RCTL_EN != 0
            and mac_reg[STATUS] & STATUS_LU != 0
        )

    def blocked_by(self) -> Reason | None:
        """Why ``can_receive`` says no; None if it says yes."""
        mac_reg = self.mac_reg
        if not mac_reg[STATUS] & STATUS_LU:
            return reasons.LINK_DOWN
        if not mac_reg[RCTL] & RCTL_EN:
            return self._unwritten(reasons.RECEIVER_OFF)
        if not self.pci.bus_master:
            return reasons.NOT_BUS_MASTER
        if self.held_off:
            return self._hold_off()
        if mac_reg[RDH] == mac_reg[RDT]:
            return self._unwritten(reasons.RING_EMPTY.of(rdt=mac_reg[RDT]))
        return None

    def _unwritten(self, why: Reason) -> Reason:
        """``why``, which a register write would end, or what keeps such writes away."""
        return why if self.pci.memory_enabled else reasons.NO_MEMORY_SPACE

    def _hold_off(self) -> Reason:
        until_ns = self.flush_queue_timer.deadline
        assert until_ns is not None, "the timer runs while the card holds off"
        return reasons.HOLD_OFF.of(until_ns=until_ns)

    def has_rxbufs(self, total_size: int) -> bool:
        """Whether the descriptors between RDH and RDT hold so many bytes."""
        mac_reg = self.mac_reg
        rdh, rdt = mac_reg[RDH], mac_reg[RDT]
        if total_size <= self.rxbuf_size:
            return rdh != rdt
        if rdh == rdt:
            return False
        bufs = rdt - rdh
        if bufs < 0:
            bufs += mac_reg[RDLEN] // DESCRIPTOR_LEN
        # With RDH beyond the ring this is negative, and QEMU multiplies 32-bit unsigned numbers.
        return total_size <= bufs * self.rxbuf_size & 0xFFFF_FFFF

    def e1000_receive_iov(self, frame: Frame) -> int:
        """Take ``frame``: its size if it was stored or filtered out, 0 not now, -1 lost."""
        mac_reg = self.mac_reg
        if not (mac_reg[STATUS] & STATUS_LU and mac_reg[RCTL] & RCTL_EN):
            link_down = not mac_reg[STATUS] & STATUS_LU
            why = reasons.LINK_DOWN_IN_FLUSH if link_down else reasons.RECEIVER_OFF_IN_FLUSH
            self.ledger.lost(frame, "e1000", why)
            return -1
        if self.held_off:
            self.ledger.held(frame, "e1000", self._hold_off())
            return 0
        raw = frame.raw
        size = len(raw)
        if size < MIN_FRAME:
            frame = frame.padded()
            raw, size = frame.raw, MIN_FRAME
        if size > MAXIMUM_ETHERNET_VLAN_SIZE and self._is_oversized(size):
            self.ledger.lost(frame, "e1000", reasons.OVERSIZE.of(size=size))
            return size
        if not self.receive_filter(raw):
            self.ledger.lost(frame, "e1000", self._why_filtered(raw))
            return size
        return self._store(frame)

    def _store(self, frame: Frame) -> int:
        """Put an accepted frame into the ring: its size, or -1 if it is lost."""
        mac_reg = self.mac_reg
        raw = frame.raw
        size = len(raw)
        stored = frame
        special = vlan_status = 0
        # NOTE: ``_is_vlan``, written out (1 call a frame).
        if mac_reg[CTRL] & CTRL_VME and raw[12] << 8 | raw[13] == mac_reg[VET] & 0xFFFF:
            special = raw[14] << 8 | raw[15]
            vlan_status = VP
            stored = Frame(raw[:12] + raw[16:])
            size -= 4
        total_size = size if mac_reg[RCTL] & RCTL_SECRC else size + FCS_LEN
        # NOTE: ``has_rxbufs``, written out for a frame that fits one buffer (1 call a frame).
        if total_size <= self.rxbuf_size:
            fits = mac_reg[RDH] != mac_reg[RDT]
        else:
            fits = self.has_rxbufs(total_size)
        if not fits:
            self.ledger.lost(frame, "e1000", reasons.NO_DESCRIPTORS)
            self._receiver_overrun()
            return -1
        if not self._fill(stored, size, total_size, special, vlan_status):
            self.ledger.lost(frame, "e1000", reasons.WHOLE_RING)
            self._receiver_overrun()
            return -1
        update_rx_total_stats(mac_reg, size, total_size)
        rdlen = mac_reg[RDLEN]
        free = mac_reg[RDT] - mac_reg[RDH]
        if free < 0:
            free += rdlen // DESCRIPTOR_LEN
        few = free * DESCRIPTOR_LEN <= rdlen >> self.rxbuf_min_shift
        self.set_ics(0, RXT0 | RXDMT0 if few else RXT0)
        return size

    def _fill(
        self, frame: Frame, size: int, total_size: int, special: int, vlan_status: int
    ) -> bool:
        """Write ``frame`` to memory; False if the ring went round before it ended."""
        mac_reg = self.mac_reg
        memory = self.pci.dma()
        chunk = self.rxbuf_size
        rdlen = mac_reg[RDLEN]
        base = mac_reg[RDBAH] << 32 | mac_reg[RDBAL] & ~0xF
        rdh = rdh_start = mac_reg[RDH]
        offset = 0
        while offset < total_size:
            at = base + rdh * DESCRIPTOR_LEN & ADDRESS_MASK
            address, length, csum, status, errors, _ = DESCRIPTOR.unpack(
                memory.read(at, DESCRIPTOR_LEN)
            )
            status |= vlan_status | DD
            if address:
                if size <= chunk:
                    if not offset:
                        memory.write_frame(address, frame.raw, frame)
                elif offset < size:
                    memory.write(address, frame.raw[offset : offset + chunk])
                length = total_size - offset
                if length > chunk:
                    length = chunk
                offset += length
                status = status | EOP | IXSM if offset >= total_size else status & ~EOP
            memory.write(at, DESCRIPTOR.pack(address, length, csum, status, errors, special))
            rdh += 1
            if rdh * DESCRIPTOR_LEN >= rdlen:
                rdh = 0
            mac_reg[RDH] = rdh
            if rdh == rdh_start or rdh_start >= rdlen // DESCRIPTOR_LEN:
                return False
        return True

    def _receiver_overrun(self) -> None:
        inc_reg_if_not_full(self.mac_reg, RNBC)
        inc_reg_if_not_full(self.mac_reg, MPC)
        self.set_ics(0, RXO)

    def _is_oversized(self, size: int) -> bool:
        rctl = self.mac_reg[RCTL]
        if rctl & RCTL_SBP or (rctl & RCTL_LPE and size <= MAXIMUM_ETHERNET_LPE_SIZE):
            return False
        inc_reg_if_not_full(self.mac_reg, ROC)
        return True

    def _is_vlan(self, raw: bytes) -> bool:
        return raw[12] << 8 | raw[13] == self.mac_reg[VET] & 0xFFFF

    def receive_filter(self, raw: bytes) -> bool:
        """Whether the frame is for this card (manual, section 3.2.1): first match decides."""
        mac_reg = self.mac_reg
        rctl = mac_reg[RCTL]
        if rctl & RCTL_VFE and self._is_vlan(raw):
            vid = raw[14] << 8 | raw[15]
            if not mac_reg[VFTA + (vid >> 5 & 0x7F)] >> (vid & 31) & 1:
                return False
        if not raw[0] & 1:
            if rctl & RCTL_UPE:
                return True
        elif rctl & RCTL_MPE:
            # A broadcast is a multicast too, and is counted as one here.
            inc_reg_if_not_full(mac_reg, MPRC)
            return True
        elif rctl & RCTL_BAM and raw[:6] == BROADCAST:
            inc_reg_if_not_full(mac_reg, BPRC)
            return True
        low, high = _ADDRESS.unpack_from(raw)
        for ral in _RECEIVE_ADDRESSES:
            rah = mac_reg[ral + 1]
            if rah & RAH_AV and mac_reg[ral] == low and rah & 0xFFFF == high:
                return True
        # The hash table is asked for unicast addresses as well.
        value = high >> MTA_SHIFT[rctl >> 12 & 3] & 0xFFF
        if mac_reg[MTA + (value >> 5)] >> (value & 31) & 1:
            inc_reg_if_not_full(mac_reg, MPRC)
            return True
        return False

    def _why_filtered(self, raw: bytes) -> Reason:
        if self.mac_reg[RCTL] & RCTL_VFE and self._is_vlan(raw):
            vid = (raw[14] << 8 | raw[15]) & 0xFFF
            if not self.mac_reg[VFTA + (vid >> 5)] >> (vid & 31) & 1:
                return reasons.FILTERED_VLAN.of(vlan=str(vid))
        kind = "unicast" if not raw[0] & 1 else "multicast"
        if raw[:6] == BROADCAST:
            kind = "broadcast"
        return reasons.FILTERED_ADDRESS.of(kind=kind, address=raw[:6].hex(":"))
