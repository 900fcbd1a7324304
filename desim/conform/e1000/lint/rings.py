"""Rules about the two rings of descriptors, and about what has to be on for them to run."""

from __future__ import annotations

from desim.conform.e1000.lint.log import (
    LENGTH_MASK,
    RX,
    TX,
    Access,
    HandedOver,
    Log,
    LookedAt,
    Ring,
)
from desim.conform.e1000.lint.registers import name_of
from desim.conform.e1000.lint.rule import Found, Noted, Rule, Yields
from desim.e1000.receive import DESCRIPTOR_LEN
from desim.e1000.registers import IMS, RDBAH, RDBAL, RDLEN, RDT, TDLEN, TDT, TXDW

LENGTH_UNIT = 128
"""RDLEN and TDLEN: eight descriptors."""


def starts(log: Log, ring: Ring, access: Access) -> bool:
    """Whether ``access`` switches ``ring`` on."""
    enables = access.writes and access.index == ring.control and access.value & ring.enable
    return bool(enables) and not log.running(ring)


def ring_missing(log: Log, access: Access) -> Yields:
    """A ring is switched on, or used, that has no descriptors or no memory."""
    reg = log.reg
    if starts(log, RX, access):
        if not reg.get(RDLEN, 0) & LENGTH_MASK:
            yield Found("reception is enabled with RDLEN 0", RDLEN)
        if RDBAL not in reg and RDBAH not in reg:
            yield Found("reception is enabled, RDBA was never written", RDBAL)
    elif access.writes and access.index == TDT and log.running(TX) and not log.size(TX):
        yield Found("transmit with TDLEN 0: there is no ring", TDLEN)


def ring_length(log: Log, access: Access) -> Yields:
    """A length that is not a multiple of 128 bytes."""
    index, value = access.index, access.value
    if access.writes and index in (RX.length, TX.length) and value % LENGTH_UNIT:
        text = f"{name_of(index)} = {value} is no multiple of {LENGTH_UNIT}"
        yield Found(f"{text}: it becomes {value & LENGTH_MASK}", index)


def ring_base(log: Log, access: Access) -> Yields:
    """An address that is not a multiple of 16 bytes."""
    index, value = access.index, access.value
    if access.writes and index in (RX.base, TX.base) and value % DESCRIPTOR_LEN:
        text = f"{name_of(index)} = 0x{value:x} is no multiple of {DESCRIPTOR_LEN}"
        yield Found(f"{text}: the card uses 0x{value & ~0xF:x}", index)


def head_while_running(log: Log, access: Access) -> Yields:
    """RDH or TDH written while the ring is enabled; the card owns them then."""
    for ring in (RX, TX):
        if access.writes and access.index == ring.head and log.running(ring):
            text = f"{name_of(ring.head)} is written while {ring.name} runs"
            yield Found(text, ring.head)


def tail_beyond_ring(log: Log, access: Access) -> Yields:
    """RDT or TDT behind the last descriptor."""
    for ring in (RX, TX):
        if not access.writes or access.index != ring.tail or ring.length not in log.reg:
            continue
        size = log.size(ring)
        if access.value >= max(size, 1):
            what = "the card never gets there" if ring is RX else "it goes round once and stops"
            yield Found(
                f"{name_of(ring.tail)} = {access.value} lies beyond the ring of {size}: {what}",
                ring.tail,
            )


def rdt_at_rdh(log: Log, access: Access) -> Yields:
    """RDT brought to RDH, which is an empty ring, not a full one; where RDH is known."""
    if not access.writes or access.index != RDT or not log.running(RX):
        return
    if access.value == log.reception.rdh:
        text = f"RDT is brought to RDH ({access.value}): that is an empty ring, not a full one"
        yield Found(text, RDT)


def ring_never_filled(log: Log) -> Yields:
    """Reception is on, and RDT was never brought away from RDH; unless it is on for wake-up.

    Linux switches its receiver on with an empty ring before it powers off, with WUFC
    behind it.
    """
    rx = log.reception
    set_up = RDT in log.reg or RDLEN in log.reg
    if rx.on and not rx.given and not rx.wake_up and set_up:
        yield Found(
            f"reception is enabled, but RDT stays at RDH ({log.reg.get(RDT, 0)}): the ring is "
            "empty, not full, and no frame ever comes",
            RDT,
            rx.on,
        )


def perhaps_at_rdh(log: Log) -> Yields:
    """RDT moved by one more than RXT0 had come, and RXT0 did not come again.

    If each interrupt was one frame, RDT is at RDH: the index of the *next* descriptor was
    written. It is a note, because one interrupt can also have been several frames.
    """
    rx = log.reception
    given = rx.last_given
    if given is not None and rx.seen == 0 < given.seen and given.by == given.seen + 1:
        yield Noted(
            f"RDT = {given.tail} gives back {given.by} descriptors, one more than RXT0 came, "
            "and it does not come again: if each was one frame, RDT is at RDH now, and that is an "
            "empty ring (RDT stays one before the next descriptor to be used)",
            given.where,
        )


