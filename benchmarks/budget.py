"""The budget: how many calls each unit of work may take. The gate holds it (tests/test_budget.py).

    python -m benchmarks budget                      count, and compare
    python -m benchmarks budget --write              lower what has become less
    python -m benchmarks budget --write --reason R   raise what has become more, and say why
    python -m benchmarks budget --against REV        which functions are called more, or less
    python -m benchmarks budget --rooms              where the calls are

``benchmarks/budget.toml`` has one line for each count, so that changes of several people merge:
after a conflict take either side and write again. A count above the lowest that it ever was has
its reason in its line. Counts differ between Pythons; the budget is that of the oldest.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.archives import unpack
from benchmarks.calls import COUNTS, functions, measure, rooms

ROOT = Path(__file__).resolve().parents[1]
FILE = Path(__file__).with_name("budget.toml")
PYTHON = "3.11"
"""The Python whose counts stand in the budget."""
SHOWN = 12
"""Functions that a comparison shows."""

HEAD = f"""\
# Calls (of Python and builtin functions) per unit of work, on Python {PYTHON}. The gate fails if a
# count is higher. `python -m benchmarks budget --write` lowers what has become less; what has
# become more needs `--reason "..."`, which stays in the line while the count is above its lowest.
"""


class Line(NamedTuple):
    """One count that is allowed."""

    calls: float
    reason: str = ""

    @classmethod
    def read(cls, value: Any) -> Line:
        """From the TOML value: a number, or a table with the reason."""
        if isinstance(value, dict):
            return cls(float(value["calls"]), str(value["reason"]))
        return cls(float(value))

    def __str__(self) -> str:
        if not self.reason:
            return f"{self.calls:.2f}"
        return f"{{ calls = {self.calls:.2f}, reason = {json.dumps(self.reason)} }}"


def parse(text: str) -> dict[str, Line]:
    """The lines of a budget."""
    table = tomllib.loads(text)
    return {what: Line.read(value) for what, value in table["calls"].items()}


def load() -> dict[str, Line]:
    """The budget as it stands."""
    return parse(FILE.read_text(encoding="utf-8"))


def store(lines: dict[str, Line]) -> None:
    """Write the budget, in the order in which the counts are declared."""
    rows = [f"{json.dumps(what)} = {lines[what]}\n" for what in COUNTS if what in lines]
    FILE.write_text(HEAD + "\n[calls]\n" + "".join(rows), encoding="utf-8")


def counted(what: str) -> float:
    """Calls per unit of the count ``what``, in a process of its own: whatever ran before in this
    one (a cache that is warm, a table that has grown) makes a difference of a hundredth."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "budget", "--count", what],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    return float(done.stdout)


def is_ours() -> bool:
    """Whether this is the Python that the budget is for."""
    return f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON


def rewritten(
    lines: dict[str, Line], found: dict[str, float], reason: str, lowest: dict[str, float]
) -> tuple[dict[str, Line], list[str]]:
    """The budget with what was counted, and which counts have risen without a reason.

    A reason that is there stays while a count is above the ``lowest`` that it ever was.
    """
    new = dict(lines)
    refused = []
    for what, calls in found.items():
        old = lines.get(what)
        if old is None:
            new[what] = Line(calls)
        elif calls < old.calls:
            new[what] = Line(calls, old.reason if calls > lowest.get(what, calls) else "")
        elif calls > old.calls:
            if reason:
                new[what] = Line(calls, reason)
            else:
                refused.append(f"{what}: {old.calls:.2f} -> {calls:.2f}")
    return new, refused


# --- the file's history


