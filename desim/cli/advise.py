"""``desim advise SCENARIO --target CONDITION --minimise FIGURE``"""

from __future__ import annotations

from desim.cli._arguments import Parser, refusal
from desim.cli._running import console_width
from desim.cli._screen import say
from desim.cli._sweeping import (
    add_base,
    add_workers,
    axis,
    document,
    search,
    seeds,
    wanted,
    watched,
)

EPILOG = """\
The settings of the guest's driver are tried: InterruptThrottleRate, with and without what may end
its wait early (TxIntDelay, RxIntDelay). Shown are those that nothing beats: whatever has less of
one figure has more of the other. Behind each stands what held the slowest ones up, as far as it is
known. With --vary other keys and values are tried instead.

  desim advise hello --target 'message.time < 2ms' --minimise interrupts \\
      --vary guest.modprobe.InterruptThrottleRate=500,2000,8000
"""


def parser() -> Parser:
    """What ``desim advise`` takes."""
    made = Parser("advise", EPILOG)
    add_base(made)
    made.add_argument(
        "--target",
        metavar="CONDITION",
        type=wanted,
        required=True,
        help="what must hold, such as 'ping.p99 < 300us'; 'p99 < 300us' for short",
    )
    made.add_argument(
        "--minimise",
        metavar="FIGURE",
        type=figures,
        required=True,
        help="what is to be as small as possible: a figure, or interrupts",
    )
    made.add_argument(
        "--vary",
        metavar="KEY=VALUES",
        type=axis,
        action="append",
        default=[],
        help="try these values instead (as desim sweep takes them); may be given more than once",
    )
    made.add_argument(
        "--seeds",
        metavar="FROM:TO",
        type=seeds,
        default=[],
        help="run each setting with each of these seeds, and take the median (the scenario's seed)",
    )
    add_workers(made)
    return made


def figures(text: str) -> list[str]:
    """The figures that a word may mean."""
    from desim.scenario.conditions import names_of

    try:
        return names_of(text)
    except ValueError as error:
        raise refusal(str(error)) from None


def command(words: list[str]) -> int:
    """Try the settings, and show those that nothing beats."""
    arguments = parser().read(words)
    from desim.report.searches import advice_text
    from desim.sweeps.advise import Advise

    tried = search(arguments, document(arguments))
    advise = Advise(tried, arguments.target, arguments.minimise, arguments.vary)
    name = tried.document.name
    watched(advise.steps(), name, f"{name}: settings are tried")
    say(advice_text(advise.advice, name, console_width()))
    return 0 if advise.advice.best is not None else 1
