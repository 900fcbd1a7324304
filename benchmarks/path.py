"""Data segments per second through the whole path, with and without costs and records.

    python -m benchmarks path [MEGABYTES [ROUNDS]]

A bulk transfer between a program of the host and one of the guest: socket, slirp, net core,
card, driver, TCP, reader (16 KiB at a time); every acknowledgement comes back the same way. The
variants take turns, and the ratio is taken inside a turn, because machines are noisy. CPU time of
one process; building the machine and booting the guest are measured apart.
"""

from __future__ import annotations

import statistics
import time

from benchmarks.workloads import MSS, boot, bulk
from desim.config import MachineConfig
from desim.machine import Machine
from desim.record import Record

MB = 1_000_000


def seconds(config: MachineConfig) -> float:
    """CPU time of one run, without that of building its machine."""
    made = Machine(config)
    start = time.process_time()
    made.run()
    return time.process_time() - start


def variants(size: int) -> dict[str, MachineConfig]:
    """What is measured, by name; a machine for each must be made anew."""
    found = {}
    levels: tuple[Record, ...] = ("none", "trace")
    for level in levels:
        for costs in ("zero", "study-2016"):
            found[f"{costs}, {level}"] = bulk(size, costs, level)
            found[f"{costs}, {level}, to the host"] = bulk(size, costs, level, to_guest=False)
    found["study-2016, trace, strict"] = bulk(size, "study-2016", "trace", strict=True)
    return found


def main(argv: list[str]) -> None:
    """Print one line for each variant."""
    size = int(argv[0]) * MB if argv else 10 * MB
    rounds = int(argv[1]) if len(argv) > 1 else 5
    segments = -(-size // MSS)
    booted = statistics.median(seconds(boot("study-2016", "trace")) for _ in range(3))
    times: dict[str, list[float]] = {name: [] for name in variants(0)}
    for _ in range(rounds):
        for name, config in variants(size).items():
            times[name].append(seconds(config) - booted)
    print(f"{size // MB} MB, {segments} data segments, {rounds} rounds; boot {booted:.3f} s")
    base = next(iter(times.values()))
    for name, spent in times.items():
        rate = segments / statistics.median(spent)
        ratio = statistics.median(b / s for b, s in zip(base, spent, strict=True))
        print(f"{name:32} {rate:8.0f} segments/s   {ratio:.2f} of {next(iter(times))}")
