"""``desim scenarios [NAME]``"""

from __future__ import annotations

from pathlib import Path

from desim.api.shipped import scenarios
from desim.cli._arguments import Parser
from desim.cli._screen import say
from desim.errors import UserError, nearest
from desim.scenario.shipped import shipped_scenarios


def parser() -> Parser:
    """What ``desim scenarios`` takes."""
    made = Parser("scenarios")
    made.add_argument(
        "scenario", metavar="NAME", nargs="?", help="print the file of this one instead"
    )
    return made


def command(words: list[str]) -> int:
    """List the shipped scenarios with their descriptions, or print one."""
    name = parser().read(words).scenario
    if name is None:
        for listed, description in scenarios().items():
            say(f"{listed:<14}{description}")
        return 0
    files = shipped_scenarios()
    if name not in files:
        raise UserError(
            f"scenarios: {name}: no shipped scenario{nearest(name, files)}; there are "
            f"{', '.join(files)}"
        )
    say(Path(files[name]).read_text(encoding="utf-8").rstrip("\n"))
    return 0
