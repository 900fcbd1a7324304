"""Arguments and progress that ``desim sweep``, ``find`` and ``advise`` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from desim.cli._arguments import Changes, Parser, add_machine, add_scenario, counted, refusal
from desim.cli._progress import PATIENCE_S
from desim.cli._screen import complain

if TYPE_CHECKING:
    from desim.scenario.conditions import Wanted
    from desim.scenario.document import Document
    from desim.scenario.values import Axis
    from desim.sweeps.search import Search
    from desim.sweeps.sweep import Progress


TELL_S = 10
"""What takes longer is worth a word."""


def axis(text: str) -> Axis:
    """``KEY=VALUES``"""
    from desim.scenario.vary import read_axis

    try:
        return read_axis(text)
    except ValueError as error:
        raise refusal(f"{text!r}: {error}") from None


def seeds(text: str) -> list[int]:
    """``1:5``"""
    from desim.scenario.sweep_table import read_seeds

    try:
        return read_seeds(text)
    except ValueError as error:
        raise refusal(f"{text!r}: {error}") from None


def metrics(text: str) -> list[str]:
    """Names of figures with commas between them."""
    from desim.scenario.sweep_table import metric_name

    try:
        return [metric_name(name.strip()) for name in text.split(",")]
    except ValueError as error:
        raise refusal(str(error)) from None


def wanted(text: str) -> list[Wanted]:
    """``ping.p99 > 1ms``"""
    from desim.scenario.conditions import read_wanted

    try:
        return read_wanted(text)
    except ValueError as error:
        raise refusal(f"{text!r}: {error}") from None


def search(arguments: argparse.Namespace, document: Document) -> Search:
    """What tries values of a scenario as arguments say."""
    from desim.sweeps.search import Search

    return Search(
        document,
        seeds=arguments.seeds,
        costs=arguments.costs,
        workers=arguments.jobs,
        executor=executor(arguments),
        place=lambda key: f"--vary {key}",
    )


def add_base(parser: Parser) -> None:
    """The scenario, and what of it is changed for all runs."""
    add_scenario(parser)
    add_machine(parser)


def add_workers(parser: Parser) -> None:
    """Who makes the runs."""
    parser.add_argument(
        "-j",
        "--jobs",
        metavar="N",
        type=counted,
        help="make N runs at a time (as many as there are processors)",
    )
    parser.add_argument(
        "--executor",
        metavar="dask://ADDRESS",
        help="make the runs on a cluster of Dask's (pip install 'desim[cluster]')",
    )


def document(arguments: argparse.Namespace) -> Document:
    """The scenario, with what arguments change of it. Raises ``ScenarioError``."""
    from desim.scenario.loader import load_document

    changes = Changes(arguments, seed="seed")
    made = load_document(arguments.scenario, allow_read=arguments.allow_read)
    made = made.changed(changes.keys, changes.place)
    made.read()
    return made


def executor(arguments: argparse.Namespace) -> Callable[[], Executor] | None:
    """What ``--executor`` asks for; None: processes here. Raises ``UserError``."""
    if arguments.executor is None:
        return None
    from desim.sweeps.cluster import dask_executor

    return dask_executor(arguments.executor)


def watched(steps: Iterator[Progress], name: str, plan: str) -> Progress | None:
    """Take all steps, and say how far it is; the last step.

    ``plan`` is what is going to be done. A terminal shows it at once, and a line of progress;
    elsewhere it is told with how long it takes, if that is long.
    """
    if sys.stderr.isatty():
        complain(*([plan] if plan else []))
        return _shown(steps, name)
    last, told = None, False
    for last in steps:
        if last.run_s is not None and not told:
            told = True
            left_s = last.run_s * (last.total - last.done) / last.workers
            if left_s > TELL_S and plan:
                complain(f"{plan}; about {how_long(left_s)}")
    return last


def _shown(steps: Iterator[Progress], name: str) -> Progress | None:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    bar = Bar(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
    task = bar.add_task("")
    begin = shown = bar.get_time()
    first: int | None = None
    last = None
    try:
        for last in steps:
            now = bar.get_time()
            if first is None:
                first = last.done
            if now - begin >= PATIENCE_S and now - shown >= 0.1:
                bar.start()
                shown = now
                text = how_far(last, last.done - first, now - begin)
                bar.update(task, description=f"{escape(name)}  {text}", refresh=True)
    finally:
        bar.stop()
    return last


def how_far(step: Progress, made: int, passed_s: float) -> str:
    """``120 of 400 runs, 22.4/s, 13 s left, 2 failed``"""
    text = f"{step.done:,} of {step.total:,} runs"
    if made and passed_s > 0:
        rate = made / passed_s
        text += f", {rate:.1f}/s, {how_long((step.total - step.done) / rate)} left"
    if step.oldest is not None and step.oldest[1] > TELL_S:
        text += f", run {step.oldest[0]} for {how_long(step.oldest[1])}"
    if step.failed:
        text += f", {step.failed} failed"
    return text


def how_long(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``, for people."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    if seconds < 6000:
        return f"{round(seconds / 60)} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{round(hours / 24)} days"
