"""``desim topology SCENARIO``"""

from __future__ import annotations

from desim.cli._arguments import Parser, add_scenario, load
from desim.cli._screen import say


def parser() -> Parser:
    """What ``desim topology`` takes."""
    made = Parser("topology")
    add_scenario(made)
    made.add_argument(
        "--dot", action="store_true", help="print the graph in the language of Graphviz"
    )
    return made


def command(words: list[str]) -> int:
    """Show how the machine of a scenario is wired, without running it."""
    arguments = parser().read(words)
    topology = load(arguments).topology()
    say(topology.dot() if arguments.dot else topology.text())
    return 0
