"""Another run of a configuration, for laws about pairs of runs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable

from desim.config import MachineConfig
from desim.errors import WorkerError
from desim.laws.law import Run

_ELSEWHERE = """
import pickle, sys
from desim.experiment.run import run
print(run(pickle.load(sys.stdin.buffer)).fingerprint.whole)
"""


class Again:
    """Runs a configuration here, or in a Python of its own (``desim.laws.law.Again``).

    ``run`` is ``desim.experiment.run.run``, or what does the same.
    """

    def __init__(self, run: Callable[[MachineConfig], Run]) -> None:
        self._run = run

    def __call__(self, config: MachineConfig) -> Run:
        """The run of ``config``."""
        return self._run(config)

    def fingerprint(self, config: MachineConfig, hash_seed: int) -> str:
        """Its whole fingerprint where ``PYTHONHASHSEED`` is ``hash_seed``.

        Raises ``WorkerError`` with what that Python said last, if it fails.
        """
        done = subprocess.run(
            [sys.executable, "-c", _ELSEWHERE],
            input=pickle.dumps(config),
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
            raise WorkerError(f"a run with hash seed {hash_seed} failed: {said[-1:]}")
        return done.stdout.decode().strip()
