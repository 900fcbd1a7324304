"""Transmitting: from the ring of descriptors to the net layer (hw/net/e1000.c).

8254x manual, sections 3.3 to 3.5; QEMU's ``start_xmit`` and what it calls.

Theory of operation
-------------------
A write of TDT or TCTL, with TCTL.EN set, runs the ring from TDH to TDT before it
returns: each descriptor is read, processed and, if it asks for status (RS, RPS),
written back; frames leave in between, and a peer that answers at once is received
before the descriptor of its question is done. Afterwards TXQE, and TXDW if anything
was written back, are raised together: also for an empty ring.

Descriptors append to one assembly buffer of 64 KiB; the one with EOP sends it:

* *legacy*: length only. Its checksum request (IC) is ignored.
* *context*: offsets for checksums and segmentation. There are two, one for
  segmentation (TSE) and one without.
* *data*: the checksums asked for (POPTS) count in the first of a frame. With TSE, the
  buffer is sent whenever it holds header and MSS bytes, and begins again with a copy
  of the header; lengths, IP identification, TCP sequence number and flags are
  adjusted for each segment.

The buffer is never cleared, as in QEMU: odd descriptors can show bytes of older frames.

Not modelled, because QEMU does not: padding (TCTL.PSP), IFCS, line rate and FIFO,
write-back thresholds and delay (TXDCTL, TIDV), CWR in segmentation, errors (EC, LC).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from desim.e1000 import reasons
from desim.e1000.interrupts import Interrupts
from desim.e1000.pci import ADDRESS_MASK, PciFunction
from desim.e1000.phy import Phy
from desim.e1000.registers import (
    CTRL,
    CTRL_VME,
    TCTL,
    TCTL_EN,
    TDBAH,
    TDBAL,
    TDH,
    TDLEN,
    TDT,
    TSCTC,
    TXDW,
    TXQE,
    VET,
)
from desim.e1000.statistics import count_sent, inc_reg_if_not_full, update_tx_total_stats
from desim.ports import Ledger, NetPort
from desim.stages import QEMU, Landmark, mark, stages
from desim.wire.checksum import checksum
from desim.wire.frame import Frame

FILE = "hw/net/e1000.c"

DESCRIPTOR = struct.Struct("<QII")
"""Buffer address, lower (length, command), upper (status, options, special)."""
CONTEXT = struct.Struct("<BBHBBHIBBH")
"""IPCSS, IPCSO, IPCSE, TUCSS, TUCSO, TUCSE, command and PAYLEN, status, HDRLEN, MSS."""
DESCRIPTOR_LEN = DESCRIPTOR.size
UPPER = 12
"""Offset of the dword that is written back."""

# The lower dword (manual, 3.3.3, 3.3.6, 3.3.7). TCP and IP count in contexts, EOP in data.
DTYP_D = 1 << 20
EOP = 1 << 24
TCP = 1 << 24
IP = 1 << 25
TSE = 1 << 26
RS = 1 << 27
RPS = 1 << 28
DEXT = 1 << 29
VLE = 1 << 30
IDE = 1 << 31

# The upper dword: status, and POPTS of a data descriptor.
DD = 0x1
EC_LC_TU = 0xE
POPTS_IXSM = 0x1
POPTS_TXSM = 0x2

TCP_PSH_FIN = 0x09
"""Flags of the last segment only."""

# The room that QEMU has (struct e1000_tx).
DATA_SIZE = 0x10000
HEADER_SIZE = 256
TAG_LEN = 4
"""Room in front of the data, for the four bytes that a VLAN tag moves forward."""

_WORD, _LONG = struct.Struct("!H"), struct.Struct("!I")
_put_word, _get_word = _WORD.pack_into, _WORD.unpack_from
_put_long, _get_long = _LONG.pack_into, _LONG.unpack_from


class Context:
    """What one context descriptor has set (``e1000x_txd_props``).

    All fields are used as they are. An offset of 0 has no meaning of its own: a
    checksum that goes there lands on the frame's first bytes.
    """

    __slots__ = (
        "hdr_len",
        "ip",
        "ipcse",
        "ipcso",
        "ipcss",
        "mss",
        "paylen",
        "tcp",
        "tucse",
        "tucso",
        "tucss",
    )

    def __init__(self, descriptor: bytes = bytes(DESCRIPTOR_LEN)) -> None:
        (
            self.ipcss,
            self.ipcso,
            self.ipcse,
            self.tucss,
            self.tucso,
            self.tucse,
            command,
            _,
            self.hdr_len,
            self.mss,
        ) = CONTEXT.unpack(descriptor)
        self.paylen = command & 0xFFFFF
        self.ip = command & IP != 0
        self.tcp = command & TCP != 0


class Transmitter:
    """Owns the transmit ring's head, the contexts and the assembly buffer.

    ``buffer`` is QEMU's ``vlan`` and ``data`` in one: the frame starts at ``TAG_LEN``.
    """

    STAGES = stages(
        QEMU,
        set_tctl=mark("set_tctl", file=FILE),
        start_xmit=mark("start_xmit", file=FILE),
        process_tx_desc=mark("process_tx_desc", file=FILE),
        xmit_seg=mark("xmit_seg", file=FILE),
        e1000_send_packet=mark(
            "e1000_send_packet", file=FILE, size="frame.raw", landmark=Landmark.SENT_BY_CARD
        ),
    )

    __slots__ = (
        "_view",
        "buffer",
        "busy",
        "cptse",
        "emit",
        "header",
        "interrupts",
        "ledger",
        "mac_reg",
        "net",
        "pci",
        "phy",
        "props",
        "set_ics",
        "size",
        "sum_needed",
        "tso_frames",
        "tso_props",
        "vlan_header",
        "vlan_needed",
    )

    def __init__(
        self,
        *,
        mac_reg: list[int],
        pci: PciFunction,
        net: NetPort,
        ledger: Ledger,
        phy: Phy,
        interrupts: Interrupts,
    ) -> None:
        self.mac_reg = mac_reg
        self.pci = pci
        self.net = net
        self.ledger = ledger
        self.phy = phy
        self.interrupts = interrupts
        self.set_ics: Callable[[int, int], None] = interrupts.set_ics
        self.emit: Callable[[Frame], None] = self.e1000_send_packet
        """Where a finished frame goes."""
        self.reset()

    def reset(self) -> None:
        """Forget the frame in the making, the contexts and the buffer's bytes."""
        self.buffer = bytearray(TAG_LEN + DATA_SIZE)
        self._view = memoryview(self.buffer)
        self.header = bytearray(HEADER_SIZE)
        self.size = 0
        self.vlan_header = b""
        self.vlan_needed = False
        self.sum_needed = 0
        self.cptse = False
        self.props = Context()
        self.tso_props = Context()
        self.tso_frames = 0
        self.busy = False

    def set_tctl(self, index: int, val: int) -> None:
        """A write of TCTL or TDT: send what there is to send."""
        self.mac_reg[index] = val
        self.mac_reg[TDT] &= 0xFFFF
        self.start_xmit()

    def start_xmit(self) -> None:
        """Run the ring from TDH to TDT."""
        mac_reg = self.mac_reg
        if not mac_reg[TCTL] & TCTL_EN or self.busy:
            return
        self.busy = True
        pci = self.pci
        cause = TXQE
        # Nothing but the guest changes these, and the guest is waiting for this to end.
        base = mac_reg[TDBAH] << 32 | mac_reg[TDBAL] & ~0xF
        tdlen = mac_reg[TDLEN]
        tdt = mac_reg[TDT]
        tdh = tdh_start = mac_reg[TDH]
        while tdh != tdt:
            at = base + tdh * DESCRIPTOR_LEN & ADDRESS_MASK
            descriptor = pci.dma().read(at, DESCRIPTOR_LEN)
            address, lower, upper = DESCRIPTOR.unpack(descriptor)
            self.process_tx_desc(descriptor, address, lower, upper)
            if lower & (RS | RPS):
                upper = (upper | DD) & ~EC_LC_TU
                pci.dma().write(at + UPPER, upper.to_bytes(4, "little"))
                cause |= TXDW
            tdh += 1
            if tdh * DESCRIPTOR_LEN >= tdlen:
                tdh = 0
            mac_reg[TDH] = tdh
            # Only bogus TDT or TDLEN get here: once round is enough.
            if tdh == tdh_start or tdh_start >= tdlen // DESCRIPTOR_LEN:
                break
        self.busy = False
        self.set_ics(0, cause)

    def process_tx_desc(self, descriptor: bytes, address: int, lower: int, upper: int) -> None:
        """Take one descriptor: a context, or bytes for the frame in the making."""
        if lower & IDE:
            self.interrupts.mit_ide = True
        kind = lower & (DEXT | DTYP_D)
        if kind == DEXT:
            if lower & TSE:
                self.tso_props = Context(descriptor)
                self.tso_frames = 0
            else:
                self.props = Context(descriptor)
            return
        if kind == DEXT | DTYP_D:
            if not self.size:
                self.sum_needed = upper >> 8 & 0xFF
            self.cptse = lower & TSE != 0
        else:
            self.cptse = False
        if lower & VLE and self.mac_reg[CTRL] & CTRL_VME and (self.cptse or lower & EOP):
            self.vlan_needed = True
            self.vlan_header = struct.pack("!HH", self.mac_reg[VET] & 0xFFFF, upper >> 16)
        length = lower & 0xFFFF
        if self.cptse:
            self._append_segments(address, length)
        elif length:
            self._append(address, length)
        if not lower & EOP:
            return
        if not self.cptse or self.size >= self.tso_props.hdr_len:
            self.xmit_seg()
        self.tso_frames = 0
        self.sum_needed = 0
        self.vlan_needed = False
        self.size = 0
        self.cptse = False

    def _append(self, address: int, length: int) -> int:
        """Append up to ``length`` bytes of memory, as far as there is room: how many."""
        size = self.size
        if length > DATA_SIZE - size:
            length = DATA_SIZE - size
        start = TAG_LEN + size
        self.buffer[start : start + length] = self.pci.dma().read(address & ADDRESS_MASK, length)
        # QEMU keeps the size in 16 bits: a buffer that is full to the brim counts as empty.
        self.size = size + length & 0xFFFF
        return length

    def _append_segments(self, address: int, length: int) -> None:
        """Append, and send whenever the buffer holds header and one MSS of payload."""
        props = self.tso_props
        hdr_len = props.hdr_len
        full = hdr_len + props.mss
        while length and self.size < full:
            size = self.size
            taken = self._append(address, min(length, full - size))
            if size < hdr_len <= size + taken:
                self.header[:hdr_len] = self.buffer[TAG_LEN : TAG_LEN + hdr_len]
            if size + taken == full:
                self.xmit_seg()
                # A context that has changed meanwhile gets older bytes behind the saved ones.
                self.buffer[TAG_LEN : TAG_LEN + hdr_len] = self.header[:hdr_len]
                self.size = hdr_len
            address += taken
            length -= taken

    def xmit_seg(self) -> None:
        """Finish the frame in the buffer (headers, checksums, tag) and send it."""
        size = self.size
        buffer = self.buffer
        if self.cptse:
            props = self.tso_props
            self._adjust_headers(props)
        else:
            props = self.props
        if self.sum_needed & POPTS_TXSM:
            self._putsum(size, props.tucso, props.tucss, props.tucse)
        if self.sum_needed & POPTS_IXSM:
            self._putsum(size, props.ipcso, props.ipcss, props.ipcse)
        if self.vlan_needed:
            # The addresses move into the room in front of the data and the tag behind
            # them. QEMU does not move them back.
            buffer[:12] = buffer[TAG_LEN : TAG_LEN + 12]
            buffer[12:16] = self.vlan_header
            self.emit(Frame(bytes(self._view[: size + TAG_LEN])))
        else:
            self.emit(Frame(bytes(self._view[TAG_LEN : TAG_LEN + size])))
        update_tx_total_stats(self.mac_reg, size)

    def _adjust_headers(self, props: Context) -> None:
        """Make the copied headers those of segment number ``tso_frames``."""
        buffer = self.buffer
        frames = self.tso_frames
        at = TAG_LEN + props.ipcss
        ip_len = self.size - props.ipcss & 0xFFFF
        if props.ip:
            _put_word(buffer, at + 2, ip_len)
            (ident,) = _get_word(buffer, at + 4)
            _put_word(buffer, at + 4, ident + frames & 0xFFFF)
        else:
            # IPv6. QEMU stores the length with the header in it.
            _put_word(buffer, at + 4, ip_len)
        at = TAG_LEN + props.tucss
        length = self.size - props.tucss & 0xFFFF
        if props.tcp:
            sent = frames * props.mss
            (seq,) = _get_long(buffer, at + 4)
            _put_long(buffer, at + 4, seq + sent & 0xFFFF_FFFF)
            # Unsigned in QEMU: a PAYLEN that is too small makes "much is left" of it.
            if props.paylen - sent & 0xFFFF_FFFF > props.mss:
                buffer[at + 13] &= ~TCP_PSH_FIN & 0xFF
            elif frames:
                inc_reg_if_not_full(self.mac_reg, TSCTC)
        else:
            _put_word(buffer, at + 4, length)
        if self.sum_needed & POPTS_TXSM:
            # The driver has stored the sum of the pseudo header without the length.
            at = TAG_LEN + props.tucso
            (pseudo,) = _get_word(buffer, at)
            pseudo += length
            _put_word(buffer, at, (pseudo >> 16) + pseudo & 0xFFFF)
        self.tso_frames = frames + 1 & 0xFFFF

    def _putsum(self, size: int, offset: int, start: int, end: int) -> None:
        """Store the checksum over ``start`` to ``end`` (0: to the end of the frame)."""
        if end and end < size:
            size = end + 1
        # In QEMU's unsigned arithmetic an empty frame has no last byte, so it is beyond all.
        if size and offset >= size - 1:
            return
        data = bytes(self._view[TAG_LEN + start : TAG_LEN + size])
        # 0 would mean "no checksum" in UDP, so it is stored as its other spelling.
        _put_word(self.buffer, TAG_LEN + offset, checksum(data) or 0xFFFF)

    def e1000_send_packet(self, frame: Frame) -> None:
        """Hand a frame to the net layer, or with PHY loopback back to our own receiver."""
        if self.phy.loopback:
            if not self.net.loopback(frame):
                self.ledger.lost(frame, "e1000", reasons.LOOPBACK_REFUSED)
        else:
            self.net.send(frame)
        raw = frame.raw
        if len(raw) < 6:
            # QEMU looks at the buffer, where older bytes follow a frame this short.
            start = 0 if self.vlan_needed else TAG_LEN
            count_sent(self.mac_reg, bytes(self.buffer[start : start + 6]), len(raw))
        else:
            count_sent(self.mac_reg, raw, len(raw))
