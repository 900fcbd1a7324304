"""The card's second timing behaviour: delays and ITR as Intel's manual defines them.

PCI/PCI-X Family of Gigabit Ethernet Controllers, Software Developer's Manual, for the
82540EM: 3.2.7.1 (receive interrupts), 3.3.3.1 and 3.3.7.1 (IDE), 13.4.17, 13.4.18 (ITR),
13.4.30 (RDTR), 13.4.31 (RADV), 13.4.41 (TIDV), 13.4.44 (TADV), 13.4.45.

Theory of operation
-------------------
*Receive delay.* A packet that has been written to memory loads the packet timer with
RDTR (in 1.024 us), also when it already counts; if RADV is not 0 it starts the absolute
timer, unless that already counts. Whichever expires raises RXT0 and halts the other.
RDTR = 0: RXT0 at once, and no absolute timer. A write of RDTR with FPD raises RXT0 now.

*Transmit delay.* The write-back of a descriptor with RS and IDE loads TIDV, also when
it already counts, and starts TADV if that is not 0 and does not count. Whichever
expires raises TXDW and halts the other. Without IDE TXDW comes with the write-back,
and both timers are halted.

*Throttling.* After a rising edge of the line the next one comes ITR * 256 ns later at
the earliest; 0 throttles nothing. Causes that come meanwhile wait in ICR.

*The wire* takes its time (``wire_time``). Towards the card it carries one frame at a
time; the others wait in the sender's queue, which is the net layer's. A frame that
arrives without a descriptor waits in the receive FIFO (RNBC) of PBA's size; one that
does not fit is lost (RXO, MPC). Out of the card frames wait in the transmit FIFO, the
rest of the 64 KiB: a descriptor is taken when its bytes fit. TXQE comes when the ring
has run empty.

Where the manual is silent, this is modelled: a changed delay or ITR counts from the next
start on; a TIDV of 0 ("not allowed") is no delay; a frame goes from FIFO to memory when
there are descriptors for the whole of it; a descriptor larger than the transmit FIFO
is taken when that is empty; DMA takes no time; frames that wait in the FIFO have passed
the filter; in PHY loopback a frame takes the wire's time twice.

Unlike QEMU: no hold-off after RCTL writes, no 128 us floor, frames that arrive while
the receiver is off are lost. All that is not time stays as in QEMU: RXDMT0 as a level,
immediate write-back (no thresholds), causes that QEMU never raises, CTRL.RST, absent
registers (but TIDV). ``mitigation=off`` takes the five registers away, as in QEMU.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from desim.e1000 import reasons
from desim.e1000.interrupts import MIT_UNIT_NS, InterruptObserver, Interrupts
from desim.e1000.pci import ADDRESS_MASK, PciFunction
from desim.e1000.phy import Phy
from desim.e1000.receive import FILE, Receiver, rxbuf_size
from desim.e1000.registers import (
    ITR,
    MPC,
    PBA,
    RADV,
    RCTL,
    RCTL_EN,
    RDLEN,
    RDT,
    RDTR,
    RNBC,
    RXO,
    RXT0,
    STATUS,
    STATUS_LU,
    TADV,
    TCTL,
    TCTL_EN,
    TDBAH,
    TDBAL,
    TDH,
    TDLEN,
    TDT,
    TIDV,
    TXDW,
    TXQE,
    cause_names,
)
from desim.e1000.statistics import inc_reg_if_not_full
from desim.e1000.transmit import (
    DD,
    DESCRIPTOR,
    DESCRIPTOR_LEN,
    DEXT,
    DTYP_D,
    EC_LC_TU,
    IDE,
    RPS,
    RS,
    UPPER,
    Transmitter,
)
from desim.e1000.wire_time import Line
from desim.ports import Clock, Ledger, NetPort
from desim.reasons import Reason
from desim.stages import QEMU, mark, stages
from desim.wire.frame import FCS_LEN, Frame

DELAY_UNIT_NS = 1024
"""Of RDTR, RADV, TIDV and TADV."""
FPD = 1 << 31
"""RDTR: flush partial descriptor block; clears itself."""

FIFO_KB = 64
"""Receive and transmit FIFO together (PBA, 13.4.16)."""


class DelayTimers:
    """A relative timer, loaded again by each event, and an absolute one, started by the first.

    They are named after their registers, and keep back a cause of ``interrupts``. Whichever
    expires raises it and halts the other.
    """

    __slots__ = ("_begin", "_cause", "_interrupts", "absolute", "names", "relative")

    def __init__(
        self, interrupts: DatasheetInterrupts, cause: int, *, relative: str, absolute: str
    ) -> None:
        clock = interrupts.clock
        self._interrupts = interrupts
        self._cause = cause
        self._begin: int | None = None
        """Since when they count, if somebody observes."""
        self.names = relative, absolute
        self.relative = clock.timer(f"e1000.{relative}", lambda: self._expire(relative))
        self.absolute = clock.timer(f"e1000.{absolute}", lambda: self._expire(absolute))

    def count(self, relative: int, absolute: int) -> None:
        """An event, with both registers' values."""
        now = self._interrupts.clock.now()
        self.relative.arm(now + relative * DELAY_UNIT_NS)
        if absolute and self.absolute.deadline is None:
            self.absolute.arm(now + absolute * DELAY_UNIT_NS)
        if self._interrupts.observer is not None and self._begin is None:
            self._begin = now
            self._tell_begin(self._interrupts.observer, now, relative, absolute)

    def halt(self) -> None:
        """Stop both; the next event starts them anew."""
        relative, absolute = self.relative.deadline, self.absolute.deadline
        first = relative is None or absolute is None or relative <= absolute
        self._stop(self.names[0] if first else self.names[1], True)

    def _expire(self, by: str) -> None:
        self._stop(by, False)
        self._interrupts.set_ics(0, self._cause)

    def _stop(self, by: str, cut: bool) -> None:
        self.relative.cancel()
        self.absolute.cancel()
        interrupts, begin = self._interrupts, self._begin
        if interrupts.observer is not None and begin is not None:
            self._begin = None
            waited_ns = interrupts.clock.now() - begin
            (holds,) = cause_names(self._cause)
            interrupts.observer.mitigation_ended(holds, self._cause, by, begin, waited_ns, cut)

    def _tell_begin(
        self, observer: InterruptObserver, now: int, relative: int, absolute: int
    ) -> None:
        first = not absolute or relative <= absolute
        by, length = (self.names[0], relative) if first else (self.names[1], absolute)
        length_ns = length * DELAY_UNIT_NS
        (holds,) = cause_names(self._cause)
        itr_ns = self._interrupts.mac_reg[ITR] * MIT_UNIT_NS
        observer.mitigation_begun(holds, self._cause, by, now + length_ns, by, length_ns, itr_ns)


