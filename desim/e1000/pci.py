"""The card's PCI function: configuration space, DMA and the interrupt pin.

From QEMU 7.2 (hw/pci/pci.c: ``pci_default_write_config``, ``pci_update_irq_disabled``,
``pci_device_reset``; hw/net/e1000.c: ``e1000_class_init``, ``e1000_write_config``).

Theory of operation
-------------------
256 bytes of header, each with a mask of the bits that a write changes. Three bits of
the command register rule what stands behind: memory space (the register window
answers), bus master (DMA takes place; off, reads give zeros and writes disappear, and
the card cannot receive) and INTx disable (the line is off at the controller; the status
bit still shows it).

BAR0 is the register window of 128 KiB, BAR1 the I/O window of 64 bytes, and there
is a BAR for an expansion ROM of 256 KiB. After power-on all of them, and the command
register, are 0: mapping them is the firmware's work.

Not modelled: where the BARs map to (the owner of the address space asks), the ROM's
contents; the error bits of the status register, which a write of 1 clears (nothing here
sets one); capabilities, power management and MSI, which QEMU's card does not have.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.data import NamedTuple
from desim.devices import CardModel
from desim.ports import Dma, PciBus
from desim.wire.frame import Frame

COMMAND = 0x04
COMMAND_IO = 0x1
COMMAND_MEMORY = 0x2
COMMAND_MASTER = 0x4
COMMAND_SERR = 0x100
COMMAND_INTX_DISABLE = 0x400
STATUS = 0x06
STATUS_INTERRUPT = 0x8
CACHE_LINE_SIZE = 0x0C
BARS = {0x10: 0, 0x14: 0x1, 0x30: 0}
"""Offset and fixed low bits: BAR1 is in I/O space."""
INTERRUPT_LINE = 0x3C

CONFIG_SIZE = 256
HEADER_SIZE = 0x40

ADDRESS_MASK = (1 << 64) - 1
"""An address on the bus has 64 bits; what is added to one wraps around."""

VENDOR_INTEL = 0x8086
SUBSYSTEM = 0x1100_1AF4  # Red Hat, QEMU virtual machine
CLASS_ETHERNET = 0x020000
REVISION = 3


class Model(NamedTuple):
    """What distinguishes the cards that QEMU offers; all else is the same code."""

    device_id: int
    phy_id2: int


MODELS: dict[CardModel, Model] = {
    "e1000": Model(0x100E, 0x0C20),  # 82540EM
    "e1000-82544gc": Model(0x100C, 0x0C30),
    "e1000-82545em": Model(0x100F, 0x0C20),
}


class _Nowhere(Dma):
    """What is reached by DMA without bus master."""

    __slots__ = ()

    def read(self, address: int, size: int) -> bytes:
        return bytes(size)

    def write(self, address: int, data: bytes) -> None:
        """It disappears."""

    def write_frame(self, address: int, data: bytes, frame: Frame) -> None:
        """It disappears."""


class PciFunction:
    """Owns the configuration space; stands between the card and the bus.

    ``dma`` is the bus's own while the function is bus master, and leads nowhere while it is not.
    """

    __slots__ = (
        "_bus",
        "_wmask",
        "bus_master",
        "config",
        "dma",
        "intx_disabled",
        "irq_state",
        "memory_enabled",
    )

    def __init__(self, *, bus: PciBus, device_id: int) -> None:
        self._bus = bus
        self.config = bytearray(CONFIG_SIZE)
        self._wmask = bytearray(HEADER_SIZE) + b"\xff" * (CONFIG_SIZE - HEADER_SIZE)
        self._put(self.config, 0x00, device_id << 16 | VENDOR_INTEL)
        self._put(self.config, 0x08, CLASS_ETHERNET << 8 | REVISION)
        self._put(self.config, 0x14, BARS[0x14])
        self._put(self.config, 0x2C, SUBSYSTEM)
        self._put(self.config, INTERRUPT_LINE, 0x0100)  # INTA
        command = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_SERR | COMMAND_INTX_DISABLE
        self._put(self._wmask, COMMAND, command)
        self._wmask[CACHE_LINE_SIZE] = self._wmask[INTERRUPT_LINE] = 0xFF
        self._put(self._wmask, 0x10, 0xFFFE_0000)
        self._put(self._wmask, 0x14, 0xFFFF_FFC0)
        self._put(self._wmask, 0x30, 0xFFFC_0001)
        self.irq_state = False
        self._apply_command()

    @staticmethod
    def _put(space: bytearray, offset: int, value: int) -> None:
        space[offset : offset + 4] = value.to_bytes(4, "little")

    def reset(self) -> None:
        """The bus is reset (``pci_device_reset``): pin low, what is writable 0."""
        self.set_irq(False)
        for offset in (COMMAND, COMMAND + 1, CACHE_LINE_SIZE, INTERRUPT_LINE):
            self.config[offset] &= ~self._wmask[offset] & 0xFF
        for offset, fixed in BARS.items():
            self._put(self.config, offset, fixed)
        self._apply_command()

    def read(self, offset: int, size: int) -> int:
        """Read ``size`` bytes of configuration space; beyond its end there are ones."""
        if offset < 0 or offset + size > CONFIG_SIZE:
            return (1 << 8 * size) - 1
        return int.from_bytes(self.config[offset : offset + size], "little")

    def write(self, offset: int, value: int, size: int) -> None:
        """Write ``size`` bytes of configuration space."""
        for at in range(offset, offset + size):
            if 0 <= at < CONFIG_SIZE:
                wmask = self._wmask[at]
                self.config[at] = self.config[at] & ~wmask & 0xFF | value & wmask
            value >>= 8
        if offset < COMMAND + 2 and offset + size > COMMAND:
            self._apply_command()

    def _apply_command(self) -> None:
        command = self.config[COMMAND] | self.config[COMMAND + 1] << 8
        self.memory_enabled = command & COMMAND_MEMORY != 0
        self.bus_master = command & COMMAND_MASTER != 0
        self.intx_disabled = command & COMMAND_INTX_DISABLE != 0
        self.dma: Callable[[], Dma] = self._bus.dma if self.bus_master else _Nowhere
        if self.irq_state:
            self._bus.set_irq(not self.intx_disabled)

    def set_irq(self, level: bool) -> None:
        """The card's INTA# (``pci_set_irq``): always in the status bit, not always on the bus."""
        if level != self.irq_state:
            self.irq_state = level
            self.config[STATUS] ^= STATUS_INTERRUPT
            if not self.intx_disabled:
                self._bus.set_irq(level)
