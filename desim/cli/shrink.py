"""``desim shrink FILE``"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from desim.cli._arguments import Parser
from desim.cli._screen import complain, say

EPILOG = """\
What fails is a law that the file expects ([expect] laws), or else any law about one run, or an
expectation, or the model itself; --law and --expect say which. What is left fails in the same
way, and without any one of its parts it would not. The result is the same each time.

exit codes: 0 done, 2 the words cannot be done (the scenario does not fail), 130 interrupted
"""


def parser() -> Parser:
    """What ``desim shrink`` takes."""
    made = Parser("shrink", EPILOG)
    made.add_argument("scenario", help="a file, or the name of a scenario that ships")
    made.add_argument(
        "--allow-read",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="let the scenario read files below DIR, too; may be given more than once",
    )
    way = made.add_mutually_exclusive_group()
    way.add_argument("--law", metavar="NAME", help="it breaks this law")
    made.add_argument(
        "--laws",
        metavar="FILE",
        help="laws of your own are in this Python file, which is run as a program; --law may name "
        "one of them",
    )
    way.add_argument(
        "--expect", action="store_true", help="it does not come to what it expects (but for laws)"
    )
    made.add_argument(
        "-o", metavar="OUT", dest="out", type=Path, help="write it to OUT, not to standard output"
    )
    return made


def command(words: list[str]) -> int:
    """Make a failing scenario smaller."""
    arguments = parser().read(words)
    from desim.api.laws import load_laws
    from desim.fuzz.finding import Finding
    from desim.fuzz.shrink import EXPECTATION, Failure, shrink
    from desim.laws.table import find
    from desim.scenario.loader import load_document

    users = load_laws(arguments.laws) if arguments.laws else []
    way = arguments.law
    if way is not None and way not in [law.name for law in users]:
        way = find(way).name
    if arguments.expect:
        way = EXPECTATION
    document = load_document(arguments.scenario, allow_read=arguments.allow_read)
    document.read()  # its mistakes are told, not shrunk
    failing = Failure(document, way, users)
    lines = sys.stderr.isatty()

    def told(tried: int, best: Mapping[str, Any]) -> None:
        if lines:
            size = len(repr(best))
            print(f"\r\x1b[K{tried} tried, {size} characters", end="", file=sys.stderr, flush=True)

    try:
        shrunk = shrink(document.data, failing, told)
    finally:
        failing.close()
        if lines:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    name = arguments.out.stem if arguments.out else document.name
    text = Finding(None, shrunk.data, shrunk.breach).short(name, arguments.laws or "")
    if arguments.out is None:
        say(text.rstrip("\n"))
    else:
        arguments.out.write_text(text, encoding="utf-8")
        complain(f"{arguments.out}: {len(text.splitlines())} lines, {shrunk.tried} tried")
    return 0