class DatasheetInterrupts(Interrupts):
    """Owns, besides, the four delay timers."""

    __slots__ = ("rx_delay", "tx_delay")

    def __init__(
        self,
        *,
        mac_reg: list[int],
        clock: Clock,
        pci_set_irq: Callable[[bool], None],
        mitigation: bool,
        observer: InterruptObserver | None = None,
    ) -> None:
        super().__init__(
            mac_reg=mac_reg,
            clock=clock,
            pci_set_irq=pci_set_irq,
            mitigation=mitigation,
            observer=observer,
        )
        self.rx_delay = DelayTimers(self, RXT0, relative="RDTR", absolute="RADV")
        self.tx_delay = DelayTimers(self, TXDW, relative="TIDV", absolute="TADV")
        self.receive_causes = self._packet_stored

    def reset(self) -> None:
        """Also halt the delay timers."""
        super().reset()
        self.rx_delay.halt()
        self.tx_delay.halt()

    def _close_window(self, pending: int) -> None:
        """13.4.18: the next edge comes ITR later at the earliest."""
        interval = self.mac_reg[ITR]
        if interval:
            self._begin_window(interval, "ITR", pending, "ITR", interval)

    def _packet_stored(self, index: int, val: int) -> None:
        """3.2.7.1: RXT0 waits for the timers; other causes of the receiver do not."""
        mac_reg = self.mac_reg
        if val & RXT0 and mac_reg[RDTR]:
            self.rx_delay.count(mac_reg[RDTR], mac_reg[RADV])
            val &= ~RXT0
        if val & RXT0:
            self.rx_delay.halt()
        if val:
            self.set_ics(0, val)

    def writeops(self) -> dict[int, Callable[[int, int], None]]:
        return super().writeops() | {RDTR: self.set_rdtr}

    def set_rdtr(self, index: int, val: int) -> None:
        """13.4.30: with FPD the timer expires at once."""
        self.mac_reg[RDTR] = val & 0xFFFF
        if val & FPD:
            self.rx_delay.halt()
            self.set_ics(0, RXT0)

    def written_back(self, ide: bool) -> None:
        """3.3.7.1: a transmit descriptor with RS has been written back."""
        mac_reg = self.mac_reg
        if ide and mac_reg[TIDV]:
            self.tx_delay.count(mac_reg[TIDV], mac_reg[TADV])
        else:
            self.tx_delay.halt()
            self.set_ics(0, TXDW)


