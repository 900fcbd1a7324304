"""What a sweep's database has, as columns: one for each value of the key with the most values.

All other keys but the seed make *facets*: a picture for each of their combinations. Runs that
differ in their seeds alone are in one column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from desim.data import NamedTuple
from desim.scenario.metrics import METRICS, Value
from desim.sweeps.database import Database, Head
from desim.sweeps.row import Cell, Sample, exact

SEED = "seed"
THROTTLE = "guest.modprobe.InterruptThrottleRate"
"""The key whose effect ``desim rates`` knows."""


class Column(NamedTuple):
    """The runs with one value of the key that varies."""

    value: Cell
    samples: Sequence[Sample]
    figures: Mapping[str, Sequence[Value]]
    """For each metric, its values in these runs; those that have none are left out."""
    errors: int


class Facet(NamedTuple):
    """All columns for one combination of the other keys."""

    others: Mapping[str, Cell]
    columns: Sequence[Column]

    @property
    def called(self) -> str:
        """``command = ping -c 100 10.0.2.2``; "" if there is no other key."""
        return ", ".join(f"{last(name)} = {value}" for name, value in self.others.items())


def last(name: str) -> str:
    """The last part of a key's name."""
    return name.rpartition(".")[2]


def varied(head: Head) -> str | None:
    """The key of the columns: that with the most values; of several the first. None without any."""
    keys = [one for one in head.parameters if one.name != SEED and one.levels > 1]
    if not keys:
        keys = [one for one in head.parameters if one.name != SEED]
    return max(keys, key=lambda one: one.levels).name if keys else None


def facets(database: Database) -> list[Facet]:
    """All facets, in the order of their first runs."""
    head = database.head
    key = varied(head)
    names = [one.name for one in head.parameters if one.name not in (key, SEED)]
    metrics = [one.name for one in head.metrics if one.name in METRICS]
    found: dict[tuple[Cell, ...], dict[Cell, _Gathered]] = {}
    for row in database.rows():
        cells = dict(zip(head.columns, row, strict=True))
        columns = found.setdefault(tuple(cells[name] for name in names), {})
        gathered = columns.setdefault(cells[key] if key else "", _Gathered())
        run = cells["run"]
        assert isinstance(run, int)
        gathered.samples += database.samples(run)
        gathered.errors += cells["error"] is not None
        for name in metrics:
            if (value := exact(cells[name])) is not None:
                gathered.figures.setdefault(name, []).append(value)
    return [
        Facet(
            dict(zip(names, others, strict=True)),
            [Column(value, one.samples, one.figures, one.errors) for value, one in columns.items()],
        )
        for others, columns in found.items()
    ]


class _Gathered:
    """A column in the making."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.figures: dict[str, list[Value]] = {}
        self.errors = 0


def percentile(times: Sequence[int], share: int) -> int:
    """The smallest time that ``share`` percent of all are not longer than (nearest rank)."""
    ordered = sorted(times)
    return ordered[-(-len(ordered) * share // 100) - 1]


def kind_of(samples: Sequence[Sample]) -> str:
    """The kind that most of them are: ``ping``, ``message``; "" without any."""
    return Counter(one.kind for one in samples).most_common(1)[0][0] if samples else ""
