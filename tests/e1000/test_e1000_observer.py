"""What the card says of its interrupts: rises, what holds them back, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from card_fixture import Bed, ethernet

from desim.e1000.interrupts import FLOOR, LINE
from desim.e1000.registers import (
    ICR,
    ICS,
    IMS,
    ITR,
    LSC,
    RADV,
    RDTR,
    RXT0,
    TADV,
    TDT,
    TIDV,
    TXDW,
    cause_names,
)

UNIT = 256
EOP, RS, IDE = 1 << 24, 1 << 27, 1 << 31
FPD = 1 << 31


class Told:
    """An observer that keeps what it is told, with the causes' names."""

    def __init__(self) -> None:
        self.rises: list[tuple[str, ...]] = []
        self.begun: list[tuple[Any, ...]] = []
        self.ended: list[tuple[Any, ...]] = []

    def raised(self, causes: int) -> None:
        self.rises.append(cause_names(causes))

    def mitigation_begun(self, holds: str, causes: int, *rest: Any) -> None:
        self.begun.append((holds, cause_names(causes), *rest))

    def mitigation_ended(self, holds: str, causes: int, *rest: Any) -> None:
        self.ended.append((holds, cause_names(causes), *rest))


class Observed(Bed):
    """A bed that tells ``told``, with all causes let through."""

    def __init__(self, **properties: Any) -> None:
        self.told = Told()
        super().__init__(observer=self.told, **properties)
        self[IMS] = RXT0 | TXDW | LSC

    def wait(self, ns: int) -> None:
        self.clock.advance_to(self.clock.now() + ns)


@pytest.mark.parametrize(
    ("registers", "cause", "by", "units", "asked_by", "asked"),
    [
        ({}, RXT0, FLOOR, 500, "", 0),
        ({ITR: 2000}, RXT0, "ITR", 2000, "ITR", 2000),
        ({ITR: 195}, RXT0, FLOOR, 500, "ITR", 195),
        ({ITR: 2000, RDTR: 1, RADV: 300}, RXT0, "RADV", 1200, "RADV", 1200),
        ({ITR: 2000, RDTR: 0, RADV: 300}, RXT0, "ITR", 2000, "ITR", 2000),
        ({ITR: 2000, RDTR: 1, RADV: 300}, LSC, "ITR", 2000, "ITR", 2000),
        ({ITR: 2000, TADV: 8}, TXDW, "ITR", 2000, "ITR", 2000),
        ({ITR: 2000, RDTR: 1, RADV: 8}, RXT0, FLOOR, 500, "RADV", 32),
        ({ITR: 500}, RXT0, "ITR", 500, "ITR", 500),
    ],
)
def test_a_window_says_which_register_has_decided(
    registers: dict[int, int], cause: int, by: str, units: int, asked_by: str, asked: int
) -> None:
    bed = Observed()
    for register, value in registers.items():
        bed[register] = value
    bed[ICS] = cause
    begin = bed.clock.now()
    itr_ns = registers.get(ITR, 0) * UNIT
    until = begin + units * UNIT
    names = cause_names(cause)
    assert bed.told.rises == [names]
    assert bed.told.begun == [(LINE, names, by, until, asked_by, asked * UNIT, itr_ns)]
    assert bed.card.interrupts.mit_timer.deadline == until
    bed.wait(units * UNIT)
    assert bed.told.ended == []
    bed.wait(1)
    assert bed.told.ended == [(LINE, (), by, begin, 0, False)]


def test_tadv_decides_if_the_descriptor_asks_for_a_delay() -> None:
    bed = Observed()
    bed.transmit_ring(mask=TXDW)
    bed[ITR], bed[TADV] = 4000, 200
    bed.put(0, ethernet().raw, EOP | RS | IDE)
    bed[TDT] = 1
    ((_, causes, by, until, *_),) = bed.told.begun
    assert (causes, by) == (("TXDW", "TXQE")[:1], "TADV")
    assert until == bed.clock.now() + 800 * UNIT


def test_a_rise_that_waits_is_told_with_its_causes_and_how_long_it_waited() -> None:
    bed = Observed()
    bed[ITR] = 1000
    bed[ICS] = RXT0
    begin = bed.clock.now()
    _ = bed[ICR]
    bed.wait(100)
    bed[ICS] = TXDW
    bed.wait(50)
    bed[ICS] = RXT0
    assert bed.told.rises == [("RXT0",)]
    bed.wait(1000 * UNIT)
    assert bed.told.ended == [
        (LINE, ("TXDW", "RXT0"), "ITR", begin, 1000 * UNIT - 100, False),
    ]
    assert bed.told.rises == [("RXT0",), ("TXDW", "RXT0")]
    assert len(bed.told.begun) == 2, "its own window is behind it"


