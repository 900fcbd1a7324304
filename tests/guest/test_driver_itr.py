"""Dynamic interrupt throttling, against a table written from the documentation."""

from __future__ import annotations

import pytest
from fakes_driver import MAC, SECOND, Guest
from hypothesis import given
from hypothesis import strategies as st

from desim.guest.drivers.e1000 import regs as r
from desim.guest.drivers.e1000.itr import (
    BULK_LATENCY,
    LOW_LATENCY,
    LOWEST_LATENCY,
    Itr,
    itr_register,
)
from desim.wire.frame import Frame

LOWEST, LOW, BULK = "lowest", "low", "bulk"
CLASS = {LOWEST: LOWEST_LATENCY, LOW: LOW_LATENCY, BULK: BULK_LATENCY}

# (class, condition on packets p, bytes b and bytes per packet a, next class): first match wins.
TABLE = [
    (LOWEST, lambda p, b, a: a > 8000, BULK),
    (LOWEST, lambda p, b, a: p < 5 and b > 512, LOW),
    (LOW, lambda p, b, a: b > 10000 and a > 8000, BULK),
    (LOW, lambda p, b, a: b > 10000 and (p < 10 or a > 1200), BULK),
    (LOW, lambda p, b, a: b > 10000 and p > 35, LOWEST),
    (LOW, lambda p, b, a: b <= 10000 and a > 2000, BULK),
    (LOW, lambda p, b, a: b <= 10000 and p <= 2 and b < 512, LOWEST),
    (BULK, lambda p, b, a: b > 25000 and p > 35, LOW),
    (BULK, lambda p, b, a: b <= 25000 and b < 6000, LOW),
]


def by_table(current: str, packets: int, size: int) -> str:
    if packets == 0:
        return current
    for start, condition, following in TABLE:
        if start == current and condition(packets, size, size // packets):
            return following
    return current


@pytest.fixture(scope="module")
def itr() -> Itr:
    return Guest().driver.itr


sizes = st.one_of(
    st.integers(0, 100_000),
    st.sampled_from([511, 512, 513, 5999, 6000, 6001, 9999, 10000, 10001, 24999, 25000, 25001]),
)


@given(current=st.sampled_from([LOWEST, LOW, BULK]), packets=st.integers(0, 200), size=sizes)
def test_the_class_sequence_is_the_documented_one(
    itr: Itr, current: str, packets: int, size: int
) -> None:
    assert itr.update_itr(CLASS[current], packets, size) == CLASS[by_table(current, packets, size)]


@pytest.mark.parametrize(
    ("rate", "register"),
    [(70000, 55), (20000, 195), (19000, 205), (14000, 279), (9000, 434), (4000, 976), (4, 976562)],
)
def test_the_register_counts_256_ns(rate: int, register: int) -> None:
    assert itr_register(rate) == register


def poll(guest: Guest, *, rx: tuple[int, int] = (0, 0), tx: tuple[int, int] = (0, 0)) -> list[int]:
    """End a poll in which so many packets and bytes went by; what was written to ITR."""
    guest.bus.log.clear()
    adapter = guest.driver.adapter
    adapter.total_rx_packets, adapter.total_rx_bytes = rx
    adapter.total_tx_packets, adapter.total_tx_bytes = tx
    guest.driver.itr.set_itr()
    return guest.bus.writes(r.ITR)


def settled(parameters: str) -> Guest:
    """With link, and with the rate that the class before the link has left behind gone."""
    guest = Guest(parameters).up()
    for _ in range(6):
        poll(guest, rx=(4, 4000), tx=(4, 4000))
    return guest


def test_a_falling_rate_is_taken_at_once_and_a_rising_one_in_steps() -> None:
    guest = settled("")
    assert poll(guest, rx=(40, 60000)) == [976]
    steps = [poll(guest, rx=(4, 400)) for _ in range(5)]
    assert steps == [[434], [279], [205], [195], []]


def test_conservative_mode_never_stays_in_the_lowest_class() -> None:
    guest = settled("InterruptThrottleRate=3")
    assert poll(guest, rx=(1, 60)) == []
    assert guest.driver.adapter.itr == 20000


def test_dynamic_mode_does() -> None:
    guest = settled("InterruptThrottleRate=1")
    written = [poll(guest, rx=(1, 60), tx=(1, 60)) for _ in range(4)]
    # By 17500 per step, up to 70000.
    assert written == [[104], [71], [55], []]
    assert guest.driver.adapter.itr == 70000


def test_the_slower_direction_decides() -> None:
    guest = settled("")
    poll(guest, rx=(40, 60000), tx=(1, 60))
    assert (guest.driver.itr.rx_itr, guest.driver.itr.tx_itr) == (BULK_LATENCY, LOW_LATENCY)
    assert guest.driver.adapter.itr == 4000


@pytest.mark.parametrize("rate", [0, 8000])
def test_a_fixed_rate_is_left_alone(rate: int) -> None:
    guest = Guest(f"InterruptThrottleRate={rate}").up()
    for _ in range(50):
        guest.net.inject(Frame(MAC.ljust(1514, b"\0")))
    assert guest.bus.writes(r.ITR) == []
    assert guest.bus.read(r.ITR) == (itr_register(rate) if rate else 0)


def test_simplified_mode_starts_from_a_literal_four() -> None:
    guest = Guest("InterruptThrottleRate=4").probe()
    guest.driver.open()
    assert guest.bus.writes(r.ITR) == [976562]
    assert guest.card.mmio_read(r.ITR) == 0xE6B2
    guest.cpu.run(SECOND // 10)
    assert guest.bus.writes(r.ITR) == [976562, itr_register(8000)]


@pytest.mark.parametrize(
    ("sent", "received", "rate"),
    [(0, 0, 8000), (10**6, 0, 8000), (10**6, 10**6, 2000), (3 * 10**6, 10**6, 5000)],
)
def test_simplified_mode_goes_by_how_lopsided_traffic_is(
    sent: int, received: int, rate: int
) -> None:
    guest = Guest("InterruptThrottleRate=4").up()
    guest.bus.log.clear()
    guest.driver.itr.set_simplified(sent, received)
    assert guest.bus.writes(r.ITR) == [itr_register(rate)]
