"""Which runs a sweep has, and in which order they are made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.errors import UserError
from desim.scenario.values import Axis
from desim.sweeps.plan import Group, Plan, make_plan

COMMAND = "host.run[0].command"
RATE = "guest.modprobe.InterruptThrottleRate"


def test_the_last_key_varies_fastest_and_seeds_stand_together() -> None:
    plan = make_plan([Axis("a", (1, 2)), Axis("b", (3, 4))], [], [7, 8])
    assert plan.keys == ("a", "b", "seed")
    assert [plan.point(number).values for number in range(len(plan))] == [
        (1, 3, 7), (1, 3, 8), (1, 4, 7), (1, 4, 8), (2, 3, 7), (2, 3, 8), (2, 4, 7), (2, 4, 8),
    ]  # fmt: skip
    assert plan.points == 4
    assert plan.described() == "a (2) x b (2) x seed (2)"


def test_zipped_keys_change_together() -> None:
    plan = make_plan([Axis("c", (0, 1))], [[Axis("a", (1, 2)), Axis("b", (3, 4))]], [1])
    assert [plan.point(number).values for number in range(len(plan))] == [
        (0, 1, 3, 1), (0, 2, 4, 1), (1, 1, 3, 1), (1, 2, 4, 1),
    ]  # fmt: skip
    assert plan.described() == "c (2) x a with b (2)"


def test_what_is_no_plan() -> None:
    with pytest.raises(UserError, match="a: varies twice"):
        make_plan([Axis("a", (1,)), Axis("a", (2,))], [], [1])
    with pytest.raises(UserError, match="equally many values: a has 1, b has 2"):
        make_plan([], [[Axis("a", (1,)), Axis("b", (1, 2))]], [1])


def test_runs_of_one_boot_are_made_together() -> None:
    plan = make_plan([Axis(COMMAND, ("x", "y")), Axis(RATE, (0, 500))], [], [1, 2])
    order = list(plan.order())
    boots = [plan.point(number).values[1:] for number in order]
    assert boots == [(0, 1), (0, 1), (0, 2), (0, 2), (500, 1), (500, 1), (500, 2), (500, 2)]
    assert plan.share == 2


@pytest.mark.parametrize(
    ("key", "late"),
    [
        (COMMAND, True), ("guest.run[1].at", True), ("until", True), ("expect.ping.p99", True),
        (RATE, False), ("seed", False), ("qemu", False), ("monitor.run[0].at", False),
        ("host.runs", False), ("until_then", False),
    ],
)  # fmt: skip
def test_what_a_boot_depends_on(key: str, late: bool) -> None:
    assert Group((key,), [(1,)]).late == late


KEYS = st.lists(st.sampled_from([COMMAND, RATE, "until", "qemu", "costs"]), unique=True)


@given(KEYS, st.lists(st.integers(1, 4), min_size=5, max_size=5), st.integers(1, 3))
def test_every_run_is_made_once(keys: list[str], sizes: list[int], seeds: int) -> None:
    axes = [Axis(key, tuple(range(size))) for key, size in zip(keys, sizes, strict=False)]
    plan = make_plan(axes, [], range(seeds))
    assert sorted(plan.order()) == list(range(len(plan)))
    points = [plan.point(number).values for number in range(len(plan))]
    assert points == sorted(points)
    assert len(set(points)) == len(points)


def test_a_plan_of_a_million_runs_is_not_listed() -> None:
    plan = Plan([Group(("a",), [(n,) for n in range(1000)])], range(1000))
    assert len(plan) == 1_000_000
    assert plan.point(999_999).values == (999, 999)
