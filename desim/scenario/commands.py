"""Commands of a scenario: checked before the run, and the real files they read collected."""

from __future__ import annotations

from desim.config import InputFile, Side
from desim.scenario.inputs import Inputs
from desim.userland.programs import GUEST, HOST
from desim.userland.shell import ShellError, parse

PROGRAMS = {"guest": GUEST, "host": HOST}


def check_command(
    command: str, side: Side, inputs: Inputs, files: dict[str, InputFile]
) -> list[str]:
    """The mistakes of ``command``; the files it reads (``< FILE``) are added to ``files``."""
    try:
        commands = parse(command, PROGRAMS[side])
    except ShellError as error:
        return [str(error)]
    found = []
    for name in (name for part in commands for name in part.inputs if name not in files):
        try:
            files[name] = inputs.file(name)
        except ValueError as error:
            found.append(f"< {name}: {error}")
    return found
