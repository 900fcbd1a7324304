"""The e1000 as both bare drivers use it, after Intel's manual and nothing else.

Source: the manual's chapters 14.4 and 14.5 (initialization), 3.2.3 and 3.3.3 (receive
and legacy transmit descriptors), 13.4 (registers). No code of any driver stands behind it.

Theory of operation
-------------------
Both rings have 256 descriptors with a buffer of 2 KiB for each, which it keeps: a frame
that was received is copied out, a packet to send is copied in and its memory given back
at once (so there are no byte queue limits). A slot goes back to the card as soon as it is
empty, with one write of RDT for each frame. Every transmit descriptor asks for its status.

The card accepts all multicast, so that RCTL is written once, when the interface is opened:
each further write would make QEMU's receiver deaf for a second. The link is as STATUS.LU
says; nobody restarts autonegotiation, so it is there at once.

Lengths count four bytes of FCS that QEMU does not write.

Not modelled: promiscuity, frames in several buffers (none is longer than one), checksum
offload and segmentation (the stack does both in software), EEPROM, PHY, statistics of
the card.
"""

from __future__ import annotations

from struct import Struct

from desim.guest.cpu.context import Cpu
from desim.guest.drivers.netdevice import NetDevice
from desim.guest.mm.memory import Memory
from desim.guest.skb import Skb
from desim.ports import Mmio
from desim.wire.frame import Frame

CTRL, STATUS, ICR, ICS, IMS, IMC = 0x0000, 0x0008, 0x00C0, 0x00C8, 0x00D0, 0x00D8
RCTL, TCTL, MTA, RAL0, RAH0 = 0x0100, 0x0400, 0x5200, 0x5400, 0x5404
RDBAL, RDBAH, RDLEN, RDH, RDT = 0x2800, 0x2804, 0x2808, 0x2810, 0x2818
TDBAL, TDBAH, TDLEN, TDH, TDT = 0x3800, 0x3804, 0x3808, 0x3810, 0x3818
PCI_ID, PCI_COMMAND = 0x00, 0x04

CTRL_SLU = 0x40
STATUS_LU = 0x2
TXDW, LSC, RXT0 = 0x01, 0x04, 0x80
RCTL_EN, RCTL_MPE, RCTL_BAM = 0x2, 0x10, 0x8000
TCTL_EN, TCTL_PSP, TCTL_CT, TCTL_COLD = 0x2, 0x8, 15 << 4, 64 << 12
DD = 0x1
EOP_IFCS_RS = 0x0B000000

RING = 256
SLOT = 2048
DESC = Struct("<QII")
"""Buffer address; length and checksum, or length and command; status, errors, special."""
DESC_SIZE = 16
MTA_REGISTERS = 128
FCS = 4
_STATUS = 12


class Ring:
    """Descriptors with a buffer each, in memory that both sides reach."""

    __slots__ = ("buffers", "desc", "memory", "next")

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.desc = 0
        self.buffers: list[int] = []
        self.next = 0
        """The slot that is looked at, or used, next."""

    def setup(self) -> None:
        """Get memory; MemoryError when there is none."""
        memory = self.memory
        self.desc = memory.alloc(RING * DESC_SIZE, align=4096)
        self.buffers = [memory.alloc(SLOT, align=SLOT) for _ in range(RING)]
        if not (self.desc and all(self.buffers)):
            self.free()
            raise MemoryError("no memory for a ring")
        for i, buffer in enumerate(self.buffers):
            memory.write(self.desc + i * DESC_SIZE, DESC.pack(buffer, 0, 0))
        self.next = 0

    def free(self) -> None:
        """Give the memory back."""
        for address in (self.desc, *self.buffers):
            if address:
                self.memory.free(address)
        self.desc = 0
        self.buffers = []

    def done(self, i: int) -> bool:
        """Whether the card is through with slot ``i``."""
        return bool(self.memory.read(self.desc + i * DESC_SIZE + _STATUS, 1)[0] & DD)


