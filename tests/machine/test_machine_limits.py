"""A run's budget is counted: it ends at the same place everywhere, and keeps what there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import config, desim

from desim.config import MachineConfig
from desim.experiment.run import run
from desim.scenario.command_line import machine_from_options

MULTIPLIED = (
    "-netdev user,id=u -device e1000,netdev=u "
    + " ".join(f"-object filter-duplicate,id=f{n},netdev=u,every=1" for n in range(12))
)  # fmt: skip


def multiplied(folder: Path, *, frames: int) -> MachineConfig:
    """One ping, of which each filter makes two."""
    made = machine_from_options(
        MULTIPLIED.split(), guest=["ping -c 1 10.0.2.2"], host=[], folder=folder
    )
    made.limits.frames = frames
    return made


@pytest.mark.slow
def test_frames_that_make_frames_end_at_the_limit(tmp_path: Path) -> None:
    first, second = (run(multiplied(tmp_path, frames=9000)) for _ in range(2))
    assert first.failed
    assert first.ended.startswith("stopped: more than 9000 frames by ")
    assert max(p.frame.number for p in first.packets["slirp"]) <= 9000
    assert first.summary["frames"]["points"]["slirp"]["from_guest"] > 0
    assert (first.ended, first.fingerprint) == (second.ended, second.fingerprint)


@pytest.mark.parametrize("limit", ["frames", "marks", "notes", "events"])
def test_each_limit_stops_a_run_and_keeps_what_there_is(limit: str) -> None:
    whole = config("upload")
    setattr(whole.limits, limit, 100)
    result = run(whole)
    assert result.failed
    assert result.ended.startswith(f"stopped: more than 100 {limit} by ")
    assert 0 < result.end_ns < run(config("upload")).end_ns


def test_a_run_that_is_stopped_keeps_its_last_instant() -> None:
    """Time may stand still there, so that what goes on for ever is to be seen nowhere else."""
    whole = config("upload")
    whole.limits.marks = 20_000
    result = run(whole)
    assert max(record.times[-1] for record in result.trace.threads.values()) == result.end_ns


@pytest.mark.slow
def test_a_scenario_sets_its_limits_and_exits_with_1(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = desim("run", "hello", "--set", "run.limits.frames=10", "--out", str(out))
    assert done.returncode == 1
    assert "stopped: more than 10 frames by" in done.stderr
    assert (out / "trace.jsonl").stat().st_size > 0
    assert desim("run", "hello", "--set", "run.limits.frames=0").returncode == 2
