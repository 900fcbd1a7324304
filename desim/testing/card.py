"""What a card needs around it when there is no machine: a clock, memory, a ledger.

For replaying recordings, for tests, for benchmarks and for whoever wants to drive the
bare card from a few lines of Python. Nothing here knows SimPy.

    >>> from desim.e1000.card import E1000
    >>> clock = VirtualClock()
    >>> bus = MemoryBus(clock)
    >>> wire = Wire()
    >>> card = E1000(clock=clock, pci=bus, net=wire, ledger=Losses(), mac=bytes(6))
    >>> card.config_write(0x04, 0x7)  # memory space, bus master
    >>> bus.memory.write(0x1000, bytes.fromhex("0020000000000000" "3c00000b" "00000000"))
    >>> card.mmio_write(0x3800, 0x1000)  # TDBAL: one descriptor: 60 bytes at 0x2000, EOP, RS
    >>> card.mmio_write(0x3808, 128)  # TDLEN
    >>> card.mmio_write(0x00D0, 0x1)  # IMS: TXDW
    >>> card.mmio_write(0x0400, 0x2)  # TCTL: EN
    >>> card.mmio_write(0x3818, 1)  # TDT: go
    >>> len(wire.sent[0]), bus.memory.read(0x100C, 1), card.irq_level
    (60, b'\\x01', True)
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from desim.reasons import Reason
from desim.wire.frame import Frame


class VirtualTimer:
    """One timer of a ``VirtualClock``."""

    __slots__ = ("_clock", "deadline", "fire", "name", "sequence")

    def __init__(self, clock: VirtualClock, name: str, fire: Callable[[], None]) -> None:
        self._clock = clock
        self.name = name
        self.fire = fire
        self.deadline: int | None = None
        self.sequence = 0

    def arm(self, deadline: int) -> None:
        """Fire at ``deadline`` ns, behind all that are already armed for it."""
        self.deadline = deadline
        self._clock.push(self, deadline)

    def cancel(self) -> None:
        """Forget the deadline."""
        self.deadline = None


class VirtualClock:
    """Time that moves when it is told to."""

    def __init__(self, now: int = 0) -> None:
        self._now = now
        self._sequence = 0
        self._heap: list[tuple[int, int, VirtualTimer]] = []

    def now(self) -> int:
        """The time in ns."""
        return self._now

    def timer(self, name: str, fire: Callable[[], None], *, periodic: bool = False) -> VirtualTimer:
        """A new timer that calls ``fire``."""
        return VirtualTimer(self, name, fire)

    def push(self, timer: VirtualTimer, deadline: int) -> None:
        """Queue ``timer``; what it was queued for before does not count any more."""
        self._sequence += 1
        timer.sequence = self._sequence
        heappush(self._heap, (deadline, self._sequence, timer))

    def advance_to(self, time: int) -> None:
        """Fire all timers that are due *before* ``time``, in order; then it is ``time``."""
        heap = self._heap
        while heap and heap[0][0] < time:
            deadline, sequence, timer = heappop(heap)
            if timer.deadline == deadline and timer.sequence == sequence:
                self._now = max(self._now, deadline)
                timer.deadline = None
                timer.fire()
        self._now = max(self._now, time)


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


class MemoryBus:
    """A ``PciBus`` with memory behind it and a line that notes its rising edges."""

    def __init__(self, clock: VirtualClock) -> None:
        self.memory = Memory()
        self.dma_read = self.memory.read
        self.dma_write = self.memory.write
        self.level = False
        self.edges: list[int] = []
        self._clock = clock

    def dma_write_frame(self, address: int, data: bytes, frame: Frame) -> None:
        """Write a whole frame; only its bytes are kept."""
        self.memory.write(address, data)

    def set_irq(self, level: bool) -> None:
        """INTA#."""
        if level and not self.level:
            self.edges.append(self._clock.now())
        self.level = level


class Wire:
    """A ``NetPort`` with nobody at the other end: it keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Frame] = []
        self.flushes = 0
        self.receiver: Callable[[Frame], int] | None = None

    def send(self, frame: Frame) -> int:
        """Keep ``frame``."""
        self.sent.append(frame)
        return len(frame.raw)

    def flush(self) -> None:
        """Nothing waits; only count that the card could receive again."""
        self.flushes += 1

    def loopback(self, frame: Frame) -> int:
        """Hand ``frame`` to ``receiver``, if there is one."""
        return self.receiver(frame) if self.receiver is not None else 0


class Losses:
    """A ``Ledger`` that lists the reasons, in order."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.holds: list[str] = []

    def lost(self, frame: Frame, where: str, why: Reason) -> None:
        """One frame ended."""
        self.reasons.append(f"{where}: {why}")

    def held(self, frame: Frame, where: str, why: Reason) -> None:
        """One frame has to wait."""
        self.holds.append(f"{where}: {why}")
