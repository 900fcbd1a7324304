"""Whole runs, for tests: the shipped scenarios, and command lines in a process of their own."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from desim.config import MachineConfig
from desim.experiment.run import RunResult, run
from desim.kernel.stages import MARKS
from desim.scenario.loader import load_scenario
from desim.scenario.shipped import shipped_scenarios

SHIPPED = tuple(shipped_scenarios())
HELLO = b"Hello qemu Geust\n"


def config(name: str, **changes: Any) -> MachineConfig:
    """The configuration of a shipped scenario, with some of its fields changed."""
    made = load_scenario(name)
    for field, value in changes.items():
        setattr(made, field, value)
    return made


@cache
def shipped_run(name: str) -> RunResult:
    """The run of a shipped scenario, made once for all tests: look, but do not change."""
    return run(config(name))


def desim(*words: str, hash_seed: int | None = None) -> subprocess.CompletedProcess[str]:
    """``desim`` with these words, to its end."""
    environ = dict(os.environ)
    if hash_seed is not None:
        environ["PYTHONHASHSEED"] = str(hash_seed)
    return subprocess.run(
        [sys.executable, "-m", "desim", *words], capture_output=True, text=True, env=environ
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, by its name there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def random_profile(seed: int, folder: Path) -> str:
    """A file with a random cost profile: what each function costs, if anything.

    The access of a card's register costs nothing: with tens of microseconds for each, the
    driver's interrupt would come again before it is done, for ever.
    """
    draw = random.Random(seed)
    lines = [f'description = "random {seed}"']
    for file in sorted({file for files in MARKS.values() for file in files}):
        lines.append(f'["{file}"]')
        for name in sorted(name for name, files in MARKS.items() if file in files):
            enter = draw.choice((0, 100, 1_000, 7_000, 30_000))
            per_1000_bytes = draw.choice((0, 0, 300, 2_000))
            leave = draw.choice((0, 0, 300, 5_000))
            if draw.random() < 0.7 and not name.startswith("e1000_mmio"):
                lines.append(
                    f"{name} = {{ enter = {enter}, per_1000_bytes = {per_1000_bytes}, "
                    f'leave = {leave}, source = "drawn" }}'
                )
    path = folder / f"random-{seed}.toml"
    path.write_text("\n".join(lines) + "\n")
    return str(path)
