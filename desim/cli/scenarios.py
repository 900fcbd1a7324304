"""``desim scenarios``"""

from __future__ import annotations

from desim.api.shipped import scenarios
from desim.cli._arguments import Parser
from desim.cli._screen import say


def parser() -> Parser:
    """What ``desim scenarios`` takes: nothing."""
    return Parser("scenarios")


def command(words: list[str]) -> int:
    """List the shipped scenarios with their descriptions."""
    parser().read(words)
    for name, description in scenarios().items():
        say(f"{name:<14}{description}")
    return 0
