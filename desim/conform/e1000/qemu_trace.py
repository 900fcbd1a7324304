"""What QEMU prints with ``-trace 'memory_region_ops_*'``: the card's accesses in it.

A line is ``memory_region_ops_write cpu 0 mr 0x55… addr 0xfebc0000 value 0x140260 size 4
name 'e1000-mmio'``, perhaps with a process id and a time in front (``12345@1700000000.123456:``).
``addr`` is absolute; the register window is as large as its alignment, so its low 17
bits are the offset. QEMU before 6.0 prints no names, and such a log cannot be read.

The command register is in the log too, as accesses to the ports 0xCF8 and 0xCFC
(``pci-conf-idx``, ``pci-conf-data``) or to the memory-mapped configuration space
(``pcie-mmcfg-mmio``): the function whose BAR0 holds the window's address is the card.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

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
MMCFG_FUNCTION_SIZE = 0x1000
MMCFG_MASK = 0x0FFF_FFFF


class Access(NamedTuple):
    """One access to the card's window, or (``offset`` None) a new state of bus master."""

    line: int
    time_ns: int | None
    writes: bool
    offset: int | None
    value: int
    size: int


class TraceReader:
    """Reads the lines of one log. Afterwards the attributes say what was in it."""

    def __init__(self) -> None:
        self.accesses = 0
        self.unnamed = 0
        """Lines of a QEMU that prints no names."""
        self.master_known = False
        self._selected = 0
        self._bar: dict[int, int] = {}
        self._command: dict[int, int] = {}
        self._window: int | None = None

    def read(self, lines: Iterable[str]) -> Iterator[Access]:
        """The card's accesses, and each change of its bus master bit before them."""
        master: bool | None = None
        for number, line in enumerate(lines, 1):
            found = LINE.search(line)
            if found is None:
                continue
            name = found["name"]
            address, value = int(found["addr"], 16), int(found["value"], 16)
            size = int(found["size"])
            if name is None:
                self.unnamed += 1
            elif name == "e1000-mmio":
                self.accesses += 1
                self._window = address - address % WINDOW_SIZE
                now = self._master()
                if now is not None and now != master:
                    master = now
                    self.master_known = True
                    yield Access(number, None, True, None, int(now), 0)
                offset = address % WINDOW_SIZE
                writes = found["kind"] == "write"
                yield Access(number, _time(line), writes, offset, value, size)
            else:
                self._configuration(name, found["kind"] == "write", address, value)

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
        elif register == COMMAND:
            self._command[function] = value

    def _master(self) -> bool | None:
        for function, bar in self._bar.items():
            if bar == self._window and function in self._command:
                return bool(self._command[function] & COMMAND_MASTER)
        return None


def _time(line: str) -> int | None:
    found = TIME.search(line)
    if found is None:
        return None
    return int(found[1]) * 1_000_000_000 + int(found[2].ljust(9, "0"))
