"""Asking the file system what a name is, and writing a file as a whole.

``pathlib`` answers "no" for what is not there, but raises for a name that is too long or in
a folder that nobody may search. Whoever is given a name by a user asks here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from desim.errors import UserError

Kind = Literal["file", "folder", "other"]

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


def look(path: Path) -> Kind | None:
    """What ``path`` is, links followed; None if nothing is there. Raises ``OSError``."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    except ValueError:  # a zero byte in it: no file can be called so
        return None
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"


def kind_of(path: Path) -> Kind | None:
    """The same for a name that a user gave: ``UserError`` if the file system cannot say."""
    try:
        return look(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def write_whole(path: Path, text: str) -> None:
    """Write a file that is whole, or as it was, whenever somebody stops us.

    Raises ``OSError``.
    """
    write_pieces(path, [text.encode()])


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """The same of a file that is made piece by piece."""
    path = Path(os.path.realpath(path))
    beside = path.with_name(f".{path.name[:60]}.desim-part")
    try:
        with beside.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
