"""Where a page is written, and what it may replace: nothing, or a page of desim's."""

from __future__ import annotations

import os
from pathlib import Path

from desim.disk import kind_of, write_whole
from desim.errors import OutputError
from desim.report.page.page import GENERATOR

LOOKED_AT = 2048
"""Bytes at the beginning of a file among which a page says that it is one."""


def prepare(path: Path, *, force: bool = False) -> None:
    """Check before a run that its page can be written. Raises ``OutputError``."""
    kind = kind_of(path)
    if kind == "folder":
        raise OutputError(f"{path}: is a folder; name the file, such as {path / 'report.html'}")
    if kind is None:
        if kind_of(path.parent) != "folder":
            raise OutputError(f"{path}: there is no folder {path.parent}")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise OutputError(f"{path}: the folder {path.parent} cannot be written to")
        return
    if kind == "other":
        raise OutputError(f"{path}: is not a regular file")
    if not force and not _is_page(path):
        raise OutputError(f"{path}: is no report of desim's; only --force replaces it")


def write(path: Path, page: str, *, force: bool = False) -> None:
    """Write a page, whole or not at all. Raises ``OutputError``."""
    prepare(path, force=force)
    try:
        write_whole(path, page)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from None


def _is_page(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return f'content="{GENERATOR} '.encode() in file.read(LOOKED_AT)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from None
