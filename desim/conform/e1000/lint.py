"""What in a driver's accesses breaks the manual's rules, or surprises on QEMU.

Sources: Intel's manual for the 8254x family (318xxx, by section), QEMU 7.2's
hw/net/e1000.c (by function), and what its recordings show (tests/vectors/e1000).

Theory of operation
-------------------
``Lint`` is told the accesses of one driver, in order, and whatever else a log knows:
whether the card may be bus master, where RDH really is, which causes were raised,
which descriptors a TDT write hands over. What it is not told it does not judge: a rule
never fires on a guess. ``finish`` gives the findings, each at the first operation that
shows it, with a count of the others.

Some things surprise on QEMU although Linux's own driver does them and lives with it: a
write of RCTL in front of the filter tables (a multicast list that changed), and
registers that QEMU does not have but that only tune. These are *notes*, not findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from desim.conform.e1000.decode import decode, register_name
from desim.e1000.registers import (
    CTRL,
    CTRL_RST,
    ICR,
    IMC,
    IMS,
    MTA,
    RA,
    RCTL,
    RCTL_EN,
    RDBAH,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    TABLE,
    TCTL,
    TCTL_EN,
    TDBAH,
    TDBAL,
    TDH,
    TDLEN,
    TDT,
    TXDW,
    VFTA,
    WINDOW_SIZE,
)

DESCRIPTOR_LEN = 16
LENGTH_UNIT = 128
HOLD_OFF_MS = 1000
NS_PER_MS = 1_000_000


class Rule(NamedTuple):
    """What a driver should heed, and who says so."""

    name: str
    source: str


RING_MISSING = Rule("ring-missing", "8254x manual 14.4, 14.5 (receive, transmit initialization)")
RING_LENGTH = Rule("ring-length", "8254x manual 13.4.27, 13.4.38 (RDLEN, TDLEN: 128-byte aligned)")
RING_BASE = Rule("ring-base", "8254x manual 13.4.25, 13.4.36 (RDBAL, TDBAL: 16-byte aligned)")
RDT_AT_RDH = Rule("rdt-at-rdh", "8254x manual 3.2.6 (head = tail: no descriptors); QEMU set_rdt")
TAIL_BEYOND = Rule("tail-beyond-ring", "8254x manual 13.4.29, 13.4.40 (RDT, TDT); QEMU start_xmit")
HEAD_RUNNING = Rule("head-while-running", "8254x manual 13.4.28, 13.4.39 (RDH, TDH)")
NOT_ACKNOWLEDGED = Rule("not-acknowledged", "8254x manual 13.4.17 (ICR); QEMU set_interrupt_cause")
NO_REPORT = Rule("no-report-status", "8254x manual 3.3.3.1, note 2 (DD only with RS)")
BUS_MASTER = Rule("bus-master-off", "8254x manual 4.1 (PCI command); QEMU e1000_can_receive")
RCTL_AGAIN = Rule("rctl-rewritten", "QEMU set_rx_control, e1000_flush_queue_timer (recorded)")
CTRL_RESET = Rule("ctrl-rst", "8254x manual 13.4.1 (CTRL.RST) against QEMU set_ctrl (recorded)")
NO_REGISTER = Rule("no-such-register", "QEMU macreg_readops, macreg_writeops (recorded)")
NARROW = Rule("narrow-access", "8254x manual 13.2; QEMU e1000_mmio_ops (32 bits; recorded)")

RULES = (
    RING_MISSING,
    RING_LENGTH,
    RING_BASE,
    RDT_AT_RDH,
    TAIL_BEYOND,
    HEAD_RUNNING,
    NOT_ACKNOWLEDGED,
    NO_REPORT,
    BUS_MASTER,
    RCTL_AGAIN,
    CTRL_RESET,
    NO_REGISTER,
    NARROW,
)

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
FILTERS = frozenset((*range(MTA, MTA + 128), *range(RA, RA + 32), *range(VFTA, VFTA + 128)))


@dataclass(slots=True)
class Finding:
    """One broken rule: where first, and how often."""

    where: str
    """The operation: ``op 12``, ``line 40``."""
    rule: Rule
    text: str
    count: int = 1

    def __str__(self) -> str:
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        return f"{self.where}: {self.rule.name}: {self.text}{more} [{self.rule.source}]"


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


class Lint:
    """The rules over one driver's accesses. ``write`` and ``read`` come in their order."""

    def __init__(self) -> None:
        self.notes: dict[str, None] = {}
        """Texts, in order; a dict for its keys."""
        self._found: dict[tuple[str, int], Finding] = {}
        self._reg: dict[int, int] = {}
        """What the driver has written last, by index."""
        self._bus_master: bool | None = None
        self._rdh: int | None = 0
        """Where the card's RDH is, if that is known: 0 after a reset."""
        self._rdh_given = False
        self._rings_started: dict[str, str] = {}
        self._given = False
        """Whether RDT has been written behind RDH since the receiver was enabled."""
        self._started_ns: int | None = None
        self._busy_since_rctl = False
        self._rctl_pending: tuple[str, int | None] | None = None
        self._read_pending: tuple[str, int] | None = None
        self._enabled: dict[int, str] = {}
        """Cause bits that wait for an acknowledgement, with where they were enabled."""
        self._acknowledged = 0
        self._raised: int | None = None
        self._silent: dict[int, str] = {}
        """Status bytes of descriptors without RS, by address, with their TDT write."""

    # What a log may know besides

    def bus_master(self, on: bool) -> None:
        """The bus master bit of the PCI command register, from now on."""
        self._bus_master = on

    def head(self, rdh: int) -> None:
        """The card's RDH at this moment; once told, it is told before each access."""
        self._rdh = rdh
        self._rdh_given = True

    def raised(self, causes: int) -> None:
        """Causes that are pending and enabled; without any call, every enabled one counts."""
        self._raised = (self._raised or 0) | causes

    def handed_over(self, where: str, descriptors: list[tuple[int, bool]]) -> None:
        """A TDT write: each descriptor's address, and whether it asks for status."""
        for address, reports in descriptors:
            if reports:
                self._silent.pop(address + 12, None)
            else:
                self._silent[address + 12] = where
        waits = self._reg.get(IMS, 0) & TXDW
        if waits and descriptors and not any(reports for _, reports in descriptors):
            self._find(
                where,
                NO_REPORT,
                TDT,
                f"TXDW is enabled, but none of the {len(descriptors)} descriptors has RS",
            )

    def looked_at(self, where: str, address: int, data: bytes) -> None:
        """The driver reads memory: perhaps the status of a descriptor."""
        for status, handed in self._silent.items():
            if address <= status < address + len(data) and not data[status - address] & 1:
                self._find(
                    where,
                    NO_REPORT,
                    TDT,
                    f"waits for DD at 0x{status:x}, but the descriptor ({handed}) has no RS",
                )

    def overwritten(self, address: int, size: int) -> None:
        """The driver writes memory: what lay there is no descriptor of its any more."""
        for status in [s for s in self._silent if address <= s < address + size]:
            del self._silent[status]

    # Accesses

    def write(
        self, where: str, offset: int, value: int, size: int = 4, time_ns: int | None = None
    ) -> None:
        """The driver writes a register."""
        index = (offset % WINDOW_SIZE) >> 2
        self._settle(index, writes=True)
        self._common(where, index, size, offset)
        if index not in THERE:
            self._absent(where, index, value)
            self._reg[index] = value
            return
        for ring in (RX, TX):
            if index in ring:
                self._ring(where, ring, index, value)
        if index == CTRL and value & CTRL_RST:
            self._find(
                where,
                CTRL_RESET,
                CTRL,
                "CTRL.RST resets nothing on QEMU: all registers keep their values",
            )
        elif index == RCTL:
            self._rctl(where, value, time_ns)
        elif index == IMS:
            self._mask(where, value)
            return
        elif index == IMC:
            self._reg[IMS] = self._reg.get(IMS, 0) & ~value
        elif index == ICR:
            self._acknowledge(value)
        if index != RCTL:
            self._busy_since_rctl = True
        self._reg[index] = value

    def read(
        self, where: str, offset: int, value: int, size: int = 4, time_ns: int | None = None
    ) -> None:
        """The driver reads a register and gets ``value``."""
        index = (offset % WINDOW_SIZE) >> 2
        self._settle(index, writes=False)
        self._common(where, index, size, offset)
        if index == ICR:
            self._acknowledge(-1)
        elif index == RDH and not self._rdh_given and value == self._reg.get(RDT):
            # Nothing can move it before the next RDT write.
            self._rdh = value
        elif index not in THERE:
            if index * 4 not in TUNING:
                self._absent(where, index, 0)
            elif self._reg.get(index):
                self._read_pending = (where, index)

    def finish(self) -> list[Finding]:
        """All findings, in the order in which they came up."""
        self._settle(-1, writes=True)
        if "receive" in self._rings_started and not self._given and RDT in self._reg:
            self._find(
                self._rings_started["receive"],
                RDT_AT_RDH,
                RDT,
                f"reception is enabled, but RDT stays at RDH ({self._reg[RDT]}): the ring is "
                "empty, not full, and no frame ever comes",
            )
        waiting = {
            bit: where
            for bit, where in self._enabled.items()
            if self._raised is None or self._raised & bit
        }
        if waiting:
            causes = decode("ICR", sum(waiting))
            self._find(
                next(iter(waiting.values())),
                NOT_ACKNOWLEDGED,
                ICR,
                f"{causes} is enabled here, and no ICR read or write ever acknowledges it: "
                "the line stays high",
            )
        return list(self._found.values())

    # The rules

    def _find(self, where: str, rule: Rule, key: int, text: str) -> None:
        found = self._found.get((rule.name, key))
        if found is None:
            self._found[rule.name, key] = Finding(where, rule, text)
        else:
            found.count += 1

    def _common(self, where: str, index: int, size: int, offset: int) -> None:
        if size != 4 or offset & 3:
            self._find(
                where,
                NARROW,
                index,
                f"{8 * size}-bit access to {name_of(index)} at 0x{offset % WINDOW_SIZE:05x}: QEMU "
                "replaces the whole register on a write, and reads show its low part",
            )

    def _ring(self, where: str, ring: Ring, index: int, value: int) -> None:
        reg = self._reg
        running = reg.get(ring.control, 0) & ring.enable
        if index == ring.length and value % LENGTH_UNIT:
            text = f"{name_of(index)} = {value} is no multiple of {LENGTH_UNIT}"
            self._find(where, RING_LENGTH, index, f"{text}: it becomes {value & 0xFFF80}")
        elif index == ring.base and value % DESCRIPTOR_LEN:
            text = f"{name_of(index)} = 0x{value:x} is no multiple of {DESCRIPTOR_LEN}"
            self._find(where, RING_BASE, index, f"{text}: the card uses 0x{value & ~0xF:x}")
        elif index == ring.head:
            if running:
                self._find(
                    where,
                    HEAD_RUNNING,
                    index,
                    f"{name_of(index)} is written while {ring.name} runs",
                )
            if ring is RX and not self._rdh_given:
                self._rdh = value & 0xFFFF
        elif index == ring.tail:
            self._tail(where, ring, value, bool(running))
        elif index == ring.control and value & ring.enable and not running:
            self._started(where, ring)

    def _tail(self, where: str, ring: Ring, value: int, running: bool) -> None:
        size = (self._reg.get(ring.length, 0) & 0xFFF80) // DESCRIPTOR_LEN
        if ring.length in self._reg and value >= max(size, 1):
            what = "the card never gets there" if ring is RX else "it goes round once and stops"
            self._find(
                where,
                TAIL_BEYOND,
                ring.tail,
                f"{name_of(ring.tail)} = {value} lies beyond the ring of {size}: {what}",
            )
        if running:
            self._needs_bus(where, ring)
        if ring is TX:
            if running and not size:
                self._find(where, RING_MISSING, TDLEN, "transmit with TDLEN 0: there is no ring")
            return
        if running and value == self._rdh:
            self._find(
                where,
                RDT_AT_RDH,
                RDT,
                f"RDT is brought to RDH ({value}): that is an empty ring, not a full one",
            )
        elif value != self._rdh:
            self._given = True
            if running and not self._rdh_given:
                self._rdh = None  # frames may move it from now on

    def _started(self, where: str, ring: Ring) -> None:
        reg = self._reg
        self._rings_started[ring.name] = where
        self._needs_bus(where, ring)
        if ring is TX:
            return
        if not reg.get(RDLEN, 0) & 0xFFF80:
            self._find(where, RING_MISSING, RDLEN, "reception is enabled with RDLEN 0")
        if RDBAL not in reg and RDBAH not in reg:
            self._find(where, RING_MISSING, RDBAL, "reception is enabled, RDBA was never written")
        self._given = RDT in reg and reg[RDT] != self._rdh
        if self._given and not self._rdh_given:
            self._rdh = None

    def _needs_bus(self, where: str, ring: Ring) -> None:
        if self._bus_master is False:
            self._find(
                where,
                BUS_MASTER,
                ring.control,
                f"{ring.name} without the bus master bit: the card reaches no memory",
            )

    def _rctl(self, where: str, value: int, time_ns: int | None) -> None:
        was_on = self._reg.get(RCTL, 0) & RCTL_EN
        later = self._busy_since_rctl
        if time_ns is not None and self._started_ns is not None:
            later = later or time_ns - self._started_ns >= NS_PER_MS
        if was_on and value & RCTL_EN and later:
            self._rctl_pending = (where, time_ns)
        elif not was_on:
            self._started_ns = time_ns
            self._busy_since_rctl = False

    def _settle(self, index: int, *, writes: bool) -> None:
        """What only the access after it tells: was that for the filters; was that a check."""
        if self._read_pending is not None:
            where, read = self._read_pending
            self._read_pending = None
            if not (writes and index == read):
                text = f"{name_of(read)} is read back, but QEMU does not have it: it reads 0"
                self._find(where, NO_REGISTER, read, text)
        if self._rctl_pending is None or not writes or index in (IMS, IMC):
            return
        where, time_ns = self._rctl_pending
        self._rctl_pending = None
        until = ""
        if time_ns is not None:
            until = f", until {time_ns // NS_PER_MS + HOLD_OFF_MS} ms"
        deaf = f"each RCTL write makes the card deaf for a second{until}"
        if index in FILTERS:
            self.notes[f"{where}: RCTL is rewritten with the filters; {deaf}"] = None
        else:
            self._find(where, RCTL_AGAIN, RCTL, f"RCTL is rewritten while receiving; {deaf}")

    def _mask(self, where: str, value: int) -> None:
        self._reg[IMS] = self._reg.get(IMS, 0) | value
        for bit in (1 << n for n in range(32)):
            if value & bit & ~self._acknowledged:
                self._enabled.setdefault(bit, where)

    def _acknowledge(self, causes: int) -> None:
        for bit in list(self._enabled):
            if causes & bit:
                # A cause that was acknowledged once has a handler.
                self._acknowledged |= bit
                del self._enabled[bit]

    def _absent(self, where: str, index: int, value: int) -> None:
        if index * 4 in TUNING:
            self.notes[f"{name_of(index)} is not there on QEMU, and has no effect"] = None
        else:
            text = f"{name_of(index)}: QEMU does not have it; it reads 0 and ignores writes"
            self._find(where, NO_REGISTER, index, text)


def name_of(index: int) -> str:
    """A register's name, those included that QEMU does not have."""
    return ABSENT.get(index * 4) or register_name(index * 4)
