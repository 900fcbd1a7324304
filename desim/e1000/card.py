"""The e1000: QEMU 7.2's model of Intel's 82540EM (hw/net/e1000.c).

Theory of operation
-------------------
The card is one array of registers, ``mac_reg``, and parts that share it, each the
owner of some of them:

* ``Interrupts``: ICR, ICS, IMS, the line, mitigation.
* ``Receiver``: the receive ring, filters, the hold-off after RCTL writes.
* ``Transmitter``: the transmit ring, the assembly buffer, segmentation, checksums.
* ``Phy``: MDIC, auto-negotiation, the link.
* ``Eeprom``: EECD, EERD.
* ``PciFunction``: configuration space, DMA, the pin.

The card itself only finds the part: a register access is a look-up by index, either of
a method or, for registers that just keep their bits, of a mask. Everything happens
inside the call, at one instant; three timers (mitigation, auto-negotiation, hold-off)
are the only things that happen later.

A write with 8 or 16 bits replaces the *whole* register with its zero-extended value,
and a read shows the register's low part whatever the offset modulo 4; so does QEMU,
whose model knows 32-bit accesses only. An access that is not aligned to its size comes
as QEMU's TCG makes it (accel/tcg/cputlb.c): a read is two reads of the same size, at
the aligned addresses around it, of which each gives its register *whole*, side effects
and all, before they are shifted and joined; a write is single bytes, lowest first, each
of which replaces a register. (KVM hands the access over in one piece, and QEMU's memory
core splits it into aligned ones.)

Labelled as modelled, because no recording shows it: accesses while memory space is off
(reads give 0), a bus reset in the middle of things.

With ``semantics="datasheet"`` interrupts, receiver and transmitter are those of
``datasheet.py``: the delay timers and ITR as Intel's manual has them, and a wire that
takes time. All else stays as in QEMU.

Not modelled: migration, the write coalescing of KVM. A write of CTRL.RST resets
nothing, in QEMU as here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from desim.devices import Nic
from desim.e1000.eeprom import Eeprom
from desim.e1000.interrupts import InterruptObserver, Interrupts
from desim.e1000.pci import COMMAND, MODELS, PciFunction
from desim.e1000.phy import Phy
from desim.e1000.receive import Receiver
from desim.e1000.registers import (
    CLEAR_ON_READ,
    DATASHEET_TABLE,
    EECD,
    EERD,
    GORCH,
    GOTCH,
    ICR,
    MAC,
    MDIC,
    MIT,
    RA,
    RAH_AV,
    RCTL,
    RDT,
    REGISTERS_COUNT,
    RESET,
    TABLE,
    TCTL,
    TDT,
    TORH,
    TOTH,
    VET,
    Gate,
)
from desim.e1000.transmit import Transmitter
from desim.ports import Clock, Ledger, NetPort, PciBus
from desim.reasons import Reason
from desim.stages import QEMU, Build, bare, mark, stages
from desim.wire.frame import Frame

FILE = "hw/net/e1000.c"
ETH_P_VLAN = 0x8100

ReadOp = Callable[[int], int]
WriteOp = Callable[[int, int], None]


def _check(nic: Nic) -> None:
    """Descriptions come from anywhere, also from code that no type checker has seen."""
    if nic.model not in MODELS:
        raise ValueError(f"no such model: {nic.model!r}; there are {', '.join(MODELS)}")
    if len(nic.mac) != 6:
        raise ValueError(f"a MAC address has 6 bytes, not {len(nic.mac)}: {nic.mac.hex(':')}")
    if nic.semantics not in ("qemu", "datasheet"):
        raise ValueError(f"no such semantics: {nic.semantics!r}; there are qemu, datasheet")


def _parts(nic: Nic) -> tuple[type[Interrupts], type[Receiver], type[Transmitter]]:
    """What the card is made of, by its timing behaviour."""
    if nic.semantics == "qemu":
        return Interrupts, Receiver, Transmitter
    from desim.e1000.datasheet import DatasheetInterrupts, DatasheetReceiver, DatasheetTransmitter

    return DatasheetInterrupts, DatasheetReceiver, DatasheetTransmitter


class E1000:
    """One card. It is driven by a driver's accesses, the net layer's calls and its own timers.

    ``nic`` has its properties; ``nic.mac`` is the address in the EEPROM and, after a
    reset, in the first receive address register. ``observer`` is told about interrupts and
    their mitigation. Raises ``ValueError`` for an unknown model, unknown semantics or a MAC
    that is not 6 bytes.
    """

    STAGES = stages(
        QEMU,
        e1000_mmio_read=mark("e1000_mmio_read", file=FILE),
        e1000_mmio_write=mark("e1000_mmio_write", file=FILE),
        mac_read_clr4=mark("mac_read_clr4", file=FILE),
        mac_read_clr8=mark("mac_read_clr8", file=FILE),
        e1000_reset=mark("e1000_reset", file=FILE),
    )

    def __init__(
        self,
        *,
        clock: Clock,
        pci: PciBus,
        net: NetPort,
        ledger: Ledger,
        nic: Nic,
        build: Build = bare,
        observer: InterruptObserver | None = None,
    ) -> None:
        _check(nic)
        kind = MODELS[nic.model]
        self.nic = nic
        self.net = net
        self.mac_reg: list[int] = []  # a reset fills it
        mac_reg = self.mac_reg
        self.pci = build(PciFunction)(bus=pci, device_id=kind.device_id)
        interrupts, receiver, transmitter = _parts(nic)
        self.interrupts = build(interrupts)(
            mac_reg=mac_reg,
            clock=clock,
            pci_set_irq=self.pci.set_irq,
            mitigation=nic.mitigation,
            observer=observer,
        )
        set_ics = self.interrupts.set_ics
        self.eeprom = build(Eeprom)(mac_reg=mac_reg, mac=nic.mac, device_id=kind.device_id)
        self.phy = build(Phy)(
            mac_reg=mac_reg,
            clock=clock,
            net=net,
            set_ics=set_ics,
            phy_id2=kind.phy_id2,
            autonegotiation=nic.autonegotiation,
        )
        self.rx = build(receiver)(
            mac_reg=mac_reg,
            clock=clock,
            pci=self.pci,
            net=net,
            ledger=ledger,
            set_ics=self.interrupts.receive_causes,
        )
        self.tx = build(transmitter)(
            mac_reg=mac_reg,
            pci=self.pci,
            net=net,
            ledger=ledger,
            phy=self.phy,
            interrupts=self.interrupts,
        )
        # NOTE: bound, not written out: the net layer asks before each frame (2 calls a frame).
        self.can_receive: Callable[[], bool] = self.rx.can_receive
        """Whether a frame sent now would be taken."""
        self.receive: Callable[[Frame], int] = self.rx.entrance
        """Take a frame: > 0 taken or filtered out, 0 not now, < 0 lost."""
        self._wire({None: True, MIT: nic.mitigation, MAC: nic.extra_mac_registers})
        self.e1000_reset()

    def _wire(self, there: dict[Gate | None, bool]) -> None:
        """Make from ``registers.TABLE`` which row each register belongs to, and what a read and a
        write of that row do: four columns, of an operation or else a mask."""
        readops: dict[int, ReadOp] = {
            ICR: self.interrupts.mac_icr_read,
            EECD: self.eeprom.get_eecd,
            EERD: self.eeprom.flash_eerd_read,
        }
        writeops: dict[int, WriteOp] = {
            **self.interrupts.writeops(),
            RCTL: self.rx.set_rx_control,
            RDT: self.rx.set_rdt,
            TCTL: self.tx.set_tctl,
            TDT: self.tx.set_tctl,
            MDIC: self.phy.set_mdic,
            EECD: self.eeprom.set_eecd,
        }
        table = TABLE if self.nic.semantics == "qemu" else DATASHEET_TABLE
        # Row 0 is registers that are not there.
        row_of = bytearray(REGISTERS_COUNT)
        reading: list[ReadOp | None] = [None]
        writing: list[WriteOp | None] = [self._ignored]
        read_mask, write_mask = [0], [0]
        for number, row in enumerate(table, 1):
            first = row.first
            if row.name in CLEAR_ON_READ:
                pair = first in (GORCH, GOTCH, TORH, TOTH)
                readops[first] = self.mac_read_clr8 if pair else self.mac_read_clr4
            # Of registers in a row that are not there only the first is missing, as in QEMU.
            begin, end = first + (not there[row.gate]), first + row.length
            row_of[begin:end] = bytes((number,)) * (end - begin)
            reading += (readops[first] if row.reads is None else None,)
            read_mask += (row.reads or 0,)
            ignored = None if row.writes is not None else self._ignored
            writing += (ignored and writeops.get(first, ignored),)
            write_mask += (row.writes or 0,)
        # They are the same for ever (and so no part of what ``desim.machine.state`` puts back).
        self._row_of = bytes(row_of)
        self._readops, self._writeops = tuple(reading), tuple(writing)
        self._read_mask, self._write_mask = tuple(read_mask), tuple(write_mask)

    # Registers (BAR0)

    def mmio_read(self, offset: int, size: int = 4) -> int:
        """What the driver gets for a read of ``size`` (1, 2 or 4) bytes at ``offset``."""
        beyond = offset & size - 1
        if not beyond:
            value = self.e1000_mmio_read(offset)
        else:
            first = self.e1000_mmio_read(offset - beyond)
            second = self.e1000_mmio_read(offset - beyond + size)
            value = first >> 8 * beyond | second << 8 * (size - beyond)
        return value & (1 << 8 * size) - 1

    def mmio_write(self, offset: int, value: int, size: int = 4) -> None:
        """The driver's write of ``size`` (1, 2 or 4) bytes at ``offset``."""
        if not offset & size - 1:
            self.e1000_mmio_write(offset, value & (1 << 8 * size) - 1)
            return
        for n in range(size):
            self.e1000_mmio_write(offset + n, value >> 8 * n & 0xFF)

    def e1000_mmio_read(self, offset: int) -> int:
        """The register at ``offset``, with the read's side effects."""
        if not self.pci.memory_enabled:
            return 0
        index = (offset & 0x1FFFF) >> 2
        row = self._row_of[index]
        op = self._readops[row]
        if op is None:
            return self.mac_reg[index] & self._read_mask[row]
        return op(index)

    def e1000_mmio_write(self, offset: int, value: int) -> None:
        """Write the register at ``offset``, with everything that follows from it."""
        if not self.pci.memory_enabled:
            return
        index = (offset & 0x1FFFF) >> 2
        row = self._row_of[index]
        op = self._writeops[row]
        if op is None:
            self.mac_reg[index] = value & self._write_mask[row]
        else:
            op(index, value)

    def quiet_read(self, offset: int) -> tuple[str, Callable[[], int]] | None:
        """What a read at ``offset`` does if that is all it does: gives bits, or clears them too.

        With it, which method that is ("" for none): all reads by one method enter the same
        stages. None for a register whose read makes something happen.
        """
        index = (offset & 0x1FFFF) >> 2
        row, mac_reg = self._row_of[index], self.mac_reg
        op = self._readops[row]
        if op is None:
            mask = self._read_mask[row]
            return "", lambda: mac_reg[index] & mask
        # The methods themselves, without what is recorded of them.
        if op == self.mac_read_clr4:
            return "mac_read_clr4", partial(E1000.mac_read_clr4, self, index)
        if op == self.mac_read_clr8:
            return "mac_read_clr8", partial(E1000.mac_read_clr8, self, index)
        if op == self.eeprom.get_eecd:
            return "get_eecd", partial(Eeprom.get_eecd, self.eeprom, index)
        return None

    def quiet_write(self, offset: int) -> tuple[str, Callable[[Iterable[int]], None]] | None:
        """The same for writes, one after the other, that keep bits or move the EEPROM's pins."""
        index = (offset & 0x1FFFF) >> 2
        row = self._row_of[index]
        op = self._writeops[row]
        if op is None:
            mac_reg, mask = self.mac_reg, self._write_mask[row]

            def keep(values: Iterable[int]) -> None:
                for value in values:
                    mac_reg[index] = value & mask

            return "", keep
        if op == self.eeprom.set_eecd:
            return "set_eecd", self.eeprom.set_pins
        return None

    def quiet_clock_in(self, offset: int) -> Callable[[int, int, int, int], list[int]] | None:
        """The same for bits that are clocked in there (``Mmio.clock_in``), if there are pins."""
        row = self._row_of[(offset & 0x1FFFF) >> 2]
        if self._writeops[row] == self.eeprom.set_eecd:
            return self.eeprom.clock_in
        return None

    def mac_read_clr4(self, index: int) -> int:
        """A statistics register that a read clears."""
        value = self.mac_reg[index]
        self.mac_reg[index] = 0
        return value

    def mac_read_clr8(self, index: int) -> int:
        """The high half of an octet counter; the low half is cleared with it."""
        value = self.mac_reg[index]
        self.mac_reg[index] = self.mac_reg[index - 1] = 0
        return value

    def _ignored(self, index: int, value: int) -> None:
        """Read-only, not there, or gated by a property that is off."""

    # I/O (BAR1) and configuration space

    def io_read(self, offset: int, size: int = 4) -> int:
        """QEMU's I/O window reads 0, and so does this."""
        return 0

    def io_write(self, offset: int, value: int, size: int = 4) -> None:
        """QEMU's I/O window ignores writes, a reset through it included."""

    def config_read(self, offset: int, size: int = 4) -> int:
        """Read ``size`` bytes of PCI configuration space."""
        return self.pci.read(offset, size)

    def config_write(self, offset: int, value: int, size: int = 4) -> None:
        """Write PCI configuration space; a write with bus master set lets in what waits."""
        self.pci.write(offset, value, size)
        if offset <= COMMAND < offset + size and self.pci.bus_master:
            self.rx.try_again()

    # Reset

    def reset(self) -> None:
        """Power-on or bus reset: registers, configuration space, timers, line."""
        self.e1000_reset()
        self.pci.reset()

    def e1000_reset(self) -> None:
        """The device's own part of a reset."""
        self.interrupts.reset()
        self.rx.reset()
        self.tx.reset()
        mac_reg = self.mac_reg
        mac_reg[:] = [0]
        mac_reg *= REGISTERS_COUNT
        for index, value in RESET.items():
            mac_reg[index] = value
        if self.nic.init_vet:
            mac_reg[VET] = ETH_P_VLAN
        mac = self.nic.mac
        mac_reg[RA] = int.from_bytes(mac[:4], "little")
        mac_reg[RA + 1] = RAH_AV | int.from_bytes(mac[4:], "little")
        self.phy.reset()

    # The net layer's side (NetClient)

    def blocked_by(self) -> Reason | None:
        """Why ``can_receive`` says no, in words; None if it says yes."""
        return self.rx.blocked_by()

    def set_link(self, up: bool) -> None:
        """The link went up or down from outside."""
        self.phy.e1000_set_link_status(up)

    @property
    def irq_level(self) -> bool:
        """The level of INTA# as the card drives it; INTx disable comes after it."""
        return self.pci.irq_state
