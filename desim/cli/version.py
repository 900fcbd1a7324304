"""``desim version``"""

from __future__ import annotations

import platform

from desim.cli._arguments import Parser
from desim.cli._screen import say
from desim.version import __version__


def parser() -> Parser:
    """What ``desim version`` takes: nothing."""
    return Parser("version")


def command(words: list[str]) -> int:
    """Print desim's version, and what a report of a fault should name beside it."""
    parser().read(words)
    from importlib.metadata import version

    say(f"desim {__version__}")
    say(f"Python {platform.python_version()} ({platform.python_implementation()})")
    for name in ("simpy", "greenlet"):
        say(f"{name} {version(name)}")
    return 0
