"""Conditions on figures: what can be written, what it means, and what is said of the rest."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.scenario.conditions import RATES, read_condition, read_value
from desim.scenario.metrics import METRICS, Kind, show_value


@pytest.mark.parametrize(
    ("kind", "text", "holds", "fails"),
    [
        ("time", "< 400us", [0, 399_999], [400_000]),
        ("time", "<=400us", [400_000], [400_001]),
        ("time", "> 1.5 ms", [1_500_001], [1_500_000]),
        ("time", "1ms .. 2ms", [1_000_000, 2_000_000], [999_999, 2_000_001]),
        ("count", "0", [0], [1]),
        ("count", "== 12", [12], [11]),
        ("count", ">= 3", [3, 4], [2]),
        ("rate", ">= 1 MB/s", [10**6], [10**6 - 1]),
        ("rate", "< 8 Mbit/s", [Fraction(10**7 - 1, 10)], [10**6]),
        ("rate", "1KiB/s..2KiB/s", [1024, 2048], [1023, 2049]),
        ("frequency", "<= 7813", [Fraction(15625, 2), 7813], [7814]),
        ("frequency", "<= 7813/s", [7813], [7814]),
        ("share", "< 1%", [0, Fraction(9, 1000)], [Fraction(1, 100)]),
        ("share", "< 0.01", [Fraction(9, 1000)], [Fraction(1, 100)]),
        ("ratio", "2.5", [Fraction(5, 2)], [2]),
    ],
)
def test_a_condition_holds_where_it_says(
    kind: Kind, text: str, holds: list[Fraction], fails: list[Fraction]
) -> None:
    condition = read_condition(text, kind)
    assert condition.text == " ".join(text.split())
    assert all(map(condition.holds, holds))
    assert not any(map(condition.holds, fails))


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("time", "< 400", "needs its unit"),
        ("time", "", "not a duration"),
        ("time", "2ms .. 1ms", "the range is empty"),
        ("time", "< 1ms < 2ms", "not a duration"),
        ("count", "1.5", "must be a whole number"),
        ("count", "many", "with <, <=, >, >= in front, or FROM .. TO"),
        ("count", "=> 3", "must be a whole number"),
        ("rate", "10", "must be a rate in B/s, kB/s"),
        ("rate", "10 .. 20 MB/s", "must be a rate in"),
        ("frequency", "7 kHz", "must be a number per second"),
        ("share", "1 per cent", "must be a share"),
        ("ratio", "1/2", "must be a number"),
        ("count", "1" * 30, "must be a whole number"),
    ],
)
def test_what_is_no_condition_is_refused(kind: Kind, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_condition(text, kind)


@given(st.sampled_from(["count", "frequency", "ratio", "share"]), st.integers(0, 10**12))
def test_what_is_shown_can_be_read(kind: Kind, number: int) -> None:
    value = Fraction(number, 10**5 if kind == "share" else 1000) if kind != "count" else number
    assert read_value(show_value(value, kind), kind) == value


@given(st.integers(0, 10**15))
def test_a_time_is_shown_to_three_places(ns: int) -> None:
    shown = show_value(ns, "time")
    assert abs(read_value(shown, "time") - ns) * 2000 <= max(ns, 2000)
    assert len(shown) <= 14


def test_a_bit_is_an_eighth_of_a_byte() -> None:
    assert RATES["Mbit/s"] * 8 == RATES["MB/s"]
    assert read_value("100 Mbit/s", "rate") == 12_500_000


def test_every_figure_says_what_it_is() -> None:
    assert all(metric.about and not metric.about.endswith(".") for metric in METRICS.values())
