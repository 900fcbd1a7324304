"""What searches on top of sweeps have in common: points that are tried, and figures of each.

A figure of a point with several seeds is the median of its runs (the lower of two in the middle).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor

from desim.data import NamedTuple
from desim.errors import UserError
from desim.scenario.document import Document
from desim.scenario.metrics import Value
from desim.scenario.values import Axis
from desim.sweeps.plan import SEED
from desim.sweeps.row import Cell, Sample, exact, median
from desim.sweeps.sweep import Asked, Progress, in_memory, make, order
from desim.sweeps.work import Kept


class Point(NamedTuple):
    """Some values of keys, and what came of them."""

    values: tuple[object, ...]
    figures: dict[str, Value | None]
    """By name."""
    samples: list[Sample]
    """Of all its runs."""


class Search:
    """A scenario that is run for one point after the other."""

    def __init__(
        self,
        document: Document,
        *,
        seeds: Sequence[int] = (),
        costs: str | None = None,
        workers: int | None = None,
        executor: Callable[[], Executor] | None = None,
        place: Callable[[str], str] = str,
    ) -> None:
        self.document = document
        self.seeds = seeds or (document.read().seed,)
        self.costs = costs
        self.workers = workers
        self.executor = executor
        self.place = place
        self.runs = 0
        """How many were made."""

    def tried(
        self,
        axes: Sequence[Axis],
        metrics: Sequence[str],
        into: list[Point],
        kept: Kept = "figures",
        *,
        together: bool = False,
    ) -> Iterator[Progress]:
        """Run all points of ``axes``; they go ``into`` that list, in order.

        ``together``: keys change together, and are not combined with each other.

        Raises ``UserError`` for a run that failed, besides what ``order`` and ``make`` raise.
        """
        if any(axis.key == SEED for axis in axes):
            raise UserError(f"{self.place(SEED)}: --seeds says which seeds each point has")
        asked = Asked(
            vary=() if together else axes,
            zipped=[axes] if together else (),
            seeds=self.seeds,
            metrics=metrics,
            costs=self.costs,
            kept=kept,
        )
        ordered = order(self.document, asked, self.place)
        database = in_memory(ordered)
        try:
            yield from make(ordered, database, executor=self.executor, workers=self.workers)
            each = len(ordered.plan.seeds)
            rows = list(database.rows(["run", "error", *metrics]))
            for begin in range(0, len(rows), each):
                values = ordered.plan.point(begin).values[:-1]
                group = rows[begin : begin + each]
                self._check([axis.key for axis in axes], values, group)
                held = [sample for run, *_ in group for sample in database.samples(int(run or 0))]
                into.append(Point(values, _figures(metrics, group), held))
            self.runs += len(rows)
        finally:
            database.close()

    def _check(
        self, keys: Sequence[str], values: Sequence[object], rows: Sequence[tuple[Cell, ...]]
    ) -> None:
        for _, error, *_ in rows:
            if error is not None:
                where = ", ".join(f"{k}={v}" for k, v in zip(keys, values, strict=True))
                raise UserError(f"{self.document.name} with {where}: {error}")


def _figures(metrics: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> dict[str, Value | None]:
    """The median of each figure; None if a run does not have it."""
    made: dict[str, Value | None] = {}
    for place, name in enumerate(metrics, 2):
        found = [exact(row[place]) for row in rows]
        known = [figure for figure in found if figure is not None]
        made[name] = median(known) if len(known) == len(found) else None
    return made


def chosen(names: Sequence[str], points: Sequence[Point]) -> str:
    """Which of the figures that are meant the runs have. Raises ``UserError`` if none."""
    for name in names:
        if any(point.figures[name] is not None for point in points):
            return name
    raise UserError(f"the runs have no {' and no '.join(names)}: nothing that it could be made of")
