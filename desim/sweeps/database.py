"""The results of a sweep: one SQLite file.

Whoever reads it needs nothing of desim. All tables but ``runs`` have a fixed form; ``runs`` has a
column for each key that varies and for each figure, under its own name, so names have dots and
are written in quotes: ``SELECT "guest.modprobe.RxIntDelay", "ping.p99" FROM runs``.

========== =======================================================================================
table      a row is
========== =======================================================================================
sweep      one fact about the whole: ``name``, ``value`` (text). ``format`` (``desim-sweep/1``),
           ``desim`` (version), ``scenario``, ``description``, ``costs``, ``digest``, ``runs`` (how
           many there are in all), ``seeds`` (how many each point has), ``varied`` (in words),
           ``show`` (the figures that the scenario shows, as JSON)
parameters a key that varies: ``place``, ``name``, ``zipped`` (the number of its group: keys
           with the same number change together), ``levels`` (how many values). ``seed`` is last
metrics    a figure: ``place``, ``name``, ``kind``, ``about``, ``exactness`` (as
           ``desim.scenario.metrics`` has them)
runs       a run: ``run`` (its number, from 0 on), a column for each parameter, ``desim``,
           ``fingerprint``, ``ended``, ``end_ns``, ``error``, ``error_kind`` (``limit``,
           ``scenario``, ``model``, ``worker``), ``expected`` (expectations that failed, one a
           line), and a column for each metric
samples    a round trip or a message: ``run``, ``kind`` (``ping``, ``message``), ``number`` (from 0
           on, in the order of their beginnings), ``begin_ns``, ``time_ns``; and only if somebody
           has asked for causes, ``place`` (where it was longest) and ``reason`` (what it waited
           for there)
========== =======================================================================================

Times are whole ns, rates bytes per second, frequencies per second; a ratio is the nearest float.
What a run does not have is NULL. Runs are numbered so that the last key varies fastest: those of
one point with its seeds stand side by side (``run / seeds`` is the point).

Its content does not depend on who made which run, and when: ``dump`` gives it as lines that are
the same for ever. While a sweep is made, what is done is safe behind each commit, also from
``kill -9`` (write-ahead log); behind the end it is a single file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from desim.data import NamedTuple
from desim.errors import OutputError, UserError
from desim.sweeps.row import WORKER, Cell, Row, Sample, cell

FORMAT = "desim-sweep/1"
APPLICATION = 0x64657369
"""``desi``: what SQLite and file(1) know the file by."""
MEMORY = ":memory:"
PATIENCE_S = 0.5
"""How long another process is waited for that has the file."""
FIXED = ("desim", "fingerprint", "ended", "end_ns", "error", "error_kind", "expected")
"""Columns of ``runs`` between the parameters and the metrics."""
_TYPES = {"end_ns": "INTEGER"}

_TABLES = """
CREATE TABLE sweep (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE parameters (place INTEGER PRIMARY KEY, name TEXT, zipped INTEGER, levels INTEGER);
CREATE TABLE metrics (place INTEGER PRIMARY KEY, name TEXT, kind TEXT, about TEXT, exactness TEXT);
CREATE TABLE samples (
  run INTEGER, kind TEXT, number INTEGER, begin_ns INTEGER, time_ns INTEGER, place TEXT,
  reason TEXT, PRIMARY KEY (run, kind, number)
) WITHOUT ROWID;
"""


class Parameter(NamedTuple):
    """A key that varies."""

    name: str
    zipped: int
    levels: int


class Metric(NamedTuple):
    """A figure, as it was when the sweep was made."""

    name: str
    kind: str
    about: str
    exactness: str = ""


class Head(NamedTuple):
    """What there is to know of a sweep beside its runs."""

    facts: dict[str, str]
    parameters: tuple[Parameter, ...]
    metrics: tuple[Metric, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of ``runs``, in order."""
        names = [one.name for one in self.parameters], [one.name for one in self.metrics]
        return ("run", *names[0], *FIXED, *names[1])


class Database:
    """A file of results, or one in memory, that is open. To be closed."""

    def __init__(self, path: str, connection: sqlite3.Connection, head: Head) -> None:
        self.path = path
        self.head = head
        self._connection = connection
        marks = ", ".join("?" * len(head.columns))
        self._insert = f"INSERT OR REPLACE INTO runs VALUES ({marks})"

    @classmethod
    def begin(cls, path: str, head: Head) -> Database:
        """Open ``path`` for the sweep of ``head``: a new file, or one that this sweep has begun.

        Raises ``OutputError`` if it is neither.
        """
        fresh = path == MEMORY or not Path(path).exists() or Path(path).stat().st_size == 0
        if path != MEMORY and Path(path).is_dir():
            raise OutputError(f"{path}: is a folder")
        with _told(path):
            connection = sqlite3.connect(
                path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
            )
        try:
            with _told(path):
                if not fresh:
                    there = _head(path, connection)
                    _same(path, there, head)
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                if fresh:
                    _create(connection, head)
                else:
                    connection.execute("BEGIN EXCLUSIVE")
                    connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, head)

    @classmethod
    def read(cls, path: str) -> Database:
        """Open a file of results to look at it. Raises ``OutputError`` if it is none."""
        if not Path(path).is_file():
            raise OutputError(f"{path}: no such file")
        with _told(path):
            uri = f"{Path(path).absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            try:
                return cls(path, connection, _head(path, connection))
            except BaseException:
                connection.close()
                raise

    def add(self, rows: Iterable[Row]) -> None:
        """Keep rows, all or none. Raises ``OutputError`` if there is no room for them."""
        with _told(self.path):
            execute = self._connection.execute
            execute("BEGIN")
            try:
                for row in rows:
                    fixed = [getattr(row, name) for name in FIXED]
                    values = (row.run, *map(cell, row.values), *fixed, *map(cell, row.metrics))
                    execute(self._insert, values)
                    execute("DELETE FROM samples WHERE run = ?", (row.run,))
                    self._connection.executemany(
                        "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)",
                        ((row.run, *sample) for sample in row.samples),
                    )
                execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    execute("ROLLBACK")
                raise

    def done(self) -> Iterator[int]:
        """The numbers of the runs that there are, but for those whose process had died."""
        select = "SELECT run FROM runs WHERE error_kind IS NOT ? ORDER BY run"
        with _told(self.path):
            for (number,) in self._connection.execute(select, (WORKER,)):
                yield number

    def __len__(self) -> int:
        """How many runs there are."""
        with _told(self.path):
            (count,) = self._connection.execute("SELECT count(*) FROM runs").fetchone()
        return int(count)

    def rows(
        self, columns: Sequence[str] | None = None, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[Cell, ...]]:
        """The runs in their order, from number ``first`` up to ``last`` without it."""
        wanted = ", ".join(map(_quoted, columns or self.head.columns))
        end = (1 << 63) - 1 if last is None else last
        select = f"SELECT {wanted} FROM runs WHERE run >= ? AND run < ? ORDER BY run"
        with _told(self.path):
            yield from self._connection.execute(select, (first, end))

    def nth(self, place: int) -> tuple[Cell, ...]:
        """The run at a place, counted from 0 among those that there are."""
        wanted = ", ".join(map(_quoted, self.head.columns))
        select = f"SELECT {wanted} FROM runs ORDER BY run LIMIT 1 OFFSET ?"
        with _told(self.path):
            row: tuple[Cell, ...] = self._connection.execute(select, (place,)).fetchone()
        return row

    def held(self) -> dict[str, frozenset[str]]:
        """What SQLite has in each column of ``runs``: ``null``, ``integer``, ``real``, ``text``."""
        found = {}
        with _told(self.path):
            for name in self.head.columns:
                select = f"SELECT DISTINCT typeof({_quoted(name)}) FROM runs"
                found[name] = frozenset(kind for (kind,) in self._connection.execute(select))
        return found

    def has(self, name: str) -> bool:
        """Whether any run has something of a figure: more than nothing, and more than 0."""
        select = f"SELECT 1 FROM runs WHERE {_quoted(name)} > 0 LIMIT 1"
        with _told(self.path):
            return self._connection.execute(select).fetchone() is not None

    def troubled(self) -> bool:
        """Whether a run failed, or did not come to what its scenario expects."""
        select = "SELECT count(*) FROM runs WHERE error IS NOT NULL OR expected IS NOT NULL"
        with _told(self.path):
            return bool(self._connection.execute(select).fetchone()[0])

    def samples(self, run: int) -> list[Sample]:
        """Those of one run, in order."""
        select = "SELECT kind, number, begin_ns, time_ns, place, reason FROM samples WHERE run = ?"
        with _told(self.path):
            found = self._connection.execute(f"{select} ORDER BY kind, number", (run,))
            return [Sample(*one) for one in found]

    def dump(self) -> Iterator[str]:
        """All that it holds, as lines: the same for the same sweep, whoever made it."""
        for table, order in (
            ("sweep", "name"),
            ("parameters", "place"),
            ("metrics", "place"),
            ("runs", "run"),
            ("samples", "run, kind, number"),
        ):
            with _told(self.path):
                for row in self._connection.execute(f"SELECT * FROM {table} ORDER BY {order}"):
                    yield json.dumps([table, *row])

    def close(self) -> None:
        """Make it a single file, and close it.

        Any thread may: a ``desim.Sweep`` that nobody has any more ends where garbage is collected.
        """
        try:
            with _told(self.path):
                if not self._connection.in_transaction and self.path != MEMORY:
                    self._connection.execute("PRAGMA journal_mode = DELETE")
        except OutputError:  # it was only read, or has no room: what there is stays as it is
            pass
        finally:
            self._connection.close()


