"""Which real files and folders a configuration may read, and reading them.

A scenario is data that somebody else may have written: its names are resolved
against its own folder and must still be inside it when every link has been
followed. Folders the user allows (``--allow-read DIR``) count as inside. On the
command line the words are the user's own, and may name any file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from desim.config import InputFile
from desim.disk import FileName, Kind, look
from desim.errors import nearest
from desim.spool import Log, Spool

MAX_FILE_BYTES = 256 << 20
MAX_FILES = 10_000
PIECE_BYTES = 1 << 20
"""Read at once."""
TOO_LARGE = f"larger than {MAX_FILE_BYTES >> 20} MiB"


class Inputs:
    """Opens what a configuration in ``folder`` names. Errors are ``ValueError``."""

    def __init__(
        self, folder: FileName, *, allowed: Iterable[FileName] = (), any_file: bool = False
    ):
        self.folder = os.fspath(folder)
        self._any_file = any_file
        self._spool = Spool()
        self._inside = [os.path.realpath(path) for path in (folder, *allowed)]
        self._beside: Inputs | None = None

    def beside(self, other: Inputs) -> Inputs:
        """These, and what is not in this folder from ``other``'s: a file that is extended has
        brought its own."""
        from copy import copy  # few files extend another

        made = copy(self)
        made._beside = other
        return made

    def path(self, name: str) -> str:
        """Where ``name`` really is, if it may be read."""
        if "\0" in name or not name:
            raise ValueError("not a file name")
        if not _is_unicode(name):
            raise ValueError("its name is not UTF-8, so no report could name it; give it another")
        real = os.path.realpath(os.path.join(self.folder, name))
        if not self._any_file and not any(_is_below(real, base) for base in self._inside):
            raise ValueError(
                "outside the scenario's folder; allow its folder with --allow-read DIR"
            )
        if self._beside is not None and self.kind(real) is None:
            return self._beside.path(name)
        return real

    @staticmethod
    def kind(path: str) -> Kind | None:
        """What ``path`` is."""
        try:
            return look(path)
        except OSError as error:
            raise ValueError(str(error.strerror)) from None

    def file(self, name: str) -> InputFile:
        """The contents of a regular file."""
        path = self.path(name)
        if self.kind(path) is None:
            raise ValueError(f"no such file{nearest(os.path.basename(path), neighbours(path))}")
        return _read(path, name, self._spool)

    def tree(self, name: str) -> dict[str, InputFile]:
        """All regular files below a folder, by their names relative to it.

        A link that leads out of the folder is left out, as if it were not there, and
        so is a name that is not UTF-8.
        """
        root = self.path(name)
        if self.kind(root) != "folder":
            raise ValueError("no such folder")
        found: dict[str, InputFile] = {}
        total = 0
        for folder, folders, names in os.walk(root):
            folders.sort()
            for path in (os.path.join(folder, name) for name in sorted(names)):
                real, below = os.path.realpath(path), os.path.relpath(path, root)
                # No request could name a file whose name is not Unicode.
                if not (_is_below(real, root) and self.kind(real) == "file" and _is_unicode(below)):
                    continue
                file = _read_below(real, below, self._spool)
                found[file.name] = file
                total += file.log.size
                if total > MAX_FILE_BYTES or len(found) > MAX_FILES:
                    raise ValueError(f"more than {MAX_FILES} files, or altogether {TOO_LARGE}")
        return found


def _is_below(real: str, folder: str) -> bool:
    """Whether a path is in a folder, or is that folder; all links of both have been followed."""
    return os.path.commonpath((real, folder)) == folder


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_below(path: str, name: str, spool: Spool) -> InputFile:
    """One of many files, which a message has to name."""
    try:
        return _read(path, name, spool)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _read(path: str, name: str, spool: Spool) -> InputFile:
    try:
        # A FIFO must not keep us waiting, nor a link made since realpath lead us out.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise ValueError(TOO_LARGE)
        log = Log(spool)
        while piece := os.read(fd, PIECE_BYTES):
            log.append(piece)
            if log.size > MAX_FILE_BYTES:
                raise ValueError(TOO_LARGE)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    finally:
        os.close(fd)
    return InputFile(name=name, data=log)


def neighbours(path: str) -> list[str]:
    """The names beside ``path``, for "did you mean"; none if nobody can say."""
    try:
        return sorted(os.listdir(os.path.dirname(path) or "."))[:1000]
    except OSError:
        return []
