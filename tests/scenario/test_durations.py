"""Durations are exact integers, whatever their spelling."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.scenario.durations import LONGEST_NS, UNITS, parse_duration, show_duration


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("5s", 5_000_000_000),
        ("250ms", 250_000_000),
        ("10us", 10_000),
        ("10µs", 10_000),
        ("1h", 3_600_000_000_000),
        ("2min", 120_000_000_000),
        ("3.5s", 3_500_000_000),
        ("0.000000001s", 1),
        ("0ns", 0),
        (" 7 ms ", 7_000_000),
        ("0.1s", 100_000_000),
        ("1.1s", 1_100_000_000),
    ],
)
def test_spellings(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("5", "did you mean '5s'?"),
        ("5 sec", "did you mean 's'?"),
        ("5m", "did you mean 'min'?"),
        ("5 minutes", "did you mean 'min'?"),
        ("1e3s", "not a duration"),
        ("-1s", "not a duration"),
        ("", "not a duration"),
        ("s", "not a duration"),
        ("1.s", "not a duration"),
        ("٣s", "not a duration"),
        ("0.5ns", "finer than one nanosecond"),
        ("1.0000000001s", "finer than one nanosecond"),
        ("10001h", "longer than 10000h"),
        ("9" * 30 + "s", "digits"),
        ("9" * 5000 + "s", "not a duration"),
        ("5parsec", "is not a unit of time"),
    ],
)
def test_what_is_not_a_duration_is_refused_and_said(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        parse_duration(text)
    assert hint in str(caught.value)


@given(st.integers(0, LONGEST_NS))
def test_what_is_shown_parses_to_the_same(ns: int) -> None:
    assert parse_duration(show_duration(ns)) == ns


@given(st.integers(0, 10**6), st.text("0123456789", max_size=9), st.sampled_from(sorted(UNITS)))
def test_a_fraction_is_exact_or_refused(whole: int, fraction: str, unit: str) -> None:
    text = f"{whole}.{fraction}{unit}" if fraction else f"{whole}{unit}"
    exact = Fraction(f"{whole}.{fraction or 0}") * UNITS[unit]
    try:
        parsed = parse_duration(text)
    except ValueError:
        assert exact.denominator != 1 or exact > LONGEST_NS
    else:
        assert parsed == exact


@given(st.text(max_size=40))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        ns = parse_duration(text)
    except ValueError:
        return
    assert 0 <= ns <= LONGEST_NS
