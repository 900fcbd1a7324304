"""A bare card on a test bed, set up the way a driver would, and small helpers."""

from __future__ import annotations

import struct
from typing import Any

from desim.e1000.receive import DESCRIPTOR
from desim.e1000.registers import (
    IMS,
    RCTL,
    RDBAH,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    TCTL,
    TDBAH,
    TDBAL,
    TDH,
    TDLEN,
    TDT,
)
from desim.testing import Card, Memory
from desim.wire.frame import Frame

MAC = bytes.fromhex("525400123456")
BROADCAST = b"\xff" * 6
PEER = bytes.fromhex("525500000001")

RX_RING = 0x1_0000
RX_BUFFERS = 0x10_0000
TX_RING = 0x2_0000
TX_BUFFERS = 0x20_0000

SECOND = 1_000_000_000

RCTL_USUAL = 0x0400_8002
"""EN, BAM, SECRC, 2048 bytes."""


def ethernet(payload: bytes = b"", dst: bytes = MAC, proto: int = 0x88B5) -> Frame:
    return Frame(dst + PEER + proto.to_bytes(2, "big") + payload)


class Bed(Card):
    """A card with what a driver would set up, and small helpers."""

    def __init__(self, **properties: Any) -> None:
        super().__init__(MAC, **properties)

    def receive_ring(self, size: int = 8, *, rctl: int = RCTL_USUAL, mask: int = 0) -> Bed:
        """A ring with all descriptors but one given to the card, past the hold-off."""
        for n in range(size):
            self.memory.write(RX_RING + 16 * n, struct.pack("<QQ", self.buffer(n), 0))
        self[RDBAL], self[RDBAH] = RX_RING, 0
        self[RDLEN], self[RDH], self[RDT] = size * 16, 0, size - 1
        self[RCTL] = rctl
        self[IMS] = mask
        self.clock.advance_to(self.clock.now() + SECOND + 1)
        return self

    @staticmethod
    def buffer(n: int) -> int:
        return RX_BUFFERS + 0x1_0000 * n

    def descriptor(self, n: int) -> tuple[int, ...]:
        """Address, length, checksum, status, errors, special."""
        return DESCRIPTOR.unpack(self.memory.read(RX_RING + 16 * n, 16))

    def offer(self, frame: Frame) -> int | None:
        """What the net layer does with a new frame; None if it has to keep it."""
        return self.card.receive(frame) if self.card.can_receive() else None

    def transmit_ring(self, size: int = 8, *, mask: int = 0) -> Bed:
        self[TDBAL], self[TDBAH] = TX_RING, 0
        self[TDLEN], self[TDH], self[TDT] = size * 16, 0, 0
        self[TCTL] = 2
        self[IMS] = mask
        return self

    def put(self, n: int, data: bytes, command: int, upper: int = 0) -> None:
        """A legacy or data descriptor at place ``n`` of the ring."""
        address = TX_BUFFERS + 0x1_0000 * n
        self.memory.write(address, data)
        self.memory.write(
            TX_RING + 16 * n, struct.pack("<QII", address, command | len(data), upper)
        )

    def sent(self) -> list[bytes]:
        return [frame.raw for frame in self.wire.sent]


class Watched(Memory):
    """Notes where the card writes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[int, int]] = []

    def write(self, address: int, data: bytes) -> None:
        self.writes.append((address, len(data)))
        super().write(address, data)
