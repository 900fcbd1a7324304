"""Figures from sums of them: what can be known is found, and what cannot is shared."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.calibrate.fit import FLOOR, check_installed, error, fit
from desim.calibrate.meter import Figure
from desim.calibrate.observe import Observation
from desim.errors import UserError

A: Figure = ("a.c", "a", "enter")
B: Figure = ("b.c", "b", "enter")
BYTES: Figure = ("b.c", "b", "per_1000_bytes")


def observed(measured: float, **counts: float) -> Observation:
    names = {"a": A, "b": B, "bytes": BYTES}
    return Observation("made up", measured, {names[key]: n for key, n in counts.items()})


def values(*observations: Observation) -> dict[Figure, float]:
    return {one.figure: one.value for one in fit(observations).figures}


def test_a_known_system_is_recovered() -> None:
    found = values(observed(1300, a=1, b=1), observed(1600, a=1, b=2), observed(2300, a=2, b=1))
    assert found[A] == pytest.approx(1000, rel=1e-3)
    assert found[B] == pytest.approx(300, rel=1e-3)


def test_costs_of_bytes_are_for_a_thousand() -> None:
    found = values(observed(1500, b=1, bytes=2500), observed(3000, b=1, bytes=10_000))
    assert found[B] == pytest.approx(1000, rel=1e-3)
    assert found[BYTES] == pytest.approx(200, rel=1e-3)


def test_no_figure_is_below_zero() -> None:
    # The second says that b takes -400.
    found = values(observed(1000, a=1), observed(600, a=1, b=1))
    assert found[B] == 0
    assert 600 <= found[A] <= 1000


def test_what_only_a_sum_tells_is_shared_equally() -> None:
    found = values(observed(1000, a=1, b=1), observed(2000, a=2, b=2))
    assert found[A] == pytest.approx(500, rel=1e-2)
    assert found[B] == pytest.approx(found[A], rel=1e-6)


def test_a_stretch_that_went_another_way_does_not_bend_the_others() -> None:
    usual = [observed(1000 * times, a=times) for times in range(1, 21)]
    assert values(*usual, observed(60_000, a=20))[A] == pytest.approx(1000, rel=1e-2)


def test_those_that_went_another_way_do_not_outvote_the_others() -> None:
    """More than half of what has ``b`` in it was shorter than it is here: each by far."""
    usual = [observed(1000 * times, a=times) for times in range(1, 21)]
    alike = [observed(1500 + 1000 * times, a=1 + times, b=1) for times in range(6)]
    others = [observed(9_000 - 500 * n, a=12, b=1) for n in range(9)]
    found = values(*usual, *alike, *others)
    assert found[A] == pytest.approx(1000, rel=1e-2)
    assert found[B] == pytest.approx(500, rel=0.1)


def test_a_heavy_observation_counts_as_several() -> None:
    low, high = observed(1000, a=1), observed(1020, a=1)
    middle = values(low, high)[A]
    assert values(low, high._replace(weight=10.0))[A] > middle
    assert values(low._replace(weight=10.0), high)[A] < middle


def test_a_figure_says_in_how_many_observations_it_is_and_how_well_these_are_explained() -> None:
    first, second = fit([observed(1000, a=1), observed(1100, a=1), observed(700, b=1)]).figures
    assert (first.observations, second.observations) == (2, 1)
    assert 0.02 < first.residual < 0.1
    assert second.residual < 1e-3


def test_errors_of_short_observations_are_relative_to_the_floor() -> None:
    assert error(observed(1000, a=1), 900) == -0.1
    assert error(observed(4, a=1), 8) == 4 / FLOOR


@given(
    truth=st.tuples(st.integers(0, 20_000), st.integers(0, 20_000)),
    counts=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=3, max_size=12),
)
def test_sums_of_figures_are_explained_by_figures(
    truth: tuple[int, int], counts: list[tuple[int, int]]
) -> None:
    """Whatever the figures are and however often they were due; which ones need not be told."""
    observations = [observed(a * truth[0] + b * truth[1], a=a, b=b) for a, b in counts]
    for one, length in fit(observations).observations:
        assert abs(error(one, length)) < 1e-2


@given(st.permutations([(1, 0), (2, 1), (1, 3), (4, 4), (3, 5), (0, 2)]))
def test_the_order_of_observations_does_not_matter(order: list[tuple[int, int]]) -> None:
    found = values(*(observed(970 * a + 31 * b + a * b, a=a, b=b) for a, b in order))
    expected = values(*(observed(970 * a + 31 * b + a * b, a=a, b=b) for a, b in sorted(order)))
    assert {k: round(v) for k, v in found.items()} == {k: round(v) for k, v in expected.items()}


def test_without_scipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(UserError, match=r"pip install 'desim\[calibrate\]'"):
        check_installed()
