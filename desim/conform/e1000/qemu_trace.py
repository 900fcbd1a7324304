"""What QEMU prints with ``-trace 'memory_region_ops_*'``: the cards' accesses in it.

A line is ``memory_region_ops_write cpu 0 mr 0x55… addr 0xfebc0000 value 0x140260 size 4
name 'e1000-mmio'``, perhaps with a process id and a time in front (``12345@1700000000.123456:``).
``addr`` is absolute; the register window is as large as its alignment, so its low 17
bits are the offset. QEMU before 6.0 prints no names, and such a log cannot be read.
``size`` is what the memory core asks of the card, and that is always 4, whatever the
driver's access was: what is not at a multiple of 4 was narrower for certain.

Each register window is a card. The I/O window (``e1000-io``) of the same card is the one
that its BAR1 names. BARs and the command register are in the log, too, as accesses to the
ports 0xCF8 and 0xCFC (``pci-conf-idx``, ``pci-conf-data``) or to the memory-mapped
configuration space (``pcie-mmcfg-mmio``): the function whose BAR0 holds a window's address
is its card.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from desim.data import NamedTuple
from desim.e1000.registers import WINDOW_SIZE

LINE = re.compile(
    r"memory_region_ops_(?P<kind>read|write) cpu -?\d+ mr (?:0x)?[0-9a-fA-F]+ "
    r"addr 0x(?P<addr>[0-9a-fA-F]{1,16}) value 0x(?P<value>[0-9a-fA-F]{1,16}) size (?P<size>[1248])"
    r"(?: name '(?P<name>[^']*)')?"
)
TIME = re.compile(r"@(\d{1,12})\.(\d{1,9}):")

CONFIG_ADDRESS = 0xCF8
CONFIG_DATA = 0xCFC
ENABLE = 1 << 31
COMMAND = 0x04
COMMAND_MASTER = 0x4
BAR0 = 0x10
BAR1 = 0x14
IO_SIZE = 0x40
MMCFG_FUNCTION_SIZE = 0x1000
MMCFG_MASK = 0x0FFF_FFFF


class Card(NamedTuple):
    """One card of a trace, by where its registers are."""

    window: int | None
    """The address of the register window; None if only an I/O window was seen."""
    io: int | None = None
    """The port of the I/O window, if that is all that is known of the card."""

    def __str__(self) -> str:
        if self.window is None:
            return f"card with the I/O window at 0x{self.io:x}"
        return f"card at 0x{self.window:x}"


class Access(NamedTuple):
    """One access to a card, or (``offset`` None) a new state of its bus master bit."""

    card: Card
    line: int
    time_ns: int | None
    writes: bool
    offset: int | None
    value: int
    size: int
    io: bool = False
    """Whether it is the I/O window's."""


class TraceReader:
    """Reads the lines of one log. Afterwards the attributes say what was in it."""

    def __init__(self) -> None:
        self.accesses = 0
        self.unnamed = 0
        """Lines of a QEMU that prints no names."""
        self._selected = 0
        self._bar: dict[int, int] = {}
        self._io_bar: dict[int, int] = {}
        self._command: dict[int, int] = {}
        self._master: dict[Card, bool] = {}
        """What has been told of each card's bus master bit."""

    def read(self, lines: Iterable[str]) -> Iterator[Access]:
        """The cards' accesses, and each change of a card's bus master bit before them."""
        for number, line in enumerate(lines, 1):
            found = LINE.search(line)
            if found is None:
                continue
            name = found["name"]
            address, value = int(found["addr"], 16), int(found["value"], 16)
            size = int(found["size"])
            writes = found["kind"] == "write"
            if name is None:
                self.unnamed += 1
            elif name in ("e1000-mmio", "e1000-io"):
                self.accesses += 1
                io = name == "e1000-io"
                offset = address % (IO_SIZE if io else WINDOW_SIZE)
                base = address - offset
                card = self._io_card(base) if io else Card(base)
                yield from self._command_of(card, number)
                yield Access(card, number, _time(line), writes, offset, value, size, io)
            else:
                self._configuration(name, writes, address, value)

    def _configuration(self, name: str, writes: bool, address: int, value: int) -> None:
        if name == "pci-conf-idx" and writes and address == CONFIG_ADDRESS:
            self._selected = value
        elif name == "pci-conf-data" and self._selected & ENABLE:
            register = (self._selected & 0xFC) + (address - CONFIG_DATA & 3)
            self._note(self._selected >> 8 & 0xFFFF, register, value)
        elif name == "pcie-mmcfg-mmio":
            at = address & MMCFG_MASK
            self._note(at // MMCFG_FUNCTION_SIZE, at % MMCFG_FUNCTION_SIZE, value)

    def _note(self, function: int, register: int, value: int) -> None:
        """A read tells as much as a write."""
        if register == BAR0:
            self._bar[function] = value & ~0xF
        elif register == BAR1:
            self._io_bar[function] = value & ~0x3
        elif register == COMMAND:
            self._command[function] = value

    def _io_card(self, base: int) -> Card:
        """The card whose I/O window is at ``base``."""
        for function, bar in self._io_bar.items():
            if bar == base and function in self._bar:
                return Card(self._bar[function])
        return Card(None, base)

    def _command_of(self, card: Card, line: int) -> Iterator[Access]:
        for function, bar in self._bar.items():
            if bar == card.window and function in self._command:
                now = bool(self._command[function] & COMMAND_MASTER)
                if self._master.get(card) is not now:
                    self._master[card] = now
                    yield Access(card, line, None, True, None, int(now), 0)
                return


def _time(line: str) -> int | None:
    found = TIME.search(line)
    if found is None:
        return None
    return int(found[1]) * 1_000_000_000 + int(found[2].ljust(9, "0"))