def test_a_rise_that_was_taken_back_has_not_waited() -> None:
    bed = Observed()
    bed[ITR] = 1000
    bed[ICS] = RXT0
    _ = bed[ICR]
    bed[ICS] = RXT0
    _ = bed[ICR]
    bed.wait(1000 * UNIT + 1)
    assert [causes for _, causes, *_ in bed.told.ended] == [()]
    assert [waited for *_, waited, _ in bed.told.ended] == [0]


def test_without_mitigation_there_are_rises_only() -> None:
    bed = Observed(mitigation=False)
    bed[ICS] = RXT0
    _ = bed[ICR]
    bed[ICS] = 1 << 3 | LSC
    assert bed.told.rises == [("RXT0",), ("LSC",)]
    assert bed.told.begun == bed.told.ended == []


def test_a_reset_cuts_a_window_short() -> None:
    bed = Observed()
    bed[ICS] = RXT0
    begin = bed.clock.now()
    bed.card.e1000_reset()
    assert bed.told.ended == [(LINE, (), FLOOR, begin, 0, True)]


# The datasheet's delays


def receiving(**registers: int) -> Observed:
    bed = Observed(semantics="datasheet")
    bed.receive_ring(mask=RXT0)
    for name, value in registers.items():
        bed[{"RDTR": RDTR, "RADV": RADV, "ITR": ITR}[name]] = value
    return bed


@pytest.mark.parametrize(
    ("relative", "absolute", "by", "units"),
    [(100, 0, "RDTR", 100), (100, 50, "RADV", 50), (100, 200, "RDTR", 100)],
)
def test_a_delay_is_told_from_its_first_packet_to_the_timer_that_expires(
    relative: int, absolute: int, by: str, units: int
) -> None:
    bed = receiving(RDTR=relative, RADV=absolute)
    bed.card.receive(ethernet())
    bed.wait(577)
    ((holds, causes, decides, until, asked_by, asked, itr),) = bed.told.begun
    assert (holds, causes, decides, asked_by, itr) == ("RXT0", ("RXT0",), by, by, 0)
    assert asked == units * 1024
    bed.wait(units * 1024)
    length = units * 1024
    assert bed.told.ended == [("RXT0", ("RXT0",), by, until - length, length, False)]
    assert bed.told.rises == [("RXT0",)]


def test_the_absolute_timer_ends_what_packets_keep_putting_off() -> None:
    bed = receiving(RDTR=100, RADV=250)
    for _ in range(4):
        bed.card.receive(ethernet())
        bed.wait(80 * 1024)
    ((_, _, by, begin, waited, cut),) = bed.told.ended
    assert (by, waited, cut) == ("RADV", 250 * 1024, False)
    assert bed.told.begun[0][2] == "RDTR", "as things were then"
    assert begin + 100 * 1024 == bed.told.begun[0][3]


def test_a_flush_cuts_a_delay_short_and_throttling_may_hold_it_after_all() -> None:
    bed = receiving(RDTR=1000, ITR=2000)
    bed.card.receive(ethernet())
    bed.wait(1000)
    bed[RDTR] = 1000 | FPD
    ((holds, _, by, _, _, cut),) = bed.told.ended
    assert (holds, by, cut) == ("RXT0", "RDTR", True)
    assert [begun[:3] for begun in bed.told.begun] == [
        ("RXT0", ("RXT0",), "RDTR"),
        (LINE, ("RXT0",), "ITR"),
    ]


def test_sent_descriptors_are_delayed_by_tidv() -> None:
    bed = Observed(semantics="datasheet")
    bed.transmit_ring(mask=TXDW)
    bed[TIDV], bed[TADV] = 50, 0
    bed.put(0, ethernet().raw, EOP | RS | IDE)
    bed[TDT] = 1
    bed.wait(50 * 1024 + 1)
    assert [end[0:3] for end in bed.told.ended] == [("TXDW", ("TXDW",), "TIDV")]


def test_a_bit_without_a_name_has_its_number() -> None:
    assert cause_names(0) == ()
    assert cause_names(1 | 1 << 3 | 1 << 31) == ("TXDW", "bit 3", "bit 31")
