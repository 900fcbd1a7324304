"""The engine's primitives beside stock SimPy's, as ratios in one run.

    python -m benchmarks engine [-n EVENTS] [-r ROUNDS]

Both take turns inside each round, in CPU time of the process, and the ratio is taken inside
the round; printed is the median. Above 1 is faster than SimPy. What the engine has beyond
SimPy (plain calls, sleeping for an int) is compared with SimPy's nearest way to do the same.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import simpy

from desim.engine.simpy_environment import SimPyEnvironment

CHAINS = 10
Work = Callable[[Any, int], Any]


def timeouts(env: Any, count: int) -> int:
    """Processes that wait for one timeout after the other."""

    def process(number: int) -> Iterator[Any]:
        for i in range(count // CHAINS):
            yield env.timeout(1 + (i * 7 + number) % 13)

    return _processes(env, process)


def naps(env: Any, count: int) -> int:
    """The same, with ints in place of timeouts."""

    def process(number: int) -> Iterator[Any]:
        for i in range(count // CHAINS):
            yield 1 + (i * 7 + number) % 13

    return _processes(env, process)


def _processes(env: Any, process: Callable[[int], Iterator[Any]]) -> int:
    for number in range(CHAINS):
        env.process(process(number))
    env.run()
    return int(env.now)


def store(env: Any, count: int) -> int:
    """A producer and a consumer joined by a bounded Store."""
    queue = simpy.Store(env, capacity=64)
    total = 0

    def producer() -> Iterator[Any]:
        for i in range(count // 3):
            yield env.timeout(3)
            yield queue.put(i)

    def consumer() -> Iterator[Any]:
        nonlocal total
        for _ in range(count // 3):
            total += yield queue.get()

    env.process(producer())
    env.process(consumer())
    env.run()
    return total + int(env.now)


def callbacks(env: Any, count: int) -> int:
    """Chains of timeouts with one callback, and no process."""

    def hop(event: Any) -> None:
        left = event.value
        if left:
            env.timeout(1 + (left & 7), left - 1).callbacks.append(hop)

    for _ in range(CHAINS):
        env.timeout(1, count // CHAINS).callbacks.append(hop)
    env.run()
    return int(env.now)


def calls(env: Any, count: int) -> int:
    """The same chains with plain calls."""

    def hop(left: int) -> None:
        if left:
            env.call_in(1 + (left & 7), hop, left - 1)

    for _ in range(CHAINS):
        env.call_in(1, hop, count // CHAINS)
    env.run()
    return int(env.now)


BENCHES: dict[str, tuple[Work, Work]] = {
    "Timeout in a process": (timeouts, timeouts),
    "Timeout with a callback": (callbacks, callbacks),
    "Store": (store, store),
    "plain call": (calls, callbacks),
    "sleep for an int": (naps, timeouts),
}
"""What is measured: the engine's work, and SimPy's."""


def ratio(ours: Work, theirs: Work, count: int, rounds: int) -> tuple[float, float]:
    """SimPy's events per second, and how many times as fast ours is (medians)."""
    rates, ratios = [], []
    for _ in range(rounds + 1):
        taken = []
        for work, make in ((theirs, simpy.Environment), (ours, SimPyEnvironment)):
            gc.collect()
            start = time.process_time()
            result = work(make(), count)
            taken.append((time.process_time() - start, result))
        assert taken[0][1] == taken[1][1], "the two did not do the same"
        rates.append(count / taken[0][0])
        ratios.append(taken[0][0] / taken[1][0])
    return statistics.median(rates[1:]), statistics.median(ratios[1:])


def main(argv: list[str]) -> None:
    """Print one line for each bench."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks engine", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("-n", type=int, default=30_000, help="events of one run")
    parser.add_argument("-r", type=int, default=15, help="rounds, after one that does not count")
    arguments = parser.parse_args(argv)
    for name, (ours, theirs) in BENCHES.items():
        rate, times = ratio(ours, theirs, arguments.n, arguments.r)
        print(f"{name:<24} SimPy {rate / 1000:6.0f} k/s   desim {times:.2f} times")
