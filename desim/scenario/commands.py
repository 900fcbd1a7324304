"""Commands of a scenario: checked before the run, and the real files they read collected."""

from __future__ import annotations

import shlex
from itertools import pairwise

from desim.config import InputFile, Side
from desim.errors import nearest
from desim.scenario.inputs import Inputs, neighbours


def check_command(
    command: str, side: Side, inputs: Inputs, files: dict[str, InputFile]
) -> list[str]:
    """The mistakes of ``command``; the files it reads (``< FILE``) are added to ``files``."""
    try:
        words = list(shlex.shlex(command, posix=True, punctuation_chars="<>|"))
    except ValueError as error:
        return [str(error)]
    found = []
    for word, name in pairwise(words):
        if word == "<" and name != "/dev/null" and name not in files:
            try:
                files[name] = inputs.file(name)
            except ValueError as error:
                hint = nearest(name, neighbours(inputs.folder / name))
                found.append(f"< {name}: {error}{hint}")
    return found
