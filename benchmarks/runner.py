"""One table of every figure that desim is held to.

A figure is a count, or a ratio of times that were taken in turns in the same run. Absolute times
(unit ``ms*``) are scaled to a machine on which stock SimPy makes a million Timeouts a second.
"""

from __future__ import annotations

import argparse
import importlib
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOMS = {
    "budget": "calls per unit of work, against budget.toml",
    "card": "the bare card: frames a second",
    "engine": "the engine beside stock SimPy",
    "path": "data segments a second through the whole path",
    "slirp": "the slirp stack alone",
    "sweep": "sweeps of many short runs: overhead, two processors, memory",
    "wire": "bytes and headers",
}
"""Benches with a command line of their own: ``python -m benchmarks ROOM``."""

WIDTH = 80


class Target(NamedTuple):
    """What a figure is to reach."""

    limit: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Whether ``value`` reaches it."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


class Row(NamedTuple):
    """One figure. ``value`` is None if it cannot be had here; then ``unit`` says why."""

    what: str
    value: float | None
    unit: str
    target: Target | None = None


class Bench(NamedTuple):
    """One bench: rows that are measured together."""

    title: str
    measure: Callable[[], Iterable[Row]]
    slow: bool = False


def at_most(limit: float) -> Target:
    """A target from above."""
    return Target(limit)


def at_least(limit: float) -> Target:
    """A target from below."""
    return Target(limit, at_least=True)


def text(row: Row) -> str:
    """One line of the table."""
    if row.value is None:
        return textwrap.fill(f"  {row.what:<42} {row.unit}", WIDTH, subsequent_indent=" " * 45)
    digits = 0 if row.value >= 1000 else 1 if row.value >= 100 else 2
    line = f"  {row.what:<42} {row.value:>10,.{digits}f} {row.unit:<10}"
    if row.target is None:
        return line.rstrip()
    return f"{line} {row.target!s:>7} {'met' if row.target.met(row.value) else 'NOT'}"


def rows(benches: dict[str, Bench], chosen: Iterable[str]) -> Iterator[tuple[str, Row]]:
    """Measure one bench after the other."""
    for name in chosen:
        for row in benches[name].measure():
            yield name, row


def main(argv: list[str]) -> int:
    """Run a room of its own, or print the table."""
    if argv and argv[0] in ROOMS:
        room = importlib.import_module(f"benchmarks.{argv[0]}")
        return int(room.main(argv[1:]) or 0)
    from benchmarks import peers
    from benchmarks.table import BENCHES

    epilog = "\n".join(f"  {name:8} {what}" for name, what in ROOMS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=(__doc__ or "").partition("\n")[0],
        epilog=f"rooms with a command line of their own (python -m benchmarks ROOM):\n{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="name the benches, measure nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object for each row")
    parser.add_argument("--only", action="append", metavar="NAME", choices=BENCHES, help="a bench")
    parser.add_argument("--slow", action="store_true", help="those that take minutes, too")
    parser.add_argument(
        "--peers",
        type=Path,
        metavar="DIR",
        help="where ns-3 and ns.py are installed (build/peers if not given)",
    )
    arguments = parser.parse_args(argv)
    if arguments.list:
        for name, bench in BENCHES.items():
            print(f"{name:14} {bench.title}{' (--slow)' if bench.slow else ''}")
        return 0
    if arguments.peers:
        peers.folder = arguments.peers
    every = [name for name, bench in BENCHES.items() if arguments.slow or not bench.slow]
    shown = ""
    for name, row in rows(BENCHES, arguments.only or every):
        if arguments.json:
            limit = None if row.target is None else str(row.target)
            met = None if row.target is None or row.value is None else row.target.met(row.value)
            print(json.dumps({"bench": name} | row._asdict() | {"target": limit, "met": met}))
            continue
        if shown != name:
            print(f"{name}: {BENCHES[name].title}")
            shown = name
        print(text(row), flush=True)
    return 0
