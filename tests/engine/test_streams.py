"""Randomness depends on seed and name, and on nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.engine.streams import Stream, Streams

NUMBERS = [
    4254715134,
    436228978,
    3506647939,
    3726404765,
    110233398,
    23403447,
    2707202469,
    1070245162,
    2499633996,
]
"""SHA-256 of the key and counters 0 and 1, cut into words."""


def test_the_numbers_are_the_same_everywhere():
    stream = Stream(1, "x")
    assert [stream.u32() for _ in range(9)] == NUMBERS


def test_streams_do_not_disturb_each_other():
    alone = Streams(7)
    first = [alone("a").u32() for _ in range(5)]
    both = Streams(7)
    mixed = []
    for _ in range(5):
        both("b").u32()
        mixed.append(both("a").u32())
    assert mixed == first


@given(seed=st.integers(), limit=st.integers(1, 1 << 32))
def test_below_stays_below(seed, limit):
    stream = Stream(seed, "x")
    assert all(0 <= stream.below(limit) < limit for _ in range(5))


@pytest.mark.parametrize("limit", [0, -1, (1 << 32) + 1])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(ValueError, match="limit"):
        Stream(1, "x").below(limit)


def test_given_numbers_come_first_and_disturb_no_other():
    own = Streams(7)("a").below(100)
    streams = Streams(7, {"a": (3, 99)})
    assert [streams("a").below(100) for _ in range(3)] == [3, 99, own]
    assert streams("b").below(100) == Streams(7)("b").below(100)


@pytest.mark.parametrize("number", [-1, 100])
def test_a_given_number_out_of_range_is_refused(number):
    with pytest.raises(ValueError, match=rf"a: {number} was given where 0\.\.99 is drawn"):
        Streams(7, {"a": (number,)})("a").below(100)