class DatasheetReceiver(Receiver):
    """Owns, besides, the wire towards the card and the receive FIFO."""

    STAGES = stages(
        QEMU,
        set_rx_control=mark("set_rx_control", file=FILE),
        set_rdt=mark("set_rdt", file=FILE),
    )

    __slots__ = ("fifo", "fifo_bytes", "line")

    def __init__(
        self,
        *,
        mac_reg: list[int],
        clock: Clock,
        pci: PciFunction,
        net: NetPort,
        ledger: Ledger,
        set_ics: Callable[[int, int], None],
    ) -> None:
        super().__init__(
            mac_reg=mac_reg, clock=clock, pci=pci, net=net, ledger=ledger, set_ics=set_ics
        )
        self.line = Line(clock=clock, name="e1000.receive wire", deliver=self._arrived)
        self.fifo: deque[Frame] = deque()
        self.fifo_bytes = 0
        self.entrance = self._put_on_wire

    def reset(self) -> None:
        """What is on the wire or in the FIFO is gone."""
        super().reset()
        for frame in (*self.fifo, *self.line.clear()):
            self.ledger.lost(frame, "e1000", reasons.RESET)
        self.fifo.clear()
        self.fifo_bytes = 0

    def set_rx_control(self, index: int, val: int) -> None:
        """13.4.22. No hold-off: that is QEMU's own."""
        self.mac_reg[RCTL] = val
        self.rxbuf_size = rxbuf_size(val)
        self.rxbuf_min_shift = (val >> 8 & 3) + 1
        self.try_again()

    def set_rdt(self, index: int, val: int) -> None:
        """13.4.29: descriptors for what waits in the FIFO."""
        self.mac_reg[RDT] = val & 0xFFFF
        self.try_again()

    def try_again(self) -> None:
        """From FIFO to memory, as far as there are descriptors."""
        fifo = self.fifo
        while fifo and self._has_room(fifo[0]):
            frame = fifo.popleft()
            self.fifo_bytes -= len(frame.raw) + FCS_LEN
            super()._store(frame)

    def can_receive(self) -> bool:
        """Whether the wire is free; what is at its end does not matter to the sender."""
        return not self.line.frames

    def blocked_by(self) -> Reason | None:
        """Why ``can_receive`` says no."""
        return reasons.WIRE_BUSY if self.line.frames else None

    def _put_on_wire(self, frame: Frame) -> int:
        if self.line.frames:
            self.ledger.held(frame, "e1000", reasons.WIRE_BUSY)
            return 0
        self.line.send(frame)
        return len(frame.raw)

    def _arrived(self, frame: Frame) -> None:
        mac_reg = self.mac_reg
        if not mac_reg[STATUS] & STATUS_LU:
            self.ledger.lost(frame, "e1000", reasons.LINK_DOWN_ON_ARRIVAL)
        elif not mac_reg[RCTL] & RCTL_EN:
            self.ledger.lost(frame, "e1000", reasons.RECEIVER_OFF_ON_ARRIVAL)
        else:
            self.e1000_receive_iov(frame)
        self.net.flush()

    def _has_room(self, frame: Frame) -> bool:
        """Descriptors for all of it, or so few in the whole ring that it never fits."""
        mac_reg = self.mac_reg
        if not self.pci.bus_master or not mac_reg[RCTL] & RCTL_EN:
            return False
        size = len(frame.raw) + FCS_LEN
        return self.has_rxbufs(size) or size > self.rxbuf_size * (
            mac_reg[RDLEN] // DESCRIPTOR_LEN - 1
        )

    def _store(self, frame: Frame) -> int:
        if not self.fifo and self._has_room(frame):
            return super()._store(frame)
        mac_reg = self.mac_reg
        size = len(frame.raw) + FCS_LEN
        inc_reg_if_not_full(mac_reg, RNBC)
        if self.fifo_bytes + size > receive_fifo_kb(mac_reg) * 1024:
            inc_reg_if_not_full(mac_reg, MPC)
            self.ledger.lost(frame, "e1000", reasons.FIFO_FULL)
            self.set_ics(0, RXO)
            return -1
        self.ledger.held(frame, "e1000", reasons.IN_FIFO)
        self.fifo.append(frame)
        self.fifo_bytes += size
        return len(frame.raw)


