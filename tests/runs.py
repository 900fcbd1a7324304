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
from desim.scenario.loader import load_scenario
from desim.scenario.shipped import shipped_scenarios
from desim.stages import known_stages

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
    """A file with a random cost profile: which functions cost anything, how much, and when.

    In most of them the access of a card's register costs nothing: with tens of microseconds
    for each, the driver can be kept so busy that little else happens. Each function draws
    by itself, so that one that is added changes no other's cost.
    """
    draw = random.Random(seed)
    share = draw.choice((0.2, 0.5, 0.7, 0.9, 1))
    most = draw.choice((200, 2_000, 20_000, 100_000))
    with_access = draw.random() < 0.3

    def figure() -> int:
        return draw.choice((0, draw.randrange(most), draw.randrange(most), 1, draw.randrange(50)))

    lines = [f'description = "random {seed}"']
    known = known_stages()
    for file in sorted({file for _, file in known}):
        lines.append(f"[{file!r}]")
        for name in sorted(name for name, its_file in known if its_file == file):
            draw = random.Random(f"{seed} {file} {name}")
            enter, per_1000_bytes, leave = figure(), draw.choice((0, 0, 300)), figure()
            if not known[name, file].sized:
                per_1000_bytes = 0
            if draw.random() < share and (with_access or not name.startswith("e1000_mmio")):
                lines.append(
                    f"{name} = {{ enter = {enter}, per_1000_bytes = {per_1000_bytes}, "
                    f"leave = {leave}, source = 'drawn' }}"
                )
    path = folder / f"random-{seed}.toml"
    path.write_text("\n".join(lines) + "\n")
    return str(path)
