"""The card's EEPROM, word by word through EERD and bit by bit through EECD.

From QEMU 7.2 (hw/net/e1000.c: ``set_eecd``, ``get_eecd``, ``flash_eerd_read``,
``e1000_eeprom_template``; hw/net/e1000x_common.c: ``e1000x_core_prepare_eeprom``)
and the 8254x manual, sections 5 and 13.4.3 to 13.4.4.

Theory of operation
-------------------
64 words of 16 bits: 0 to 2 the MAC address, 11 and 13 the PCI device id, 63 such
that all words together sum up to 0xBABA. EERD answers in the read that follows the
write of a start bit. EECD is a Microwire bus: chip select resets the shifter, each
rising clock takes in one bit of DI (a start bit, opcode 110 with it, six address bits),
each falling clock moves on to the next bit of DO.

Not modelled, because QEMU does not: writing the EEPROM, access arbitration (GNT is
always granted) and any delay.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from desim.e1000.registers import EERD
from desim.stages import QEMU, mark, stages

FILE = "hw/net/e1000.c"

WORDS_COUNT = 64
CHECKSUM_REG = 0x3F
CHECKSUM = 0xBABA

# The words of a desktop adapter; the MAC address and device ids are filled in.
_TEMPLATE = struct.unpack(
    ">64H",
    bytes.fromhex(
        """
        0000 0000 0000 0000 ffff 0000 0000 0000 3000 1000 6403 0000 8086 0000 8086 3040
        0008 2000 7e14 0048 1000 00d8 0000 2700 6cc9 3150 0722 040b 0984 0000 c000 0706
        1008 0000 0f04 7fff 4d01 ffff ffff ffff ffff ffff ffff ffff ffff ffff ffff ffff
        0100 4000 121c ffff ffff ffff ffff ffff ffff ffff ffff ffff ffff ffff ffff 0000
        """
    ),
)

# EECD (13.4.3).
SK = 0x01
CS = 0x02
DI = 0x04
DO = 0x08
FWE_MASK = 0x30
REQ = 0x40
GNT = 0x80
PRES = 0x100
PINS = SK | CS | DI | FWE_MASK | REQ
"""What stays as it was written."""

# EERD (13.4.4).
START = 0x01
DONE = 0x10

OPCODE_READ = 6
COMMAND_BITS = 9
"""Start bit, two bits of opcode, six of address."""


def prepare_eeprom(mac: bytes, device_id: int) -> tuple[int, ...]:
    """The 64 words for a card with this address and PCI device id."""
    words = list(_TEMPLATE)
    words[0:3] = struct.unpack("<3H", mac)
    words[11] = words[13] = device_id
    words[CHECKSUM_REG] = (CHECKSUM - sum(words[:CHECKSUM_REG])) & 0xFFFF
    return tuple(words)


class Eeprom:
    """Owns the words and the state of the Microwire shifter. A reset does not touch it."""

    STAGES = stages(
        QEMU,
        get_eecd=mark("get_eecd", file=FILE),
        set_eecd=mark("set_eecd", file=FILE),
        flash_eerd_read=mark("flash_eerd_read", file=FILE),
    )

    __slots__ = ("bitnum_in", "bitnum_out", "mac_reg", "old_eecd", "reading", "val_in", "words")

    def __init__(self, *, mac_reg: list[int], mac: bytes, device_id: int) -> None:
        self.mac_reg = mac_reg
        self.words = prepare_eeprom(mac, device_id)
        self.old_eecd = 0
        self.val_in = 0
        self.bitnum_in = 0
        self.bitnum_out = 0
        self.reading = False

    def get_eecd(self, index: int) -> int:
        """EECD: the pins as they were written, and DO, which is high while nothing is read."""
        val = PRES | GNT | self.old_eecd
        word = self.words[self.bitnum_out >> 4 & 0x3F]
        # The most significant bit comes first.
        if not self.reading or word >> (15 - (self.bitnum_out & 15)) & 1:
            val |= DO
        return val

    def set_eecd(self, index: int, val: int) -> None:
        """New levels on the pins: follow the edges of chip select and clock."""
        self.set_pins((val,))

    def set_pins(self, levels: Iterable[int]) -> None:
        """``set_eecd`` for one level after the other."""
        old = self.old_eecd
        for val in levels:
            edges = (val ^ old) & (CS | SK)
            old = val
            if not edges or not val & CS:
                continue
            if edges != SK:
                self.val_in = self.bitnum_in = self.bitnum_out = 0
                self.reading = False
                if edges == CS:
                    continue
            if not val & SK:
                self.bitnum_out = self.bitnum_out + 1 & 0xFFFF
                continue
            self.val_in = (self.val_in << 1 | (1 if val & DI else 0)) & 0xFFFF_FFFF
            self.bitnum_in = self.bitnum_in + 1 & 0xFFFF
            if self.bitnum_in == COMMAND_BITS and not self.reading:
                # The falling edge that follows moves on to the word's first bit.
                self.bitnum_out = ((self.val_in & 0x3F) << 4) - 1 & 0xFFFF
                self.reading = self.val_in >> 6 & 7 == OPCODE_READ
        self.old_eecd = old & PINS

    def clock_in(self, level: int, clock: int, keep: int, count: int) -> list[int]:
        """What EECD reads as, ``count`` times, with ``clock`` high beside ``level``; behind each
        the bits of ``keep`` of that are the next level."""
        pins = level & PINS
        if (
            self.reading
            and clock == SK
            and pins & (CS | SK | DI) == self.old_eecd & (CS | SK) == CS
            and (pins | SK) & keep == pins
            and count
        ):
            # NOTE: while a word is read and nothing but the clock has edges, all bits at one go
            # (0.2 of the instructions).
            self.val_in = self.val_in << count & 0xFFFF_FFFF
            self.bitnum_in = self.bitnum_in + count & 0xFFFF
            first = self.bitnum_out
            self.bitnum_out = first + count & 0xFFFF
            self.old_eecd = pins
            low, words = PRES | GNT | SK | pins, self.words
            return [
                low | DO if words[bit >> 4 & 0x3F] >> (15 - (bit & 15)) & 1 else low
                for bit in range(first, first + count)
            ]
        values = []
        for _ in range(count):
            self.set_pins((level | clock,))
            value = Eeprom.get_eecd(self, 0)
            values.append(value)
            level = value & keep
            self.set_pins((level,))
        return values

    def flash_eerd_read(self, index: int) -> int:
        """EERD: what was written, with data and DONE if it had the start bit."""
        val = self.mac_reg[EERD]
        if not val & START:
            return val
        val &= ~START
        address = val >> 8
        if address >= WORDS_COUNT:
            return val | DONE
        return self.words[address] << 16 | DONE | val
