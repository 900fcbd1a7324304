"""Programs for QEMU's card: what they are, and that QEMU and desim agree on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from desim.against.original import Input
from desim.against.qemu import machine
from desim.against.qemu.code import CODE, Code
from desim.against.qemu.original import Qemu
from desim.against.qemu.programs import ALONE, is_program, program
from desim.against.search import Hand
from desim.cli import main
from desim.conform.e1000.replay import Replay
from desim.errors import UserError
from desim.fuzz.shrink import PASSES

DEVICE = {
    "model": "e1000", "mac": "52:54:00:12:34:56", "options": "",
    "pci_bus_master": True, "link_down_at_start": False,
}  # fmt: skip
HUB = {
    "hub": True, "ports": ["A", "B"], "user": None,
    "peers": {"B": {"mac": "52:54:00:12:34:57", "rx": False}},
}  # fmt: skip
ICR, ICS, IMS = 0xC0, 0xC8, 0xD0


@pytest.fixture
def real() -> Hand:
    try:
        return Hand(Qemu())
    except UserError as reason:
        pytest.skip(str(reason))


def of(*moves: list[Any], **net: Any) -> Input:
    return {"device": DEVICE, "net": {**HUB, **net}, "moves": list(moves)}


TWO_EDGES = of(
    ["w", IMS, 0x80, 4], ["r", 0x8, 2], ["w", ICS, 0x80, 4], ["wait", 5000], ["r", ICR, 4],
    ["w", ICS, 0x80, 4], ["wait", 200_000], ["line"], ["r", ICR, 4], ["r", 0x6, 4],
)  # fmt: skip


def test_without_qemu_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert main(["fuzz", "--against", "qemu"]) == 2
    assert "there is no qemu-system-x86_64; install QEMU 7.2" in capsys.readouterr().err


def test_another_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    said = subprocess.CompletedProcess([], 0, stdout="QEMU emulator version 11.1.3\n")
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("subprocess.run", lambda *words, **options: said)
    with pytest.raises(UserError, match=r"is 11\.1\.3; QEMU 7\.2 is what is modelled"):
        machine.check()


def test_what_is_drawn_is_a_program_and_the_same_each_time() -> None:
    for number in range(20):
        assert is_program(program(number)), number
        assert program(number) == program(number)


def without_a_peer(given: Input) -> None:
    given["net"]["peers"] = {}


def of_a_user_with_a_host(given: Input) -> None:
    given["net"].update(ports=["A", "B", "user"], user="")


def with_a_ring_elsewhere(given: Input) -> None:
    given["moves"].append(["w", 0x2800, 0x0300_0000, 4])


def that_writes_over_itself(given: Input) -> None:
    given["moves"].append(["mem", 0x0300_0000, "00"])


def with_a_register_beyond_the_window(given: Input) -> None:
    given["moves"].append(["r", 0x1_FFFE, 4])


def with_half_a_byte(given: Input) -> None:
    given["moves"].append(["mem", 0x0100_0000, "000"])


def with_a_peer_that_is_not_there(given: Input) -> None:
    given["moves"].append(["inject", "C", ["00" * 60]])


@pytest.mark.parametrize(
    "spoil",
    [
        without_a_peer,
        of_a_user_with_a_host,
        with_a_ring_elsewhere,
        that_writes_over_itself,
        with_a_register_beyond_the_window,
        with_half_a_byte,
        with_a_peer_that_is_not_there,
    ],
)
def test_what_is_no_program(spoil: Callable[[Input], None]) -> None:
    given = json.loads(json.dumps(TWO_EDGES))
    assert is_program(given)
    spoil(given)
    assert not is_program(given)


def test_a_wait_takes_the_instructions_that_it_says() -> None:
    code = Code()
    before = code.here
    code.wait(0)
    assert code.here == before
    code.wait(2_005)
    assert code.here - before == 15  # mov ecx; call; call
    assert before > CODE


def test_edges_are_exact(real: Hand) -> None:
    held = real.peer.hold(TWO_EDGES)
    assert held.recording is not None
    writes = [op["t"] for op in held.recording["ops"] if op["op"] == "w"]
    assert held.recording["irqs"] == [{"t": writes[1]}, {"t": writes[1] + 128_000}]
    values = [op["val"] for op in held.recording["ops"] if op["op"].startswith(("r", "line"))]
    assert values == [0x0783, 0x80, 1, 0x80, 0x0783_0000, 0]
    assert Replay(held.recording).run() is None
    assert real.peer.hold(TWO_EDGES).recording == held.recording


def test_frames_and_the_link(real: Hand) -> None:
    frame = bytes.fromhex("ffffffffffff52540012345708060001") + bytes(44)
    held = real.peer.hold(
        of(
            ["mem", 0x0100_0000, (0x0120_0000).to_bytes(16, "little").hex()],
            ["w", 0x2800, 0x0100_0000, 4],
            ["w", 0x2808, 128, 4],
            ["w", 0x2818, 2, 4],
            ["w", 0x100, 0x8002, 4],
            ["w", IMS, 0xFF, 4],
            ["inject", "B", [frame.hex()]],
            ["wait", 1_001_000_000],
            ["dump", 0x0120_0000, 60],
            ["link", False],
            ["r", 0x8, 4],
            ["w", 0x3818, 0, 4],
            ports=["A", "B", "user"],
            user=ALONE,
        )
    )
    assert held.recording is not None
    (dump,) = (op for op in held.recording["ops"] if op["op"] == "dump")
    assert dump["data"] == frame.hex()
    (pause,) = (op for op in held.recording["ops"] if op["op"] == "pause")
    # The end of the hold-off, on the grid of ms; the link, while the machine stands.
    assert held.recording["irqs"][0]["t"] == 1_002_000_000
    assert Replay(held.recording).run() is None
    assert pause["monitor"][0]["arguments"] == {"name": "nicA", "up": False}


@pytest.mark.slow
def test_a_card_that_differs_is_found_and_made_small(
    real: Hand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("desim.e1000.interrupts.MIT_FLOOR", 499)
    monkeypatch.setattr("desim.fuzz.shrink.PASSES", PASSES[:2])  # moves alone: a QEMU for each try
    edges = [["w", ICS, 0x80, 4], ["r", ICR, 4], ["w", ICS, 0x80, 4]]
    given = of(["w", IMS, 0x80, 4], ["line"], *edges, ["wait", 130_000])
    found = real.judge(3, given).difference
    assert found is not None
    assert found.text.startswith("interrupt 1: expected t=")
    assert found.moves == len(given["moves"]) - 1

    monkeypatch.undo()
    path = tmp_path / "found.json"
    path.write_text(json.dumps(found.recording))
    assert main(["conform", "e1000", str(path)]) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_worker_that_is_killed_takes_its_qemu_along() -> None:
    words = ["sleep", f"1000.{os.getpid()}"]
    text = "from desim.against.qemu.machine import _to_its_end as run; "
    text += f"run({words!r}, [], [], print)"

    def started() -> bool:
        shown = "\0".join([*words, ""]).encode()
        return any(_command_line(folder) == shown for folder in Path("/proc").glob("[0-9]*"))

    with subprocess.Popen([sys.executable, "-c", text]) as worker:
        wait_until(started)
        worker.kill()
    wait_until(lambda: not started())


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it takes too long")
