"""What a sweep came to, on a screen: a row for each point, a column for each figure.

A figure of a point with several seeds is the median of its runs (the lower of two in the middle).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from desim.data import NamedTuple
from desim.report.text import amount, cut, duration
from desim.scenario.metrics import METRICS, Kind, Value, decimal, round_half_up
from desim.sweeps.database import Database
from desim.sweeps.row import Cell, exact, median

USUAL = (
    *("ping.p50", "ping.p99", "message.time", "transfer.rate", "irq_rate", "irq_frames"),
    *("transfer.retransmissions", "frames.lost"),
)
"""Figures that most people want, in this order, as far as the runs have them."""
MOST_POINTS = 60
MOST_FAILURES = 5
LONG_LABEL = 24
GAP = "  "


class Column(NamedTuple):
    """One column: its head, and its cells from top to bottom."""

    head: str
    cells: list[str]

    @property
    def width(self) -> int:
        """In characters."""
        return max(len(self.head), *(len(cell) for cell in self.cells))


def text(database: Database, width: int = 80) -> str:
    """The table of a sweep, and what went wrong in it."""
    facts = database.head.facts
    total, seeds = int(facts["runs"]), int(facts["seeds"])
    there = len(database)
    lines = [f"{facts['scenario']}: {facts['description']}".rstrip(": ")]
    made = f"{'' if there == total else f'{there} of '}{total} run{'s' * (total != 1)}"
    lines += [f"  {facts['varied']}: {made}", f"  costs {facts['costs']}", ""]
    shown = figures(database)
    labels, columns = _columns(database, shown, seeds)
    for block in _blocks(labels, columns, width, whole=bool(_asked(database))):
        lines += [*table(block), ""]
    points = total // seeds
    if points > MOST_POINTS:
        lines.append(f"and {points - MOST_POINTS} points more: --csv writes all of them")
    if seeds > 1:
        lines.append(f"each figure is the median of {seeds} runs")
    lines += _failures(database)
    return "\n".join(lines).rstrip("\n")


def figures(database: Database) -> list[str]:
    """The figures that are shown: those that the scenario or somebody asks for, or the usual."""
    kept = [metric.name for metric in database.head.metrics]
    if asked := _asked(database):
        return [name for name in asked if name in kept]
    usual = [name for name in USUAL if name in kept and database.has(name)]
    return usual or [name for name in kept if database.has(name)] or kept


def _asked(database: Database) -> list[str]:
    import json

    found = json.loads(database.head.facts["show"])
    return found if isinstance(found, list) else []


def short_names(names: Sequence[str]) -> list[str]:
    """Each name from as far behind as tells it from the others."""
    found = []
    for name in names:
        parts = name.split(".")
        size = next(
            size
            for size in range(1, len(parts) + 1)
            if sum(other.endswith(f".{'.'.join(parts[-size:])}") for other in names) <= 1
        )
        found.append(".".join(parts[-size:]))
    return found


def _columns(
    database: Database, shown: Sequence[str], seeds: int
) -> tuple[list[Column], list[Column]]:
    """The columns of what varies, and those of figures."""
    keys = [parameter.name for parameter in database.head.parameters[:-1]]
    names = [*keys, "error", *shown]
    rows: list[list[str]] = []
    for group in _groups(database, names, seeds):
        values = [str(value) for value in group[0][: len(keys)]]
        for place, name in enumerate(shown, len(keys) + 1):
            found = [value for row in group if (value := exact(row[place])) is not None]
            kind: Kind = METRICS[name].kind if name in METRICS else "ratio"
            values.append(figure(median(found), kind) if found else "-")
        rows.append(values)
        if len(rows) == MOST_POINTS:
            break
    cells = [list(cells) for cells in zip(*rows, strict=True)] or [
        [] for _ in range(len(names) - 1)
    ]
    heads = [*short_names(keys), *shown]
    cells = [[row[place] for row in rows] for place in range(len(heads))]
    cells[: len(keys)] = [labels(values) for values in cells[: len(keys)]]
    if len(keys) > 1:  # the others change more often
        cells[0] = _once(cells[0])
    made = [Column(*column) for column in zip(heads, cells, strict=True)]
    return made[: len(keys)], made[len(keys) :]


def figure(value: Value, kind: Kind) -> str:
    """A figure in four digits."""
    if kind == "time":
        return duration(round_half_up(value))
    if kind == "rate":
        return f"{amount(round_half_up(value))}/s"
    if kind == "share":
        return f"{decimal(Fraction(value) * 100)}%"
    if isinstance(value, int) or value >= 1000:
        return str(round_half_up(value))
    return (
        decimal(Fraction(value)) if value < 10 else decimal(Fraction(round_half_up(value * 10), 10))
    )


def _groups(
    database: Database, names: Sequence[str], seeds: int
) -> Iterator[list[tuple[Cell, ...]]]:
    """The runs of each point."""
    point, group = -1, list[tuple[Cell, ...]]()
    for number, *row in database.rows(["run", *names]):
        assert isinstance(number, int)
        if number // seeds != point and group:
            yield group
            group = []
        point = number // seeds
        group.append(tuple(row))
    if group:
        yield group


def labels(values: Sequence[Cell]) -> list[str]:
    """Values of a key as they are shown: of long texts, what tells them apart."""
    texts = [str(value) for value in values]
    if max(map(len, texts), default=0) <= LONG_LABEL:
        return texts
    words = [text.split(" ") for text in texts]
    same = 0
    while len({tuple(one[: same + 1]) for one in words}) == 1 and same < len(words[0]):
        same += 1
    if same:
        texts = [" ".join(("...", *one[same:])) for one in words]
    return [cut(text, LONG_LABEL) for text in texts]


def _blocks(
    labels: Sequence[Column], columns: Sequence[Column], width: int, *, whole: bool
) -> Iterator[list[Column]]:
    """The columns that stand side by side; ``whole``: all of them, below each other if need be."""
    used = sum(column.width + len(GAP) for column in labels)
    block: list[Column] = []
    room = width - used
    for column in columns:
        if block and column.width + len(GAP) * bool(used or block) > room:
            yield [*labels, *block]
            if not whole:
                return
            block, room = [], width - used
        block.append(column)
        room -= column.width + len(GAP)
    yield [*labels, *block]


def _once(values: Sequence[str]) -> list[str]:
    """Values one below the other, without those that the row above has as well."""
    return [
        "" if above == value else value
        for above, value in zip(("\0", *values), values, strict=False)
    ]


def table(columns: Sequence[Column]) -> Iterator[str]:
    """Its lines."""
    yield GAP.join(column.head.rjust(column.width) for column in columns).rstrip()
    for cells in zip(*(column.cells for column in columns), strict=True):
        padded = (cell.rjust(column.width) for cell, column in zip(cells, columns, strict=True))
        yield GAP.join(padded).rstrip()


def _failures(database: Database) -> Iterator[str]:
    """What went wrong, with what makes it again."""
    keys = [parameter.name for parameter in database.head.parameters]
    failed = missed = 0
    shown: list[str] = []
    for number, error, expected, *values in database.rows(["run", "error", "expected", *keys]):
        failed += error is not None
        missed += expected is not None
        if error is not None and len(shown) < MOST_FAILURES:
            point = ", ".join(f"{key}={value}" for key, value in zip(keys, values, strict=True))
            first = str(error).partition("\n")[0]
            shown.append(f"  run {number} ({point}): {first}")
    if failed:
        yield f"{failed} {'run' if failed == 1 else 'runs'} failed:"
        yield from shown
        if failed > len(shown):
            yield f"  and {failed - len(shown)} more; the column error has them"
    if missed:
        yield f"{missed} of {len(database)} runs did not come to what the scenario expects"
