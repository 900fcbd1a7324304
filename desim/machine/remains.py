"""What a machine is left with when its run is over: sockets, timers, counters, rings, registers.

Taken when somebody asks for it, so that a run nobody asks costs nothing. All of it is plain
data: laws about how a run ends (``desim.laws``) and marks of rare branches (``desim.fuzz``) read
it where the machine itself is gone already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from desim.data import NamedTuple
from desim.e1000.registers import ICR, IMS, RDH, RDT, TDH, TDT
from desim.guest.drivers.e1000 import E1000Driver
from desim.slirp.socket import SS_FACCEPTCONN
from desim.slirp.tcp_var import TCPSTATES

if TYPE_CHECKING:
    from desim.guest.drivers.e1000.rx import RxRing
    from desim.guest.drivers.e1000.tx import TxRing
    from desim.machine.machine import Machine

DESCRIPTOR_LEN = 16


class RingRemains(NamedTuple):
    """A ring of the card, as its driver and as the card see it. All are indices of descriptors."""

    size: int
    """How many descriptors there are."""
    next_to_clean: int
    """The driver: the first that it has not looked at."""
    next_to_use: int
    """The driver: the first that it has not given to the card."""
    head: int
    """The card: the first that it has not used (RDH, TDH)."""
    tail: int
    """The card: the first that is not its own (RDT, TDT)."""
    descriptors: bytes
    """All of them, one behind the other, as they stand in the guest's memory."""
    buffers: tuple[int, ...]
    """Reception: the address behind each descriptor, as the driver keeps it; 0 for none."""


class CardRemains(NamedTuple):
    """The card's interrupt, and the rings if the driver is Linux's."""

    causes: int
    """ICR"""
    mask: int
    """IMS"""
    level: bool
    """Whether the line is high."""
    opens_ns: int | None
    """When the window of mitigation opens; None if none is closed."""
    rx: RingRemains | None
    tx: RingRemains | None


class Remains(NamedTuple):
    """What one machine is left with."""

    end_ns: int
    sockets: tuple[str, ...]
    """The guest's TCP connections, each with its state; no listeners."""
    blocks: tuple[str, ...]
    """Those of slirp, each with its state and timers."""
    timers: tuple[str, ...]
    """The names of the guest's TCP timers that are armed."""
    idle: bool
    """Whether neither the guest's stack nor slirp would do anything by itself."""
    unpolled: bool
    """Whether a received frame waits for the driver and no interrupt tells of it."""
    counters: Mapping[str, Mapping[str, int]]
    """/proc/net/snmp and netstat of the guest: those that have counted, by section."""
    card: CardRemains | None


def remains(machine: Machine) -> Remains:
    """What ``machine``, which has run, is left with."""
    slirp = machine.qemu.slirp
    stack = machine.guest.stack
    return Remains(
        end_ns=machine.end_ns,
        sockets=tuple(
            f"{one.local[1]} {one.remote[1]} {one.state}"
            for one in stack.sockets()
            if one.proto == "tcp" and one.state != "LISTEN"
        ),
        blocks=()
        if slirp is None
        else tuple(
            f"{so.lhost[1]} {so.fhost[1]} {TCPSTATES[so.so_tcpcb.t_state]} "
            f"timers {so.so_tcpcb.t_timer}"
            for so in slirp.tcp_subr.tcb
            if not so.so_state & SS_FACCEPTCONN
        ),
        timers=tuple(
            timer.name for timer in machine.vcpu.wheel.armed() if timer.name.startswith("tcp")
        ),
        idle=stack.idle() and (slirp is None or slirp.idle()),
        unpolled=machine.guest.unpolled(),
        counters=stack.snmp.table(),
        card=_card(machine),
    )


def _card(machine: Machine) -> CardRemains | None:
    card, driver = machine.qemu.card, machine.guest.driver
    if card is None:
        return None
    rx = tx = None
    registers = card.mac_reg
    if isinstance(driver, E1000Driver) and not driver.adapter.down:
        received, sent = driver.rx_ring, driver.tx_ring
        rx = _ring(machine, received, registers[RDH], registers[RDT], tuple(received.buffers))
        tx = _ring(machine, sent, registers[TDH], registers[TDT], ())
    interrupts = card.interrupts
    timer = interrupts.mit_timer
    return CardRemains(
        causes=registers[ICR],
        mask=registers[IMS],
        level=machine.vcpu.pin.level,
        opens_ns=timer.deadline if interrupts.mit_timer_on else None,
        rx=rx,
        tx=tx,
    )


def _ring(
    machine: Machine, ring: RxRing | TxRing, head: int, tail: int, buffers: tuple[int, ...]
) -> RingRemains:
    return RingRemains(
        size=ring.count,
        next_to_clean=ring.next_to_clean,
        next_to_use=ring.next_to_use,
        head=head,
        tail=tail,
        descriptors=machine.memory.read(ring.desc, ring.count * DESCRIPTOR_LEN),
        buffers=buffers,
    )
