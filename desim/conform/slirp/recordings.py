"""Recordings of the real stack: reading them from files, folders and archives.

The format is described in tests/vectors/slirp/README.md. Archives are read member by
member and never unpacked to disk; sizes are limited.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from desim.conform.archives import ARCHIVES, check_size, members
from desim.disk import kind_of
from desim.errors import RecordingError

FORMAT = "slirp-vector/1"
MAX_PAYLOAD = 16 << 20

Recording = dict[str, Any]


def read_recordings(path: Path) -> Iterator[tuple[str, Recording]]:
    """The recordings below ``path`` (a file, an archive, a folder), by name.

    Raises ``RecordingError``, ``OSError``.
    """
    if kind_of(path) == "folder":
        for file in sorted(path.rglob("*")):
            if kind_of(file) == "file" and (file.suffix == ".json" or file.name.endswith(ARCHIVES)):
                yield from read_recordings(file)
    elif path.name.endswith(ARCHIVES):
        for name, text in members(path, lambda name: name.endswith(".json")):
            yield f"{path.name}:{name}", _parse(text, name)
    elif path.suffix == ".json":
        check_size(str(path), path.stat().st_size)
        yield path.name, _parse(path.read_bytes(), str(path))
    else:
        raise RecordingError(f"{path}: expected a .json file, an archive or a folder")


def _parse(text: bytes, name: str) -> Recording:
    try:
        recording = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{name}: not JSON ({error})") from None
    if not isinstance(recording, dict) or recording.get("format") != FORMAT:
        raise RecordingError(f"{name}: format is not {FORMAT!r}")
    for key, kind in (("config", dict), ("steps", list), ("initial_out", list), ("wakes", list)):
        if not isinstance(recording.get(key), kind):
            raise RecordingError(f"{name}: {key!r} is missing or not a {kind.__name__}")
    if recording.get("mask"):
        raise RecordingError(f"{name}: 'mask' names fields to ignore; all are compared")
    return recording


@cache
def _block(base: int) -> bytes:
    return bytes((31 * i + base) & 255 for i in range(256))


def pattern(seed: int, offset: int, length: int) -> bytes:
    """``length`` bytes from ``offset`` on of the recordings' test data."""
    if not 0 <= length <= MAX_PAYLOAD:
        raise RecordingError(f"pattern of {length} bytes; expected 0 to {MAX_PAYLOAD}")
    first = offset >> 8
    last = (offset + length - 1) >> 8 if length else first
    blocks = [_block((17 * n + 7 * (n >> 8) + 101 * seed) & 255) for n in range(first, last + 1)]
    start = offset & 255
    return b"".join(blocks)[start : start + length]


def payload(record: Mapping[str, Any]) -> bytes:
    """The bytes of ``{"hex": ...}`` or ``{"pattern": ...}``."""
    if "pattern" in record:
        return pattern(*record["pattern"])
    return bytes.fromhex(record["hex"])


def frame_bytes(record: Mapping[str, Any]) -> bytes:
    """The bytes of a frame: ``hex``, and the pattern ``tail`` if there is one."""
    head = bytes.fromhex(record["hex"])
    return head + pattern(*record["tail"]) if "tail" in record else head


def data_matches(record: Mapping[str, Any], data: bytes) -> bool:
    """Whether received data is what ``len`` and ``hex``, ``pattern`` or ``sha256`` say."""
    if record["len"] != len(data):
        return False
    if "sha256" in record:
        return bool(hashlib.sha256(data).hexdigest() == record["sha256"])
    return payload(record) == data
