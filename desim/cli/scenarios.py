"""``desim scenarios``"""

from __future__ import annotations

import tomllib

from desim.cli._arguments import Parser
from desim.cli._screen import say
from desim.scenario.shipped import shipped_scenarios


def command(words: list[str]) -> int:
    """List the shipped scenarios with their descriptions."""
    Parser("scenarios", "List the scenarios that come with desim.").read(words)
    for name, path in shipped_scenarios().items():
        description = tomllib.loads(path.read_text(encoding="utf-8"))["description"]
        say(f"{name:<14}{description}")
    return 0