class Card:
    """The card in a bare driver's hands."""

    __slots__ = ("_cpu", "_mmio", "device", "memory", "read", "rx", "sent", "tx", "write")

    def __init__(self, *, cpu: Cpu, mmio: Mmio, memory: Memory, device: NetDevice) -> None:
        self._cpu = cpu
        self._mmio = mmio
        self.memory = memory
        self.device = device
        self.read = mmio.read
        self.write = mmio.write
        self.rx = Ring(memory)
        self.tx = Ring(memory)
        self.sent = 0
        """Slots of the transmit ring that the card may still be reading."""

    def attach(self) -> str:
        """Find the card and quiet it; what it is, for the log."""
        command = self._mmio.config_read(PCI_COMMAND) & 0xFFFF
        self._mmio.config_write(PCI_COMMAND, command | 0x6)  # memory space, bus master
        self.write(IMC, 0xFFFFFFFF)
        self.read(ICR)
        low, high = self.read(RAL0), self.read(RAH0)
        self.device.dev_addr = (high << 32 | low).to_bytes(8, "little")[:6]
        self.device.hw_offload = False
        return f"{self._mmio.config_read(PCI_ID) >> 16:04x}"

    def start(self) -> None:
        """Rings, filters, both directions, link. MemoryError if there is none for the rings."""
        write = self.write
        self.rx.setup()
        try:
            self.tx.setup()
        except MemoryError:
            self.rx.free()
            raise
        self.sent = 0
        write(CTRL, self.read(CTRL) | CTRL_SLU)
        for index in range(MTA_REGISTERS):
            write(MTA + 4 * index, 0)
        for ring, base in ((self.tx, TDBAL), (self.rx, RDBAL)):
            write(base, ring.desc & 0xFFFFFFFF)
            write(base + RDBAH - RDBAL, ring.desc >> 32)
            write(base + RDLEN - RDBAL, RING * DESC_SIZE)
            write(base + RDH - RDBAL, 0)
        write(TDT, 0)
        write(TCTL, TCTL_EN | TCTL_PSP | TCTL_CT | TCTL_COLD)
        # All slots but one: head at the tail means that there are none.
        write(RDT, RING - 1)
        write(RCTL, RCTL_EN | RCTL_MPE | RCTL_BAM)

    def stop(self) -> None:
        """Both directions off, and the rings gone."""
        self.write(IMC, 0xFFFFFFFF)
        self.write(RCTL, 0)
        self.write(TCTL, 0)
        self.rx.free()
        self.tx.free()

    def link(self) -> bool:
        """Whether there is link."""
        return bool(self.read(STATUS) & STATUS_LU)

    def waiting(self) -> bool:
        """Whether a received frame waits in the ring; a look without a touch point."""
        return bool(self.rx.desc) and self.rx.done(self.rx.next)

    def receive(self) -> Skb | None:
        """The next received packet, its slot given back; None if there is none."""
        ring, memory, stats = self.rx, self.memory, self.device.stats
        self._cpu.touch("desc_status")
        i = ring.next
        if not ring.done(i):
            return None
        address = ring.desc + i * DESC_SIZE
        buffer, length, _ = DESC.unpack(memory.read(address, DESC_SIZE))
        assert buffer == ring.buffers[i]
        size = (length & 0xFFFF) - FCS
        assert 0 < size <= SLOT
        frame = memory.frame_at(buffer, size) or Frame(memory.read(buffer, size))
        skb = Skb(frame.raw, frame)
        skb.protocol = int.from_bytes(skb.head[12:14], "big")
        stats.rx_packets += 1
        stats.rx_bytes += size
        memory.write(address + _STATUS, b"\0")
        ring.next = (i + 1) % RING
        self.write(RDT, i)
        return skb

    def room(self) -> int:
        """Free slots of the transmit ring; one always stays empty."""
        return RING - 1 - self.sent

    def reclaim(self) -> int:
        """How many slots the card has finished with since the last look."""
        ring = self.tx
        count = 0
        self._cpu.touch("desc_status")
        while self.sent and ring.done((ring.next - self.sent) % RING):
            self.sent -= 1
            count += 1
        return count

    def send(self, skb: Skb) -> None:
        """Copy a packet into the next slot, which must be free, and hand it over."""
        ring, stats = self.tx, self.device.stats
        data = b"".join((skb.head, *skb.frags))
        assert len(data) <= SLOT
        assert self.room() > 0
        i = ring.next
        self.memory.write(ring.buffers[i], data)
        descriptor = DESC.pack(ring.buffers[i], EOP_IFCS_RS | len(data), 0)
        self.memory.write(ring.desc + i * DESC_SIZE, descriptor)
        stats.tx_packets += 1
        stats.tx_bytes += len(data)
        self.sent += 1
        ring.next = (i + 1) % RING
        self.write(TDT, ring.next)