def never_given_back(log: Log) -> Yields:
    """RXT0 came at least once for each descriptor that the card had, and RDT stayed."""
    rx = log.reception
    if rx.on and rx.free and rx.seen >= rx.free:
        yield Found(
            f"the card has at most {rx.free} descriptors from here on, RXT0 comes {rx.seen} times, "
            "and RDT is not written again: used descriptors are never given back, and QEMU keeps "
            "all further frames (no RXO)",
            RDT,
            rx.tail or rx.on,
        )


def never_enabled(log: Log) -> Yields:
    """Descriptors are handed over in a log that holds the ring's set-up, but not its enabling."""
    rx = log.reception
    if not rx.ever_on and rx.tail and RDLEN in log.reg:
        yield Found(
            "RDT gives descriptors to the card, but RCTL.EN is never set: no frame comes",
            RDT,
            rx.tail,
        )
    if not log.transmits and log.handed and TDLEN in log.reg:
        yield Found(
            "TDT hands descriptors over, but TCTL.EN is never set: nothing is sent",
            TDT,
            log.handed,
        )


def bus_master_off(log: Log, access: Access) -> Yields:
    """A ring is switched on, or its tail moved, while the card reaches no memory."""
    if log.bus_master is not False:
        return
    for ring in (RX, TX):
        moved = access.writes and access.index == ring.tail and log.running(ring)
        if moved or starts(log, ring, access):
            text = f"{ring.name} without the bus master bit: the card reaches no memory"
            yield Found(text, ring.control)


def txdw_without_rs(log: Log, handed: HandedOver) -> Yields:
    """TXDW is enabled, and no descriptor of a TDT write asks for it."""
    descriptors = handed.descriptors
    if log.reg.get(IMS, 0) & TXDW and descriptors and not any(rs for _, rs in descriptors):
        yield Found(f"TXDW is enabled, but none of the {len(descriptors)} descriptors has RS", TDT)


def dd_without_rs(log: Log, look: LookedAt) -> Yields:
    """The driver looks at the status of a descriptor without RS, and DD is not there."""
    for status, where in log.silent.items():
        at = status - look.address
        if 0 <= at < len(look.data) and not look.data[at] & 1:
            yield Found(
                f"waits for DD at 0x{status:x}, but the descriptor ({where}) has no RS", TDT
            )


RULES = (
    Rule(
        name="ring-missing",
        source="8254x manual 14.4, 14.5 (receive, transmit initialization)",
        access=ring_missing,
    ),
    Rule(
        name="ring-length",
        source="8254x manual 13.4.27, 13.4.38 (RDLEN, TDLEN: 128-byte aligned)",
        access=ring_length,
    ),
    Rule(
        name="ring-base",
        source="8254x manual 13.4.25, 13.4.36 (RDBAL, TDBAL: 16-byte aligned)",
        access=ring_base,
    ),
    Rule(
        name="rdt-at-rdh",
        source="8254x manual 3.2.6 (head = tail: no descriptors); QEMU set_rdt",
        access=rdt_at_rdh,
        end=ring_never_filled,
    ),
    Rule(
        name="perhaps-at-rdh",
        source="8254x manual 3.2.6 (head = tail: no descriptors); QEMU set_rdt",
        end=perhaps_at_rdh,
    ),
    Rule(
        name="never-given-back",
        source="8254x manual 3.2.6 (RDT); QEMU e1000_has_rxbufs (recorded)",
        end=never_given_back,
    ),
    Rule(
        name="never-enabled",
        source="8254x manual 14.4, 14.5 (RCTL.EN, TCTL.EN); QEMU e1000x_hw_rx_enabled, start_xmit",
        end=never_enabled,
    ),
    Rule(
        name="tail-beyond-ring",
        source="8254x manual 13.4.29, 13.4.40 (RDT, TDT); QEMU start_xmit",
        access=tail_beyond_ring,
    ),
    Rule(
        name="head-while-running",
        source="8254x manual 13.4.28, 13.4.39 (RDH, TDH)",
        access=head_while_running,
    ),
    Rule(
        name="no-report-status",
        source="8254x manual 3.3.3.1, note 2 (DD only with RS)",
        handed_over=txdw_without_rs,
        looked_at=dd_without_rs,
    ),
    Rule(
        name="bus-master-off",
        source="8254x manual 4.1 (PCI command); QEMU e1000_can_receive",
        access=bus_master_off,
    ),
)
