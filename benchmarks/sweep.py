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
from multiprocessing import active_children
from pathlib import Path

import desim.sweeps.sweep as sweeps
from desim.experiment.run import run
from desim.scenario.command_line import document_from_options
from desim.sweeps.database import Database
from desim.sweeps.samples import samples
from desim.sweeps.sweep import Asked, Order, make, order

METRICS = ("ping.max", "irq")
TURN = 20
"""Runs of one turn."""


def short(runs: int, first: int = 1) -> Order:
    """A sweep of pings with so many seeds."""
    document = document_from_options(
        "-nic user,model=e1000", guest=["ping -c 1 10.0.2.2"], host=[], folder=Path()
    ).changed({"costs": "zero", "guest.ipv6": False})
    return order(document, Asked(seeds=range(first, first + runs), metrics=METRICS))


def overhead_ms(turns: int) -> tuple[float, float]:
    """Processor time of a run by itself, and what a run of a sweep takes more: medians, in ms."""
    alone, more = [], []
    for turn in range(turns + 1):
        what = short(TURN, 1 + turn * TURN)
        configs = [what.base.configure(what.plan.point(number)) for number in range(TURN)]
        begin = time.process_time()
        for config in configs:
            result = run(config)
            _ = result.fingerprint, samples(result, causes=False)
            _ = [result.metrics.value(name) for name in METRICS]
        simulated = time.process_time() - begin
        with tempfile.TemporaryDirectory() as folder:
            begin = time.process_time()
            database = Database.begin(f"{folder}/a.db", what.head)
            for _ in make(what, database, workers=1):
                pass
            database.close()
            swept = time.process_time() - begin
        if turn:  # the first one loads what the others find loaded
            alone.append(simulated * 1000 / TURN)
            more.append((swept - simulated) * 1000 / TURN)
    return statistics.median(alone), statistics.median(more)


def resident_kib(pid: int) -> int:
    """The memory of a process that lies in RAM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def swept(runs: int, workers: int) -> tuple[float, dict[str, list[int]]]:
    """Seconds of the wall's clock for a sweep; KiB of parent and workers at each tenth of it."""
    sweeps.POOL_S = 0
    what, memory = short(runs), dict[str, list[int]]()
    with tempfile.TemporaryDirectory() as folder:
        database = Database.begin(f"{folder}/a.db", what.head)
        begin, told = time.perf_counter(), 0
        for step in make(what, database, workers=workers):
            if step.done * 10 // runs > told:
                told = step.done * 10 // runs
                memory.setdefault("parent", []).append(resident_kib(os.getpid()))
                for number, child in enumerate(sorted(active_children(), key=lambda c: c.pid or 0)):
                    memory.setdefault(f"worker {number + 1}", []).append(
                        resident_kib(child.pid or 0)
                    )
        taken = time.perf_counter() - begin
        database.close()
    return taken, memory


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sweep", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="of the long sweeps (10000)")
    parser.add_argument("--turns", type=int, default=20, help=f"of {TURN} runs each (20)")
    arguments = parser.parse_args(argv)
    alone, more = overhead_ms(arguments.turns)
    print(f"a run by itself          {alone:9.2f} ms of processor time")
    print(f"a run of a sweep, more   {more:9.2f} ms                        (at most 1)")
    one, memory = swept(arguments.runs, 1)
    two, both = swept(arguments.runs, 2)
    print(f"{arguments.runs} runs: one processor {one:.1f} s, two {two:.1f} s")
    print(f"one to two               {one / two:9.2f}                           (at least 1.7)")
    for name, found in [("one process", memory["parent"]), *both.items()]:
        tenths = " ".join(f"{kib / 1024:.0f}" for kib in found)
        print(f"MiB of {name:<12}      {tenths}")
    return 0
