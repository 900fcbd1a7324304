"""The page of a run: one file of HTML with pictures."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from desim.api.result import Result
from desim.api.running import Duration
from desim.errors import UserError
from desim.experiment.saved import Saved
from desim.scenario.durations import parse_duration, show_duration

if TYPE_CHECKING:
    from desim.experiment.ran import Ran

Run = Result | str | PathLike[str]
"""A result, or the folder in which one was saved."""


def html_report(
    run: Run,
    *,
    against: Run | None = None,
    begin: Duration | None = None,
    end: Duration | None = None,
) -> str:
    """The report of a run as one HTML file that needs nothing beside it: its text.

    ``run`` is a result that has kept its trace and its frames, or the folder of a saved one
    (:meth:`Result.save`, ``desim run --out``). ``against`` is another run: the waterfall shows it
    as a thin outline. ``begin`` and ``end`` are the instants between which the timeline shows what
    happened; without either it shows the burst with the most frames. The same run gives the same
    bytes, on every machine.

    Raises :class:`desim.UserError` for a folder that holds no run, for an ``end`` that does not
    come behind ``begin``, and for what was not recorded.
    """
    from desim.report.page import run as pages

    ran = _ran(run)
    return pages.page(ran, None if against is None else _ran(against), _asked(ran, begin, end))


def _asked(ran: Ran, begin: Duration | None, end: Duration | None) -> tuple[int, int] | None:
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
