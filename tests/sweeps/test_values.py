"""Lists, ranges and logarithmic ranges of values, and what is refused of them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.scenario.tables import Text
from desim.scenario.values import read_values, values_of
from desim.scenario.vary import read_axis, read_bounds

LINES = [
    ("guest.modprobe.InterruptThrottleRate=0,500,4000", (0, 500, 4000)),
    ("guest.modprobe.RxIntDelay=0:8", tuple(range(9))),
    ("seed=0:2000:500", (0, 500, 1000, 1500, 2000)),
    ("seed=0:1999:500", (0, 500, 1000, 1500)),
    ("seed=125:8000:x2", (125, 250, 500, 1000, 2000, 4000, 8000)),
    ("seed=1:5:x1.5", (1, 2, 3, 5)),
    ("seed=0,100:300:100", (0, 100, 200, 300)),
    ("seed=3, 1, 3", (3, 1)),
    ("until=1s:2s:500ms", ("1s", "1500ms", "2s")),
    ("until=1ms:8ms:x2", ("1ms", "2ms", "4ms", "8ms")),
    ("host.run[0].every=1ms,exponential 1ms", ("1ms", "exponential 1ms")),
    ("host.run[0].command=echo 1:5,echo b", ("echo 1:5", "echo b")),
    ('guest.modprobe=["e1000 X=1,2", "e1000_plain"]', ("e1000 X=1,2", "e1000_plain")),
    ("guest.ipv6=true,false", (True, False)),
    ("semantics=qemu,datasheet", ("qemu", "datasheet")),
    ("guest.sysctl.net.ipv4.tcp_retries2=5,8", (5, 8)),
]


@pytest.mark.parametrize(("line", "values"), LINES)
def test_values_on_the_command_line(line: str, values: tuple[object, ...]) -> None:
    axis = read_axis(line)
    assert axis.key == line.partition("=")[0]
    assert axis.values == values


def test_the_key_says_whether_a_range_is_meant() -> None:
    assert read_values(None, "1:3") == (1, 2, 3)
    assert read_values(Text(), "1:3") == ("1:3",)


TABLES: list[tuple[Any, tuple[object, ...]]] = [
    ([0, "8", True], (0, "8", True)),
    ("0:4:2", (0, 2, 4)),
    ({"from": 0, "to": 4}, (0, 1, 2, 3, 4)),
    ({"from": 0, "to": 10, "step": 5}, (0, 5, 10)),
    ({"from": 0, "to": 10, "points": 5}, (0, 3, 5, 8, 10)),
    ({"from": 100, "to": 100000, "points": 7, "scale": "log"},
     (100, 316, 1000, 3162, 10000, 31623, 100000)),
    ({"from": 1, "to": 4, "points": 9, "scale": "log"}, (1, 2, 3, 4)),
    ({"from": 1, "to": 9, "factor": 3}, (1, 3, 9)),
    ({"from": "1ms", "to": "3ms", "step": "1ms"}, ("1ms", "2ms", "3ms")),
]  # fmt: skip


@pytest.mark.parametrize(("given_", "values"), TABLES)
def test_values_of_a_file(given_: Any, values: tuple[object, ...]) -> None:
    assert values_of(None, given_) == values


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("seed", "must be KEY=VALUES"),
        ("=1", "not a key"),
        ("seed=", "no values"),
        ("seed=9:1", "the range 9:1 is empty"),
        ("seed=1:9:0", "the step must be more than 0"),
        ("seed=1:9:1s", "the step must be a whole number"),
        ("seed=1:9:x1", "the factor must be more than 1"),
        ("seed=0:9:x2", "a logarithmic range begins above 0"),
        ("seed=0:1000000", "more than 1000000 values"),
        ("until=1ms:5ms", "a range of durations needs its step"),
        ("until=1ms:5mss:1ms", "'mss' is not a unit of time"),
        ("seed=[1, 2", "not a list of TOML"),
    ],
)
def test_what_is_no_list_of_values(line: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_axis(line)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (3, "must be a list of values"),
        ([], "no values"),
        ({"from": 1, "too": 3}, "too: no such key.*did you mean 'to'"),
        ({"from": 1}, "to is missing"),
        ({"from": 1, "to": 3, "step": 1, "points": 2}, "step and points: one of them"),
        ({"from": 1, "to": 3, "scale": "cubic"}, "allowed is 'linear' or 'log'"),
        ({"from": 1, "to": 3, "scale": "log"}, "needs points or factor"),
        ({"from": 0, "to": 3, "points": 3, "scale": "log"}, "begins above 0"),
        ({"from": 1, "to": 3, "points": 1}, "points: must be a whole number from 2"),
        ({"from": 1, "to": 3, "factor": "2"}, "factor: must be a number"),
    ],
)
def test_what_is_no_table_of_values(table: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        values_of(None, table)


def test_bounds_are_a_range_that_is_not_listed() -> None:
    key, ends = read_bounds("until=1ms:20ms:500us")
    assert (key, ends.first, ends.last, ends.step) == ("until", 10**6, 2 * 10**7, 500_000)
    assert ends.value(1_500_000) == "1500us"
    assert str(ends) == "1ms to 20ms"
    assert read_bounds("seed=1:1000000000000")[1].step == 1
    with pytest.raises(ValueError, match="needs its step"):
        read_bounds("until=1ms:20ms")
    with pytest.raises(ValueError, match="must be FROM:TO"):
        read_bounds("seed=1,2")


@given(st.integers(1, 10**6), st.integers(2, 60), st.integers(1, 10**6))
def test_points_of_a_logarithmic_range(first: int, points: int, more: int) -> None:
    """Both ends, in order, none twice, and each as near to its place as a whole number can be."""
    last = first + more
    found = values_of(None, {"from": first, "to": last, "points": points, "scale": "log"})
    numbers = [value for value in found if isinstance(value, int)]
    assert len(numbers) == len(found) <= points
    assert (numbers[0], numbers[-1]) == (first, last)
    assert numbers == sorted(set(numbers))
    ideal = [Fraction(first * (last / first) ** (place / (points - 1))) for place in range(points)]
    assert all(min(abs(number - one) for one in ideal) <= Fraction(51, 100) for number in numbers)
