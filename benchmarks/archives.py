"""Archives of this repository, unpacked on every Python that desim runs on."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from os import PathLike
from typing import Any

SAFE: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Python 3.11 has filters from 3.11.4 on: a Debian 12 has 3.11.2."""


def unpack(
    archive: tarfile.TarFile,
    folder: str | PathLike[str],
    members: Iterable[tarfile.TarInfo] | None = None,
) -> None:
    """Write ``members`` of an archive, or all, into ``folder``."""
    archive.extractall(folder, members, **SAFE)
