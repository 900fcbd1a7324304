"""The law of threads, for whole machines: lazy and strict runs leave the same trace.

Random thread programs are held to it in tests/engine/test_strict_law.py; here are the
shipped scenarios, with what they cost and with what they might cost. A guest's code that
uses something shared without meeting the others first is found here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runs import SHIPPED, config, random_profile

from desim.engine.environment import TOUCH_POINTS
from desim.machine import Machine

NOTICED = {
    "lock": ("upload", 0),
    "unlock": ("upload", 0),
    "host_socket": ("upload", 0),
    "notify": ("upload", 0),
    "wake_task": ("upload", 0),
    "poll": ("upload", 1),
    "desc_status": ("hello-close", 2),
    "bh_disable": ("upload", 43),
    "lock_sock": ("upload", 58),
    "timer": ("upload", 8),
    "dma": ("hello-close", 23),
    "bh_enable": ("upload", 62),
}
"""A scenario and the seed of a cost profile in which the lack of each is noticed."""

SEEDS = 70
"""Profiles that are tried when a change of the models has moved it elsewhere."""

RANDOM_PROGRAMS_NOTICE = {
    # The card drives its pin after DMA or inside a register access: it has met by then.
    "irq_line",
    # Soft interrupts are switched off at once behind it, which is a meeting, too.
    "release_sock",
    # These take an interrupt within some nanoseconds: one profile in several hundred.
    "irq_disable",
    "irq_enable",
    "clock",
}
"""Whole machines (almost) never miss these; tests/engine/test_strict_law.py does."""


def trace_of(scenario: str, *, without: tuple[str, ...] = (), **changes: Any) -> object:
    """What a run leaves, or the failure that it ended in."""
    machine = Machine(config(scenario, **changes), without=without)
    try:
        machine.run()
    except (AssertionError, RuntimeError, LookupError) as error:
        machine.close()
        return type(error)
    return (
        machine.trace.fingerprint(),
        machine.ended,
        machine.end_ns,
        machine.files(),
        [list(record.events) for record in machine.trace.threads.values()],
        machine.captures().keys(),
        machine.transcripts(),
    )


@pytest.mark.slow
@pytest.mark.parametrize("costs", ["zero", "study-2016", "icount"])
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_keep_the_law(name: str, costs: str) -> None:
    assert trace_of(name, costs=costs) == trace_of(name, costs=costs, strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", ["hello-close", "upload"])
def test_they_keep_it_whatever_things_cost(name: str, seed: int, tmp_path: Path) -> None:
    costs = random_profile(seed, tmp_path)
    assert trace_of(name, costs=costs) == trace_of(name, costs=costs, strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("point", NOTICED)
def test_without_a_touch_point_some_scenario_breaks_it(point: str, tmp_path: Path) -> None:
    name, seed = NOTICED[point]
    for profile in (seed, *range(SEEDS)):
        costs = random_profile(profile, tmp_path)
        if trace_of(name, costs=costs, without=(point,)) != trace_of(name, costs=costs):
            return
    pytest.fail(f"no profile of {SEEDS} notices that {point!r} is gone")


SYSTEM_CALLS = """description = "what a program does takes time before it can be seen"
["arch/x86/entry/common.c"]
do_syscall_64 = { enter = 1000, source = "chosen" }
"""


@pytest.mark.slow
def test_without_the_users_touch_point_a_stopped_run_leaves_what_has_not_happened(
    tmp_path: Path,
) -> None:
    costs = tmp_path / "calls.toml"
    costs.write_text(SYSTEM_CALLS)
    machine = Machine(config("hello", costs=str(costs)))
    machine.run()
    vcpu, name = machine.trace.threads["vcpu"], machine.trace.codes.name
    entries = [
        time
        for time, code in zip(vcpu.times, vcpu.codes, strict=True)
        if not code & 1 and name(code) == "do_syscall_64"
    ]
    for entry in reversed(entries):
        stop: dict[str, Any] = {"costs": str(costs), "until_ns": entry + 500}
        lazy = trace_of("hello", without=("user",), **stop)
        if lazy != trace_of("hello", without=("user",), strict=True, **stop):
            return
    pytest.fail("no instant notices that the user's touch point is gone")


def test_every_touch_point_is_accounted_for() -> None:
    assert set(TOUCH_POINTS) == set(NOTICED) | RANDOM_PROGRAMS_NOTICE | {"user"}
