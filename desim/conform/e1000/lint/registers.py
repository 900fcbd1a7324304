"""Rules about single registers: those that are not there, odd accesses, resets, EERD."""

from __future__ import annotations

from desim.conform.e1000.decode import register_name
from desim.conform.e1000.lint.log import Access, Log
from desim.conform.e1000.lint.rule import Found, Noted, Rule, Yields
from desim.e1000 import eeprom
from desim.e1000.registers import CTRL, CTRL_RST, EERD, TABLE

TUNING = {
    0x0028: "FCAL",
    0x002C: "FCAH",
    0x0030: "FCT",
    0x0170: "FCTTV",
    0x0410: "TIPG",
    0x2160: "FCRTL",
    0x2168: "FCRTH",
    0x3820: "TIDV",
    0x5000: "RXCSUM",
}
"""In the manual, not in QEMU, and written by Linux's driver all the same."""

ABSENT = {
    **TUNING,
    0x0018: "CTRL_EXT",
    0x0178: "TXCW",
    0x0180: "RXCW",
    0x2828: "RXDCTL",
    0x2C00: "RSRPD",
    0x3830: "TSPMT",
}
"""In the manual, not in QEMU."""

THERE = frozenset(index for row in TABLE for index in range(row.first, row.first + row.length))

EERD_OTHER_ADDRESS = 0xEC
"""The address of word 63 and below where 82541 and 82547 have it (bits 15:2), but for bit 4,
which may be DONE written back."""
EERD_POLLS = 4
"""Reads that all said DONE: whoever goes on after that looks at another bit."""

IOADDR = 0
"""The I/O window's first register selects; the one behind it, IODATA, is what is accessed."""


def name_of(index: int) -> str:
    """A register's name, those included that QEMU does not have."""
    return ABSENT.get(index * 4) or register_name(index * 4)


def absent(log: Log, access: Access) -> Yields:
    """A register that QEMU does not have: a note if it only tunes and nobody relies on it.

    A tuning register that is read *after* it was written is judged by the access behind
    the read: a write of the same register means that bits were changed, anything else that
    the value was looked at.
    """
    yield from _read_back(log, access)
    index = access.index
    if index in THERE:
        return
    if index * 4 not in TUNING:
        text = f"{name_of(index)}: QEMU does not have it; it reads 0 and ignores writes"
        yield Found(text, index)
    elif access.writes:
        yield Noted(f"{name_of(index)} is not there on QEMU, and has no effect")


def absent_at_end(log: Log) -> Yields:
    """A tuning register that was read back in the log's last access."""
    yield from _read_back(log, None)


def _read_back(log: Log, access: Access | None) -> Yields:
    last = log.last
    if last is None or last.writes or last.index * 4 not in TUNING or not log.reg.get(last.index):
        return
    if access is None or not access.writes or access.index != last.index:
        text = f"{name_of(last.index)} is read back, but QEMU does not have it: it reads 0"
        yield Found(text, last.index, last.where)


def narrow(log: Log, access: Access) -> Yields:
    """An access that is not 32 bits at a multiple of 4, which is all that QEMU's card knows."""
    if access.widths == (4,) and not access.offset & 3:
        return
    bits = "- or ".join(str(8 * width) for width in access.widths)
    printed = " (QEMU prints size 4)" if log.trace else ""
    effect = "a write replaces the whole register, and a read shows its low part"
    if access.offset % max(access.widths):
        effect = (
            "a read joins the two registers around it, and a write is single bytes, each of "
            "which replaces a whole register"
        )
    yield Found(
        f"{bits}-bit access{printed} to {name_of(access.index)} at 0x{access.offset:05x}: on QEMU "
        + effect,
        access.index,
    )


def ctrl_rst(log: Log, access: Access) -> Yields:
    """A reset by CTRL.RST, from which a driver expects the registers' initial values."""
    if access.writes and access.index == CTRL and access.value & CTRL_RST:
        yield Found("CTRL.RST resets nothing on QEMU: all registers keep their values", CTRL)


def io_window(log: Log, access: Access) -> Yields:
    """The I/O window (BAR 1), behind which QEMU has nothing.

    Linux's driver writes CTRL.RST there and nothing else, so that is a note.
    """
    if access.writes and access.index == IOADDR:
        return
    if access.writes and log.io_selected == CTRL and access.value & CTRL_RST:
        yield Noted("CTRL.RST through the I/O window (BAR 1): it resets nothing on QEMU")
        return
    name = "a register" if log.io_selected is None else name_of(log.io_selected)
    verb = "write" if access.writes else "read"
    yield Found(
        f"{verb} of {name} through the I/O window (BAR 1), which does nothing on QEMU: it reads 0 "
        "and ignores writes; use the memory window (BAR 0)"
    )


def eerd_layout(log: Log, access: Access) -> Yields:
    """EERD as other chips have it: address in bits 15:2, DONE in bit 1 (82541, 82547).

    The 82540EM and QEMU have the address in bits 15:8 and DONE in bit 4, which is set in
    the first read.
    """
    if access.index != EERD:
        return
    value = access.value
    if access.writes:
        if value & eeprom.START and not value >> 8 & 0xFF and value & EERD_OTHER_ADDRESS:
            yield Found(
                f"EERD = 0x{value:x} asks for word 0: the address is in bits 15:8 here; other "
                "chips have it in bits 15:2 (82541, 82547)",
                EERD,
            )
    elif value & eeprom.DONE and log.eerd_reads == EERD_POLLS - 1:
        yield Found(
            f"EERD is read for the {EERD_POLLS}th time although DONE (bit 4) was set each time; "
            "other chips have it in bit 1 (82541, 82547), which is never set here",
            EERD,
        )


RULES = (
    Rule(
        name="ctrl-rst",
        source="8254x manual 13.4.1 (CTRL.RST) against QEMU set_ctrl (recorded)",
        access=ctrl_rst,
    ),
    Rule(
        name="no-such-register",
        source="QEMU macreg_readops, macreg_writeops (recorded)",
        access=absent,
        end=absent_at_end,
    ),
    Rule(
        name="narrow-access",
        source="8254x manual 13.2; QEMU e1000_mmio_ops (32 bits; recorded)",
        access=narrow,
    ),
    Rule(
        name="io-window",
        source="8254x manual 13.2.2 (IOADDR, IODATA); QEMU e1000_io_read, e1000_io_write",
        io=io_window,
    ),
    Rule(
        name="eerd-layout",
        source="8254x manual 13.4.4 (EERD); QEMU flash_eerd_read (recorded)",
        access=eerd_layout,
    ),
)
