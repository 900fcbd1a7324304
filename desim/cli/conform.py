"""``desim conform CORE PATH...``: recordings of the real thing, replayed and compared."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from desim.cli._arguments import Parser, counted
from desim.cli._screen import complain, say

if TYPE_CHECKING:
    from desim.conform.suite import Outcome, Suite

SUITES = {
    "e1000": ("desim.conform.e1000", "CardSuite"),
    "slirp": ("desim.conform.slirp", "SlirpSuite"),
}

EPILOG = """PATH is a recording, a folder of them, or an archive (.tar, .tar.xz, .tar.gz, .zip);
the formats are described in tests/vectors/*/README.md. A recording that differs is one
line with the first difference; the last line counts. Exit code: 0 all passed, 1 some
differ, 2 something could not be read.
"""


def command(words: list[str]) -> int:
    """Replay recordings of the real thing against a pure core."""
    parser = Parser("conform", "Replay recordings of the real thing and compare.", epilog=EPILOG)
    parser.add_argument("core", choices=list(SUITES), help="what the recordings are of")
    parser.add_argument("paths", metavar="PATH", type=Path, nargs="+", help="recordings")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument(
        "-j", "--jobs", metavar="N", type=counted, default=1, help="processes (1 if not given)"
    )
    return execute(parser.read(words))


def execute(arguments: argparse.Namespace) -> int:
    """Check, show, count; the exit code."""
    from desim.conform.suite import conform

    module, name = SUITES[arguments.core]
    suite = cast("Suite", getattr(import_module(module), name)())
    outcomes = []
    passed = failed = bad = 0
    for outcome in conform(suite, arguments.paths, jobs=arguments.jobs):
        passed += outcome.passed
        failed += bool(outcome.difference)
        bad += bool(outcome.mistake)
        if arguments.json:
            outcomes.append(_record(outcome))
        elif outcome.difference:
            say(f"{outcome.place}: {outcome.difference}")
            if outcome.shown:
                say(outcome.shown)
        if outcome.mistake:
            complain(outcome.mistake)
    if arguments.json:
        found = {"passed": passed, "failed": failed, "unreadable": bad, "recordings": outcomes}
        print(json.dumps(found, indent=1))
    else:
        say(f"{passed} passed, {failed} failed")
    return 2 if bad else 1 if failed else 0


def _record(outcome: Outcome) -> dict[str, object]:
    record: dict[str, object] = {"place": outcome.place}
    if outcome.mistake:
        return {**record, "result": "unreadable", "mistake": outcome.mistake}
    if outcome.difference:
        return {**record, "result": "failed", "difference": outcome.fields}
    return {**record, "result": "passed"}
