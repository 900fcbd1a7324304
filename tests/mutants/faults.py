"""The list of faults, and a copy of desim to put them into."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).parent / "faults.toml"
TREES = ("desim", "scenarios", "tests")
"""What a copy has of its own; tests read the scenarios, and write beside themselves."""
SHARED = (
    "tests/vectors",
    "benchmarks",
    "docs",
    "results",
    "README.md",
    "CHANGELOG.md",
    "pyproject.toml",
)
"""What a copy shares with the original: nobody writes there."""


class Fault(NamedTuple):
    """One fault: in ``file``, ``was`` (which stands there once) becomes ``becomes``."""

    name: str
    says: str
    file: str
    was: str
    becomes: str
    tests: tuple[str, ...]
    """Below ``tests/``: the rooms whose tests and recordings are asked."""
    gate: str
    """The test that the gate asks, below ``tests/``; empty: the gate passes this fault over."""
    hidden: str
    """Why no law can see it; empty for those that one should."""

    def problem(self) -> str:
        """What is wrong with the fault itself; empty if nothing is."""
        path = ROOT / self.file
        if not path.is_file():
            return f"{self.name}: there is no {self.file}"
        count = path.read_text(encoding="utf-8").count(self.was)
        if count != 1:
            return f"{self.name}: its text stands {count} times in {self.file}, not once"
        missing = [t for t in self.asked() if not (ROOT / "tests" / t).exists()]
        return f"{self.name}: there is no tests/{missing[0]}" if missing else ""

    def asked(self) -> list[str]:
        """Files and folders of tests that must exist."""
        return [*self.tests, *([self.gate.split("::")[0]] if self.gate else [])]


def load() -> list[Fault]:
    """All faults, in the order of the list."""
    with LIST.open("rb") as file:
        entries = tomllib.load(file)["fault"]
    return [
        Fault(**{"gate": "", "hidden": "", **entry, "tests": tuple(entry["tests"])})
        for entry in entries
    ]


class Copy:
    """A copy of desim and its tests in ``folder``, which has at most one fault at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for tree in TREES:
            shutil.copytree(
                ROOT / tree,
                folder / tree,
                ignore=shutil.ignore_patterns("__pycache__", "vectors", ".hypothesis"),
            )
        for one in folder.rglob("*"):  # they may be copies of what may only be read
            one.chmod(one.stat().st_mode | stat.S_IWUSR)
        for name in SHARED:
            (folder / name).symlink_to(ROOT / name)

    @contextmanager
    def having(self, fault: Fault) -> Iterator[None]:
        """The copy has ``fault`` until this ends."""
        path = self.folder / fault.file
        right = path.read_text(encoding="utf-8")
        try:
            self._write(path, right.replace(fault.was, fault.becomes))
            yield
        finally:
            self._write(path, right)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        # What was compiled counts as fresh if the file has its size and was written in its second.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()

    def run(self, arguments: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        """``python -m`` with ``arguments``, on the copy; raises ``TimeoutExpired``."""
        paths = [str(self.folder), str(self.folder / "tests")]
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
