"""A whole sweep: what it is, making what is missing, and where its results are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import islice

from desim.data import NamedTuple
from desim.errors import ScenarioError, UserError
from desim.experiment.many import cores
from desim.scenario.document import Document
from desim.scenario.metrics import METRICS, USUAL
from desim.scenario.sweep_table import Sweep as Table
from desim.scenario.sweep_table import metric_name
from desim.scenario.values import Axis
from desim.sweeps.database import FORMAT, MEMORY, Database, Head, Metric, Parameter
from desim.sweeps.execute import Execution, Here, Pool
from desim.sweeps.identity import document_digest, sweep_digest
from desim.sweeps.plan import SEED, Plan, make_plan
from desim.sweeps.work import Base, Kept
from desim.version import __version__

MOST_RUNS = 10_000_000
"""More than any sweep is ready to wait for."""
MANY_RUNS = 100_000
"""From here on somebody has to say that this is meant."""
POOL_S = 2
"""What takes this process less than that is not given to others."""
LOOKED_AT = 200
"""So many values of each key are judged before the first run; the others are when their turn has
come."""


class Asked(NamedTuple):
    """What is asked for, beside what the scenario's table ``[sweep]`` says.

    What is said here of keys, or of seeds, stands for what the table says of these.
    """

    vary: Sequence[Axis] = ()
    zipped: Sequence[Sequence[Axis]] = ()
    seeds: Sequence[int] = ()
    repeat: int | None = None
    metrics: Sequence[str] = ()
    show: Sequence[str] = ()
    costs: str | None = None
    kept: Kept = "samples"


NOTHING = Asked()


class Order(NamedTuple):
    """A sweep that is ready to be made."""

    base: Base
    plan: Plan
    head: Head

    @property
    def file_name(self) -> str:
        """Where its results go if nobody says: the same name for the same sweep."""
        return f"{self.head.facts['scenario']}-{self.base.digest[:8]}.db"


def order(document: Document, asked: Asked = NOTHING, place: Callable[[str], str] = str) -> Order:
    """What ``asked`` means for a scenario.

    Raises ``UserError`` with what cannot be; ``place`` says what messages call a key.
    """
    config = document.read()
    table = document.sweep()
    vary, zipped = (
        (asked.vary, asked.zipped) if asked.vary or asked.zipped else (table.vary, table.zip)
    )
    seeds = _seeds(asked, table, config.seed)
    keys = [axis.key for axis in (*vary, *(axis for axes in zipped for axis in axes))]
    if SEED in keys:
        vary, seeds = _without_seed(list(vary), zipped, seeds, place)
    if not keys and len(seeds) == 1:
        raise UserError(
            f"{document.name}: nothing varies; give --vary KEY=VALUES or --seeds 1:5, or a table "
            "[sweep] in the scenario"
        )
    plan = make_plan(vary, zipped, seeds)
    if len(plan) > MOST_RUNS:
        raise UserError(f"{len(plan):,} runs: at most {MOST_RUNS:,} are allowed")
    _check_values(document, plan, place)
    try:
        show = [metric_name(name) for name in (asked.show or table.show)]
        usual = dict.fromkeys((*USUAL, *show))
        metrics = [metric_name(name) for name in (asked.metrics or table.metrics or usual)]
    except ValueError as error:
        raise UserError(str(error)) from None
    if asked.metrics and not asked.show:
        show = [name for name in show if name in metrics]  # what the scenario would like to see
    absent = [name for name in show if name not in metrics]
    if absent:
        raise UserError(
            *(f"{name}: is to be shown, but is not among the metrics" for name in absent)
        )
    own = document_digest(document, asked.costs)
    digest = sweep_digest(own, plan, metrics, asked.kept)
    base = Base(digest, document, own, asked.costs, plan.keys, metrics, asked.kept)
    facts = {
        "format": FORMAT,
        "desim": __version__,
        "scenario": document.name,
        "description": config.description,
        "costs": asked.costs or config.costs,
        "digest": digest,
        "runs": str(len(plan)),
        "seeds": str(len(plan.seeds)),
        "varied": plan.described(),
        "show": json.dumps(show),
    }
    return Order(base, plan, Head(facts, _parameters(plan), _metrics(metrics)))


def _seeds(asked: Asked, table: Table, seed: int) -> Sequence[int]:
    if asked.seeds:
        return asked.seeds
    if asked.repeat is None and table.seeds:
        return table.seeds
    return range(seed, seed + (table.repeat if asked.repeat is None else asked.repeat))


def _without_seed(
    vary: list[Axis],
    zipped: Sequence[Sequence[Axis]],
    seeds: Sequence[int],
    place: Callable[[str], str],
) -> tuple[list[Axis], Sequence[int]]:
    """Seeds that were given as a key that varies are seeds like any others."""
    if len(seeds) > 1 or any(axis.key == SEED for axes in zipped for axis in axes):
        raise UserError(f"{place(SEED)}: seeds are given twice, or change together with other keys")
    (own,) = [axis for axis in vary if axis.key == SEED]
    numbers = [seed for seed in own.values if type(seed) is int and 0 <= seed < 1 << 63]
    if len(numbers) < len(own.values):
        raise UserError(f"{place(SEED)}: a seed is a whole number from 0 on")
    return [axis for axis in vary if axis is not own], numbers


def _check_values(document: Document, plan: Plan, place: Callable[[str], str]) -> None:
    """Judge each value by itself, so that a slip is told before hours have passed."""
    found: list[str] = []
    for group in plan.groups:
        for row in group.rows[:LOOKED_AT]:
            try:
                document.changed(dict(zip(group.keys, row, strict=True)), place).read()
            except ScenarioError as error:
                found += [message for message in error.messages if message not in found]
    if found:
        raise ScenarioError(*found[:20])


def _parameters(plan: Plan) -> tuple[Parameter, ...]:
    named = [
        Parameter(key, number, len(group.rows))
        for number, group in enumerate(plan.groups)
        for key in group.keys
    ]
    return (*named, Parameter(SEED, len(plan.groups), len(plan.seeds)))


def _metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    return tuple(
        Metric(name, METRICS[name].kind, METRICS[name].about, METRICS[name].exactness)
        for name in names
    )


class Progress(NamedTuple):
    """How far a sweep has got."""

    done: int
    """Runs, with those that were there before."""
    total: int
    failed: int
    """Of those that were made now."""
    run_s: float | None
    """What a run takes, of the wall's clock; None if that is not known yet."""
    workers: int
    oldest: tuple[int, float] | None
    """The run that has been under way longest, and for how many seconds."""


