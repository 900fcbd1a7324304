"""Sweeps of many short runs: what a run costs beside its simulation, how two processors do, memory.

``python -m benchmarks sweep``, on a machine that has nothing else to do; ``--runs`` makes it
shorter. Processor time is compared in turns within one process; of the wall's clock there is only
the ratio of one processor to two.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import desim.sweeps.sweep as sweeps
import desim.sweeps.work as work
from desim.experiment.warm import Reply, run_job
from desim.scenario.command_line import document_from_options
from desim.scenario.values import Axis
from desim.sweeps.database import Database
from desim.sweeps.sweep import Asked, Order, make, order

METRICS = ("ping.max", "irq")
TURN = 20
"""Runs of one turn."""
OWN = 10
"""A run with a boot of its own takes about as long as so many that share one."""


def short(runs: int, first: int = 0, *, shared: bool = False) -> Order:
    """A sweep of so many pings: each has a seed, and so a boot, of its own; or, ``shared``, a
    microsecond of its own at which it starts, behind one boot."""
    document = document_from_options(
        "-nic user,model=e1000", guest=["ping -c 1 10.0.2.2"], host=[], folder=Path()
    ).changed({"costs": "zero", "guest.ipv6": False})
    numbers = range(first, first + runs)
    if not shared:
        return order(document, Asked(seeds=numbers, metrics=METRICS))
    starts = ([{"command": "ping -c 1 10.0.2.2", "at": f"{4_000_000 + n}us"}] for n in numbers)
    return order(document, Asked(vary=[Axis("guest.run", (*starts,))], metrics=METRICS))


def overhead_ms(turns: int) -> tuple[float, float]:
    """Processor time of a run, and what the sweep takes beside it: medians of turns, in ms.

    A run is all from making its machine to the fingerprint, metrics and samples of its row. Both
    are taken from the same runs, so a noisy machine does not make one of them look shorter.
    """
    inside = 0.0

    def timed(*given: Any) -> Reply:
        nonlocal inside
        begin = time.process_time()
        reply = run_job(*given)
        inside += time.process_time() - begin
        return reply

    alone, more = [], []
    with mock.patch.object(work, "run_job", timed), tempfile.TemporaryDirectory() as folder:
        for turn in range(turns + 1):
            what = short(TURN, turn * TURN)
            inside = 0.0
            begin = time.process_time()
            database = Database.begin(f"{folder}/{turn}.db", what.head)
            for _ in make(what, database, workers=1):
                pass
            database.close()
            taken = time.process_time() - begin
            if turn:  # the first one loads what the others find loaded
                alone.append(inside * 1000 / TURN)
                more.append((taken - inside) * 1000 / TURN)
    return statistics.median(alone), statistics.median(more)


def resident_kib() -> list[int]:
    """The memory in RAM of this process, and of each child with its own children."""
    parents, sizes = dict[int, int](), dict[int, int]()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = (folder / "status").read_text()
            facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            parents[int(folder.name)] = int(facts["PPid"])
            sizes[int(folder.name)] = int(facts.get("VmRSS", "0").split()[0])
    own = os.getpid()
    found = {own: sizes[own]}
    for pid in sorted(sizes):
        top = pid
        while parents.get(top, own) != own:
            top = parents[top]
        if top in parents and parents[top] == own:
            found[top] = found.get(top, 0) + sizes[pid]
    return [found.pop(own), *found.values()]


def swept(runs: int, workers: int, *, shared: bool) -> tuple[float, list[list[int]]]:
    """Seconds of the wall's clock for a sweep; at each tenth of it ``resident_kib``."""
    what, memory = short(runs, shared=shared), list[list[int]]()
    with (
        mock.patch.object(sweeps, "POOL_S", 0),
        tempfile.TemporaryDirectory() as folder,
    ):
        database = Database.begin(f"{folder}/a.db", what.head)
        begin = time.perf_counter()
        for step in make(what, database, workers=workers):
            if step.done * 10 // runs > len(memory):
                memory.append(resident_kib())
        taken = time.perf_counter() - begin
        database.close()
    return taken, memory


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sweep", description=__doc__)
    parser.add_argument(
        "--runs",
        type=int,
        default=10_000,
        help="behind one boot (10000); a tenth of it with a boot each",
    )
    parser.add_argument("--turns", type=int, default=20, help=f"of {TURN} runs each (20)")
    arguments = parser.parse_args(argv)
    alone, more = overhead_ms(arguments.turns)
    print(f"a run by itself          {alone:9.2f} ms of processor time")
    print(f"a run of a sweep, more   {more:9.2f} ms                        (at most 1)")
    for shared in (False, True):
        runs = arguments.runs if shared else arguments.runs // OWN
        one, here = swept(runs, 1, shared=shared)
        two, pool = swept(runs, 2, shared=shared)
        print(f"{runs} runs {'behind one boot' if shared else 'with a boot each'}")
        print(f"  one processor {one:.1f} s, two {two:.1f} s")
        print(f"  one to two             {one / two:9.2f}                        (at least 1.7)")
        for name, memory in [("one", here), ("two", pool)]:
            for place, sizes in enumerate(zip(*memory, strict=False)):
                tenths = " ".join(f"{kib / 1024:.0f}" for kib in sizes)
                part = f"worker {place}" if place else "parent"
                print(f"  MiB with {name}, {part:<8}  {tenths}")
    return 0
