"""One search: examples in the order of their numbers, made by warm processes, judged there.

With one seed the numbers are the same, so the examples are, and what is found; how many workers
there are changes nothing but the time. Only ``--time`` looks at the clock, and it decides how many
examples there are, never what one is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from desim.api.laws import UserLaw
from desim.api.result import Result
from desim.config import MachineConfig
from desim.data import NamedTuple
from desim.errors import UserError
from desim.experiment.many import Many
from desim.experiment.run import RunResult
from desim.experiment.warm import Plan
from desim.fuzz.bench import Bench, bench_of
from desim.fuzz.finding import Finding
from desim.fuzz.judge import Outcome, failed, judge_by_users, outcome, recorded, watch
from desim.fuzz.marks import MARKS
from desim.fuzz.scenario import BENCH, Configurations, document_of, scenario_from

NUMBERS = 1 << 62
"""Examples are counted modulo this, so that every number is one."""


class Example(NamedTuple):
    """One scenario to be tried: its number, and what its file says."""

    number: int
    data: dict[str, Any]
    drawn: bool = True
    """Whether its number alone says what it is; else it is a change of a corpus's."""

    @property
    def name(self) -> str:
        """For messages."""
        return f"fuzz-{self.number}"


def _spent() -> float:
    """Seconds of processors that this process has taken, and those that it has had."""
    times = os.times()
    return sum(times[:4])


@dataclass
class Progress:
    """How far a search is."""

    examples: int = 0
    findings: list[Finding] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    """How many examples have hit each."""
    began: float = field(default_factory=time.monotonic)
    spent: float = field(default_factory=_spent)
    """Seconds of processors that had been taken when it began."""

    @property
    def seconds(self) -> float:
        """Of the clock, since the search began."""
        return time.monotonic() - self.began

    @property
    def rate(self) -> float:
        """Examples a second of the clock."""
        return self.examples / max(self.seconds, 1e-9)

    @property
    def per_core(self) -> float:
        """Examples a second of a processor: what this process and those that it has had have taken.

        Of processes that still run nobody knows: it is for the end.
        """
        return self.examples / max(_spent() - self.spent, 1e-9)

    @property
    def missing(self) -> list[str]:
        """The marks that no example has hit, with the reason where none could."""
        return [
            f"{name} ({mark.beyond})" if mark.beyond else name
            for name, mark in MARKS.items()
            if name not in self.marks
        ]


def examples(seed: int) -> Iterator[Example]:
    """Those of a search, without end: the numbers from ``seed`` on."""
    number = seed % NUMBERS
    bench: Bench | None = None
    while True:
        if bench is None or number % BENCH == 0:
            bench = bench_of(number // BENCH)
        yield Example(number, document_of(number, bench))
        number = (number + 1) % NUMBERS


def search(
    source: Iterator[Example],
    *,
    progress: Progress,
    until: Callable[[Progress], bool],
    limit: int | None = None,
    workers: int = 1,
    users: Sequence[UserLaw] = (),
    told: Callable[[Progress, Example, Outcome], None] = lambda progress, example, came: None,
) -> None:
    """Try examples of ``source``, at most ``limit``, until ``until`` says that it is enough.

    What comes of them is put into ``progress``; ``told`` is called behind each. ``users`` are laws
    of a user's, by which they are judged as well. Ctrl-C ends the search: ``KeyboardInterrupt`` is
    raised (``UserError`` for a user's law that fails itself), and ``progress`` has everything
    before it.
    """

    read = Configurations()

    def configure(example: Example) -> MachineConfig:
        if example.drawn:
            return recorded(read.of(example.number, example.data))
        return recorded(scenario_from(example.data, example.name).configuration())

    def leave(example: Example, run: RunResult) -> Outcome:
        came = outcome(run, example.number)
        if not users:
            return came
        result = Result(scenario_from(example.data, example.name), run)
        return came._replace(breaches=(*came.breaches, *judge_by_users(result, users)))

    plan: Plan[Example, Outcome] = Plan(
        lambda one: one.name, configure, leave, lambda example, came: came, watch
    )
    many = Many(plan, workers)
    replies = many.replies(islice(source, limit))
    try:
        for example, reply in replies:
            if isinstance(reply.error, KeyboardInterrupt):
                raise reply.error
            if isinstance(reply.error, UserError):
                raise reply.error  # of a user's law: the examples themselves have no mistakes
            came = reply.value if reply.error is None else failed(reply.error)
            progress.examples += 1
            for mark in came.marks:
                progress.marks[mark] = progress.marks.get(mark, 0) + 1
            for breach in came.breaches:
                progress.findings.append(
                    Finding(example.number, example.data, breach, came.story, drawn=example.drawn)
                )
            told(progress, example, came)
            if until(progress):
                break
    finally:
        replies.close()
        many.close()