class DatasheetTransmitter(Transmitter):
    """Owns, besides, the transmit FIFO and the wire behind it."""

    STAGES = stages(
        QEMU,
        start_xmit=mark("start_xmit", file=FILE),
    )

    __slots__ = ("line", "stalled")

    def __init__(
        self,
        *,
        mac_reg: list[int],
        pci: PciFunction,
        net: NetPort,
        ledger: Ledger,
        phy: Phy,
        interrupts: Interrupts,
    ) -> None:
        self.line = Line(clock=interrupts.clock, name="e1000.transmit wire", deliver=self._left)
        self.stalled = False
        """Whether a descriptor waits for room in the FIFO."""
        super().__init__(
            mac_reg=mac_reg, pci=pci, net=net, ledger=ledger, phy=phy, interrupts=interrupts
        )
        self.emit = self.line.send

    def reset(self) -> None:
        """What waits in the FIFO is gone."""
        super().reset()
        self.stalled = False
        for frame in self.line.clear():
            self.ledger.lost(frame, "e1000", reasons.RESET)

    def start_xmit(self) -> None:
        """Take descriptors while their bytes fit into the FIFO."""
        mac_reg = self.mac_reg
        interrupts = self.interrupts
        assert isinstance(interrupts, DatasheetInterrupts), "both parts have the same semantics"
        if not mac_reg[TCTL] & TCTL_EN or self.busy:
            return
        self.busy = True
        self.stalled = False
        pci = self.pci
        base = mac_reg[TDBAH] << 32 | mac_reg[TDBAL] & ~0xF
        tdlen = mac_reg[TDLEN]
        tdt = mac_reg[TDT]
        tdh = tdh_start = mac_reg[TDH]
        cause = 0
        while tdh != tdt:
            at = base + tdh * DESCRIPTOR_LEN & ADDRESS_MASK
            descriptor = pci.dma().read(at, DESCRIPTOR_LEN)
            address, lower, upper = DESCRIPTOR.unpack(descriptor)
            if not self._fits(lower):
                # A tail beyond the ring is never reached: going on would have no end.
                self.stalled = tdt * DESCRIPTOR_LEN < tdlen
                break
            self.process_tx_desc(descriptor, address, lower, upper)
            if lower & (RS | RPS):
                upper = (upper | DD) & ~EC_LC_TU
                pci.dma().write(at + UPPER, upper.to_bytes(4, "little"))
                interrupts.written_back(lower & IDE != 0)
            tdh += 1
            if tdh * DESCRIPTOR_LEN >= tdlen:
                tdh = 0
            mac_reg[TDH] = tdh
            if tdh == tdt:
                cause = TXQE
            # Only bogus TDT or TDLEN get here: once round is enough.
            if tdh == tdh_start or tdh_start >= tdlen // DESCRIPTOR_LEN:
                break
        self.busy = False
        if cause:
            self.set_ics(0, cause)

    def _fits(self, lower: int) -> bool:
        """13.4.45: the FIFO has room for all of a descriptor's bytes, or nothing else in it."""
        kind = lower & (DEXT | DTYP_D)
        if kind == DEXT or not self.line.waiting:
            return True
        room = (FIFO_KB - receive_fifo_kb(self.mac_reg)) * 1024
        return self.line.waiting + self.size + (lower & 0xFFFF) <= room

    def _left(self, frame: Frame) -> None:
        """The last bit of ``frame`` is out: the other end has it, the FIFO its room back."""
        self.e1000_send_packet(frame)
        if self.stalled:
            self.start_xmit()


def receive_fifo_kb(mac_reg: list[int]) -> int:
    """PBA's receive part; what it leaves of the 64 KiB is the transmit part."""
    return min(max(mac_reg[PBA] & 0xFFFF, 1), FIFO_KB - 1)
