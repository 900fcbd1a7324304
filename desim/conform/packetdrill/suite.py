"""Scripts by their files: which there are, and what came of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path

from desim.conform.packetdrill.errors import Failed, NotModelled, ScriptError
from desim.conform.packetdrill.parser import parse
from desim.conform.packetdrill.runner import run
from desim.data import NamedTuple

MOST_BYTES = 1 << 20


class Result(Enum):
    """What can come of a script."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_MODELLED = "not modelled"
    UNREADABLE = "unreadable"


class Outcome(NamedTuple):
    """What came of one script, and why: ``line`` is 0 where no line is at fault."""

    path: Path
    result: Result
    line: int = 0
    why: str = ""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        what = "not modelled: " if self.result is Result.NOT_MODELLED else ""
        return f"{place}: {what}{self.why}"


def outcomes(paths: Iterable[Path]) -> Iterator[Outcome]:
    """Run every script in ``paths``; of a folder, all ``*.pkt`` files below it, by name."""
    for path in paths:
        try:
            files = _scripts(path)
        except OSError as error:
            yield Outcome(path, Result.UNREADABLE, 0, error.strerror or str(error))
            continue
        if not files:
            yield Outcome(path, Result.UNREADABLE, 0, "no *.pkt files below it")
        for file in files:
            yield outcome(file)


def _scripts(path: Path) -> list[Path]:
    if not os.path.isdir(path):
        return [path]
    found = []
    for folder, _, names in os.walk(path):
        found += [Path(folder) / name for name in names if name.endswith(".pkt")]
    return sorted(found)


def outcome(path: Path) -> Outcome:
    """Run one script."""
    try:
        text = _read(path)
        run(parse(text), path)
    except Failed as failed:
        return Outcome(path, Result.FAILED, failed.line, str(failed))
    except NotModelled as refused:
        return Outcome(path, Result.NOT_MODELLED, refused.line, str(refused))
    except ScriptError as error:
        return Outcome(path, Result.UNREADABLE, error.line, str(error))
    return Outcome(path, Result.PASSED)


def _read(path: Path) -> str:
    """The text of a script; ``ScriptError`` if there is none."""
    try:
        if not os.path.isfile(path):
            what = "not a regular file" if os.path.lexists(path) else "no such file"
            raise ScriptError(0, what)
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ScriptError(0, error.strerror or str(error)) from None
    except ValueError as error:
        if isinstance(error, ScriptError):
            raise
        raise ScriptError(0, str(error)) from None
    if len(raw) > MOST_BYTES:
        raise ScriptError(0, f"more than {MOST_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ScriptError(0, "not a text in UTF-8") from None
