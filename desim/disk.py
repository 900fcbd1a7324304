"""Asking the file system what a name is, and writing a file as a whole.

``pathlib`` answers "no" for what is not there, but raises for a name that is too long or in
a folder that nobody may search. Whoever is given a name by a user asks here.

NOTE: what every run needs of file names is done with ``os.path``: ``pathlib`` and what it imports
are 2 % of a start.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

from desim.errors import UserError

Kind = Literal["file", "folder", "other"]
FileName = str | os.PathLike[str]

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


def stem_of(path: str) -> str:
    """The name of a file without its folder and its last suffix."""
    name = os.path.basename(path)
    stem, _, suffix = name.rpartition(".")
    return stem if stem and suffix else name


def look(path: FileName) -> Kind | None:
    """What ``path`` is, links followed; None if nothing is there. Raises ``OSError``."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    except ValueError:  # a zero byte in it: no file can be called so
        return None
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"


def kind_of(path: FileName) -> Kind | None:
    """The same for a name that a user gave: ``UserError`` if the file system cannot say."""
    try:
        return look(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def write_whole(path: FileName, text: str) -> None:
    """Write a file that is whole, or as it was, whenever somebody stops us.

    Raises ``OSError``.
    """
    write_pieces(path, [text.encode()])


def write_pieces(path: FileName, pieces: Iterable[bytes]) -> None:
    """The same of a file that is made piece by piece."""
    folder, name = os.path.split(os.path.realpath(path))
    beside = os.path.join(folder, f".{name[:60]}.desim-part")
    try:
        with open(beside, "wb") as file:
            for piece in pieces:
                file.write(piece)
        os.replace(beside, os.path.join(folder, name))
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)
