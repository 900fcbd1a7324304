"""Stretches of one kind, measured and simulated, become equations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from desim.calibrate.meter import Figure
from desim.calibrate.observe import ENOUGH, GROUPS, parts

WORK: Figure = ("a.c", "work", "enter")
RARE: Figure = ("a.c", "rare", "enter")


def test_a_few_stretches_are_one_equation_of_their_means() -> None:
    (one,) = parts("kind", [900, 1100, 1300], [(10, {WORK: 1}), (20, {WORK: 2, RARE: 1})])
    assert (one.name, one.measured) == ("kind", 1100)
    assert one.counts == {WORK: 1.5, RARE: 0.5}


def test_the_longest_measured_stand_against_the_longest_simulated() -> None:
    """So what is due in a quarter of them is told from what always is."""
    measured = [1000] * 30 + [8000] * 10
    simulated = [(5, {WORK: 1})] * 15 + [(9, {WORK: 1, RARE: 1})] * 5
    found = list(parts("kind", measured, simulated))
    assert [one.name for one in found] == [f"kind, part {n} of 4" for n in (1, 2, 3, 4)]
    assert [one.measured for one in found] == [1000, 1000, 1000, 8000]
    assert [one.counts.get(RARE, 0) for one in found] == [0, 0, 0, 1]


def test_nothing_measured_or_nothing_simulated_is_no_equation() -> None:
    assert list(parts("kind", [], [(1, {WORK: 1})])) == []
    assert list(parts("kind", [1], [])) == []


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=60),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=60),
)
def test_parts_go_up_in_length_around_the_mean_of_all(
    measured: list[int], lengths: list[int]
) -> None:
    found = list(parts("kind", measured, [(length, {WORK: length}) for length in lengths]))
    assert len(found) == (GROUPS if min(len(measured), len(lengths)) >= ENOUGH else 1)
    assert [one.measured for one in found] == sorted(one.measured for one in found)
    works = [one.counts[WORK] for one in found]
    assert works == sorted(works)
    assert min(works) - 1e-6 <= sum(lengths) / len(lengths) <= max(works) + 1e-6
