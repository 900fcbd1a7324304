"""``desim lint-driver LOG...``: for people who write a driver for the e1000."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from desim.cli._arguments import Parser
from desim.cli._screen import complain, say

if TYPE_CHECKING:
    from desim.conform.e1000.driver_log import Report

EPILOG = """\
LOG is what QEMU prints with -trace 'memory_region_ops_*', or a recording of the
format in tests/vectors/e1000/README.md (.json, an archive, a folder). Each finding is
one line: the operation, the rule, and in brackets the rule's source. Notes are no findings:
they name surprises of QEMU that Linux's driver lives with, and what could not be checked.

Exit code: 0 no findings, 1 some findings, 2 a log cannot be read.
"""


def parser() -> Parser:
    """What ``desim lint-driver`` takes."""
    made = Parser("lint-driver", EPILOG)
    made.add_argument(
        "logs",
        metavar="LOG",
        type=Path,
        nargs="+",
        help="a trace that QEMU printed, or a recording",
    )
    made.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return made


def command(words: list[str]) -> int:
    """Say what in a driver's accesses breaks the manual's rules, or surprises on QEMU."""
    arguments = parser().read(words)
    from desim.conform.e1000.driver_log import lint_log
    from desim.conform.suite import UNREADABLE, told

    reports: list[Report] = []
    bad = False
    for log in arguments.logs:
        try:
            reports += lint_log(log)
        except UNREADABLE as error:
            bad = True
            complain(told(error, log))
    count = sum(len(report.findings) for report in reports)
    if arguments.json:
        found = [
            {
                "place": report.place,
                "notes": report.notes,
                "findings": [
                    {
                        "where": finding.where,
                        "rule": finding.rule.name,
                        "text": finding.text,
                        "count": finding.count,
                        "source": finding.rule.source,
                    }
                    for finding in report.findings
                ],
            }
            for report in reports
        ]
        print(json.dumps({"findings": count, "logs": found}, indent=1))
    else:
        for report in reports:
            for line in (*report.findings, *(f"note: {note}" for note in report.notes)):
                say(f"{report.place}: {line}")
        if reports or not bad:  # of what cannot be read there is nothing to count
            say(f"{count} findings")
    return 2 if bad else 1 if count else 0
