"""Rules about RCTL and the receive filters, and about causes that nobody acknowledges."""

from __future__ import annotations

from desim.conform.e1000.decode import decode
from desim.conform.e1000.lint.log import NS_PER_MS, RCTL_LBM, Access, Log
from desim.conform.e1000.lint.rule import Found, Noted, Rule, Yields
from desim.e1000.receive import FLUSH_QUEUE_MS
from desim.e1000.registers import (
    ICR,
    IMC,
    IMS,
    MTA,
    RA,
    RAH_AV,
    RCTL,
    RCTL_EN,
    RCTL_UPE,
    VFTA,
)

FILTERS = frozenset((*range(MTA, MTA + 128), *range(RA, RA + 32), *range(VFTA, VFTA + 128)))


def rctl_rewritten(log: Log, access: Access) -> Yields:
    """RCTL written while receiving; with the filters behind it, as Linux does, a note."""
    if access.writes and access.index not in (IMS, IMC):
        yield from _rewritten(log, access.index)


def rctl_rewritten_at_end(log: Log) -> Yields:
    """The log ends behind such a write."""
    yield from _rewritten(log, -1)


def _rewritten(log: Log, behind: int) -> Yields:
    rctl = log.rewritten
    if rctl is None:
        return
    until = ""
    if rctl.time_ns is not None:
        until = f", until {rctl.time_ns // NS_PER_MS + FLUSH_QUEUE_MS} ms"
    deaf = "each RCTL write makes the card deaf for a second"
    if behind in FILTERS:
        yield Noted(f"RCTL is rewritten with the filters; {deaf}", rctl.where, until)
    else:
        yield Found(f"RCTL is rewritten while receiving; {deaf}{until}", RCTL, rctl.where)


def loopback_mode(log: Log, access: Access) -> Yields:
    """RCTL.LBM, as a self-test sets it."""
    if access.writes and access.index == RCTL and access.value & RCTL_LBM:
        yield Found(
            "RCTL.LBM (loopback) has no effect on QEMU: frames go out and do not come back; it "
            "knows loopback only by bit 14 of the PHY's control register (MDIC)",
            RCTL,
        )


def no_broadcast(log: Log, access: Access) -> Yields:
    """The receiver is switched off, and was never open for broadcasts while it was on."""
    if access.writes and access.index == RCTL and not access.value & RCTL_EN:
        yield from no_broadcast_at_end(log)


def no_broadcast_at_end(log: Log) -> Yields:
    """Reception is on, and no filter lets ARP's or DHCP's broadcasts in.

    BAM does; on QEMU 7.2 MPE does, too, and so does an exact address or a bit of MTA. UPE
    does not. A ring that is empty, a self-test and wake-up are other matters.
    """
    rx = log.reception
    if not rx.on or rx.broadcasts or not rx.given or rx.wake_up:
        return
    if log.reg.get(RCTL, 0) & RCTL_LBM:
        return
    yield Found(
        "reception is enabled without BAM: broadcasts are filtered out (on QEMU MPE lets them in, "
        "UPE does not), so ARP and DHCP never come",
        RCTL,
        rx.on,
    )


def address_not_valid(log: Log) -> Yields:
    """A receive address that was written without AV, which QEMU does not look at.

    What had AV and has lost it was switched off on purpose; but the card's own address, in
    the first entry, is missed unless RCTL.UPE is set.
    """
    reg = log.reg
    for n, rah in enumerate(range(RA + 1, RA + 32, 2)):
        if rah not in reg or reg[rah] & RAH_AV:
            continue
        address = reg.get(rah - 1, 0) or reg[rah] & 0xFFFF
        if address and rah not in log.valid:
            yield Found(
                f"RAH{n} = 0x{reg[rah]:x} has no AV (bit 31): the address is not looked at",
                rah,
                log.written[rah],
            )
        elif n == 0 and log.reception.on and not reg.get(RCTL, 0) & RCTL_UPE:
            yield Found(
                "RAH0 has no AV (bit 31) and RCTL.UPE is clear: no frame to the card's own address "
                "comes",
                rah,
                log.written[rah],
            )


def not_acknowledged(log: Log) -> Yields:
    """A cause that is enabled and has come, and no ICR access behind that.

    Where the log does not show that it has come, that is a note.
    """
    causes = log.causes
    waiting = {bit: where for bit, where in causes.enabled.items() if causes.raised & bit}
    if waiting:
        yield Found(
            f"{decode('ICR', sum(waiting))} is enabled here, it comes, and no ICR read or write "
            "ever acknowledges it: the line stays high",
            ICR,
            next(iter(waiting.values())),
        )
    open_ = {bit: where for bit, where in causes.enabled.items() if bit not in waiting}
    if open_ and not causes.told and not causes.acknowledged:
        yield Noted(
            f"{decode('ICR', sum(open_))} is enabled, and ICR is neither read nor written after "
            "that; whether it comes does not show",
            next(iter(open_.values())),
        )


RULES = (
    Rule(
        name="rctl-rewritten",
        source="QEMU set_rx_control, e1000_flush_queue_timer (recorded)",
        access=rctl_rewritten,
        end=rctl_rewritten_at_end,
    ),
    Rule(
        name="loopback-mode",
        source="8254x manual 13.4.22 (RCTL.LBM) against QEMU e1000_send_packet (recorded)",
        access=loopback_mode,
    ),
    Rule(
        name="no-broadcast",
        source="8254x manual 3.2.1, 13.4.22 (RCTL.BAM); QEMU receive_filter (recorded)",
        access=no_broadcast,
        end=no_broadcast_at_end,
    ),
    Rule(
        name="address-not-valid",
        source="8254x manual 13.5.3 (RAH.AV); QEMU e1000x_rx_group_filter (recorded)",
        end=address_not_valid,
    ),
    Rule(
        name="not-acknowledged",
        source="8254x manual 13.4.17 (ICR); QEMU set_interrupt_cause",
        end=not_acknowledged,
    ),
)
