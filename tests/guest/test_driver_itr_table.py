"""Adaptive throttling over its whole input range, against the documented table.

The table is data: for each class the tests in their order, each with the cells of the plane
of packets and bytes in which it holds. It is compared at every boundary and its neighbours,
which together with the two laws below covers every input.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

from fakes_driver import Guest
from hypothesis import given
from hypothesis import strategies as st

from desim.guest.drivers.e1000.itr import BULK_LATENCY, LOW_LATENCY, LOWEST_LATENCY

ITR = Guest().driver.itr
CLASSES = (LOWEST_LATENCY, LOW_LATENCY, BULK_LATENCY)
INFINITY = 1 << 62

# (class, packets from, below, bytes from, below, bytes per packet from, below, next class)
ROWS = [
    (LOWEST_LATENCY, 1, INFINITY, 0, INFINITY, 8001, INFINITY, BULK_LATENCY),
    (LOWEST_LATENCY, 1, 5, 513, INFINITY, 0, 8001, LOW_LATENCY),
    (LOW_LATENCY, 1, INFINITY, 10001, INFINITY, 8001, INFINITY, BULK_LATENCY),
    (LOW_LATENCY, 1, 10, 10001, INFINITY, 0, INFINITY, BULK_LATENCY),
    (LOW_LATENCY, 1, INFINITY, 10001, INFINITY, 1201, INFINITY, BULK_LATENCY),
    (LOW_LATENCY, 36, INFINITY, 10001, INFINITY, 0, 1201, LOWEST_LATENCY),
    (LOW_LATENCY, 1, INFINITY, 0, 10001, 2001, INFINITY, BULK_LATENCY),
    (LOW_LATENCY, 1, 3, 0, 512, 0, 2001, LOWEST_LATENCY),
    (BULK_LATENCY, 36, INFINITY, 25001, INFINITY, 0, INFINITY, LOW_LATENCY),
    (BULK_LATENCY, 1, INFINITY, 0, 6000, 0, INFINITY, LOW_LATENCY),
]


def documented(current: int, packets: int, size: int) -> int:
    if packets == 0:
        return current
    for row in ROWS:
        start, p_from, p_below, b_from, b_below, a_from, a_below, following = row
        average = Fraction(size, packets)
        if (
            start == current
            and p_from <= packets < p_below
            and b_from <= size < b_below
            # Whole bytes per packet: at least 8001 means 8001 times the packets in bytes.
            and a_from <= average
            and average < a_below
        ):
            return following
    return current


def neighbours(edges: set[int]) -> list[int]:
    return sorted({max(0, edge + by) for edge in edges for by in (-1, 0, 1)})


def test_every_boundary_of_the_table_and_its_neighbours() -> None:
    packets = neighbours({p for row in ROWS for p in row[1:3] if p < INFINITY} | {64, 1000})
    sizes = {b for row in ROWS for b in row[3:5] if b < INFINITY}
    averages = {a for row in ROWS for a in row[5:7] if a < INFINITY}
    seen = 0
    for current, count in product(CLASSES, packets):
        edges = sizes | {average * count for average in averages} | {0, 1 << 31}
        for size in neighbours(edges):
            assert ITR.update_itr(current, count, size) == documented(current, count, size)
            seen += 1
    assert seen > 1500


@given(
    current=st.sampled_from(CLASSES),
    packets=st.integers(0, 1 << 32),
    size=st.integers(0, 1 << 48),
)
def test_anywhere_else(current: int, packets: int, size: int) -> None:
    assert ITR.update_itr(current, packets, size) == documented(current, packets, size)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 70_000)), max_size=30))
def test_the_sequence_of_classes_is_the_documented_one(polls: list[tuple[int, int]]) -> None:
    ours = theirs = LOWEST_LATENCY
    for packets, size in polls:
        ours = ITR.update_itr(ours, packets, size)
        theirs = documented(theirs, packets, size)
        assert ours == theirs