def _git(*words: str) -> bytes:
    return subprocess.run(
        ["git", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout


def history() -> list[tuple[str, dict[str, Line]]]:
    """The budget at each commit that changed it, latest first; empty where there is no history."""
    name = str(FILE.relative_to(ROOT))
    try:
        commits = _git("log", "--format=%h", "--", name).decode().split()
        return [(commit, parse(_git("show", f"{commit}:{name}").decode())) for commit in commits]
    except (OSError, subprocess.CalledProcessError):
        return []


def lowest_of(past: Iterable[dict[str, Line]]) -> dict[str, float]:
    """The lowest that each count ever was."""
    lowest: dict[str, float] = {}
    for one in past:
        for what, line in one.items():
            lowest[what] = min(line.calls, lowest.get(what, math.inf))
    return lowest


def unexplained(lines: dict[str, Line], past: Iterable[dict[str, Line]]) -> list[str]:
    """Counts that stand above the lowest they ever were, without a reason."""
    lowest = lowest_of(past)
    return [
        f"{what}: {line.calls:.2f} was {lowest[what]:.2f} once, and its line has no reason"
        for what, line in lines.items()
        if not line.reason and line.calls > lowest.get(what, math.inf)
    ]


# --- which functions


def functions_at(revision: str, what: str) -> dict[str, float]:
    """The functions of a count as another revision has them, counted by its own benchmarks.

    Raises ``subprocess.CalledProcessError`` where there is no such revision or no such count.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = _git("archive", revision, "desim", "benchmarks", "scenarios")
        with tarfile.open(fileobj=BytesIO(archive)) as files:
            unpack(files, folder)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "budget", "--functions", what],
            cwd=folder,
            check=True,
            stdout=subprocess.PIPE,
        )
    return {name: float(calls) for name, calls in json.loads(done.stdout).items()}


def difference(before: dict[str, float], after: dict[str, float]) -> list[str]:
    """The functions whose calls differ, those with the largest growth first."""
    names = before.keys() | after.keys()
    grown = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in names}
    lines = []
    for name in sorted(names, key=lambda name: (-grown[name], name)):
        if abs(grown[name]) >= 0.005:
            was, now = before.get(name, 0.0), after.get(name, 0.0)
            lines.append(f"{grown[name]:+10.2f}  {was:9.2f} -> {now:9.2f}  {name}")
    return lines


def grown_since(what: str, revision: str) -> str:
    """The functions that are called more than at ``revision``, as lines of text."""
    try:
        lines = difference(functions_at(revision, what), functions(COUNTS[what]))
    except (OSError, subprocess.CalledProcessError) as error:
        return f"  (no comparison with {revision}: {error})"
    return "\n".join(lines[:SHOWN])


def _compare(revision: str, names: list[str]) -> None:
    for what in names:
        lines = difference(functions_at(revision, what), functions(COUNTS[what]))
        print(f"{what}: {'the same' if not lines else ''}")
        for line in lines if len(lines) <= 2 * SHOWN else [*lines[:SHOWN], "…", *lines[-SHOWN:]]:
            print(line)


def main(argv: list[str]) -> int:
    """Count, and compare with the budget or with another revision."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks budget", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--only", action="append", metavar="TEXT", help="counts with this in them")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--write", action="store_true", help="write what is counted")
    how.add_argument("--against", metavar="REV", help="by function, against another revision")
    how.add_argument("--rooms", action="store_true", help="by room of desim")
    how.add_argument("--functions", metavar="WHAT", help=argparse.SUPPRESS)
    how.add_argument("--count", metavar="WHAT", help=argparse.SUPPRESS)
    parser.add_argument("--reason", default="", help="why counts have risen")
    arguments = parser.parse_args(argv)
    if arguments.functions:
        print(json.dumps(functions(COUNTS[arguments.functions])))
        return 0
    if arguments.count:
        print(measure(COUNTS[arguments.count]))
        return 0
    only = arguments.only or [""]
    names = [what for what in COUNTS if any(text in what for text in only)]
    if not names:
        parser.error(f"no count has {' or '.join(only)} in its name: {'; '.join(COUNTS)}")
    if arguments.against:
        _compare(arguments.against, names)
        return 0
    if arguments.rooms:
        for what in names:
            calls = rooms(COUNTS[what])
            parts = (f"{room} {calls[room]:.1f}" for room in sorted(calls, key=lambda r: -calls[r]))
            print(f"{what}: {', '.join(parts)}")
        return 0
    if not is_ours():
        parser.error(f"the budget is that of Python {PYTHON}")
    lines = load() if FILE.exists() else {}
    found: dict[str, float] = {}
    for what in names:
        found[what] = counted(what)
        old = f"{lines[what].calls:12,.2f}" if what in lines else "         new"
        print(f"{what:48} {old} {found[what]:12,.2f}", flush=True)
    new, refused = rewritten(
        lines, found, arguments.reason, lowest_of(past for _, past in history())
    )
    if arguments.write:
        store(new)
    for line in refused:
        print(f"higher: {line}", file=sys.stderr)
    if refused:
        print("say why with --write --reason, or see --against REV", file=sys.stderr)
    return 1 if refused else 0
