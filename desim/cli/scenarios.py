"""``desim scenarios``"""

from __future__ import annotations

from desim.api.shipped import scenarios
from desim.cli._arguments import Parser
from desim.cli._screen import say


def command(words: list[str]) -> int:
    """List the shipped scenarios with their descriptions."""
    Parser("scenarios", "List the scenarios that come with desim.").read(words)
    for name, description in scenarios().items():
        say(f"{name:<14}{description}")
    return 0
