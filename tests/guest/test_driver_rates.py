"""The table of interrupt rates, against interrupts counted on the real path: driver and card."""

from __future__ import annotations

from itertools import pairwise

import pytest
from fakes_driver import MAC, SECOND, Guest

from desim.experiment.rates import FLOOR_NS, VALUES, Row, rates
from desim.guest.skb import Skb
from desim.wire.frame import Frame

STEP_NS = 1_000
STRANGER = bytes.fromhex("525500000002")


def intervals(guest: Guest, frame: bytes, *, sent: bool, windows: int, window_ns: int) -> set[int]:
    """The times between interrupts while a frame comes, or goes, at least every 12 us."""
    taken: list[int] = []
    interrupt = guest.driver.interrupt

    def handler() -> bool:
        taken.append(guest.cpu.time)
        return interrupt()

    guest.cpu.handler = handler
    end = guest.cpu.time + windows * window_ns
    while guest.cpu.time < end:
        if not sent:
            guest.net.inject(Frame(frame))
        elif guest.driver.tx_ring.unused > 30:
            guest.send(Skb(frame))
        # Large frames as far apart as on a wire: 35 in one poll would be the end of "bulk".
        guest.cpu.run(STEP_NS * (12 if len(frame) > 60 else 1), work=False)
        guest.device.received.clear()
        guest.net.out.clear()
    # The first few still have the window of what was before.
    return {after - before for before, after in pairwise(taken[2:])}


def row(parameters: str, state: str = "fixed", *, mitigation: bool = True) -> Row:
    """The row of the table for these parameters of the driver."""
    words = dict(word.split("=") for word in parameters.split())
    value = int(words.pop("InterruptThrottleRate"))
    line = " ".join(["e1000", *(f"{name}={text}" for name, text in words.items())])
    found = list(rates([value], modprobe=line, mitigation=mitigation))
    return next(one for one in found if one.state == state)


SMALL = MAC.ljust(60, b"\0")
LARGE = MAC.ljust(1514, b"\0")


@pytest.mark.parametrize(
    ("parameters", "state", "frame"),
    [
        ("InterruptThrottleRate=0", "off", SMALL),
        ("InterruptThrottleRate=99", "refused", SMALL),
        ("InterruptThrottleRate=1", "low latency", SMALL),
        ("InterruptThrottleRate=3", "low latency", SMALL),
        ("InterruptThrottleRate=3", "bulk latency", LARGE),
        ("InterruptThrottleRate=1000", "fixed", SMALL),
        ("InterruptThrottleRate=4000", "fixed", SMALL),
        ("InterruptThrottleRate=7000", "fixed", SMALL),
        ("InterruptThrottleRate=7812", "fixed", SMALL),
        ("InterruptThrottleRate=8000", "fixed", SMALL),
        ("InterruptThrottleRate=100000", "fixed", SMALL),
        ("InterruptThrottleRate=0 RxIntDelay=1 RxAbsIntDelay=512", "off", SMALL),
        ("InterruptThrottleRate=0 RxIntDelay=0 RxAbsIntDelay=512", "off", SMALL),
        ("InterruptThrottleRate=2000 RxIntDelay=32 RxAbsIntDelay=300", "fixed", SMALL),
        ("InterruptThrottleRate=4000 RxIntDelay=32 RxAbsIntDelay=300", "fixed", SMALL),
    ],
)
def test_received_frames_interrupt_as_often_as_the_table_says(
    parameters: str, state: str, frame: bytes
) -> None:
    expected = row(parameters, state).received.interval_ns
    guest = Guest(parameters).up()
    found = intervals(guest, frame, sent=False, windows=12, window_ns=expected)
    assert found == {expected}


@pytest.mark.parametrize(
    ("parameters", "state"),
    [
        ("InterruptThrottleRate=0", "off"),
        ("InterruptThrottleRate=2000", "fixed"),
        ("InterruptThrottleRate=2000 TxIntDelay=0", "fixed"),
        ("InterruptThrottleRate=0 TxIntDelay=1 TxAbsIntDelay=256", "off"),
        ("InterruptThrottleRate=0 TxIntDelay=0 TxAbsIntDelay=256", "off"),
        ("InterruptThrottleRate=5000 TxIntDelay=64 TxAbsIntDelay=256", "fixed"),
        ("InterruptThrottleRate=3000 TxIntDelay=64 TxAbsIntDelay=256", "fixed"),
    ],
)
def test_sent_frames_interrupt_as_often_as_the_table_says(parameters: str, state: str) -> None:
    expected = row(parameters, state).sent.interval_ns
    guest = Guest(parameters).up()
    frame = STRANGER.ljust(60, b"\0")
    found = intervals(guest, frame, sent=True, windows=12, window_ns=expected)
    assert found == {expected}


@pytest.mark.slow
def test_until_the_watchdog_mode_four_lets_15_milliseconds_pass() -> None:
    """The literal 4 in place of a rate: ITR gets 976562, of which the card keeps 16 bits."""
    expected = row("InterruptThrottleRate=4", "until the watchdog").received
    assert (expected.interval_ns, expected.decided_by) == (0xE6B2 * 256, "ITR")
    guest = Guest("InterruptThrottleRate=4").probe()
    guest.cpu.run(SECOND)
    guest.open()
    guest.cpu.run(SECOND + SECOND // 2, work=False)
    found = intervals(guest, SMALL, sent=False, windows=4, window_ns=expected.interval_ns)
    assert found == {expected.interval_ns}


@pytest.mark.parametrize(
    ("parameters", "decided"),
    [
        ("InterruptThrottleRate=4000", ("ITR", "floor")),
        ("InterruptThrottleRate=8000", ("floor", "floor")),
        ("InterruptThrottleRate=0 RxIntDelay=1 RxAbsIntDelay=512", ("RADV", "floor")),
        ("InterruptThrottleRate=0 RxIntDelay=0 RxAbsIntDelay=512", ("floor", "floor")),
        ("InterruptThrottleRate=2000 TxAbsIntDelay=256", ("ITR", "TADV")),
        ("InterruptThrottleRate=2000 TxIntDelay=0", ("ITR", "ITR")),
    ],
)
def test_the_table_names_what_decides(parameters: str, decided: tuple[str, str]) -> None:
    found = row(parameters, "off" if "Rate=0" in parameters else "fixed")
    assert (found.received.decided_by, found.sent.decided_by) == decided


def test_all_rates_above_the_floor_are_one() -> None:
    found = {r.requested: r.received for r in rates([8000, 20000, 100000])}
    assert {w.interval_ns for w in found.values()} == {FLOOR_NS} == {128_000}
    # What each asks for differs; none gets it.
    assert [w.asked_ns for w in found.values()] == [124_928, 49_920, 9_984]


def test_without_mitigation_nothing_is_held_back_and_itr_is_not_there() -> None:
    found = row("InterruptThrottleRate=4000", mitigation=False)
    assert (found.itr, found.received.interval_ns, found.sent.interval_ns) == (0, 0, 0)


def test_the_table_without_values_covers_every_mode() -> None:
    states = {one.state for one in rates(VALUES[:5])}
    assert states == {
        "off", "lowest latency", "low latency", "bulk latency", "until the watchdog",
        "simplified, two ways", "simplified, one way", "fixed",
    }  # fmt: skip
