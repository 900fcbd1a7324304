"""``desim run SCENARIO``"""

from __future__ import annotations

from desim.cli._arguments import Parser, add_machine, add_scenario, load
from desim.cli._running import add_results, execute


def command(words: list[str]) -> int:
    """Run a scenario, show what its terminals showed and where the time went."""
    parser = Parser("run", "Run a scenario and show where each byte's time went.")
    add_scenario(parser)
    add_machine(parser)
    add_results(parser)
    arguments = parser.read(words)
    return execute(load(arguments), arguments)
