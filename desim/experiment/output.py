"""``--out DIR``, ``Result.save``: where the files of a run are kept, and what may be replaced.

DIR is new, empty, or bears the mark of an earlier run (a file ``.desim``); another
run's folder is emptied only with ``--force``, and never one without the mark. All
names come from guests and scenarios, so each is checked, and each file is created
below an open folder without following links. Nothing gets an execute bit.

The files are written into a folder beside DIR (``.NAME.desim-part``), which then takes its
name. So DIR is whole or not there, whenever somebody stops us; what a run that was killed
has left beside it, the next one for the same folder removes.

    DIR/.desim             the mark
    DIR/guest/...          what the guest's programs wrote
    DIR/host/...           what the host's programs wrote
    DIR/capture-*.pcapng   one per capture point, if the run has kept the frames
    DIR/trace.jsonl        every event, if it has kept a trace
    DIR/scenario.json      what was run, as far as it is known
    DIR/summary.json
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from desim.data import Protocol
from desim.errors import OutputError
from desim.spool import Log

MARK = ".desim"
MARK_TEXT = b"A folder of results, written by desim run --out. desim may replace it with --force.\n"
SCENARIO = "scenario.json"
MAX_NAME_BYTES = 255
MAX_DEPTH = 32
MAX_TOTAL_BYTES = 1 << 30
MAX_SHOWN_NAME = 60
"""Characters of a folder's name in that of the one beside it."""


class Written(Protocol):
    """What a run leaves to be written."""

    @property
    def summary(self) -> dict[str, Any]:
        """The figures of the run, ready for JSON."""

    @property
    def captured(self) -> bool:
        """Whether it has kept the frames, so that there are captures."""

    @property
    def traced(self) -> bool:
        """Whether it has kept a trace."""

    @property
    def written(self) -> Mapping[str, Log]:
        """What programs wrote, by name below ``guest/`` and ``host/``."""

    @property
    def capture_files(self) -> Mapping[str, Iterable[bytes]]:
        """Packet captures by file name, in pieces."""

    @property
    def trace_text(self) -> Iterable[bytes]:
        """The trace, in pieces."""


def prepare(folder: Path, *, force: bool = False) -> None:
    """Check before a run that its results can go to ``folder``, and make the folders above it.

    Raises :class:`OutputError` if it holds anything else, or another run without ``force``.
    """
    try:
        _check_folder(folder, force=force)
        parent = Path(os.path.abspath(folder)).parent
        parent.mkdir(parents=True, exist_ok=True)
        if not os.access(parent, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: the folder around it cannot be written to")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror}") from None
    except ValueError as error:
        raise OutputError(f"{folder}: {error}") from None


def _check_folder(folder: Path, *, force: bool) -> None:
    """That nobody else's files are in it."""
    try:
        status = folder.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if folder.resolve() == Path.cwd():
        raise OutputError(f"{folder}: is the current folder; name one in it, such as out")
    if stat.S_ISLNK(status.st_mode):
        raise OutputError(f"{folder}: is a link; name the folder itself")
    if not stat.S_ISDIR(status.st_mode):
        raise OutputError(f"{folder}: is not a folder")
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read: {error.strerror}") from None
    if not names:
        return
    if not _is_marked(folder):
        raise OutputError(
            f"{folder}: holds files that are not desim's (no {MARK}); name a new or empty folder"
        )
    if not force:
        raise OutputError(f"{folder}: holds an earlier run; only force (--force) replaces it")


def write(
    result: Written, folder: Path, *, force: bool = False, scenario: str | None = None
) -> None:
    """Write everything that ``result`` has kept below ``folder``, replacing an earlier run.

    ``scenario`` is what was run, as text (``desim.scenario.written``).
    """
    files = result.written
    total = sum(log.size for log in files.values())
    if total > MAX_TOTAL_BYTES:
        raise OutputError(f"{folder}: programs wrote {total} bytes, more than {MAX_TOTAL_BYTES}")
    captures = result.capture_files if result.captured else {}
    for name in (*files, *captures):
        _check_name(name)
    prepare(folder, force=force)
    beside = Path(os.path.abspath(folder))
    name = f".{beside.name[:MAX_SHOWN_NAME]}.desim-"
    part, old = beside.with_name(name + "part"), beside.with_name(name + "old")
    try:
        for left in (part, old):
            _remove(left)
        try:
            part.mkdir()
            # The mark goes first, so that a folder that was left half written is known as ours.
            _create(part, MARK, [MARK_TEXT])
            for name, log in files.items():
                _create(part, name, log.pieces())
            for name, pieces in captures.items():
                _create(part, name, pieces)
            if result.traced:
                _create(part, "trace.jsonl", result.trace_text)
            if scenario is not None:
                _create(part, SCENARIO, [scenario.encode()])
            _create(part, "summary.json", [summary_text(result.summary).encode()])
            _replace(beside, part, old)
        finally:
            _remove(part)
        _remove(old)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}: {error.filename}") from None


def summary_text(summary: Mapping[str, Any]) -> str:
    """A summary as JSON: keys in their order, one per line, ASCII only."""
    return json.dumps(summary, indent=2, allow_nan=False) + "\n"


def _is_marked(folder: Path) -> bool:
    try:
        status = (folder / MARK).stat(follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def _replace(folder: Path, new: Path, old: Path) -> None:
    """Give ``new`` the name of ``folder``; what was there, if not empty, becomes ``old``."""
    try:
        if folder.is_dir() and os.listdir(folder):
            folder.rename(old)
        new.rename(folder)
    except BaseException:
        if old.is_dir() and not folder.exists():
            old.rename(folder)
        raise


def _remove(folder: Path) -> None:
    """Remove a folder of an earlier run, if it is there; links are removed, not followed.

    The mark goes last, so that what is left of it when somebody stops us is known as ours.
    """
    if not folder.is_dir() or folder.is_symlink():
        return
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if any(entry.name != MARK for entry in entries) and not _is_marked(folder):
        raise OutputError(f"{folder}: is in the way, and holds files that are not desim's")
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != MARK:
            os.unlink(entry.path)
    (folder / MARK).unlink(missing_ok=True)
    folder.rmdir()


def _check_name(name: str) -> None:
    parts = name.split("/")
    wrong = (
        name.startswith("/")
        or "\0" in name
        or "" in parts
        or "." in parts
        or ".." in parts
        or len(parts) > MAX_DEPTH
        or any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in parts)
    )
    if wrong:
        raise OutputError(f"{name!r}: not a name that can be written below a folder")


def _create(folder: Path, name: str, pieces: Iterable[bytes]) -> None:
    """Create one file, and the folders on its way, without following a link anywhere."""
    *folders, last = name.split("/")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    at = os.open(folder, flags)
    try:
        for part in folders:
            try:
                os.mkdir(part, 0o777, dir_fd=at)
            except FileExistsError:
                pass  # it may be there; what is no folder fails at the next line
            below = os.open(part, flags, dir_fd=at)
            os.close(at)
            at = below
        creating = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(last, creating, 0o666, dir_fd=at)
    finally:
        os.close(at)
    try:
        with open(fd, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
    except OSError as error:  # no space left, for one: the system does not name the file
        error.filename = name
        raise
