"""A driver's log as far as it has been read: what is known of the driver and of the card.

Nothing is judged here. ``Log.take`` adds one access to what is known; who reads a log
that knows more than accesses sets that directly (``bus_master``, ``reception.rdh`` ...).
"""

from __future__ import annotations

from dataclasses import dataclass

from desim.data import NamedTuple
from desim.e1000 import eeprom
from desim.e1000.phy import MDIC_INT_EN
from desim.e1000.receive import DESCRIPTOR_LEN
from desim.e1000.registers import (
    EERD,
    ICR,
    ICS,
    IMC,
    IMS,
    MDAC,
    MDIC,
    MTA,
    RA,
    RAH_AV,
    RCTL,
    RCTL_BAM,
    RCTL_EN,
    RCTL_MPE,
    RDBAH,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    RXT0,
    TCTL,
    TCTL_EN,
    TDBAH,
    TDBAL,
    TDH,
    TDLEN,
    TDT,
    TXQE,
    WUFC,
)
from desim.e1000.transmit import UPPER

RCTL_LBM = 0xC0
"""Loopback mode, two bits (8254x manual, 13.4.22)."""

LENGTH_MASK = 0xFFF80
"""What RDLEN and TDLEN keep."""
NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Access:
    """One access to the card."""

    where: str
    """The operation: ``op 12``, ``line 40``."""
    writes: bool
    index: int
    """The register's: ``offset // 4``."""
    value: int
    """What is written, or what the driver gets."""
    offset: int
    """In bytes, within the window."""
    widths: tuple[int, ...] = (4,)
    """Bytes; several where the log does not tell which of them it was."""
    time_ns: int | None = None


class HandedOver(NamedTuple):
    """A TDT write's descriptors: the address of each, and whether it asks for status."""

    where: str
    descriptors: list[tuple[int, bool]]


class LookedAt(NamedTuple):
    """The driver reads memory."""

    where: str
    address: int
    data: bytes


class Ring(NamedTuple):
    """The registers of one of the two rings, and what switches it on."""

    name: str
    control: int
    enable: int
    base: int
    base_high: int
    length: int
    head: int
    tail: int


RX = Ring("receive", RCTL, RCTL_EN, RDBAL, RDBAH, RDLEN, RDH, RDT)
TX = Ring("transmit", TCTL, TCTL_EN, TDBAL, TDBAH, TDLEN, TDH, TDT)


class GivenBack(NamedTuple):
    """An RDT write while the receiver is on, where the log does not tell RDH."""

    where: str
    tail: int
    by: int
    """By how many descriptors RDT moved."""
    seen: int
    """How often RXT0 had come since the RDT write before it: so many frames at least."""


class Reception:
    """The receiver's side of the log.

    ``rdh`` is where the card's RDH is, None where that is not known; after a reset it is 0.
    ``told``: whether whoever reads the log says so before each access.
    """

    def __init__(self) -> None:
        self.rdh: int | None = 0
        self.told = False
        self.on: str = ""
        """Where it was enabled; empty while it is off."""
        self.on_ns: int | None = None
        self.ever_on = False
        self.given = False
        """Whether RDT has been brought away from RDH since it was enabled."""
        self.broadcasts = False
        """Whether broadcasts have passed the filters since it was enabled."""
        self.wake_up = False
        """Whether wake-up was armed while it was on."""
        self.busy = False
        """Whether anything but RCTL was written since it was enabled."""
        self.moved = False
        """Whether RDT was written where RDH was not known."""
        self.tail: str = ""
        """Where RDT was written last, to another value than it had."""
        self.free = 0
        """How many descriptors the card had then, at most."""
        self.seen = 0
        """How often the log shows RXT0 since then."""
        self.last_given: GivenBack | None = None


