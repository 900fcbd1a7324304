"""From runs to a profile: runs that were simulated give back what they were simulated with."""

from __future__ import annotations

from pathlib import Path

import pytest

from desim.calibrate.calibrate import guest_stages, observe
from desim.calibrate.profile_text import uniform
from desim.conform.linux.predict import configuration, printed, simulate
from desim.conform.linux.recording import Run
from desim.conform.linux.recording import Test as RecordedTest
from desim.costs.profile import load

SECOND = 1_000_000_000
EACH = 60
"""Instructions of every stage."""

COMMANDS = {
    "ping": "ltool ping 10.0.2.2 30 10000 56 1",
    "train": "ltool ping 10.0.2.2 24 20000 56 8",
}


def made_up(shift: int, costs: str) -> Run:
    """A run whose tests measured what their simulation came to."""
    run = Run(
        name="made_up",
        kind="det",
        qemu=["-netdev", "user,id=u", "-device", "e1000,netdev=u"],
        modprobe="e1000 InterruptThrottleRate=0",
        shift=shift,
        never_idle=True,
        seeded=True,
        offset_ns=0,
        jiffies_zero_ns=0,
        link_ns=3 * SECOND,
        insmod_ns=SECOND,
        up_ns=SECOND + SECOND // 10,
        warm_up=[],
    )
    for number, (name, command) in enumerate(COMMANDS.items()):
        begin = (5 + number) * SECOND
        run.tests.append(
            RecordedTest(
                name=name,
                command=command,
                serves=False,
                window_ns=(begin, begin + SECOND // 2),
                out={"test": "ping", "t0_ns": begin + SECOND // 10},
                samples={},
                interrupts=None,
                frames=None,
                ipv6=(0, 0),
                tcp=[],
            )
        )
    machine = simulate(configuration(run, costs=costs))
    for test in run.tests:
        found = printed(machine, test.name)
        # When it begins is told already: the second simulation shall begin there as well.
        lists = ("send_ns", "sent_ns", "krx_ns", "recv_ns")
        test.samples.update({key: found[key] for key in lists})
    return run


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0, 2])
def test_what_was_measured_is_the_sum_of_what_was_passed(shift: int, tmp_path: Path) -> None:
    """In instructions, however long one lasts."""
    costs = tmp_path / "same.toml"
    costs.write_text(uniform(guest_stages(), EACH))
    found = list(observe(made_up(shift, str(costs)), str(costs)))
    assert {one.name.split(":")[0] for one in found} == {"made_up ping", "made_up train"}
    for one in found:
        passed = sum(n for (_, _, field), n in one.counts.items() if field == "enter")
        assert one.measured == pytest.approx(EACH * passed), one.name


def test_the_shipped_profile_is_of_instructions_and_for_the_guest_alone() -> None:
    icount = load("icount")
    assert (icount.unit, icount.status) == ("instructions", "measured")
    assert set(icount.costs) <= set(guest_stages())
    for file, stage in icount.costs:
        slow = icount.in_ns(3).cost(file, stage)
        assert slow == tuple(8 * figure for figure in icount.cost(file, stage))
