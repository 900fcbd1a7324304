"""What a person sees after a run: the first screen, and behind it, if asked for, the rest.

================  =============================================================
verbosity 0       the answer (``desim.report.screen``)
1 (``-v``)        and what each terminal showed, and who had the first message, by function
2 (``-vv``)       the same with every nanosecond
================  =============================================================

A report is text of the terminal's width wherever lengths allow, and otherwise the same on
every machine; on a terminal it has colours as well. Whatever programs wrote, and whatever
a scenario calls things, is escaped before it is shown: neither may send control sequences
to the user's terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from desim.config import MachineConfig
from desim.experiment.run import RunResult
from desim.report import screen
from desim.report.text import Line


def show(
    result: RunResult,
    config: MachineConfig,
    width: int = screen.WIDTH,
    verbosity: int = 0,
    colours: bool | None = None,
) -> None:
    """Print the report of a run to standard output.

    With ``colours``, or, if that is None, with colours if standard output is a terminal.
    """
    if not (sys.stdout.isatty() if colours is None else colours):
        print(text(result, config, width, verbosity))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(
        highlight=False,
        soft_wrap=True,
        force_terminal=colours,
        # Who asks for colours gets them where TERM is "dumb", as in many a CI, too.
        color_system="standard" if colours else "auto",
    )
    for line in lines(result, config, width, verbosity):
        console.print(Text(line.text, style=line.style))


def text(
    result: RunResult, config: MachineConfig, width: int = screen.WIDTH, verbosity: int = 0
) -> str:
    """The report of a run, plain."""
    return "\n".join(line.text for line in lines(result, config, width, verbosity))


def lines(
    result: RunResult, config: MachineConfig, width: int = screen.WIDTH, verbosity: int = 0
) -> Iterator[Line]:
    """The report of a run, line by line. ``verbosity`` is 0, 1 or 2: see the module."""
    yield from screen.lines(result, config, width)
    if verbosity:
        from desim.report import long  # few ask for it

        yield from long.lines(result, width, verbosity)
