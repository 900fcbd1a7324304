"""Many runs of one scenario, and their rows as values that pandas and polars read."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from os import PathLike, fspath
from types import TracebackType
from typing import Any, final, get_args, overload

from desim.api.running import Costs
from desim.api.scenario import Scenario
from desim.errors import UserError, nearest
from desim.scenario.sweep_table import read_seeds
from desim.scenario.values import Axis
from desim.scenario.vary import axis
from desim.sweeps import sweep as sweeps
from desim.sweeps import tables
from desim.sweeps.database import MEMORY, Database
from desim.sweeps.row import Cell, Sample
from desim.sweeps.work import Kept

Values = str | Iterable[object] | Mapping[str, object]
"""What a key takes: a list, or as a scenario file has it: ``"0:2000:100"``, a table of a range."""
File = str | PathLike[str]


@final
class Sweep(Sequence[dict[str, Cell]]):
    """The runs of a sweep, in order: each is a row, a ``dict`` by the names in ``columns``.

    Made by :func:`desim.sweep`, or read from a file of results by :meth:`Sweep.open`. Rows come
    from the database when they are asked for. Times are in ns, rates in bytes per second; what a
    run does not have is None. ``print`` shows the table that ``desim sweep`` shows, and
    ``pandas.DataFrame(sweep)`` and ``polars.DataFrame(sweep)`` read it.

    To be closed when it is not needed any more, best by ``with``.
    """

    __slots__ = ("__weakref__", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database
        weakref.finalize(self, database.close)

    @classmethod
    def open(cls, path: File) -> Sweep:
        """The results in a file. Raises :class:`desim.OutputError` if it holds none."""
        return cls(Database.read(fspath(path)))

    @property
    def path(self) -> str | None:
        """The file of results; None: they are in memory."""
        path = self._database.path
        return None if path == MEMORY else path

    @property
    def columns(self) -> tuple[str, ...]:
        """The names in a row: ``run``, what varies, how the run was, its figures."""
        return self._database.head.columns

    @property
    def parameters(self) -> tuple[str, ...]:
        """The keys that vary; ``seed`` is the last."""
        return tuple(one.name for one in self._database.head.parameters)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The figures of each run, by name."""
        return tuple(one.name for one in self._database.head.metrics)

    @property
    def rows(self) -> list[dict[str, Cell]]:
        """All rows at once."""
        return list(self)

    @property
    def failed(self) -> list[dict[str, Cell]]:
        """The rows of runs that failed, or did not come to what the scenario expects."""
        return [row for row in self if row["error"] is not None or row["expected"] is not None]

    def samples(self, run: int) -> list[Sample]:
        """Every single round trip, and the messages, of the run of this number.

        Each has ``kind`` (``"ping"``, ``"message"``), ``number``, ``begin_ns``, ``time_ns``, and
        with ``keep="causes"`` ``place`` (where it was longest) and ``reason`` (what it waited for).
        """
        return self._database.samples(run)

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each run and the columns' own types.

        Raises :class:`desim.UserError` without pandas.
        """
        return tables.to_pandas(self._database)

    def to_polars(self) -> Any:
        """A ``polars.DataFrame``, as :meth:`to_pandas`. Raises :class:`desim.UserError` too."""
        return tables.to_polars(self._database)

    def to_csv(self, path: File) -> None:
        """Write the rows as CSV. Raises :class:`desim.OutputError` if they cannot be."""
        tables.write_csv(self._database, fspath(path))

    def to_parquet(self, path: File) -> None:
        """Write the rows as Parquet, which needs pyarrow or polars.

        Raises :class:`desim.UserError` without these, and :class:`desim.OutputError`.
        """
        tables.write_parquet(self._database, fspath(path))

    def dump(self) -> Iterator[str]:
        """All that the database holds, as lines of JSON: the same for the same sweep, whoever
        made its runs, and in which order."""
        return self._database.dump()

    def report(self, width: int = 80) -> str:
        """The table that ``desim sweep`` prints."""
        from desim.report.sweeps import text

        return text(self._database, width)

    def close(self) -> None:
        """Close the database. Nothing can be asked for any more."""
        self._database.close()

    def __len__(self) -> int:
        return len(self._database)

    def __iter__(self) -> Iterator[dict[str, Cell]]:
        for row in self._database.rows():
            yield dict(zip(self.columns, row, strict=True))

    @overload
    def __getitem__(self, place: int) -> dict[str, Cell]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Cell]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Cell] | list[dict[str, Cell]]:
        if isinstance(place, slice):
            return list(self)[place]
        size = len(self)
        if not -size <= place < size:
            raise IndexError(f"{place}: there are {size} runs")
        return dict(zip(self.columns, self._database.nth(place % size), strict=True))

    def __str__(self) -> str:
        return self.report()

    def __repr__(self) -> str:
        facts = self._database.head.facts
        return f"<Sweep of {facts['scenario']}: {facts['varied']}, {len(self)} runs>"

    def __enter__(self) -> Sweep:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def sweep(
    scenario: Scenario,
    vary: Mapping[str, Values] | None = None,
    *,
    zipped: Sequence[Mapping[str, Values]] = (),
    seeds: Iterable[int] | str | None = None,
    repeat: int | None = None,
    metrics: Sequence[str] = (),
    keep: Kept = "samples",
    costs: Costs | None = None,
    workers: int | None = None,
    executor: Executor | str | None = None,
    database: File | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Run ``scenario`` with each value of each key in ``vary``, and with each of ``seeds``.

    Keys are those of :meth:`desim.Scenario.set`. All values are combined with each other; keys
    of one table in ``zipped`` change together. ``seeds`` are the seeds of each point, or
    ``repeat`` says how many there are from the scenario's own on. What is not given here is what
    the scenario's table ``[sweep]`` says.

    ``metrics`` names the figures that are worked out (the quick ones). ``keep`` says what is kept
    of a run: ``"figures"``; ``"samples"``, each single round trip and message, too; or
    ``"causes"``, what held each of these up longest as well, which is slower. ``costs`` is that
    of :func:`desim.run`.

    Runs are made on ``workers`` processors (all there are), or by any ``executor`` of the kind of
    ``concurrent.futures``, which stays open, or on a cluster (``"dask://HOST:PORT"``). Rows go
    into the file ``database`` as they come, and are in memory without one; what a file of this
    sweep has already is not made again. ``progress`` is called now and then with how many runs are
    done, and how many there are.

    A run that fails is a row with its ``error``. Raises :class:`desim.UserError` for what cannot
    vary, :class:`desim.OutputError` for a file of another sweep, or one that takes no more, and
    :class:`desim.WorkerError` if there are no workers any more. What was kept stays.
    """
    if workers is not None and (type(workers) is not int or workers < 1):
        raise UserError(f"workers {workers!r}: must be a whole number from 1 on")
    if repeat is not None and (type(repeat) is not int or repeat < 1):
        raise UserError(f"repeat {repeat!r}: must be a whole number from 1 on")
    asked = sweeps.Asked(
        vary=_axes(vary or {}),
        zipped=[_axes(group) for group in zipped],
        seeds=_seeds(seeds),
        repeat=repeat,
        metrics=tuple(metrics),
        costs=None if costs is None else fspath(costs),
        kept=_kept(keep),
    )
    order = sweeps.order(scenario._document, asked)
    path = MEMORY if database is None else fspath(database)
    result = Sweep(Database.begin(path, order.head))
    try:
        steps = sweeps.make(order, result._database, executor=_executor(executor), workers=workers)
        for step in steps:
            if progress is not None:
                progress(step.done, step.total)
    except BaseException:
        result.close()
        raise
    return result


def _axes(given: Mapping[str, Values]) -> list[Axis]:
    made = []
    for key, values in given.items():
        if not isinstance(values, (str, Mapping)):
            values = list(values)
        try:
            made.append(axis(key, values))
        except ValueError as error:
            raise UserError(f"{key}: {error}") from None
    return made


def _seeds(given: Iterable[int] | str | None) -> Sequence[int]:
    if given is None:
        return ()
    try:
        return read_seeds(given if isinstance(given, str) else list(given))
    except ValueError as error:
        raise UserError(f"seeds: {error}") from None


def _kept(given: Kept) -> Kept:
    known = get_args(Kept)
    if given not in known:
        raise UserError(f"keep {given!r}: must be {', '.join(known)}{nearest(str(given), known)}")
    return given


def _executor(given: Executor | str | None) -> Callable[[], Executor] | None:
    if given is None:
        return None
    if isinstance(given, str):
        from desim.sweeps.cluster import dask_executor

        return dask_executor(given)
    return lambda: given
