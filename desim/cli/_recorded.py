"""RUN|SCENARIO: what a run has recorded, out of its folder or made for it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from desim.cli._arguments import Parser, add_machine, add_scenario, load
from desim.cli._running import progress_line
from desim.cli._screen import complain
from desim.errors import UserError

if TYPE_CHECKING:
    from desim.experiment.run import RunResult
    from desim.experiment.saved import Saved

HELP = "a folder that desim run --out has written; or a scenario, which is run for it"


def add_run(parser: Parser) -> None:
    """A folder or a scenario, and what may be changed of a scenario."""
    add_scenario(parser, HELP, metavar="RUN|SCENARIO")
    add_machine(parser)


def recorded(arguments: argparse.Namespace) -> RunResult | Saved:
    """The run that :func:`add_run` read."""
    from desim.api.recorded import is_run, made, saved

    path = Path(arguments.scenario)
    if is_run(path):
        given = {
            "--set": arguments.settings,
            "--seed": arguments.seed,
            "--costs": arguments.costs,
            "--semantics": arguments.semantics,
            "--strict": arguments.strict,
            "--allow-read": arguments.allow_read,
        }
        wrong = [option for option, value in given.items() if value not in (None, [])]
        if wrong:
            raise UserError(
                *(
                    f"{option}: {path} is a run that is over; only a scenario can be changed"
                    for option in wrong
                )
            )
        return saved(path)
    scenario = load(arguments)
    with progress_line(scenario) as progress:
        result = made(scenario, costs=arguments.costs, seed=arguments.seed, progress=progress)
    if result.failed:
        complain(f"{result.ended}; the results are those up to there")
    return result
