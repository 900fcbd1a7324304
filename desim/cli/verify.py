"""``desim verify FOLDER``: run again what lies in a folder, and compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from desim.cli._arguments import Parser
from desim.cli._screen import say

if TYPE_CHECKING:
    from desim.experiment.run import RunResult
    from desim.experiment.saved import Saved

EPILOG = """\
A folder that desim run --out has written is verified in two steps: it holds what its summary
says, byte by byte; and its scenario, run again, does the same. If not, it is told where the two
part, as by desim diff. A folder with fingerprints.toml, such as desim's own results, has its
scenarios run again, and fingerprints and reports compared. Of a folder of such folders each is
verified.

  desim run hello --out out --quiet
  desim verify out

Exit code: 0 all is as it was, 1 something is not, 2 there is nothing that can be verified.
"""


def parser() -> Parser:
    """What ``desim verify`` takes."""
    made = Parser("verify", EPILOG)
    made.add_argument(
        "folders", metavar="FOLDER", nargs="+", type=Path, help="the folder of a run, or of results"
    )
    made.add_argument(
        "--files",
        metavar="DIR",
        type=Path,
        help="where the files are that a scenario reads (those of shipped scenarios are known; "
        "else the current folder)",
    )
    made.add_argument(
        "--costs",
        metavar="NAME|FILE",
        help="the cost profile of runs that had one of your own, which no folder keeps",
    )
    return made


def command(words: list[str]) -> int:
    """Run again and compare."""
    from desim.api.recorded import made, remade
    from desim.api.scenario import load
    from desim.compare.verify import verify

    arguments = parser().read(words)

    def again(saved: Saved) -> RunResult | None:
        return remade(saved, files=arguments.files, costs=arguments.costs)

    def shipped(name: str) -> RunResult:
        return made(load(name))

    wrong = 0
    for folder in arguments.folders:
        for verdict in verify(folder, again, shipped):
            say(f"{verdict.name}: {'differs' if verdict.wrong else 'as it was'}")
            for line in verdict.wrong:
                say(f"  {line}".rstrip())
            sys.stdout.flush()
            wrong += bool(verdict.wrong)
    return 1 if wrong else 0
