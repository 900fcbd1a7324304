"""What other processes took: CPU time and memory of a command, as the kernel counted them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Usage(NamedTuple):
    """Of one process with those that it waited for."""

    cpu_s: float
    peak_kib: int


def spent(*command: str, folder: Path = ROOT) -> Usage:
    """Run a command to its end. Raises ``RuntimeError`` with what it said if it fails."""
    # Its stored bytecode is used, as in daily life.
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {said.read().decode(errors='replace')}")
    return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


def desim(*words: str, folder: Path = ROOT) -> Usage:
    """Run a command of desim."""
    return spent(sys.executable, "-m", "desim", *words, folder=folder)


def bare() -> Usage:
    """Start the interpreter, and nothing else."""
    return spent(sys.executable, "-c", "pass")
