"""``desim new NAME [--from SCENARIO]``"""

from __future__ import annotations

import os
from pathlib import Path

from desim.cli._arguments import Parser
from desim.cli._screen import say
from desim.errors import OutputError, UserError
from desim.scenario.new import commented, inputs_of, name_of
from desim.scenario.shipped import find_scenario

EPILOG = """\
NAME.toml is written into the current folder, and nothing that is there is replaced. It is the
scenario of --from under a name of its own, with the keys that it does not use behind it as
comments. Files that it reads are copied beside it. desim run NAME.toml runs it.
"""


def parser() -> Parser:
    """What ``desim new`` takes."""
    made = Parser("new", EPILOG)
    made.add_argument("name", help="what the file is to be called, with or without .toml")
    made.add_argument(
        "--from",
        dest="origin",
        metavar="SCENARIO",
        default="hello",
        help="the scenario to begin with, a shipped one or a file (hello by default)",
    )
    return made


def command(words: list[str]) -> int:
    """Write a scenario file of one's own."""
    arguments = parser().read(words)
    name = name_of(arguments.name)
    path, label = find_scenario(arguments.origin)
    files = {name: commented(path, label).encode()} | inputs_of(arguments.origin)
    taken = [file for file in files if os.path.lexists(file)]
    if taken:
        raise UserError(f"new: {taken[0]}: is there already, and is not replaced")
    for file, data in files.items():
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            with open(file, "xb") as stream:
                stream.write(data)
        except OSError as error:
            raise OutputError(f"new: {file}: cannot be written: {error.strerror}") from None
        say(file)
    return 0