def make(
    order: Order,
    database: Database,
    *,
    executor: Callable[[], Executor] | None = None,
    workers: int | None = None,
) -> Iterator[Progress]:
    """Make the runs that ``database`` has not, and say after each step how far it is.

    Raises ``OutputError`` if rows cannot be kept any more and ``WorkerError`` if there are no
    workers any more; what was kept before stays. Whoever does not take any further steps ends it.
    """
    making = _Making(order, database, workers or cores())
    yield making.progress()
    if not making.left:
        return
    if executor is None:
        # The first run tells how long they take: for a second's work no process is worth its start.
        yield from making.steps(Here, 1, most=1)
        making.workers = min(making.workers, making.left)
        short = making.run_s is not None and making.run_s * making.left < POOL_S
        if short or making.workers <= 1:
            executor, making.workers = Here, 1
        else:
            executor = partial(Pool, making.workers)
    yield from making.steps(executor, making.workers)


class _Making:
    """A sweep while its runs are made."""

    def __init__(self, order: Order, database: Database, workers: int) -> None:
        self.order = order
        self.database = database
        self.workers = workers
        self.run_s: float | None = None
        """What a run takes."""
        self.failed = 0
        there = bytearray(len(order.plan))
        for number in database.done():
            there[number] = 1
        self.left = there.count(0)
        self._todo = (number for number in order.plan.order() if not there[number])

    def progress(self, oldest: tuple[int, float] | None = None) -> Progress:
        """How far it is."""
        total = len(self.order.plan)
        return Progress(total - self.left, total, self.failed, self.run_s, self.workers, oldest)

    def steps(
        self, executor: Callable[[], Executor], workers: int, *, most: int | None = None
    ) -> Iterator[Progress]:
        """Make what is left, or ``most`` of it."""
        todo = islice(self._todo, most)
        order = self.order
        execution = Execution(order.base, order.plan, todo, executor, workers, self.run_s)
        for rows in execution.rows():
            if rows:
                self.database.add(rows)
            self.left -= len(rows)
            self.failed += sum(row.error is not None for row in rows)
            self.run_s = execution.run_s
            yield self.progress(execution.oldest())


def in_memory(order: Order) -> Database:
    """A database that is gone with the process."""
    return Database.begin(MEMORY, order.head)
