"""Commands of a scenario: checked before the run, and the real files they read collected."""

from __future__ import annotations

from desim.config import InputFile, Side
from desim.devices import UserNet
from desim.scenario.inputs import Inputs
from desim.userland.files import plain
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.shell import ShellError, parse

PROGRAMS = {"guest": GUEST_PROGRAMS, "host": HOST_PROGRAMS}


def check_command(
    command: str, side: Side, inputs: Inputs, files: dict[str, InputFile]
) -> list[str]:
    """The mistakes of ``command``; the files it may read are added to ``files``.

    What ``< FILE`` names must be there. What a program may open by itself need not: another
    program may write it first, and a server's folder may be empty.
    """
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
    for name in (plain(name) for part in commands for name in part.reads):
        try:
            path = inputs.path(name)
            kind = inputs.kind(path)
            if kind == "folder":
                files |= _folder(name + "/", inputs)
            elif kind is not None and name not in files:
                files[name] = inputs.file(name)
        except ValueError as error:
            found.append(f"{name}: {error}")
    return found


def check_services(user: UserNet | None, inputs: Inputs, files: dict[str, InputFile]) -> list[str]:
    """``check_command`` for what ``guestfwd=...-cmd:`` starts on the host."""
    return [
        f"cmd:{rule.command}: {message}"
        for rule in (user.guestfwd if user is not None else ())
        if rule.command is not None
        for message in check_command(rule.command, "host", inputs, files)
    ]


def _folder(name: str, inputs: Inputs) -> dict[str, InputFile]:
    """The files below a folder, and under its own name (``NAME/``) a list of theirs."""
    below = inputs.tree(name)
    listing = "".join(f"{inner}\n" for inner in below).encode()
    found = {name: InputFile(name=name, data=listing)}
    for inner, file in below.items():
        found[name + inner] = InputFile(name=name + inner, data=file.log)
    return found