class Causes:
    """Which causes wait for an acknowledgement.

    ``told``: whether whoever reads the log says which are pending and enabled. Else those
    count of which an access shows that they have come.
    """

    def __init__(self) -> None:
        self.told = False
        self.pending = 0
        """Certainly in ICR."""
        self.enabled: dict[int, str] = {}
        """Bits that wait for an acknowledgement, with where they were enabled."""
        self.acknowledged = 0
        """A cause that was acknowledged once has a handler."""
        self.raised = 0
        """Bits that have been pending and enabled."""

    def enable(self, where: str, mask: int) -> None:
        """IMS is written."""
        for bit in (1 << n for n in range(32)):
            if mask & bit & ~self.acknowledged:
                self.enabled.setdefault(bit, where)

    def acknowledge(self, mask: int) -> None:
        """ICR is read, or written with ``mask``."""
        self.pending &= ~mask
        for bit in list(self.enabled):
            if mask & bit:
                self.acknowledged |= bit
                del self.enabled[bit]

    def come(self, causes: int) -> None:
        """An access shows that these are in ICR."""
        if not self.told:
            self.pending |= causes


class Log:
    """What is known at one point of one driver's log."""

    def __init__(self, *, trace: bool = False) -> None:
        self.trace = trace
        """Whether it is a trace of QEMU's: registers alone."""
        self.reg: dict[int, int] = {}
        """What the driver has written last, by index; IMS is the mask."""
        self.written: dict[int, str] = {}
        """Where."""
        self.valid: set[int] = set()
        """Receive address registers (RAH) that have had AV."""
        self.bus_master: bool | None = None
        self.last: Access | None = None
        self.rewritten: Access | None = None
        """An RCTL write while receiving, until the write behind it."""
        self.reception = Reception()
        self.transmits = False
        """Whether TCTL.EN has been set."""
        self.handed: str = ""
        """Where TDT was first brought away from TDH."""
        self.causes = Causes()
        self.soft_rxt0 = False
        """Whether the driver itself has raised RXT0 (ICS) since the last ICR read."""
        self.eerd_reads = 0
        """Reads of EERD since it was written with the start bit."""
        self.silent: dict[int, str] = {}
        """Status bytes of descriptors without RS, by address, with their TDT write."""
        self.io_selected: int | None = None
        """The register that IOADDR selects."""

    def running(self, ring: Ring) -> bool:
        """Whether ``ring`` is enabled."""
        return self.reg.get(ring.control, 0) & ring.enable != 0

    def size(self, ring: Ring) -> int:
        """How many descriptors ``ring`` has."""
        return (self.reg.get(ring.length, 0) & LENGTH_MASK) // DESCRIPTOR_LEN

    def take(self, access: Access) -> None:
        """``access`` is part of the past now."""
        if access.writes:
            self._write(access)
        else:
            self._read(access)
        causes = self.causes
        if not causes.told:
            causes.raised |= causes.pending & self.reg.get(IMS, 0)
        self.last = access

    def hand_over(self, handed: HandedOver) -> None:
        """TDT is going to be written."""
        for address, reports in handed.descriptors:
            if reports:
                self.silent.pop(address + UPPER, None)
            else:
                self.silent[address + UPPER] = handed.where

    def overwrite(self, address: int, size: int) -> None:
        """The driver writes memory: what lay there is no descriptor of its any more."""
        for status in [s for s in self.silent if address <= s < address + size]:
            del self.silent[status]

    # Writes

    def _write(self, access: Access) -> None:
        index, value = access.index, access.value
        reg = self.reg
        if index not in (IMS, IMC):
            self.rewritten = None
        if index == RCTL:
            self._rctl(access)
        elif index == RDH:
            if not self.reception.told:
                self.reception.rdh = value & 0xFFFF
        elif index == RDT:
            self._rdt(access)
        elif index == WUFC and value and self.reception.on:
            self.reception.wake_up = True
        elif index == EERD:
            self.eerd_reads = 0
        elif index == TDT and not self.handed and value != reg.get(TDH, 0):
            self.handed = access.where
        self._causes_of(access)
        if index == IMS:
            value |= reg.get(IMS, 0)
        elif index == IMC:
            index, value = IMS, reg.get(IMS, 0) & ~value
        elif index == TCTL and value & TCTL_EN:
            self.transmits = True
        elif RA <= index < RA + 32 and value & RAH_AV:
            self.valid.add(index)
        if index != RCTL:
            self.reception.busy = True
        reg[index] = value
        self.written[access.index] = access.where
        if self.reception.on and not self.reception.broadcasts:
            self.reception.broadcasts = takes_broadcasts(reg)

    def _rctl(self, access: Access) -> None:
        rx = self.reception
        enables = access.value & RCTL_EN
        if rx.on and enables:
            later = rx.busy
            if access.time_ns is not None and rx.on_ns is not None:
                later = later or access.time_ns - rx.on_ns >= NS_PER_MS
            if later:
                self.rewritten = access
        elif enables:
            rx.on, rx.on_ns, rx.ever_on = access.where, access.time_ns, True
            rx.busy = rx.broadcasts = rx.wake_up = False
            rx.seen = 0
            rx.given = RDT in self.reg and self.reg[RDT] != rx.rdh
            self._count_free()
            if rx.given and not rx.told:
                rx.rdh = None
        else:
            rx.on = ""

    def _rdt(self, access: Access) -> None:
        rx = self.reception
        value = access.value
        before = self.reg.get(RDT, 0)
        if value != before:
            size = self.size(RX)
            if rx.on and rx.rdh is None and size:
                rx.last_given = GivenBack(access.where, value, (value - before) % size, rx.seen)
            rx.tail, rx.seen = access.where, 0
            self.reg[RDT] = value
            self._count_free()
        if rx.on and rx.rdh is None:
            rx.moved = True
        if value != rx.rdh:
            rx.given = True
            if rx.on and not rx.told:
                rx.rdh = None  # frames may move it from now on

    def _count_free(self) -> None:
        """The descriptors between RDH and RDT; all that a ring can hold where RDH is not known."""
        rx = self.reception
        size = self.size(RX)
        if rx.rdh is None:
            rx.free = max(size - 1, 0)
        else:
            rx.free = (self.reg.get(RDT, 0) - rx.rdh) % size if size else 0

    def _causes_of(self, access: Access) -> None:
        """What certainly comes of a write (hw/net/e1000.c: set_ics, start_xmit, set_mdic)."""
        index, value = access.index, access.value
        causes = self.causes
        if index == ICR:
            causes.acknowledge(value)
        elif index == ICS:
            causes.come(value)
            self.soft_rxt0 = self.soft_rxt0 or value & RXT0 != 0
        elif index == IMS:
            causes.enable(access.where, value)
        elif index == MDIC and value & MDIC_INT_EN:
            causes.come(MDAC)
        elif index in (TCTL, TDT):
            control = value if index == TCTL else self.reg.get(TCTL, 0)
            if control & TCTL_EN:
                causes.come(TXQE)

    # Reads

    def _read(self, access: Access) -> None:
        index, value = access.index, access.value
        rx = self.reception
        if index == ICR:
            if value & RXT0 and not self.soft_rxt0:
                rx.seen += 1
            self.soft_rxt0 = False
            self.causes.come(value)
            self.causes.acknowledge(-1)
        elif index == ICS:
            self.causes.come(value)
        elif index == EERD and self.reg.get(EERD, 0) & eeprom.START:
            self.eerd_reads += 1
        elif index == RDH and not rx.told and value == self.reg.get(RDT):
            rx.rdh = value  # nothing can move it before the next RDT write


def takes_broadcasts(reg: dict[int, int]) -> bool:
    """Whether QEMU 7.2's filter lets broadcasts in (``receive_filter``); UPE does not."""
    rctl = reg.get(RCTL, 0)
    if rctl & (RCTL_BAM | RCTL_MPE):
        return True
    exact = any(
        reg.get(rah, 0) & RAH_AV and reg[rah] & 0xFFFF == 0xFFFF and reg.get(rah - 1) == 0xFFFFFFFF
        for rah in range(RA + 1, RA + 32, 2)
    )
    # Whatever RCTL.MO is, twelve ones are the hash of the broadcast address.
    return exact or reg.get(MTA + 127, 0) >> 31 & 1 == 1
