"""``desim find SCENARIO --vary KEY=FROM:TO --until CONDITION``"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.cli._arguments import Parser, refusal
from desim.cli._screen import say
from desim.cli._sweeping import add_base, add_workers, document, search, seeds, wanted, watched

if TYPE_CHECKING:
    from desim.scenario.values import Ends

EPILOG = """\
The condition is one on a figure of the run, as the table [expect] of a scenario has it:
'ping.p99 > 1ms', 'frames.lost == 0'. A few values are tried first, then those between the last that
does not hold and the first that does. If it holds at a value and not at a larger one, that is told.

  desim find hello --vary guest.modprobe.InterruptThrottleRate=1000:4000:500 \\
      --until 'message.time < 2ms'
"""


def parser() -> Parser:
    """What ``desim find`` takes."""
    made = Parser("find", EPILOG)
    add_base(made)
    made.add_argument(
        "--vary",
        metavar="KEY=FROM:TO[:STEP]",
        type=bounds,
        required=True,
        help="the key that varies, as --set takes it, and its smallest and largest value",
    )
    made.add_argument(
        "--until",
        metavar="CONDITION",
        type=wanted,
        required=True,
        help="what must hold, such as 'ping.p99 > 1ms'",
    )
    made.add_argument(
        "--seeds",
        metavar="FROM:TO",
        type=seeds,
        default=[],
        help="run each value with each of these seeds, and take the median (the scenario's seed)",
    )
    add_workers(made)
    return made


def bounds(text: str) -> tuple[str, Ends]:
    """``KEY=FROM:TO``"""
    from desim.scenario.vary import read_bounds

    try:
        return read_bounds(text)
    except ValueError as error:
        raise refusal(f"{text!r}: {error}") from None


def command(words: list[str]) -> int:
    """Look for the smallest value, and show what was tried."""
    arguments = parser().read(words)
    from desim.report.searches import found_text
    from desim.sweeps.find import Find

    key, ends = arguments.vary
    find = Find(search(arguments, document(arguments)), key, ends, arguments.until)
    watched(find.steps(), find.search.document.name, "")
    say(found_text(find.found, find.search.document.name))
    return 0 if find.found.answer is not None else 1
