"""``desim packetdrill FILE.pkt...``: TCP conversations in packetdrill's language."""

from __future__ import annotations

import json
from pathlib import Path

from desim.cli._arguments import Parser
from desim.cli._screen import complain, say

EPILOG = """\
A script says what its program calls, what the peer sends, and what the guest has to send,
each with its time. desim runs it against the modelled guest alone, in virtual time: no
privileges are needed, and the outcome is the same everywhere. docs/packetdrill.md says what
of the language desim reads.

A script that needs what the guest has not got (SACK, timestamps, window scaling, Fast Open,
a socket option) is not modelled: desim names what that is, and the script neither passes
nor fails. Each script that did not pass is one line; the last line counts.

Exit code: 0 none failed, 1 some failed, 2 a file cannot be read.
"""


def parser() -> Parser:
    """What ``desim packetdrill`` takes."""
    made = Parser("packetdrill", EPILOG)
    made.add_argument(
        "scripts",
        metavar="FILE.pkt",
        type=Path,
        nargs="+",
        help="a script, or a folder with scripts below it",
    )
    made.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return made


def command(words: list[str]) -> int:
    """Run scripts of packetdrill's language against the modelled guest's TCP."""
    arguments = parser().read(words)
    from desim.conform.packetdrill.suite import Result, outcomes

    counts = dict.fromkeys(Result, 0)
    found = []
    for outcome in outcomes(arguments.scripts):
        counts[outcome.result] += 1
        if arguments.json:
            shown = {"script": str(outcome.path), "result": outcome.result.value}
            why = {"line": outcome.line, "why": outcome.why} if outcome.why else {}
            found.append({**shown, **why})
        elif outcome.result in (Result.FAILED, Result.NOT_MODELLED):
            say(str(outcome))
        if outcome.result is Result.UNREADABLE:
            complain(str(outcome))
    if arguments.json:
        names = {result.value.replace(" ", "_"): count for result, count in counts.items()}
        print(json.dumps({**names, "scripts": found}, indent=1))
    elif any(count for result, count in counts.items() if result is not Result.UNREADABLE):
        say(
            f"{counts[Result.PASSED]} passed, {counts[Result.FAILED]} failed, "
            f"{counts[Result.NOT_MODELLED]} not modelled"
        )
    return 2 if counts[Result.UNREADABLE] else 1 if counts[Result.FAILED] else 0
