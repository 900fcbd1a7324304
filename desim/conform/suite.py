"""Replays many recordings and says which differ, and where first.

Theory of operation
-------------------
A *suite* is one core's own recordings: how to find them below a path, how to read them,
and how to check one. Paths
are opened up into files in order of their names; each recording is checked by itself,
here or in one of several processes. Whatever their number, outcomes come in the order
of the recordings, so that output does not depend on it. A file that cannot be read is
an outcome too, and the others are still checked.
"""

from __future__ import annotations

import lzma
import multiprocessing
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from desim.conform.archives import ARCHIVES
from desim.data import Protocol
from desim.disk import kind_of

MANIFEST = "manifest.json"
"""Lists the recordings beside it, and is none."""
WAITING_PER_PROCESS = 4
"""Recordings read ahead for each process, so that memory does not grow with the input."""

UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
)
"""What reading something that is not a recording can raise; ``RecordingError`` is a ValueError."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of one recording, or of a file that holds none."""

    place: str
    """The file, and the member of an archive."""
    mistake: str = ""
    """Why it could not be replayed."""
    difference: str = ""
    """The first difference, on one line."""
    fields: dict[str, Any] = field(default_factory=dict)
    """The difference's parts by name, for programs."""
    shown: str = ""
    """More for people, on lines of its own."""
    judged: bool = True
    """False: it is only shown, and neither passes nor fails."""
    errors: list[float] = field(default_factory=list)
    """Relative errors of what was predicted and judged."""
    details: dict[str, Any] = field(default_factory=dict)
    """What is there to be known besides, by name, for programs."""

    @property
    def passed(self) -> bool:
        """Whether everything was as recorded."""
        return self.judged and not self.mistake and not self.difference


class Suite(Protocol):
    """The recordings of one core. An instance must be picklable: it goes to other processes."""

    def places(self, path: Path) -> Iterator[Path]:
        """What to read below ``path``, one by one."""
        return files(path)

    def read(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """The recordings in one file or archive, by place; raises one of ``UNREADABLE``."""

    def check(self, place: str, recording: dict[str, Any]) -> Outcome:
        """Replay one; raises ``ValueError`` if it cannot be replayed."""


def conform(suite: Suite, paths: Iterable[Path], *, jobs: int = 1) -> Iterator[Outcome]:
    """An outcome for each recording below ``paths``, in order."""
    items = _recordings(suite, paths)
    if jobs == 1:
        for item in items:
            yield item if isinstance(item, Outcome) else _check(suite, *item)
        return
    context = multiprocessing.get_context("spawn")
    waiting: deque[Outcome | Future[Outcome]] = deque()
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for item in items:
            waiting.append(item if isinstance(item, Outcome) else pool.submit(_check, suite, *item))
            if len(waiting) > jobs * WAITING_PER_PROCESS:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())


def _result(item: Outcome | Future[Outcome]) -> Outcome:
    return item if isinstance(item, Outcome) else item.result()


def _recordings(
    suite: Suite, paths: Iterable[Path]
) -> Iterator[Outcome | tuple[str, dict[str, Any]]]:
    for path in paths:
        count = 0
        for file in suite.places(path):
            try:
                if kind_of(file) != "folder":
                    check_regular(file)
                for item in suite.read(file):
                    count += 1
                    yield item
            except UNREADABLE as error:
                count += 1
                yield Outcome(place=str(file), mistake=told(error, file))
        if not count:
            yield Outcome(place=str(path), mistake=f"{path}: no recordings in it")


def files(path: Path) -> Iterator[Path]:
    """The recordings and archives of recordings below ``path``, or the path itself."""
    if kind_of(path) != "folder":
        yield path
        return
    for file in sorted(path.rglob("*")):
        known = file.suffix == ".json" or file.name.endswith(ARCHIVES)
        if known and file.name != MANIFEST and file.is_file():
            yield file


def check_regular(file: Path) -> None:
    """A pipe or a device could keep us waiting, or never end; raises ``ValueError``."""
    if kind_of(file) == "other":
        raise ValueError(f"{file}: not a regular file")


def told(error: Exception, file: Path) -> str:
    """The error as one line that names the file."""
    if isinstance(error, OSError) and error.strerror:
        return f"{file}: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if str(file) in text else f"{file}: {text}"


def _check(suite: Suite, place: str, recording: dict[str, Any]) -> Outcome:
    try:
        return suite.check(place, recording)
    except ValueError as error:
        return Outcome(place=place, mistake=f"{place}: {' '.join(str(error).split())}")
