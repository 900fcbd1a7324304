"""``desim costs``"""

from __future__ import annotations

import tomllib
from importlib import resources

from desim.cli._arguments import Parser
from desim.cli._screen import say
from desim.costs.profile import shipped


def command(words: list[str]) -> int:
    """List the shipped cost profiles with what each stands for."""
    Parser("costs", "List the cost profiles: what each function takes.").read(words)
    folder = resources.files("desim.costs") / "profiles"
    for name in shipped():
        # Figures are checked when a run loads them; here the head of the file is enough.
        head = tomllib.loads((folder / f"{name}.toml").read_text("utf-8"))
        say(f"{name:<14}{head.get('status', 'assumed'):<10}{head.get('description', '')}")
    return 0
