"""``every`` and ``times``: commands that come again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import desim
from desim.engine.streams import Stream
from desim.errors import ScenarioError
from desim.scenario.arrivals import read_arrivals

MS = 1_000_000


def instants(text: str, times: int = 1000, seed: int = 1) -> list[int]:
    return read_arrivals(text).instants(5 * MS, times, Stream(seed, "every guest 1"))


def distances(text: str) -> list[int]:
    found = instants(text)
    return [later - before for before, later in pairwise(found)]


def test_a_fixed_distance() -> None:
    assert instants("1.5ms", 4) == [5 * MS, 6_500_000, 8 * MS, 9_500_000]


def test_a_uniform_distance_is_anywhere_in_its_range() -> None:
    found = distances("uniform 1ms .. 3ms")
    assert min(found) >= MS
    assert max(found) <= 3 * MS
    assert abs(sum(found) // len(found) - 2 * MS) < MS // 10
    assert distances("uniform 7ns .. 7ns") == [7] * 999
    assert max(distances("uniform 1s .. 100s")) > 1 << 34


def test_an_exponential_distance_has_its_mean() -> None:
    found = distances("exponential 1ms")
    assert abs(sum(found) // len(found) - MS) < MS // 10
    below = sum(distance < MS for distance in found)
    assert abs(below - 632) < 50  # 1 - 1/e of 999


def test_chance_is_the_same_for_ever() -> None:
    assert instants("exponential 1ms", 4) == EXPONENTIAL
    assert instants("uniform 1ms .. 3ms", 4) == UNIFORM
    assert instants("exponential 1ms", 4, seed=2) != EXPONENTIAL


EXPONENTIAL = [5_000_000, 5_657_558, 7_589_527, 8_042_697]
UNIFORM = [5_000_000, 7_036_229, 9_307_449, 10_418_252]


@given(st.integers(1, 10**12), st.integers(0, 10**6))
def test_instants_are_in_order(mean: int, seed: int) -> None:
    found = instants(f"exponential {mean}ns", 20, seed)
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0ms", "must be longer than nothing"),
        ("3", "a duration needs its unit"),
        ("poisson 1ms", 'must be "1ms", "uniform 1ms .. 3ms" or "exponential 1ms"'),
        ("uniform 1ms", 'must be "1ms", "uniform'),
        ("uniform 3ms .. 1ms", "the range is empty"),
        ("exponential", "not a duration"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_arrivals(text)


def scenario(**run: object) -> desim.Scenario:
    made = desim.from_qemu("-nic user", guest=["ping -c 1 10.0.2.2"])
    return made.set({f"guest.run[0].{key}": value for key, value in run.items()})


def test_a_command_comes_again_in_terminals_of_its_own() -> None:
    config = scenario(at="5s", every="250ms", times=3, stop="+100ms").configuration()
    assert [(run.terminal, run.at_ns, run.stop_ns) for run in config.guest] == [
        ("guest 1.1", 5_000 * MS, 100 * MS),
        ("guest 1.2", 5_250 * MS, 100 * MS),
        ("guest 1.3", 5_500 * MS, 100 * MS),
    ]
    result = desim.run(scenario(at="5s", every="250ms", times=3))
    started = [t.started_ns for t in result.programs if "ping" in t.command]
    assert [ns // MS for ns in started] == [5000, 5250, 5500]
    assert result.metric("ping.sent") == 3


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"times": 3}, "times needs every"),
        ({"every": "1ms"}, "every needs times"),
        ({"every": "1ms", "times": 3}, "every needs at"),
        ({"at": "5s", "every": "1ms", "times": 1}, "must be 2 or more"),
        ({"at": "5s", "every": "1ms", "times": 1001}, "must be 1000 or less"),
        ({"at": "5s", "every": 5, "times": 3}, "as text"),
    ],
)
def test_what_belongs_together(run: dict[str, object], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        scenario(**run)
