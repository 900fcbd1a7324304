"""The page of a run: one file of HTML with pictures."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from desim.api.result import Result
from desim.api.running import Duration
from desim.disk import kind_of
from desim.errors import UserError
from desim.experiment.journey.select import read_selector
from desim.experiment.saved import Saved
from desim.scenario.durations import parse_duration, show_duration

if TYPE_CHECKING:
    from desim.experiment.ran import Ran

Run = Result | str | PathLike[str]
"""A result, the folder in which one was saved, or the database of a sweep."""
DATABASE = b"SQLite format 3\0"
"""How a file of SQLite begins."""


def is_database(path: Path) -> bool:
    """Whether a file is one of SQLite's, as ``desim sweep`` writes it."""
    if kind_of(path) != "file":
        return False
    with path.open("rb") as file:
        return file.read(len(DATABASE)) == DATABASE


def html_report(
    run: Run,
    *,
    against: Run | None = None,
    journeys: Iterable[str] = (),
    begin: Duration | None = None,
    end: Duration | None = None,
) -> str:
    """The report of a run, or of a sweep, as one HTML file that needs nothing beside it: its text.

    ``run`` is a result that has kept its trace and its frames, or the folder of a saved one
    (:meth:`Result.save`, ``desim run --out``), or the database of a sweep; with that nothing else
    can be given. ``against`` is another run: the waterfall shows it as a thin outline.
    ``journeys`` select the messages whose ways are shown, as ``desim run --journey`` does; without
    any it is the first one, and the slowest if there are many. ``begin`` and ``end`` are the
    instants between which the timeline shows what happened; without either it shows the burst with
    the most frames. The same run gives the same bytes, on every machine.

    Raises :class:`desim.UserError` for a folder that holds no run, for a message that it has not,
    for an ``end`` that does not come behind ``begin``, and for what was not recorded.
    """
    from desim.report.page import run as pages

    selectors = tuple(map(read_selector, journeys))
    if not isinstance(run, Result) and is_database(Path(run)):
        if (against, begin, end) != (None, None, None) or selectors:
            raise UserError(f"{run}: is a sweep; no run, message or time can be chosen of it")
        return _sweep(Path(run))
    ran = _ran(run)
    other = None if against is None else _ran(against)
    return pages.page(ran, pages.Asked(other, selectors, _stretch(ran, begin, end)))


def _sweep(path: Path) -> str:
    from desim.report.page import sweep
    from desim.sweeps.database import Database

    with closing(Database.read(str(path))) as database:
        return sweep.page(database)


def _stretch(ran: Ran, begin: Duration | None, end: Duration | None) -> tuple[int, int] | None:
    if begin is None and end is None:
        return None
    first = 0 if begin is None else _instant(begin)
    last = ran.summary["end_ns"] if end is None else _instant(end)
    if first >= last:
        last_text, first_text = show_duration(last), show_duration(first)
        raise UserError(f"timeline: its end, {last_text}, must come behind {first_text}")
    return first, last


def _instant(time: Duration) -> int:
    if isinstance(time, int):
        return time
    try:
        return parse_duration(time)
    except ValueError as error:
        raise UserError(f"{time!r}: {error}") from None


def _ran(run: Run) -> Ran:
    return run._run if isinstance(run, Result) else Saved(Path(run))
