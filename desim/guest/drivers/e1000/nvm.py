"""The EEPROM behind EECD, read bit by bit (e1000_hw.c; SDM section 5.6 and 13.4.3).

Theory of operation
-------------------
The 82540 has a Microwire EEPROM of 64 words on four pins of EECD: clock SK,
select CS, data in DI, data out DO. A word is read by asking for the bus (REQ,
GNT), raising CS, clocking out the opcode 110 and six address bits, clocking in
sixteen bits and dropping CS. Each edge takes 50 us: the checksum over 64 words
is what makes loading the driver take a quarter of a second.

Not modelled: writing the EEPROM, SPI parts (82541 and 82547).
"""

from __future__ import annotations

from desim.guest.cpu.context import Cpu
from desim.guest.drivers.e1000.regs import (
    EECD,
    EECD_CS,
    EECD_DI,
    EECD_DO,
    EECD_GNT,
    EECD_REQ,
    EECD_SIZE,
    EECD_SK,
    EEPROM_CHECKSUM_REG,
    EEPROM_SUM,
    HW_C,
    STATUS,
)
from desim.ports import Mmio
from desim.stages import GUEST, Landmark, mark, stages

_READ_OPCODE_MICROWIRE = 0x6
_OPCODE_BITS = 3
_DELAY_NS = 50_000
_GRANT_ATTEMPTS = 1000


class Eeprom:
    """``struct e1000_eeprom_info`` with the functions that use it."""

    STAGES = stages(
        GUEST,
        init_eeprom_params=mark("e1000_init_eeprom_params", file=HW_C),
        read_eeprom=mark("e1000_read_eeprom", file=HW_C, landmark=Landmark.PAUSED),
        validate_eeprom_checksum=mark("e1000_validate_eeprom_checksum", file=HW_C),
        read_mac_addr=mark("e1000_read_mac_addr", file=HW_C),
    )

    __slots__ = ("_clock_in", "_cpu", "_read", "_strobe", "_write", "address_bits", "word_size")

    def __init__(self, *, cpu: Cpu, mmio: Mmio) -> None:
        self._cpu = cpu
        self._read = mmio.read
        self._write = mmio.write
        self._strobe = mmio.strobe
        self._clock_in = mmio.clock_in
        self.word_size = 0
        self.address_bits = 0

    def init_eeprom_params(self) -> None:
        """Find out how large it is."""
        large = bool(self._read(EECD) & EECD_SIZE)
        self.word_size = 256 if large else 64
        self.address_bits = 8 if large else 6

    def read_eeprom(self, offset: int) -> int | None:
        """The word at ``offset``; None when the EEPROM does not answer."""
        assert offset < self.word_size
        if not self._acquire_eeprom():
            return None
        self._shift_out_ee_bits(_READ_OPCODE_MICROWIRE, _OPCODE_BITS)
        self._shift_out_ee_bits(offset, self.address_bits)
        word = self._shift_in_ee_bits(16)
        self._standby_eeprom()
        self._release_eeprom()
        return word

    def validate_eeprom_checksum(self) -> bool:
        """Whether the first 64 words add up to 0xBABA."""
        checksum = 0
        for offset in range(EEPROM_CHECKSUM_REG + 1):
            word = self.read_eeprom(offset)
            if word is None:
                return False
            checksum += word
        return checksum & 0xFFFF == EEPROM_SUM

    def read_mac_addr(self) -> bytes | None:
        """The address in words 0 to 2, low byte first."""
        address = bytearray()
        for offset in range(3):
            word = self.read_eeprom(offset)
            if word is None:
                return None
            address += word.to_bytes(2, "little")
        return bytes(address)

    def _edges(self, *eecd: int) -> None:
        """Write the pins, flush, and give the EEPROM its time, for one level after the other."""
        self._strobe(EECD, eecd, STATUS, _DELAY_NS)

    def _acquire_eeprom(self) -> bool:
        eecd = self._read(EECD) | EECD_REQ
        self._write(EECD, eecd)
        eecd = self._read(EECD)
        attempts = 0
        while not eecd & EECD_GNT and attempts < _GRANT_ATTEMPTS:
            attempts += 1
            self._cpu.udelay(5)
            eecd = self._read(EECD)
        if not eecd & EECD_GNT:
            self._write(EECD, eecd & ~EECD_REQ)
            return False
        eecd &= ~(EECD_DI | EECD_SK)
        self._write(EECD, eecd)
        self._write(EECD, eecd | EECD_CS)
        return True

    def _shift_out_ee_bits(self, data: int, count: int) -> None:
        eecd = self._read(EECD) & ~EECD_DO
        levels = []
        for bit in reversed(range(count)):
            eecd = eecd & ~EECD_DI | (EECD_DI if data >> bit & 1 else 0)
            levels.append(eecd)
            eecd |= EECD_SK
            levels.append(eecd)
            eecd &= ~EECD_SK
            levels.append(eecd)
        self._edges(*levels)
        self._write(EECD, eecd & ~EECD_DI)

    def _shift_in_ee_bits(self, count: int) -> int:
        level = self._read(EECD) & ~(EECD_DO | EECD_DI)
        keep = ~(EECD_DI | EECD_SK)
        data = 0
        for eecd in self._clock_in(EECD, level, EECD_SK, keep, count, STATUS, _DELAY_NS):
            data = data << 1 | bool(eecd & EECD_DO)
        return data

    def _standby_eeprom(self) -> None:
        eecd = self._read(EECD) & ~(EECD_CS | EECD_SK)
        clocked = eecd | EECD_SK
        self._edges(eecd, clocked, clocked | EECD_CS, eecd | EECD_CS)

    def _release_eeprom(self) -> None:
        eecd = self._read(EECD) & ~(EECD_CS | EECD_DI)
        self._write(EECD, eecd)
        self._edges(eecd | EECD_SK, eecd & ~EECD_SK)
        self._write(EECD, eecd & ~(EECD_SK | EECD_REQ))
