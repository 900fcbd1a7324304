"""The page of a run: one file of HTML with pictures."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from desim.api.result import Result
from desim.experiment.saved import Saved

if TYPE_CHECKING:
    from desim.experiment.ran import Ran

Run = Result | str | PathLike[str]
"""A result, or the folder in which one was saved."""


def html_report(run: Run, *, against: Run | None = None) -> str:
    """The report of a run as one HTML file that needs nothing beside it: its text.

    ``run`` is a result that has kept its trace and its frames, or the folder of a saved one
    (:meth:`Result.save`, ``desim run --out``). ``against`` is another run: the waterfall shows it
    as a thin outline. The same run gives the same bytes, on every machine.

    Raises :class:`desim.UserError` for a folder that holds no run, and for what was not recorded.
    """
    from desim.report.page import run as pages

    return pages.page(_ran(run), None if against is None else _ran(against))


def _ran(run: Run) -> Ran:
    return run._run if isinstance(run, Result) else Saved(Path(run))
