"""One scenario, with the card's timing of QEMU and with that of Intel's manual."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from desim.cli import main
from desim.events import FrameStored, PinDriven
from desim.experiment.run import RunResult, run
from desim.scenario.loader import load_scenario

SCENARIO = """
semantics = "{semantics}"
costs = "zero"

[[guest.run]]
command = "nc -lvp 5556 > hello.txt"

[[host.run]]
at = "5s"
stop = "+3.5s"
command = "echo 'Hello qemu Geust' | nc localhost 5555"

"""

QEMU = 'qemu = "-netdev user,id=u,hostfwd=tcp::5555-:5556 -device e1000,netdev=u"\n'


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunResult]:
    folder = tmp_path_factory.mktemp("semantics")
    found = {}
    for semantics in ("qemu", "datasheet"):
        file = folder / f"{semantics}.toml"
        file.write_text(QEMU + SCENARIO.format(semantics=semantics))
        found[semantics] = run(load_scenario(str(file)))
    return found


def between(result: RunResult, direction: bool) -> list[int]:
    """The times at which frames pass the card, towards the guest or from it."""
    return [p.time for p in result.packets["nic"] if p.to_guest is direction]


def test_the_same_bytes_come_through(results: dict[str, RunResult]) -> None:
    for result in results.values():
        assert result.files["guest/hello.txt"] == b"Hello qemu Geust\n"


def test_only_qemu_makes_the_first_answer_wait_for_the_hold_off(
    results: dict[str, RunResult],
) -> None:
    """The guest's DHCP: QEMU's card is deaf for a second after the driver's RCTL writes."""
    waits = {}
    for name, result in results.items():
        # What goes out before is of IPv6, and nobody answers that.
        asked = min(p.time for p in result.packets["nic"] if p.frame.raw[12:14] == b"\x08\x00")
        waits[name] = min(between(result, True)) - asked
    assert waits["datasheet"] < 1_000_000 < 500_000_000 < waits["qemu"]


def dma_delays(result: RunResult) -> list[int]:
    """From the net layer to the guest's memory, for each frame towards the guest."""
    written = {stored.event.frame: stored.time for stored in result.trace.events(FrameStored)}
    passed = [p for p in result.packets["nic"] if p.to_guest and p.frame.number in written]
    return [written[p.frame.number] - p.time for p in passed]


def test_only_the_datasheets_frames_take_the_wires_time(results: dict[str, RunResult]) -> None:
    assert set(dma_delays(results["qemu"])) == {0}
    delays = dma_delays(results["datasheet"])
    assert delays
    assert min(delays) >= 576, "a minimum frame with its preamble and FCS, without the gap"
    left = sorted(between(results["datasheet"], False))
    assert all(b - a >= 672 for a, b in pairwise(left))


def interrupts(result: RunResult) -> list[int]:
    return [driven.time for driven in result.trace.events(PinDriven) if driven.event.level]


def test_only_qemu_keeps_interrupts_128_us_apart(results: dict[str, RunResult]) -> None:
    """ITR is 195 (Linux's default), 50 us; RXT0 waits for nothing, as RDTR is 0."""
    gaps = {
        name: min(b - a for a, b in pairwise(interrupts(result)))
        for name, result in results.items()
    }
    assert gaps["qemu"] >= 128_000
    assert 195 * 256 <= gaps["datasheet"] < 128_000


def test_the_option_says_the_same_as_the_key(
    results: dict[str, RunResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "datasheet.toml"
    file.write_text(QEMU + SCENARIO.format(semantics="qemu"))
    assert main(["run", str(file), "--semantics", "datasheet", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["fingerprint"] == results["datasheet"].summary["fingerprint"]


def test_a_strict_run_on_the_wire_is_the_same(
    results: dict[str, RunResult], tmp_path: Path
) -> None:
    file = tmp_path / "datasheet.toml"
    file.write_text(QEMU + SCENARIO.format(semantics="datasheet"))
    config = load_scenario(str(file))
    config.strict = True
    assert str(run(config).fingerprint) == str(results["datasheet"].fingerprint)
