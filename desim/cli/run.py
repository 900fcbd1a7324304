"""``desim run SCENARIO``"""

from __future__ import annotations

from desim.cli._arguments import Parser, add_machine, add_modprobe, add_scenario, load
from desim.cli._running import add_results, execute


def parser() -> Parser:
    """What ``desim run`` takes."""
    made = Parser("run")
    add_scenario(made)
    add_machine(made)
    add_modprobe(made)
    add_results(made)
    return made


def command(words: list[str]) -> int:
    """Run a scenario, show what its terminals showed and where the time went."""
    arguments = parser().read(words)
    return execute(load(arguments), arguments)
