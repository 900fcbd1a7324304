"""What both searches of ``desim fuzz`` show: a line of progress, and an end that always comes."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable

from desim.cli._screen import complain, say

WIDTH = 78
SHOWN_S = 1.0
"""How often the line of progress is written."""


class Line:
    """A line of progress on the terminal, if standard error is one."""

    def __init__(self, *, quiet: bool) -> None:
        self._on = not quiet and sys.stderr.isatty()
        self._at = 0.0

    def show(self, seconds: float, state: Callable[[], str]) -> None:
        """Show ``state()``, unless it was shown a moment ago; ``seconds`` is the search's time."""
        if self._on and seconds - self._at >= SHOWN_S:
            self._at = seconds
            print(f"\r\x1b[K{state()}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Something else is printed now."""
        if self._on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def to_its_end(search: Callable[[], object], end: Callable[[], object]) -> bool:
    """Make ``search`` and show its ``end``; False if Ctrl-C has ended it, which is said."""
    whole = True
    try:
        search()
    except KeyboardInterrupt:
        whole = False
    end()
    if not whole:
        complain("interrupted; that was the search so far")
    return whole


def say_wrapped(text: str) -> None:
    """Print a list that may be long."""
    for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False):
        say(line)
