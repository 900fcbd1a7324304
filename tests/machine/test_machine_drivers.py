"""Whole machines whose guest has another driver than Linux's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runs import HELLO, config, random_profile

from desim.machine import Machine
from desim.scenario.command_line import machine_from_options

LINES = ["e1000_plain", "e1000_polling", "e1000_polling period_us=1000"]


def ran(name: str, **changes: Any) -> Machine:
    """A run of a shipped scenario, stopped after 20 s: with a poll every 250 us an hour is long."""
    machine = Machine(config(name, until_ns=20 * 10**9, **changes))
    machine.run()
    return machine


@pytest.mark.parametrize("modprobe", LINES)
def test_the_studys_line_arrives(modprobe: str) -> None:
    assert ran("hello", modprobe=modprobe).files()["guest/hello.txt"] == HELLO


@pytest.mark.parametrize("costs", ["zero", "study-2016"])
@pytest.mark.parametrize("modprobe", LINES)
def test_a_file_arrives_byte_for_byte(modprobe: str, costs: str) -> None:
    machine = ran("upload", modprobe=modprobe, costs=costs)
    assert (
        machine.files()["guest/copy.txt"] == machine.config.expect.guest_files["copy.txt"].whole()
    )
    assert machine.end_ns < 10 * 10**9


@pytest.mark.parametrize("modprobe", ["e1000", *LINES])
def test_bulk_data_leaves_the_guest(modprobe: str, tmp_path: Path) -> None:
    """More than a window, so that TCP builds packets that have to be cut into segments."""
    (tmp_path / "bulk").write_bytes(bytes(range(251)) * 800)
    machine_config = machine_from_options(
        ["-nic", "user"],
        guest=["nc -N 10.0.2.2 7000 < bulk"],
        host=["nc -l 7000 > copy"],
        folder=tmp_path,
        modprobe=modprobe,
    )
    machine_config.guest[0].at_ns = 5 * 10**9
    machine_config.host[0].at_ns = 4 * 10**9
    machine = Machine(machine_config)
    machine.run()
    assert machine.files()["host/copy"] == bytes(range(251)) * 800


@pytest.mark.slow
def test_interrupts_are_one_for_each_frame_or_none_at_all() -> None:
    taken = {line: ran("upload", modprobe=line).vcpu.pin.delivered for line in LINES}
    frames = {line: ran("upload", modprobe=line).frame_counts()["points"]["nic"] for line in LINES}
    received = frames["e1000_plain"]["to_guest"]
    assert taken["e1000_plain"] >= received
    assert taken["e1000_polling"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("modprobe", LINES[:2])
def test_strict_runs_leave_the_same_trace(modprobe: str, seed: int, tmp_path: Path) -> None:
    costs = random_profile(seed, tmp_path)
    lazy = ran("upload", modprobe=modprobe, costs=costs)
    strict = ran("upload", modprobe=modprobe, costs=costs, strict=True)
    assert lazy.trace.fingerprint() == strict.trace.fingerprint()
    assert lazy.end_ns == strict.end_ns


def test_their_names_are_seen_in_the_guest() -> None:
    machine_config = machine_from_options(
        ["-nic", "user"],
        guest=["ethtool -i eth0", "ethtool eth0", "ethtool -k eth0", "ethtool -c eth0"],
        host=[],
        folder=Path(),
        modprobe="e1000_polling",
    )
    machine = Machine(machine_config)
    machine.run()
    info, settings, features, coalesce = [
        transcript.output.decode() for transcript in machine.transcripts()[1:]
    ]
    assert info.startswith("driver: e1000_polling\n")
    assert settings == "Settings for eth0:\n\tLink detected: yes\n"
    assert "tcp-segmentation-offload: off\n" in features
    assert coalesce == "netlink error: Operation not supported\n"
