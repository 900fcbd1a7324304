"""Running a scenario and handing out what came of it: ``desim run`` and ``desim qemu``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from desim.cli._arguments import Parser, duration, path
from desim.cli._screen import complain, complain_at_length
from desim.errors import UserError

if TYPE_CHECKING:
    import argparse

    from desim.api.laws import UserLaw
    from desim.api.scenario import Scenario
    from desim.cli._progress import Line
    from desim.experiment.journey.select import Selector


def add_results(parser: Parser) -> None:
    """How long to run, and where the results go."""
    parser.add_argument(
        "--until", metavar="T", type=duration, help="stop at this virtual time, such as 10s"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=path,
        help="write the programs' files, captures, the trace and the summary to DIR",
    )
    parser.add_argument(
        "--report",
        metavar="FILE",
        type=path,
        help="write a page of HTML with pictures of the run to FILE (desim report says more)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace the results of an earlier run in DIR, and FILE even if it is no report",
    )
    parser.add_argument(
        "--color",
        metavar="WHEN",
        choices=["auto", "always", "never"],
        default="auto",
        help="colours: auto (default: on a terminal, and as NO_COLOR and FORCE_COLOR say), always "
        "or never",
    )
    parser.add_argument(
        "--laws",
        metavar="FILE",
        help="judge by the laws in this Python file: functions decorated with @desim.law; the "
        "file is run as a program",
    )
    parser.add_argument(
        "--strict-exit",
        action="store_true",
        help="exit with 1 if a program failed that was not expected to",
    )
    parser.add_argument(
        "--ladder",
        action="store_true",
        help="also show, step by step, who told whom what: the host's program, slirp, the card, "
        "the guest's kernel, its program",
    )
    parser.add_argument(
        "--journey",
        metavar="WHICH",
        action="append",
        default=[],
        help="also show the way of the message that WHICH selects, such as conn=2,msg=last, "
        "guest-to-host,msg=slowest, udp,msg=p99 or ping=17; with -v by function; may be given more "
        "than once",
    )
    parser.add_argument(
        "--stats",
        action="store_true",
        help="also show how long all messages and pings took: percentiles, a histogram, and where "
        "their time went, and who had the guest's processor; the summary then has the messages",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "-v",
        action="count",
        default=0,
        dest="verbosity",
        help="also show what each terminal showed, and who had the first message; "
        "-vv with every nanosecond",
    )
    shown.add_argument(
        "--json", action="store_true", help="print the summary alone, as JSON; not with --quiet"
    )
    shown.add_argument(
        "--quiet", action="store_true", help="print nothing but mistakes; not with --json"
    )


def execute(scenario: Scenario, arguments: argparse.Namespace) -> int:
    """Run, show, write; the exit code."""
    from desim.api.running import assemble, configuration

    other = "--json" if arguments.json else "--quiet" if arguments.quiet else ""
    if other and arguments.ladder:
        raise UserError(f"--ladder: shows something, which {other} does not want")
    if other and arguments.journey:
        raise UserError(f"--journey: shows something, which {other} does not want")
    if arguments.stats and arguments.quiet and arguments.out is None:
        raise UserError("--stats: shows something, which --quiet does not want; --out keeps it")
    selectors = _selectors(arguments.journey)
    users = _users_laws(arguments.laws)
    # The screen and the summary have the fingerprint, DIR and a report have everything, and what
    # is expected of figures is judged by what was recorded.
    expect = configuration(scenario, arguments.costs).expect
    judged = bool(expect.metrics or expect.fingerprint or expect.laws or users)
    kept = arguments.out is not None or arguments.report is not None
    everything = kept or not arguments.quiet or judged
    machine = assemble(
        scenario,
        costs=arguments.costs,
        seed=arguments.seed,
        until=arguments.until,
        record="trace" if everything else "none",
        capture=everything,
        statistics=arguments.stats,
    )
    if arguments.out is not None:
        from desim.experiment import output

        output.prepare(arguments.out, force=arguments.force)
    if arguments.report is not None:
        from desim.report.page import output as pages

        pages.prepare(arguments.report, force=arguments.force)
    complain(*machine.notes)
    with progress_line(scenario) as progress:
        result = machine.run(progress, interrupted=_finishing)
        if arguments.out is not None:
            if progress is not None:
                progress.writing(arguments.out)
            result.save(arguments.out, force=arguments.force)
        if arguments.report is not None:
            from desim.api.page import html_report

            pages.write(arguments.report, html_report(result), force=arguments.force)
    if arguments.json:
        from desim.experiment import output

        print(output.summary_text(result.summary), end="")
    elif not arguments.quiet:
        colours = wants_colours(arguments.color)
        result.show(console_width(), verbosity=arguments.verbosity, colours=colours)
        if arguments.ladder:
            print("\n" + result.ladder(console_width()))
        if arguments.stats:
            print("\n" + result.statistics_report(console_width()))
        for selector in selectors:
            print("\n" + result.journey_report(selector, console_width(), arguments.verbosity))
    sys.stdout.flush()
    complain_at_length(*(f"expected otherwise: {failure}" for failure in result.expectations))
    broken = [f"law {law.name}: {one}" for law in users for one in law.broken(result)]
    complain_at_length(*(f"expected otherwise: {text}" for text in broken))
    failed = list(result.failed_programs) if arguments.strict_exit else []
    complain(*(f"{program} (--strict-exit)" for program in failed))
    if result.failed:
        complain(f"{result.ended}; the results are those up to there")
    if result.ended == "interrupted":
        complain(f"interrupted at {seconds(result.end_ns)} of virtual time")
        return 130
    return 1 if result.expectations or broken or failed or result.failed else 0


def progress_line(scenario: Scenario) -> AbstractContextManager[Line | None]:
    """The line that says how far a run is, until the end of the block; None if nobody looks at
    stderr."""
    if not sys.stderr.isatty():
        return nullcontext()
    from desim.cli._progress import line_of

    return line_of(scenario)


def _selectors(texts: Sequence[str]) -> Sequence[Selector]:
    if not texts:
        return ()
    from desim.experiment.journey.select import read_selector

    return [read_selector(text) for text in texts]


def _users_laws(file: str | None) -> Sequence[UserLaw]:
    if file is None:
        return ()
    from desim.api.laws import load_laws

    return load_laws(file)


def _finishing() -> None:
    complain("finishing; again to stop at once")


def wants_colours(when: str) -> bool | None:
    """What ``--color`` says, or else NO_COLOR and FORCE_COLOR; None: the terminal does."""
    if when == "auto":
        if os.environ.get("NO_COLOR"):
            return False
        return True if os.environ.get("FORCE_COLOR") else None
    return when == "always"


def seconds(ns: int) -> str:
    """Virtual time for people: ``8.500000000 s``."""
    return f"{ns // 10**9}.{ns % 10**9:09d} s"


def console_width() -> int:
    """The columns of the terminal; 80 elsewhere, so that a file says the same everywhere."""
    if not sys.stdout.isatty():
        return 80
    from shutil import get_terminal_size

    return get_terminal_size((80, 24)).columns
