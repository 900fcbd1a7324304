"""One run, judged: which laws it breaks, and which marks it hits."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence

from desim.api.laws import UserLaw
from desim.api.result import Result
from desim.config import SECOND_NS, MachineConfig
from desim.data import NamedTuple, replace
from desim.errors import ModelError
from desim.experiment.again import Again
from desim.experiment.run import run as run_again
from desim.fuzz.marks import hit
from desim.fuzz.story import story
from desim.laws.endless import last_codes, never_rests
from desim.laws.judged import judged
from desim.laws.law import Law, Run
from desim.laws.table import LAWS
from desim.laws.time import LIMIT

MODEL = "the-model-does-not-fail"
"""What a run breaks that ends in an error of the model: no law, for there is no run to judge."""
TURNS = 1024
"""A law about a pair of runs, or one that takes long, has its turn once in so many examples."""
PART_TURNS = 64
"""A law about a part drives that part by itself; it has its turn once in so many examples."""
SPREAD = 37
"""Turns that follow each other are this far apart, so that every bench has some."""
SLOW = ("time-goes-forward", "a-journey-adds-up")
"""Laws about one run that take about as long as the run itself."""


GOES_ON = "the-model-goes-on"
"""What a run breaks that comes to no end within ``MARKS``, and no law says why."""
MODELS = (MODEL, GOES_ON)
"""Faults that no law names: the model itself fails."""
MARKS = 600_000
"""How many entries and exits a small run may record; a usual one has some 55,000, the largest of
150,000 that come to an end had 433,000."""
LONG_MARKS = 2_000_000
"""The same of one that goes on for longer than ``LONG_NS`` of virtual time."""
LONG_NS = 60 * SECOND_NS
HUNG_S = 120
"""Seconds of the processor after which a run hangs: in a loop of some function that marks nothing.
A run takes a hundredth of one; where what marks is counted, that stops it first."""


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
    story: tuple[str, ...] = ()
    """The first lines of how its first breach came about."""


def laws_for(turn: int) -> list[Law]:
    """The laws that example ``turn`` is judged by: all quick ones, and some of the others."""
    quick: list[Law] = []
    parts: list[Law] = []
    slow: list[Law] = []
    for law in LAWS.values():
        home = slow if law.pair or law.name in SLOW else parts if law.part else quick
        home.append(law)
    quick += [law for place, law in enumerate(parts) if (turn - place) % PART_TURNS == 0]
    return quick + [law for place, law in enumerate(slow) if turn * SPREAD % TURNS == place]


def judge(run: Run, laws: Sequence[Law], again: Again | None = None) -> list[Breach]:
    """Every law of ``laws`` that ``run`` breaks."""
    again = again or Again(run_again)
    found = list(_goes_on(run))
    seen = judged(run)
    for law in laws:
        broken = law.broken(seen, again)
        if broken:
            text, at_ns = broken[0]
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            found.append(Breach(law.name, text + more, at_ns))
    return found


def _goes_on(run: Run) -> Iterator[Breach]:
    """Whether a run did not come to an end, and where it was then."""
    if run.ended.startswith(LIMIT) and not never_rests(run):
        busiest = max(run.trace.threads.values(), key=lambda record: len(record.codes))
        names = Counter(run.trace.codes.name(code) for code in last_codes(run, busiest.name))
        often = ", ".join(name for name, _ in names.most_common(4))
        yield Breach(GOES_ON, f"{run.ended}; thread {busiest.name} is in {often}", run.end_ns)


def judge_by_users(result: Result, laws: Sequence[UserLaw]) -> list[Breach]:
    """Every law of a user's that ``result`` breaks. Raises ``UserError`` if one fails itself."""
    return [Breach(law.name, broken[0]) for law in laws if (broken := law.broken(result))]


def outcome(run: Run, turn: int) -> Outcome:
    """What came of an example whose turn it is."""
    seen = judged(run)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    # Where a limit stops a run is a matter of what it has recorded, so others stop elsewhere.
    laws = [law for law in laws_for(turn) if not (law.pair and run.failed)]
    breaches = tuple(judge(seen, laws))
    return Outcome(
        breaches, hit(seen), run.ended, story(run, breaches[0].at_ns) if breaches else ()
    )


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
    """``config``, to be run so that all laws can judge it, and to an end."""
    config.record, config.capture = "trace", True
    marks = LONG_MARKS if config.until_ns > LONG_NS else MARKS
    config.limits = replace(config.limits, marks=min(config.limits.marks, marks))
    return config


def watch() -> None:
    """From now on a run that hangs raises ``ModelError``, where it does."""
    signal.signal(signal.SIGVTALRM, _hangs)
    signal.setitimer(signal.ITIMER_VIRTUAL, HUNG_S)


def _hangs(number: int, frame: object) -> None:
    raise ModelError(f"it hangs: {HUNG_S} s of the processor, and nothing is marked")
