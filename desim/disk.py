"""Asking the file system what a name is: no name, however odd, is an accident.

``pathlib`` answers "no" for what is not there, but raises for a name that is too long or in
a folder that nobody may search. Whoever is given a name by a user asks here.
"""

from __future__ import annotations

import errno
import stat
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
