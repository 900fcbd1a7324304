"""How often the card may interrupt, for each value of the driver's InterruptThrottleRate.

Theory of operation
-------------------
Nothing is typed in here: for each value a guest loads the driver with it and brings its
interface up, so the driver's own code checks the value and programs the card. Then an
edge of the interrupt line is made on the card's registers as they are, and the card's own
mitigation says which window it closes behind it. That window is the shortest interval
between two interrupts, so its inverse is the highest rate.

An edge is that of a received frame (RXT0 pending), or of a sent one (TXDW pending, and
the descriptor asked for a delay, if the driver's descriptors do).

The dynamic modes have a row for each class that traffic can put them into; mode 4 has one
for the time before the watchdog's first pass, and for the two ends of its range.

Not modelled: the window of an edge for which both kinds are pending (the shorter one).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from desim.config import DEFAULT_MODPROBE, SECOND_NS, MachineConfig, RunCommand
from desim.data import NamedTuple
from desim.devices import Nic
from desim.e1000.card import E1000
from desim.e1000.interrupts import MIT_FLOOR, MIT_UNIT_NS, InterruptObserver, Interrupts
from desim.e1000.registers import IMS, ITR, RXT0, TXDW
from desim.guest.drivers.e1000 import E1000Driver
from desim.guest.drivers.e1000.itr import (
    BULK_LATENCY,
    LOW_LATENCY,
    LOWEST_LATENCY,
    RATES,
    itr_register,
    simplified_rate,
)
from desim.machine import Machine
from desim.testing import VirtualClock

FLOOR_NS = MIT_FLOOR * MIT_UNIT_NS
VALUES = (0, 1, 3, 4, 100, 500, 1000, 2000, 4000, 7000, 7812, 8000, 10000, 20000, 50000, 100000)
"""What the table shows without other words."""

_MANY_BYTES = 1 << 30


class Window(NamedTuple):
    """The shortest interval between two interrupts of one kind; 0 ns for none."""

    interval_ns: int
    decided_by: str
    """``ITR``, ``RADV``, ``TADV``, ``floor``, or why there is no window."""
    asked_ns: int
    """What the shortest of the registers asks for, which the floor may overrule; 0: nothing."""
    asked_by: str


class Row(NamedTuple):
    """One value of InterruptThrottleRate, in one state of the driver."""

    requested: int
    state: str
    """What the driver makes of it: "fixed", "low latency", "refused" ..."""
    rate: int | None
    """Interrupts per second that the driver means ITR for; None: it does not write ITR."""
    written: int | None
    """What the driver writes to ITR for it, in units of 256 ns."""
    itr: int
    """What the card has in ITR: 16 bits of that, or nothing with mitigation off."""
    received: Window
    sent: Window


def rates(
    values: Sequence[int] = VALUES, *, modprobe: str = DEFAULT_MODPROBE, mitigation: bool = True
) -> Iterator[Row]:
    """The table, value by value; ``modprobe`` may give the driver's other parameters."""
    for value in values:
        line = f"{modprobe} InterruptThrottleRate={value}"
        config = MachineConfig(
            nic=Nic(mitigation=mitigation),
            costs="zero",
            record="none",
            capture=False,
            modprobe=line,
            until_ns=60 * SECOND_NS,
            guest=[RunCommand(side="guest", command="true", terminal="guest 1")],
        )
        machine = Machine(config)
        machine.run()
        driver, card = machine.guest.driver, machine.qemu.card
        assert isinstance(driver, E1000Driver)
        assert card is not None
        delayed = driver.tx_ring.asks_for_delay
        for state, rate in _states(driver, value):
            written = None if rate is None else itr_register(rate)
            if written is not None:
                card.mmio_write(ITR << 2, written)
            received = window(card, RXT0, delayed=False)
            sent = window(card, TXDW, delayed=delayed)
            yield Row(value, state, rate, written, card.mac_reg[ITR], received, sent)


def _states(driver: E1000Driver, value: int) -> list[tuple[str, int | None]]:
    """What the driver can do with its setting: in words, and the rate that it writes."""
    adapter = driver.adapter
    setting = adapter.itr_setting
    if setting == 0:
        return [("off" if value == 0 else "refused", None)]
    if setting == 4:
        return [
            ("until the watchdog", adapter.itr),
            ("simplified, two ways", simplified_rate(_MANY_BYTES, _MANY_BYTES)),
            ("simplified, one way", simplified_rate(_MANY_BYTES, 0)),
        ]
    if setting & 3:
        classes = [(LOW_LATENCY, "low latency"), (BULK_LATENCY, "bulk latency")]
        if setting == 1:
            classes.insert(0, (LOWEST_LATENCY, "lowest latency"))
        return [(name, RATES[number]) for number, name in classes]
    return [("fixed", adapter.itr)]


class _Watch(InterruptObserver):
    """Keeps what the card says of the last window."""

    found: Window | None = None

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def raised(self, causes: int) -> None:
        """Not asked for."""

    def mitigation_begun(
        self,
        holds: str,
        causes: int,
        by: str,
        until_ns: int,
        asked_by: str,
        asked_ns: int,
        itr_ns: int,
    ) -> None:
        self.found = Window(until_ns - self._clock.now(), by, asked_ns, asked_by)

    def mitigation_ended(
        self, holds: str, causes: int, by: str, begin_ns: int, waited_ns: int, cut: bool
    ) -> None:
        """Not asked for."""


def window(card: E1000, cause: int, *, delayed: bool) -> Window:
    """What ``card`` does after an edge with ``cause``, with its registers as they are."""
    clock = VirtualClock(0)
    registers = list(card.mac_reg)
    registers[IMS] = cause
    watch = _Watch(clock)
    interrupts = Interrupts(
        mac_reg=registers,
        clock=clock,
        pci_set_irq=lambda level: None,
        mitigation=card.interrupts.mitigation,
        observer=watch,
    )
    interrupts.mit_ide = delayed
    interrupts.set_ics(0, cause)
    return watch.found or Window(0, "mitigation is off", 0, "")
