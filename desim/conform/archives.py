"""The files in an archive of recordings, one by one, as far as anybody needs them.

An archive may come from anywhere: what cannot be read, and what is meant to fill a disk or a
memory, is a :class:`RecordingError` that names it. Nothing is written to the file system.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from desim.errors import RecordingError

MAX_SIZE = 64 << 20
"""Bytes of one file."""
MAX_MEMBERS = 100_000
MAX_TOTAL = 1 << 30
"""Bytes of an archive, unpacked."""
MAX_RATIO = 500
"""How many times larger it may be unpacked; recordings are about 20 times, at most 60."""
FREE_BYTES = 16 << 20
"""So much may be in the smallest archive."""

TARS = (".tar", ".tar.xz", ".tar.gz", ".tar.bz2")
ARCHIVES = (*TARS, ".zip")

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError)
_UNREADABLE_ZIP = (RuntimeError, NotImplementedError)
"""What ``zipfile`` raises for an encrypted member, and for a method that it does not know."""


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Name and contents of each file in the archive that is ``wanted``, in the archive's order.

    Raises ``RecordingError``, and ``OSError`` if the file system does not give the archive.
    """
    allowed = min(MAX_TOTAL, max(FREE_BYTES, MAX_RATIO * path.stat().st_size))
    read = _zip if path.name.endswith(".zip") else _tar
    try:
        yield from read(path, wanted, allowed)
    except _BROKEN as error:
        raise RecordingError(f"{path}: {error}") from error


def check_size(place: str, size: int) -> None:
    """Refuse a file of a recording that is too large."""
    if size > MAX_SIZE:
        raise RecordingError(f"{place}: larger than {MAX_SIZE} bytes")


def gunzipped(data: bytes) -> bytes:
    """What is in ``data``, up to one byte more than a file of a recording may have."""
    return gzip.GzipFile(fileobj=io.BytesIO(data)).read(MAX_SIZE + 1)


class _Unpacked:
    """The unpacked bytes of a tar archive, so many of them at most."""

    def __init__(self, path: Path, stream: IO[bytes], allowed: int) -> None:
        self._path = path
        self._stream = stream
        self._allowed = self._left = allowed

    def read(self, size: int) -> bytes:
        """What ``tarfile`` asks for."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise RecordingError(f"{self._path}: {_too_much(self._allowed)}")
        return data


def _too_much(allowed: int) -> str:
    return (
        f"more than {allowed} bytes unpacked; an archive has at most {MAX_TOTAL}, and at most "
        f"{MAX_RATIO} times its own size"
    )


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".xz":
        return lzma.open(path)
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path))
    if path.suffix == ".bz2":
        return bz2.open(path)
    return path.open("rb")


def _tar(path: Path, wanted: Callable[[str], bool], allowed: int) -> Iterator[tuple[str, bytes]]:
    with _opened(path) as stream:
        unpacked = cast("IO[bytes]", _Unpacked(path, stream, allowed))
        archive = tarfile.open(fileobj=unpacked, mode="r|")  # noqa: SIM115 - nothing to close
        for count, member in enumerate(archive):
            _check_member(path, member.name, member.size, count)
            if member.isfile() and wanted(member.name):
                file = archive.extractfile(member)
                assert file is not None, "a regular file has contents"
                yield member.name, file.read()


def _zip(path: Path, wanted: Callable[[str], bool], allowed: int) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > allowed:
            raise RecordingError(f"{path}: {_too_much(allowed)}")
        for count, info in enumerate(infos):
            _check_member(path, info.filename, info.file_size, count)
            if not info.is_dir() and wanted(info.filename):
                try:
                    data = archive.read(info)
                except _UNREADABLE_ZIP as error:
                    how = "encrypted" if info.flag_bits & 1 else str(error)
                    raise RecordingError(f"{path}: {info.filename}: {how}") from None
                yield info.filename, data


def _check_member(path: Path, name: str, size: int, count: int) -> None:
    check_size(f"{path}: {name}", size)
    if count >= MAX_MEMBERS:
        raise RecordingError(f"{path}: more than {MAX_MEMBERS} members")
