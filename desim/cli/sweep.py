"""``desim sweep SCENARIO --vary KEY=VALUES``: many runs, on all processors, kept in a database."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from desim.cli._arguments import Parser, counted
from desim.cli._screen import complain, say
from desim.cli._sweeping import (
    add_base,
    add_workers,
    axis,
    document,
    executor,
    how_long,
    metrics,
    seeds,
    watched,
)
from desim.errors import UserError

if TYPE_CHECKING:
    from desim.sweeps.sweep import Asked, Order

EPILOG = """\
VALUES are a list (0,500,4000), a range with both its ends (0:2000:100 is FROM:TO:STEP), one that
multiplies (125:8000:x2), or a list of TOML (["a,b", "c"]). Keys are those of --set. Keys of
several --vary are combined, each with all; those of one --zip change together. Without them the
table [sweep] of the scenario says what varies.

  desim sweep hello --vary guest.modprobe.InterruptThrottleRate=0,500,8000 --seeds 1:2
  desim sweep hello --vary guest.modprobe.RxAbsIntDelay=8:32:x2 -o delays.db --csv delays.csv

Each run that is done is kept at once. When a sweep was interrupted, or killed, the same command
goes on where it was; the results are the same. They lie in a SQLite file, a row for each run.
"""


def parser() -> Parser:
    """What ``desim sweep`` takes."""
    made = Parser("sweep", EPILOG)
    add_base(made)
    made.add_argument(
        "--vary",
        metavar="KEY=VALUES",
        type=axis,
        action="append",
        default=[],
        help="a key of the scenario that varies, and its values; may be given more than once",
    )
    made.add_argument(
        "--zip",
        metavar="KEY=VALUES",
        type=axis,
        action="append",
        nargs="+",
        default=[],
        help="keys that vary together: their first values, then their second ones",
    )
    made.add_argument(
        "--seeds", metavar="FROM:TO", type=seeds, help="the seeds of each point, or a list of them"
    )
    made.add_argument(
        "--repeat", metavar="N", type=counted, help="N seeds for each point, from the scenario's on"
    )
    add_workers(made)
    made.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        help="the database (NAME-DIGITS.db here, with the same digits for the same sweep)",
    )
    made.add_argument("--csv", metavar="FILE", help="write the runs as CSV, too; - is the screen")
    made.add_argument(
        "--parquet",
        metavar="FILE",
        help="write them as Parquet, too (pip install 'desim[parquet]')",
    )
    made.add_argument(
        "--metrics",
        metavar="NAME,...",
        type=metrics,
        default=[],
        help="work out and keep these figures alone (those that are quick to make)",
    )
    made.add_argument(
        "--show",
        metavar="NAME,...",
        type=metrics,
        default=[],
        help="show these figures on the screen, in this order",
    )
    kept = made.add_mutually_exclusive_group()
    kept.add_argument(
        "--causes",
        dest="kept",
        action="store_const",
        const="causes",
        default="samples",
        help="keep with each round trip and message what held it up longest: slower",
    )
    kept.add_argument(
        "--no-samples",
        dest="kept",
        action="store_const",
        const="figures",
        help="keep no single round trips and messages, only figures: faster",
    )
    made.add_argument("--yes", action="store_true", help="begin, however many runs there are")
    made.add_argument("--quiet", action="store_true", help="print nothing but mistakes")
    return made


def command(words: list[str]) -> int:
    """Make the runs that are not there yet, and show what came of all."""
    arguments = parser().read(words)
    from desim.report.sweeps import text
    from desim.sweeps import sweep, tables
    from desim.sweeps.database import Database

    if arguments.seeds and arguments.repeat:
        raise UserError("sweep: --seeds and --repeat: one of them says which seeds there are")
    if arguments.parquet:
        tables.check_parquet()
    order = sweep.order(document(arguments), _asked(arguments), partial(_place, arguments))
    make = executor(arguments)
    path = arguments.out or order.file_name
    if len(order.plan) >= sweep.MANY_RUNS and not arguments.yes:
        raise UserError(_many(order, arguments))
    database = Database.begin(path, order.head)
    try:
        steps = sweep.make(order, database, executor=make, workers=arguments.jobs)
        plan = _plan(order, len(database), path)
        try:
            watched(steps, order.base.document.name, "" if arguments.quiet else plan)
        except KeyboardInterrupt:
            complain(
                f"interrupted: {len(database):,} of {len(order.plan):,} runs are in {path}; the "
                "same command goes on"
            )
            return 130
        if arguments.csv:
            tables.write_csv(database, arguments.csv)
        if arguments.parquet:
            tables.write_parquet(database, arguments.parquet)
        if not arguments.quiet and arguments.csv != tables.STDOUT:
            say(f"{text(database, _width())}\n\nresults in {path}")
        return 1 if database.troubled() else 0
    finally:
        database.close()


def _asked(arguments: argparse.Namespace) -> Asked:
    from desim.sweeps.sweep import Asked

    return Asked(
        vary=arguments.vary,
        zipped=arguments.zip,
        seeds=arguments.seeds or (),
        repeat=arguments.repeat,
        metrics=arguments.metrics,
        show=arguments.show,
        costs=arguments.costs,
        kept=arguments.kept,
    )


def _place(arguments: argparse.Namespace, key: str) -> str:
    """What messages call a key that varies."""
    if any(axis.key == key for axis in arguments.vary):
        return f"--vary {key}"
    if any(axis.key == key for axes in arguments.zip for axis in axes):
        return f"--zip {key}"
    return f"[sweep] {key}"


def _width() -> int:
    from desim.cli._running import console_width

    return console_width()


def _plan(order: Order, there: int, path: str) -> str:
    """What is going to be done."""
    plan = order.plan
    text = f"{len(plan):,} runs: {plan.described()}; results in {path}"
    return f"{text}, which has {there:,} of them" if there else text


def _many(order: Order, arguments: argparse.Namespace) -> str:
    """What so many runs would take, after a look at the first one."""
    from desim.experiment.many import cores
    from desim.sweeps.work import Chunk, run_chunk

    workers = arguments.jobs or cores()
    chunk = Chunk((order.plan.point(0),), False)
    run_chunk(order.base, chunk)  # which loads what all others find loaded
    seconds = run_chunk(order.base, chunk).seconds * len(order.plan) / workers
    return (
        f"{len(order.plan):,} runs, about {how_long(seconds)} for {workers} at a time: --yes begins"
    )
