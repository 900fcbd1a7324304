"""The bare card: frames per second through a ring with the driver's side, register reads.

    python -m benchmarks card [--profile]

Received and sent frames have 1514 bytes and go through rings of 256 descriptors in
memory; the driver's side reads every descriptor and buffer, gives them back, reads
ICR and writes the mask as Linux does. CPU time, the best of five.
"""

from __future__ import annotations

import cProfile
import pstats
import struct
from collections.abc import Callable
from time import process_time

from desim.devices import Nic
from desim.e1000.card import E1000
from desim.e1000.registers import (
    ICR,
    IMC,
    IMS,
    RCTL,
    RDBAL,
    RDLEN,
    RDT,
    STATUS,
    TCTL,
    TDBAL,
    TDLEN,
    TDT,
)
from desim.testing import Ledger, MemoryBus, VirtualClock, Wire
from desim.wire.frame import Frame

RING = 256
BATCH = 64
RX_RING, TX_RING, BUFFERS = 0x1_0000, 0x2_0000, 0x10_0000
MAC = bytes.fromhex("525400123456")
FRAME = MAC + bytes.fromhex("525500000001 0800") + bytes(range(250)) * 6
DESCRIPTOR = struct.Struct("<QHHBBH")
TX_DESCRIPTOR = struct.Struct("<QII")
EOP_IFCS_RS = 0x0B00_0000
SECOND = 1_000_000_000


class Bench:
    """One card with both rings set up, past the hold-off."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.bus = MemoryBus(self.clock)
        self.wire = Wire()
        self.card = E1000(
            clock=self.clock, pci=self.bus, net=self.wire, ledger=Ledger(), nic=Nic(mac=MAC)
        )
        self.card.config_write(4, 0x7)
        for n in range(RING):
            self.bus.memory.write(RX_RING + 16 * n, struct.pack("<QQ", BUFFERS + 2048 * n, 0))
        for register, value in (
            (RDBAL, RX_RING),
            (RDLEN, RING * 16),
            (RDT, RING - 1),
            (TDBAL, TX_RING),
            (TDLEN, RING * 16),
            (TCTL, 2),
            (RCTL, 0x0400_8002),
            (IMS, 0x9D),
        ):
            self.card.mmio_write(register * 4, value)
        self.clock.advance_to(SECOND + 1)
        self.next_rx = self.next_tx = 0

    def receive(self, frames: int) -> None:
        """Frames come in, and the driver takes them out of memory, batch by batch."""
        card, memory = self.card, self.bus.memory
        at = self.next_rx
        for _ in range(frames // BATCH):
            for _ in range(BATCH):
                if card.can_receive():
                    card.receive(Frame(FRAME))
            card.mmio_read(ICR * 4)
            card.mmio_write(IMC * 4, 0xFFFF_FFFF)
            for _ in range(BATCH):
                place = RX_RING + 16 * at
                address, length, _, status, _, _ = DESCRIPTOR.unpack(memory.read(place, 16))
                assert status & 1, "the card is done with it"
                memory.read(address, length)
                memory.write(place + 12, b"\0")
                at = (at + 1) % RING
            card.mmio_write(RDT * 4, (at - 1) % RING)
            card.mmio_write(IMS * 4, 0x9D)
            self.clock.advance_to(self.clock.now() + 200_000)
        self.next_rx = at

    def send(self, frames: int) -> None:
        """The driver puts frames into memory, one tail write each, and cleans up in batches."""
        card, memory = self.card, self.bus.memory
        at = self.next_tx
        for _ in range(frames // BATCH):
            for _ in range(BATCH):
                address = BUFFERS + 2048 * at
                memory.write(address, FRAME)
                memory.write(
                    TX_RING + 16 * at, TX_DESCRIPTOR.pack(address, EOP_IFCS_RS | len(FRAME), 0)
                )
                at = (at + 1) % RING
                card.mmio_write(TDT * 4, at)
            card.mmio_read(ICR * 4)
            self.wire.sent.clear()
            self.clock.advance_to(self.clock.now() + 200_000)
        self.next_tx = at

    def read_registers(self, reads: int) -> None:
        """A register without side effects, over and over."""
        read = self.card.mmio_read
        for _ in range(reads):
            read(STATUS * 4)


def best(work: Callable[[int], None], count: int) -> float:
    """Units a second, the best of five."""
    times = []
    for _ in range(5):
        start = process_time()
        work(count)
        times.append(process_time() - start)
    return count / min(times)


def main(argv: list[str]) -> None:
    bench = Bench()
    if "--profile" in argv:
        profile = cProfile.Profile()
        profile.runcall(bench.receive, 32_000)
        profile.runcall(bench.send, 32_000)
        pstats.Stats(profile).sort_stats("tottime").print_stats(14)
        return
    print(f"receive {best(bench.receive, 32_000):>12,.0f} frames/s")
    print(f"send    {best(bench.send, 32_000):>12,.0f} frames/s")
    print(f"read    {best(bench.read_registers, 300_000):>12,.0f} registers/s")
