"""``desim report RUN|SCENARIO|DB``: a run, or a sweep, as one page of HTML."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from desim.cli._arguments import Parser, add_machine, add_scenario, duration, load
from desim.cli._running import progress_line
from desim.cli._screen import complain, say
from desim.errors import UserError

if TYPE_CHECKING:
    from desim.api.result import Result

EPILOG = """\
A folder is one that desim run --out has written, a database one of desim sweep. A scenario is
run first; the options of desim run that change it are taken, too. The page is one file: it needs
no other, asks nobody for anything, and is the same, byte for byte, whenever it is made again.

  desim report hello
  desim run upload --out up
  desim report up -o up.html
  desim report hello-hub --against hello -o difference.html
"""

DEFAULT = Path("report.html")
STDOUT = Path("-")
CHANGES = ("costs", "seed", "semantics", "strict")
"""Options that change a scenario, and are None if nobody has given them."""


def parser() -> Parser:
    """What ``desim report`` takes."""
    made = Parser("report", EPILOG)
    add_scenario(
        made,
        "the folder of a run, the database of a sweep, a scenario file, or the name of a scenario "
        "that ships",
    )
    made.add_argument(
        "-o",
        dest="file",
        metavar="FILE",
        type=Path,
        default=DEFAULT,
        help=f"where the page goes: {DEFAULT} if nothing is said; - is standard output",
    )
    made.add_argument(
        "--against",
        metavar="RUN",
        help="another run, folder or scenario: the waterfall shows it as a thin outline",
    )
    made.add_argument(
        "--journey",
        metavar="WHICH",
        action="append",
        default=[],
        help="show the way of the message that WHICH selects, as desim run --journey does; may be "
        "given more than once",
    )
    made.add_argument(
        "--from",
        dest="begin",
        metavar="T",
        type=duration,
        help="where the timeline begins, such as 4.2s; without --from and --to it shows the burst "
        "with the most frames",
    )
    made.add_argument("--to", dest="end", metavar="T", type=duration, help="and where it ends")
    made.add_argument(
        "--force", action="store_true", help="replace FILE even if it is no report of desim's"
    )
    add_machine(made)
    return made


def command(words: list[str]) -> int:
    """Make the page."""
    arguments = parser().read(words)
    from desim.api.page import html_report
    from desim.report.page import output

    _check(arguments)
    if arguments.file != STDOUT:
        output.prepare(arguments.file, force=arguments.force)
    run = _run(arguments.scenario, arguments)
    against = None if arguments.against is None else _run(arguments.against, arguments)
    page = html_report(
        run,
        against=against,
        journeys=arguments.journey,
        begin=arguments.begin,
        end=arguments.end,
    )
    if arguments.file == STDOUT:
        sys.stdout.write(page)
        return 0
    output.write(arguments.file, page, force=arguments.force)
    say(f"{arguments.file}: {len(page.encode()):,} bytes")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """That options which change a scenario have one to change."""
    names = [name for name in (arguments.scenario, arguments.against) if name is not None]
    if all(_is_kept(Path(name)) for name in names):
        given = [f"--{option}" for option in CHANGES if getattr(arguments, option) is not None]
        given += ["--set"] * bool(arguments.settings) + ["--allow-read"] * bool(
            arguments.allow_read
        )
        if given:
            raise UserError(
                *(f"report: {one}: {arguments.scenario} is no scenario" for one in given)
            )


def _is_kept(path: Path) -> bool:
    """Whether it is a run in its folder, or a sweep's database."""
    from desim.api.page import is_database
    from desim.experiment.saved import is_run

    return is_run(path) or is_database(path)


def _run(name: str, arguments: argparse.Namespace) -> Result | Path:
    """What is kept as it is; a scenario is run."""
    from desim.api.running import assemble

    if _is_kept(Path(name)):
        return Path(name)
    scenario = load(argparse.Namespace(**{**vars(arguments), "scenario": name}))
    machine = assemble(scenario, costs=arguments.costs, seed=arguments.seed)
    complain(*machine.notes)
    with progress_line(scenario) as progress:
        return machine.run(progress)
