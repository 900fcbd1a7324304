"""The runs of a sweep as tables for others: CSV, Parquet, data frames."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from desim.disk import kind_of
from desim.errors import OutputError, UserError
from desim.sweeps.database import Database

if TYPE_CHECKING:
    from desim.sweeps.row import Cell

BATCH = 10_000
"""Rows of a Parquet file that are in memory at once."""
STDOUT = "-"


def write_csv(database: Database, path: str) -> None:
    """One line for each run, behind one with the names; ``-`` is standard output.

    Raises ``OutputError`` if it cannot be written.
    """
    with _whole(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(database.head.columns)
        writer.writerows(database.rows())


@contextmanager
def _whole(path: str) -> Iterator[TextIOBase | IO[str]]:
    """A file that is there as a whole or, if something goes wrong, as it was."""
    if path == STDOUT:
        yield sys.stdout
        return
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
        yield stream


@contextmanager
def replacing(path: str) -> Iterator[Path]:
    """A file beside ``path`` that takes its place at the end; what is no file is written itself.

    Raises ``OutputError`` if it cannot be written.
    """
    part = Path(f"{path}.part")
    try:
        if kind_of(Path(path)) not in (None, "file"):
            yield Path(path)
            return
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None


Kind = Literal["whole", "real", "text"]


def kinds(database: Database) -> dict[str, Kind]:
    """What each column holds: whole numbers, real ones, or text (also where it is empty)."""
    found: dict[str, Kind] = {}
    for name, held in database.held().items():
        if "text" in held or not held - {"null"}:
            found[name] = "text"
        else:
            found[name] = "real" if "real" in held else "whole"
    return found


def as_kind(value: Cell, kind: Kind) -> Cell:
    """A value of a column of this kind."""
    if value is None:
        return None
    if kind == "text":
        return str(value)
    return float(value) if kind == "real" else value


def columns(database: Database) -> dict[str, list[Cell]]:
    """All runs, column by column, each of one type."""
    found = kinds(database)
    made: dict[str, list[Cell]] = {name: [] for name in found}
    for row in database.rows():
        for (name, kind), value in zip(found.items(), row, strict=True):
            made[name].append(as_kind(value, kind))
    return made


def to_pandas(database: Database) -> Any:
    """A ``pandas.DataFrame`` with one row for each run. Raises ``UserError`` without pandas."""
    try:
        import pandas
    except ImportError:
        raise UserError("to_pandas needs pandas: pip install pandas") from None
    return pandas.DataFrame(columns(database)).convert_dtypes()


def to_polars(database: Database) -> Any:
    """A ``polars.DataFrame`` with one row for each run. Raises ``UserError`` without polars."""
    try:
        import polars
    except ImportError:
        raise UserError("to_polars needs polars: pip install polars") from None
    types = {"whole": polars.Int64, "real": polars.Float64, "text": polars.String}
    schema = {name: types[kind] for name, kind in kinds(database).items()}
    return polars.DataFrame(columns(database), schema=schema)


def write_parquet(database: Database, path: str) -> None:
    """One row for each run. Raises ``UserError`` without pyarrow and polars, or ``OutputError``."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        _parquet_by_polars(database, path)
        return
    types = {"whole": pyarrow.int64(), "real": pyarrow.float64(), "text": pyarrow.string()}
    names = kinds(database)
    schema = pyarrow.schema([(name, types[kind]) for name, kind in names.items()])
    with replacing(path) as part, parquet.ParquetWriter(part, schema) as writer:
        for batch in _batches(database):
            made = {
                name: [as_kind(row[place], kind) for row in batch]
                for place, (name, kind) in enumerate(names.items())
            }
            writer.write_table(pyarrow.table(made, schema=schema))


def _parquet_by_polars(database: Database, path: str) -> None:
    try:
        import polars  # noqa: F401 - whether it is there
    except ImportError:
        raise UserError(
            "a Parquet file needs pyarrow or polars: pip install 'desim[parquet]'"
        ) from None
    with replacing(path) as part:
        to_polars(database).write_parquet(part)


def check_parquet() -> None:
    """Raises ``UserError`` if no Parquet file can be written, before hours have passed."""
    from importlib.util import find_spec

    if find_spec("pyarrow") is None and find_spec("polars") is None:
        raise UserError("--parquet needs pyarrow or polars: pip install 'desim[parquet]'")


def _batches(database: Database) -> Iterator[list[tuple[Cell, ...]]]:
    batch: list[tuple[Cell, ...]] = []
    for row in database.rows():
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
