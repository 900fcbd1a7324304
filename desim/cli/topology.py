"""``desim topology SCENARIO``"""

from __future__ import annotations

from desim.cli._arguments import Parser, add_scenario, load
from desim.cli._screen import say


def command(words: list[str]) -> int:
    """Show how the machine of a scenario is wired, without running it."""
    parser = Parser("topology", "Show how the machine of a scenario is wired.")
    add_scenario(parser)
    parser.add_argument("--dot", action="store_true", help="print the graph for Graphviz")
    arguments = parser.read(words)
    topology = load(arguments).topology()
    say(topology.dot() if arguments.dot else topology.text())
    return 0
