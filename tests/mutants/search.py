"""The search of ``desim fuzz`` in one process, by its processor time: what a fault is found by.

Run in a copy of the source that has the fault. Laws that start another process are left out: a
machine that is busy would decide what is found.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from typing import NamedTuple

from desim.config import MachineConfig
from desim.experiment.again import Again
from desim.experiment.run import RunResult
from desim.experiment.run import run as run_alone
from desim.fuzz.campaign import Example
from desim.fuzz.judge import Breach, failed, judge, laws_for, recorded
from desim.fuzz.scenario import BENCH, document_of, scenario_from
from desim.laws.law import Law
from desim.machine import Machine
from desim.machine.booted import Booted

EACH = 16
"""Examples of one bench: more of them would look at the same machine for too long."""

LONGEST_S = 4
"""Processor time after which an example is left out: slirp 2.8 may keep its main loop spinning."""
LONG_NS = 60_000_000_000
"""A run that is longer has no second one: that would take most of the search's time."""


class Found(NamedTuple):
    """What a search has come to."""

    law: str
    """Empty if every example kept every law."""
    text: str
    number: int
    """Of the example."""
    examples: int
    """How many there were, this one among them."""
    seconds: float
    """Of processor time."""


class TooLongError(BaseException):
    """An example takes too long."""


def _too_long(number: int, frame: object) -> None:
    raise TooLongError


class Bench:
    """Runs examples of one bench from one boot, as long as the machine can be rewound."""

    def __init__(self) -> None:
        self._booted: Booted | None = None

    def run(self, config: MachineConfig) -> RunResult:
        """The run of ``config``."""
        booted = self._booted
        if booted is None and not config.others:
            booted = Booted(deepcopy(config), None)
            self._booted = booted if booted.remember() else None
        if booted is None or not booted.serves(config):
            return run_alone(config)
        machine: Machine = booted.go_on(config)
        machine.run()
        return RunResult(config, machine)

    def forget(self) -> None:
        """The machine is in the middle of something."""
        self._booted = None

    def rewind(self) -> None:
        """Behind each example."""
        if self._booted is not None and not self._booted.rewind():
            self._booted = None


def numbers(seed: int) -> Iterator[int]:
    """Those of the examples: the first ``EACH`` of each bench."""
    place = seed
    while True:
        yield from range(place * BENCH, place * BENCH + EACH)
        place += 1


def outcome(number: int, bench: Bench, laws: list[Law]) -> list[Breach]:
    """What example ``number`` breaks."""
    example = Example(number, document_of(number))
    config = recorded(scenario_from(example.data, example.name).configuration())
    signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
    try:
        run = bench.run(config)
        if run.end_ns > LONG_NS:
            laws = [law for law in laws if not law.pair]
        found = judge(run, laws, Again(run_alone))
        bench.rewind()
    except TooLongError:
        bench.forget()
        return []
    except Exception as error:
        return list(failed(error).breaches)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return found


def search(seconds: float, seed: int, *, first: bool = True) -> Iterator[Found]:
    """Each breach, until the time is over or, if ``first``, there was one; then how far it came."""
    bench = Bench()
    counted = 0
    place = -1
    number = 0
    for number in numbers(seed):
        if time.process_time() > seconds:
            break
        if number // BENCH != place:
            bench, place = Bench(), number // BENCH
        counted += 1
        laws = [law for law in laws_for(counted) if not law.process]
        breaches = outcome(number, bench, laws)
        for one in breaches:
            yield Found(one.law, one.text, number, counted, time.process_time())
            if first:
                return
        if breaches:
            bench = Bench()  # who knows what is left of it
    yield Found("", "", number, counted, time.process_time())


def main() -> int:
    parser = argparse.ArgumentParser(prog="search", description=__doc__.partition("\n")[0])
    parser.add_argument("--time", type=float, default=60, metavar="S", help="processor time (60)")
    parser.add_argument("--seed", type=int, default=0, help="the first bench (0)")
    parser.add_argument("--all", action="store_true", help="do not end with the first finding")
    words = parser.parse_args()
    signal.signal(signal.SIGPROF, _too_long)
    for one in search(words.time, words.seed, first=not words.all):
        print(json.dumps(one), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
