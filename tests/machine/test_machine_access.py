"""Accesses of the card's registers at one go: as step by step, to the mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runs import config, random_profile

from desim.config import MachineConfig, RunCommand
from desim.devices import Nic
from desim.engine.trace import Fingerprint
from desim.machine import Machine
from desim.machine.access import CardAccess
from desim.machine.threads.big_lock import BigLock


def mmio(machine: Machine) -> CardAccess:
    found = machine.qemu.mmio
    assert found is not None
    return found


def fingerprints(made: MachineConfig) -> tuple[Fingerprint, Fingerprint]:
    """Of a run whose quiet accesses are made at one go, and of one without any."""
    both = []
    for at_one_go in (True, False):
        machine = Machine(made)
        mmio(machine).at_one_go = at_one_go
        machine.run()
        both.append(machine.trace.fingerprint())
    return both[0], both[1]


@pytest.mark.parametrize("costs", ["zero", "study-2016", "icount", "tcg"])
def test_at_one_go_is_as_step_by_step(costs: str) -> None:
    at_one_go, step_by_step = fingerprints(config("hello-close", costs=costs))
    assert at_one_go == step_by_step


@pytest.mark.parametrize("seed", [0, 3, 6, 17])
def test_it_is_whatever_things_cost(seed: int, tmp_path: Path) -> None:
    at_one_go, step_by_step = fingerprints(
        config("hello-close", costs=random_profile(seed, tmp_path))
    )
    assert at_one_go == step_by_step


@pytest.mark.parametrize(
    "changes",
    [
        {"nic": Nic(semantics="datasheet")},
        {"nic": Nic(mitigation=False, extra_mac_registers=False)},
        {"nic": Nic(model="e1000-82545em", autonegotiation=False)},
        {"modprobe": "e1000 RxIntDelay=32 Speed=100 Duplex=2"},
        {"modprobe": "e1000_plain"},
        {"modprobe": "e1000_polling"},
    ],
    ids=str,
)
def test_it_is_with_any_card_and_driver(changes: dict[str, Any]) -> None:
    at_one_go, step_by_step = fingerprints(config("hello-close", **changes))
    assert at_one_go == step_by_step


@pytest.mark.parametrize("costs", ["zero", "study-2016"])
def test_it_is_when_statistics_are_read_in_a_row(costs: str) -> None:
    made = config("hello-close", costs=costs)
    made.guest.append(RunCommand(side="guest", command="sleep 20", terminal="guest 9"))
    at_one_go, step_by_step = fingerprints(made)
    assert at_one_go == step_by_step


def test_registers_that_take_time_are_read_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    read_all = CardAccess.read_all

    def counted(self: CardAccess, offsets: tuple[int, ...]) -> list[int]:
        before = len(rows)
        values = read_all(self, offsets)
        if len(rows) == before:
            rows.append(len(offsets))
        return values

    read = CardAccess.read

    def single(self: CardAccess, offset: int) -> int:
        rows.append(1)
        return read(self, offset)

    monkeypatch.setattr(CardAccess, "read_all", counted)
    monkeypatch.setattr(CardAccess, "read", single)
    made = config("hello-close", record="none", capture=False)
    made.guest.append(RunCommand(side="guest", command="sleep 20", terminal="guest 9"))
    Machine(made).run()
    assert sum(row > 50 for row in rows) > 5


class CountedLock(BigLock):
    """It counts how often the guest's processor takes it."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.env)
        self.vcpu = machine.vcpu.thread
        self.taken = 0

    def take(self) -> None:
        self.taken += self.env.running is self.vcpu
        super().take()


def entered(machine: Machine) -> int:
    """In how many accesses the guest's processor takes the big lock."""
    lock = CountedLock(machine)
    machine.qemu.loop.lock = lock
    mmio(machine)._lock = lock
    machine.run()
    return lock.taken


def test_most_accesses_of_a_boot_are_quiet() -> None:
    assert entered(Machine(config("hello"))) < 500


@pytest.mark.parametrize("changes", [{"strict": True}, {"without": ("dma",)}])
def test_a_run_in_which_each_meeting_counts_makes_all_step_by_step(changes: dict[str, Any]) -> None:
    without = changes.pop("without", ())
    machine = Machine(config("hello", until_ns=10**9, **changes), without=without)
    assert not mmio(machine).at_one_go
    assert entered(machine) > 10_000
