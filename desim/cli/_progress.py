"""A line on the terminal that says how far a long run has got."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from desim.api.scenario import Scenario
    from desim.config import MachineConfig

PATIENCE_S = 1.0
"""A run shorter than this shows nothing."""
REFRESH_S = 0.1


class Line:
    """What the line says. ``goal_ns`` is the virtual time at which the run ends for certain.

    Called with the virtual time in ns, as a run calls who wants to know.
    """

    def __init__(self, progress: Progress, name: str, goal_ns: int | None) -> None:
        self._progress = progress
        self._name = name
        self._goal_ns = goal_ns
        self._task = progress.add_task("")
        self._begin = progress.get_time()
        self._shown = self._begin + PATIENCE_S - REFRESH_S

    def __call__(self, virtual_ns: int) -> None:
        now = self._progress.get_time()
        if now - self._shown >= REFRESH_S:
            self._show(virtual(virtual_ns, self._goal_ns, now - self._begin))

    def writing(self, folder: object) -> None:
        """The run is over, and its results are being written."""
        if self._progress.get_time() - self._begin >= PATIENCE_S:
            self._show(f"writing {folder}")

    def _show(self, text: str) -> None:
        self._progress.start()
        self._shown = self._progress.get_time()
        self._progress.update(self._task, description=f"{self._name}  {text}", refresh=True)


@contextmanager
def line_of(scenario: Scenario) -> Iterator[Line]:
    """The line of a run. It is gone at the end of the block."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    line = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
    try:
        yield Line(line, escape(scenario.name), known_end(scenario.configuration()))
    finally:
        line.stop()


def known_end(config: MachineConfig) -> int | None:
    """The virtual time (ns) at which a run is over at the latest, if its scenario says when.

    That is ``until``, if it is not the usual one, or when the last of its commands is stopped, if
    each of them is.
    """
    from desim.config import MachineConfig as Usual

    ends: list[int | None] = []
    for command in config.commands:
        begin = command.at_ns if command.stop_relative else 0
        stop = command.stop_ns
        ends.append(None if begin is None or stop is None else begin + stop)
    known = [end for end in ends if end is not None]
    goals = [max(known)] if known and len(known) == len(ends) else []
    if config.until_ns != Usual().until_ns:
        goals.append(config.until_ns)
    return min(goals, default=None)


def virtual(now_ns: int, goal_ns: int | None, real_s: float) -> str:
    """``virtual time 3.2 of 8.5 s, 1.9 s per second``"""
    of = "" if goal_ns is None else f" of {_tenths(goal_ns)}"
    rate = int(now_ns / real_s) if real_s else 0
    return f"virtual time {_tenths(now_ns)}{of} s, {_tenths(rate)} s per second"


def _tenths(ns: int) -> str:
    return f"{ns // 10**9}.{ns // 10**8 % 10}"
