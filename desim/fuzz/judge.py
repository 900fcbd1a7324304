"""One run, judged: which laws it breaks, and which marks it hits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from desim.api.laws import UserLaw
from desim.api.result import Result
from desim.config import MachineConfig
from desim.experiment.again import Again
from desim.experiment.run import RunResult
from desim.experiment.run import run as run_again
from desim.fuzz.marks import hit
from desim.laws.law import Law
from desim.laws.table import LAWS

MODEL = "the-model-does-not-fail"
"""What a run breaks that ends in an error of the model: no law, for there is no run to judge."""
TURNS = 256
"""A law about a pair of runs, or one that takes long, has its turn once in so many examples."""
PART_TURNS = 16
"""A law about a part drives that part by itself; it has its turn once in so many examples."""
SPREAD = 37
"""Turns that follow each other are this far apart, so that every bench has some."""
SLOW = ("time-goes-forward", "a-journey-adds-up")
"""Laws about one run that take about as long as the run itself."""


class Breach(NamedTuple):
    """One law that a run breaks, and the first way in which it does."""

    law: str
    text: str
    at_ns: int | None = None


class Outcome(NamedTuple):
    """What came of one example."""

    breaches: tuple[Breach, ...]
    marks: frozenset[str]
    ended: str


def laws_for(turn: int) -> list[Law]:
    """The laws that example ``turn`` is judged by: all quick ones, and some of the others."""
    quick: list[Law] = []
    parts: list[Law] = []
    slow: list[Law] = []
    for law in LAWS.values():
        home = parts if law.part else slow if law.pair or law.name in SLOW else quick
        home.append(law)
    quick += [law for place, law in enumerate(parts) if (turn - place) % PART_TURNS == 0]
    return quick + [law for place, law in enumerate(slow) if turn * SPREAD % TURNS == place]


def judge(run: RunResult, laws: Sequence[Law], again: Again | None = None) -> list[Breach]:
    """Every law of ``laws`` that ``run`` breaks."""
    again = again or Again(run_again)
    found = []
    for law in laws:
        broken = law.broken(run, again)
        if broken:
            text, at_ns = broken[0]
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            found.append(Breach(law.name, text + more, at_ns))
    return found


def judge_by_users(result: Result, laws: Sequence[UserLaw]) -> list[Breach]:
    """Every law of a user's that ``result`` breaks. Raises ``UserError`` if one fails itself."""
    return [Breach(law.name, broken[0]) for law in laws if (broken := law.broken(result))]


def outcome(run: RunResult, turn: int) -> Outcome:
    """What came of an example whose turn it is."""
    return Outcome(tuple(judge(run, laws_for(turn))), hit(run), run.ended)


def failed(error: BaseException) -> Outcome:
    """What came of an example whose run ended in an error."""
    text = f"{type(error).__name__}: {str(error).partition(os.linesep)[0]}"
    place = _place(error)
    return Outcome((Breach(MODEL, f"{text}{place}"),), frozenset(), "an error")


def _place(error: BaseException) -> str:
    """Where it was raised, if its traceback has come along."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f" in {code.co_qualname}"


def recorded(config: MachineConfig) -> MachineConfig:
    """``config``, to be run so that all laws can judge it."""
    config.record, config.capture = "trace", True
    return config
