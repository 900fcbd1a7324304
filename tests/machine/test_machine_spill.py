"""A run whose bulk lies in a temporary file is the run whose bulk lies in memory."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runs import SHIPPED, config, shipped_run, tree

from desim import spool
from desim.cli._main import main
from desim.engine import trace
from desim.experiment import output
from desim.experiment.run import run
from desim.machine import capture
from desim.report import terminal

SPILLING = """
import desim.spool
desim.spool.BOUND, desim.spool.BLOCK, desim.spool.BATCH = 0, 512, 8
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Nothing stays in memory: the places of what was written to the file, which is in tmp_path."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(spool, "BOUND", 0)
    monkeypatch.setattr(spool, "BLOCK", 512)
    monkeypatch.setattr(spool, "BATCH", 8)
    monkeypatch.setattr(capture, "FRAMES", 2)
    monkeypatch.setattr(trace, "LOOK_AHEAD", 16)
    places: list[int] = []
    write: Callable[[int, memoryview, int], int] = os.pwrite

    def pwrite(fd: int, data: memoryview, place: int) -> int:
        places.append(place)
        return write(fd, data, place)

    monkeypatch.setattr(os, "pwrite", pwrite)
    yield places
    assert list(folder.iterdir()) == [], "the file has no name"


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=() if name in ("hello-close", "upload") else pytest.mark.slow)
        for name in SHIPPED
    ],
)
def test_every_result_is_the_same_byte_for_byte(
    scenario: str, tmp_path: Path, written: list[int]
) -> None:
    spilled, kept = run(config(scenario)), shipped_run(scenario)
    assert len(written) > 500
    assert spilled.fingerprint == kept.fingerprint
    for result, name in ((spilled, "spilled"), (kept, "kept")):
        output.write(result, tmp_path / name)
    assert tree(tmp_path / "spilled") == tree(tmp_path / "kept")
    assert terminal.text(spilled, spilled.config, 100, 2) == terminal.text(
        kept, kept.config, 100, 2
    )


def test_frames_can_be_looked_at_as_a_sequence(written: list[int]) -> None:
    for point, packets in run(config("upload")).packets.items():
        kept = shipped_run("upload").packets[point]
        seen = [(p.time, p.to_guest, p.frame.number, p.frame.raw) for p in packets]
        assert seen == [(p.time, p.to_guest, p.frame.number, p.frame.raw) for p in kept]
        assert len(packets) == len(seen) > 10
        assert packets[-1].frame.raw == seen[-1][3]
        assert [p.time for p in packets[3:9]] == [time for time, *_ in seen[3:9]]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_the_run_with_one_message(
    number: int,
    written: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    there_was_room = os.pwrite

    def full(fd: int, data: memoryview, place: int) -> int:
        if place > 100_000:
            raise OSError(number, os.strerror(number))
        return there_was_room(fd, data, place)

    monkeypatch.setattr(os, "pwrite", full)
    assert main(["run", "hello-close", "--out", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"desim: {tempfile.gettempdir()}: {os.strerror(number)}; a run keeps there what it does "
        "not keep in memory: make room, or name another folder in TMPDIR\n"
    )
    assert not Path("nowhere").exists()


def test_a_killed_run_leaves_nothing_in_the_folder_that_tmpdir_names(tmp_path: Path) -> None:
    script = f"""{SPILLING}
import os, signal
import desim
result = desim.run(desim.load("upload"))
links = [os.path.realpath(f"/proc/self/fd/{{fd}}") for fd in os.listdir("/proc/self/fd")]
print(*[link for link in links if link.startswith({str(tmp_path)!r})], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == -9, done.stderr
    assert done.stdout.startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
