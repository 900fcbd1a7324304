"""``desim conform CORE PATH...``: recordings of the real thing, replayed or predicted."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from desim.cli._arguments import Parser, counted
from desim.cli._screen import complain, say
from desim.errors import UserError

if TYPE_CHECKING:
    from desim.conform.suite import Outcome, Suite

SUITES = {
    "e1000": ("desim.conform.e1000.suite", "CardSuite"),
    "slirp": ("desim.conform.slirp.suite", "SlirpSuite"),
    "linux": ("desim.conform.linux.suite", "LinuxSuite"),
}
PREDICTED = "linux"

EPILOG = """\
An archive is a .tar, .tar.xz or .tar.gz file, with e1000 and slirp also a .zip file. The
files tests/vectors/*/README.md describe the formats of recordings.

With e1000 and slirp, desim replays recordings against the model of the card or of slirp
alone. A recording that differs is one line, with the first difference; the last line
counts.

With linux, desim predicts recorded runs of a whole guest. For each run it prints a table of
the figures of the run's tests, measured and predicted; the last line has the median and
the 95th percentile of the judged errors, and counts. Runs with counted instructions use
the cost profile icount, runs in real time the profile tcg. docs/linux.md says what is
judged, and how.

Exit code: 0 all passed, 1 some differ, 2 something could not be read.
"""


def parser() -> Parser:
    """What ``desim conform`` takes."""
    made = Parser("conform", EPILOG)
    made.add_argument("core", choices=list(SUITES), help="what was recorded")
    made.add_argument(
        "paths",
        metavar="PATH",
        type=Path,
        nargs="+",
        help="a recording, a folder of recordings, or an archive",
    )
    made.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    made.add_argument(
        "--costs", metavar="NAME|FILE", help="only with linux: the cost profile for all runs"
    )
    made.add_argument(
        "-j",
        "--jobs",
        metavar="N",
        type=counted,
        default=1,
        help="use N processes (1 if not given); the output is the same",
    )
    return made


def command(words: list[str]) -> int:
    """Hold recordings of the real thing against the model."""
    return execute(parser().read(words))


def execute(arguments: argparse.Namespace) -> int:
    """Check, show, count; the exit code."""
    from desim.conform.suite import conform

    outcomes = []
    errors: list[float] = []
    passed = failed = bad = shown = 0
    for outcome in conform(_suite(arguments), arguments.paths, jobs=arguments.jobs):
        passed += outcome.passed
        failed += bool(outcome.difference)
        bad += bool(outcome.mistake)
        shown += not outcome.judged
        errors += outcome.errors
        if arguments.json:
            outcomes.append(_record(outcome))
        else:
            if outcome.difference:
                say(f"{outcome.place}: {outcome.difference}")
            if outcome.shown:
                say(outcome.shown)
        if outcome.mistake:
            complain(outcome.mistake)
    counts = {"passed": passed, "failed": failed, "unreadable": bad}
    line = f"{passed} passed, {failed} failed"
    more: dict[str, Any] = {}
    if arguments.core == PREDICTED:
        from desim.conform.linux.judgement import middle_and_95

        counts["not_judged"] = shown
        line += f", {shown} not judged" * bool(shown)
        middle, last = middle_and_95(errors) or (None, None)
        more["errors"] = {"judged": len(errors), "median": middle, "p95": last}
        if middle is not None and last is not None:
            line = f"median error {middle:.2%}, 95th percentile {last:.2%}; {line}"
    if arguments.json:
        print(json.dumps({**counts, **more, "recordings": outcomes}, indent=1))
    elif passed or failed or shown or not bad:  # else nothing was held against the model
        say(line)
    return 2 if bad else 1 if failed else 0


def _suite(arguments: argparse.Namespace) -> Suite:
    module, name = SUITES[arguments.core]
    settings = {}
    if arguments.costs is not None:
        if arguments.core != PREDICTED:
            raise UserError(
                f"conform: --costs {arguments.costs}: replaying {arguments.core} takes no time; "
                f"only {PREDICTED} has costs"
            )
        from desim.costs import profile

        profile.load(arguments.costs)  # once, so that its mistakes are not those of every recording
        settings["costs"] = arguments.costs
    return cast("Suite", getattr(import_module(module), name)(**settings))


def _record(outcome: Outcome) -> dict[str, object]:
    record: dict[str, object] = {"place": outcome.place, **outcome.details}
    if outcome.mistake:
        return {**record, "result": "unreadable", "mistake": outcome.mistake}
    if not outcome.judged:
        return {**record, "result": "not judged"}
    if outcome.difference:
        return {**record, "result": "failed", "difference": outcome.fields}
    return {**record, "result": "passed"}
