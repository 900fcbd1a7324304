"""``desim diff A B``: where two runs part, why, and what comes of it."""

from __future__ import annotations

import argparse

from desim.cli._arguments import Parser, add_machine, add_scenario
from desim.cli._recorded import HELP, recorded
from desim.cli._screen import say
from desim.errors import UserError

EPILOG = """\
A is left as it is. What is changed (--set, --seed, --costs, --semantics) is changed of B; without B
it is A with these changes:

  desim diff hello --set 'guest.modprobe=e1000 InterruptThrottleRate=500'
  desim diff hello hello-hub

Exit code: 0 the two have done the same, 1 they have not, 2 they cannot be compared.
"""


def parser() -> Parser:
    """What ``desim diff`` takes."""
    made = Parser("diff", EPILOG)
    add_scenario(made, HELP, metavar="A")
    made.add_argument(
        "other", metavar="B", nargs="?", help="the second run; A, if only changes are given"
    )
    add_machine(made)
    return made


def command(words: list[str]) -> int:
    """Compare two runs."""
    from desim.cli._running import console_width
    from desim.compare.report import lines, same

    arguments = parser().read(words)
    changes = _changes(arguments)
    if arguments.other is None and not changes:
        raise UserError("diff: names one run and changes nothing of it; a second run, or --set")
    plain: dict[str, object] = {
        "settings": [],
        "seed": None,
        "costs": None,
        "semantics": None,
        "strict": None,
    }
    first = recorded(argparse.Namespace(**{**vars(arguments), **plain}))
    other = arguments.other or arguments.scenario
    second = recorded(argparse.Namespace(**{**vars(arguments), "scenario": other}))
    names = arguments.scenario, ", ".join((other, *changes))
    for line in lines(first, second, names, console_width()):
        say(line)
    return 0 if same(first, second) else 1


def _changes(arguments: argparse.Namespace) -> list[str]:
    """What is changed of B, as a reader would say it."""
    said = [f"{key}={value}" for key, value in arguments.settings]
    for name in ("seed", "costs", "semantics"):
        value = getattr(arguments, name)
        if value is not None:
            said.append(f"{name}={value}")
    return said + ["strict"] * bool(arguments.strict)