def _create(connection: sqlite3.Connection, head: Head) -> None:
    execute = connection.execute
    execute(f"PRAGMA application_id = {APPLICATION}")
    execute("BEGIN EXCLUSIVE")
    for statement in _TABLES.split(";")[:-1]:
        execute(statement)
    columns = ", ".join(f"{_quoted(name)} {_TYPES.get(name, '')}" for name in head.columns[1:])
    execute(f"CREATE TABLE runs (run INTEGER PRIMARY KEY, {columns})")
    connection.executemany("INSERT INTO sweep VALUES (?, ?)", head.facts.items())
    for table, entries, marks in (
        ("parameters", head.parameters, "?, ?, ?, ?"),
        ("metrics", head.metrics, "?, ?, ?, ?, ?"),
    ):
        connection.executemany(
            f"INSERT INTO {table} VALUES ({marks})",
            ((place, *entry) for place, entry in enumerate(entries)),
        )
    execute("COMMIT")


def _head(path: str, connection: sqlite3.Connection) -> Head:
    """What the file says of itself. Raises ``OutputError`` if it is not ours."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION:
        raise OutputError(f"{path}: a database, but not of a sweep of desim; name another file")
    facts = dict(connection.execute("SELECT name, value FROM sweep"))
    if facts.get("format") != FORMAT:
        raise OutputError(f"{path}: of the form {facts.get('format')}; this desim reads {FORMAT}")
    parameters = connection.execute("SELECT name, zipped, levels FROM parameters ORDER BY place")
    metrics = connection.execute("SELECT name, kind, about, exactness FROM metrics ORDER BY place")
    return Head(
        facts,
        tuple(Parameter(*one) for one in parameters),
        tuple(Metric(*one) for one in metrics),
    )


def _same(path: str, there: Head, wanted: Head) -> None:
    """Raises ``OutputError`` if a file is of another sweep than the one that is to go on."""
    version, ours = there.facts["desim"], wanted.facts["desim"]
    if version != ours:
        raise OutputError(
            f"{path}: made by desim {version}, this is {ours}: results of two versions do not go "
            "together; name another file"
        )
    if there.facts["digest"] != wanted.facts["digest"]:
        raise OutputError(
            f"{path}: holds another sweep ({there.facts['scenario']}: {there.facts['varied']}), or "
            "its scenario has changed since; name another file"
        )


def _quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _told(path: str) -> Iterator[None]:
    """What SQLite says, as an error that names the file and what is to be done."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith("SQLITE_FULL"):
            text = "the disk is full; what was done before is kept, and the same command goes on"
        elif code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            text = f"not a database, or a broken one ({text}); it was left as it is"
        elif code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            text = "another process is writing it"
        elif code.startswith("SQLITE_CANTOPEN"):
            text = "cannot be opened or created there"
        elif code.startswith("SQLITE_READONLY"):
            text = "may not be written"
        elif code.startswith("SQLITE_IOERR"):
            text = f"cannot be read or written ({text}); what was done before is kept"
        elif not code or code.startswith("SQLITE_ERROR"):
            text = f"not as desim writes it ({text})"
        raise OutputError(f"{path}: {text}") from None
    except UserError:
        raise
