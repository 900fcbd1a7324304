"""A line on the terminal that says how far a long run has got."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 1.0
"""A run shorter than this shows nothing."""
REFRESH_S = 0.1


@contextmanager
def progress_line() -> Iterator[Callable[[int], None] | None]:
    """What to call with the virtual time in ns; None if nobody looks at stderr.

    The line is gone when the run has ended.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    line = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
    task = line.add_task("")
    begin = line.get_time()
    shown = begin + PATIENCE_S - REFRESH_S

    def report(virtual_ns: int) -> None:
        nonlocal shown
        if line.get_time() - shown < REFRESH_S:
            return
        line.start()
        shown = line.get_time()
        tenths = virtual_ns // 10**8
        line.update(task, description=f"virtual time {tenths // 10}.{tenths % 10} s", refresh=True)

    try:
        yield report
    finally:
        line.stop()
