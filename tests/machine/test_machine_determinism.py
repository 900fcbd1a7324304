"""The same scenario gives the same run, to the byte: on any Python, with any hash seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import golden
import pytest
from runs import SHIPPED, config, shipped_run, tree

from desim.experiment.run import run

ALL = """
import sys
from desim.cli import main
for name in sys.argv[2:]:
    assert main(["run", name, "--out", sys.argv[1] + "/" + name, "--quiet"]) == 0
"""


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return tomllib.loads((golden.FOLDER / golden.FINGERPRINTS).read_text())


def test_every_shipped_scenario_has_its_fingerprint_in_results(recorded: dict[str, Any]) -> None:
    assert set(recorded) == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_fingerprint_is_that_in_results(name: str, recorded: dict[str, Any]) -> None:
    # On each Python that the gate has: so they all agree.
    assert shipped_run(name).fingerprint._asdict() == recorded[name]


@pytest.mark.slow
def test_four_hash_seeds_leave_byte_identical_folders(
    tmp_path: Path, recorded: dict[str, Any]
) -> None:
    folders = []
    for seed in range(4):
        out = tmp_path / str(seed)
        out.mkdir()
        subprocess.run(
            [sys.executable, "-c", ALL, str(out), *SHIPPED],
            env=dict(os.environ, PYTHONHASHSEED=str(seed)),
            check=True,
        )
        folders.append(tree(out))
    for name in SHIPPED:
        for file in ("trace.jsonl", "summary.json", "capture-slirp.pcapng", "capture-nic.pcapng"):
            assert f"{name}/{file}" in folders[0]
        summary = json.loads(folders[0][f"{name}/summary.json"])
        assert summary["fingerprint"] == recorded[name]
    for seed, folder in enumerate(folders):
        assert folder == folders[0], f"PYTHONHASHSEED={seed}"


def test_two_runs_in_one_process_are_the_same() -> None:
    first, second = (run(config("hello-close")) for _ in range(2))
    assert first.summary == second.summary


def test_another_seed_is_another_run() -> None:
    other = run(config("hello-close", seed=2))
    assert other.fingerprint.bytes != shipped_run("hello-close").fingerprint.bytes
    assert other.files == shipped_run("hello-close").files


def test_other_costs_change_the_times() -> None:
    other = run(config("hello-close", costs="zero"))
    assert other.fingerprint.times != shipped_run("hello-close").fingerprint.times


def test_a_progress_report_changes_nothing() -> None:
    seen: list[int] = []
    result = run(config("hello-close"), progress=seen.append)
    assert result.fingerprint == shipped_run("hello-close").fingerprint
    assert seen == sorted(seen)
    assert len(seen) > 10
