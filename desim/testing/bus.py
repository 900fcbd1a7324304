"""What a card has on the other side of its pins: memory, and a line for interrupts."""

from __future__ import annotations

from desim.ports import Clock
from desim.wire.frame import Frame

PAGE_BITS = 16
PAGE_SIZE = 1 << PAGE_BITS


class Memory:
    """64 bits of address space, all zero, that takes room only where it is written."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes at ``address``; the space wraps around at its end."""
        start = address & PAGE_SIZE - 1
        if start + size <= PAGE_SIZE:
            page = self._pages.get(address >> PAGE_BITS)
            return bytes(page[start : start + size]) if page is not None else bytes(size)
        first = PAGE_SIZE - start
        after = address + first & (1 << 64) - 1
        return self.read(address, first) + self.read(after, size - first)

    def write(self, address: int, data: bytes) -> None:
        """Store ``data`` at ``address``."""
        size = len(data)
        start = address & PAGE_SIZE - 1
        if start + size <= PAGE_SIZE:
            page = self._pages.get(address >> PAGE_BITS)
            if page is None:
                page = self._pages[address >> PAGE_BITS] = bytearray(PAGE_SIZE)
            page[start : start + size] = data
            return
        first = PAGE_SIZE - start
        self.write(address, data[:first])
        self.write(address + first & (1 << 64) - 1, data[first:])

    def write_frame(self, address: int, data: bytes, frame: Frame) -> None:
        """Store the whole of ``frame``; only its bytes are kept."""
        self.write(address, data)


class MemoryBus:
    """A ``PciBus`` (``desim.ports``) with memory behind it; it notes the line's rising edges."""

    def __init__(self, clock: Clock) -> None:
        self.memory = Memory()
        self.level = False
        """Whether the interrupt line is up."""
        self.edges: list[int] = []
        """When it rose, in ns."""
        self._clock = clock

    def dma(self) -> Memory:
        """All of it."""
        return self.memory

    def set_irq(self, level: bool) -> None:
        """INTA#."""
        if level and not self.level:
            self.edges.append(self._clock.now())
        self.level = level
