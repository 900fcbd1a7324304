"""``desim costs``"""

from __future__ import annotations

from desim.api.shipped import cost_profiles
from desim.cli._arguments import Parser
from desim.cli._screen import say


def parser() -> Parser:
    """What ``desim costs`` takes: nothing."""
    return Parser("costs")


def command(words: list[str]) -> int:
    """List the shipped cost profiles with what each stands for."""
    parser().read(words)
    for name, profile in cost_profiles().items():
        say(f"{name:<14}{profile.status:<10}{profile.description}")
    return 0
