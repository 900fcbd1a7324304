"""Recordings of the real device on disk: single files, folders, archives.

A recording is a JSON object of the format ``e1000-vector/1``. Archives (tar, also
compressed; zip) are read member by member and never unpacked to disk. What comes from
a file may be anything, so sizes are limited and every field is checked before use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from desim.conform.archives import ARCHIVES, check_size, members
from desim.disk import kind_of
from desim.errors import RecordingError

FORMAT = "e1000-vector/1"
MAX_BYTES = 16 << 20
"""Of memory in one operation: all that the recordings' addresses span."""
MAX_FRAMES = 1_000_000
"""Handed over in one operation, repetitions included."""
MAX_REGISTERS = 0x8000
CONFIG_SIZE = 256

INT = (int,)
TEXT = (str,)
LIST = (list,)
DICT = (dict,)

OPERATIONS: dict[str, dict[str, tuple[type, ...]]] = {
    **{kind: {"reg": INT, "val": INT} for kind in ("w", "r", "w8", "r8", "w16", "r16")},
    "range": {"reg": INT, "count": INT, "nonzero": DICT},
    "mem": {"addr": INT, "data": TEXT},
    "memfill": {"addr": INT, "len": INT, "byte": INT},
    "dump": {"addr": INT},
    "inject": {"dev": TEXT, "frames": LIST},
    "line": {"val": INT},
    "cfgr": {"off": INT, "val": INT},
    "cfgw": {"off": INT, "val": INT},
    "peerdump": {"dev": TEXT, "frames": LIST},
    "irqmode": {"mode": TEXT},
    "unmask": {},
    "pause": {"monitor": LIST},
}
"""The fields that each operation must have, besides ``t``."""

FIELDS: dict[str, tuple[type, ...]] = {
    "name": TEXT,
    "family": TEXT,
    "device": DICT,
    "net": DICT,
    "ops": LIST,
    "irqs": LIST,
    "tx": LIST,
}


def read_recordings(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The recordings in a file, a folder (with its sub-folders) or an archive, by name.

    Yields (place, recording). Raises ``RecordingError``, ``OSError``.
    """
    if kind_of(path) == "folder":
        for file in sorted(path.rglob("*")):
            if file.is_file() and _kind(file):
                yield from read_recordings(file)
        return
    kind = _kind(path)
    if kind == "json":
        check_size(str(path), path.stat().st_size)
        found: Iterator[tuple[str, bytes]] = iter([(str(path), path.read_bytes())])
    elif kind == "archive":
        inside = members(path, lambda name: name.endswith(".json"))
        found = ((f"{path}:{name}", text) for name, text in inside)
    else:
        raise RecordingError(f"{path}: not a .json, .tar, .tar.xz, .tar.gz or .zip file")
    for place, text in found:
        vector = _parse(place, text)
        if vector is not None:
            yield place, vector


def _kind(path: Path) -> str:
    if path.name.endswith(".json"):
        return "json"
    return "archive" if path.name.endswith(ARCHIVES) else ""


def _parse(place: str, text: bytes) -> dict[str, Any] | None:
    """The recording in ``text``; None for a list, which is the manifest that lies beside them."""
    try:
        vector = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{place}: not JSON: {error}") from error
    if isinstance(vector, list):
        return None
    try:
        check_recording(vector)
    except RecordingError as error:
        raise RecordingError(f"{place}: {error}") from error
    recording: dict[str, Any] = vector
    return recording


def check_recording(vector: object) -> None:
    """Raises ``RecordingError`` unless ``vector`` has the fields that a replay uses."""
    if not isinstance(vector, Mapping) or vector.get("format") != FORMAT:
        raise RecordingError(f"not a recording of the format {FORMAT}")
    _check_fields("recording", vector, FIELDS)
    device = vector["device"]
    _check_fields("device", device, {"model": TEXT, "options": TEXT, "mac": TEXT})
    _check_fields("device", device, {"pci_bus_master": (bool,), "link_down_at_start": (bool,)})
    net = vector["net"]
    _check_net(net)
    before = 0
    for n, op in enumerate(vector["ops"]):
        before = _check_operation(f"ops[{n}]", op, net["ports"], before)
    for n, irq in enumerate(vector["irqs"]):
        _check_fields(f"irqs[{n}]", irq, {"t": INT})
    for key in ("tx", "user_tx"):
        for n, frame in enumerate(vector.get(key, [])):
            _check_fields(f"{key}[{n}]", frame, {"t_us": INT, "data": TEXT})


def _check_net(net: Mapping[str, Any]) -> None:
    _check_fields("net", net, {"hub": (bool,), "ports": LIST, "peers": DICT})
    ports = net["ports"]
    if not all(isinstance(name, str) for name in ports) or len(set(ports)) != len(ports):
        raise RecordingError(f"net.ports: {ports!r:.80} are not names that differ")
    if "A" not in ports or not (net["hub"] or len(ports) == 2):
        raise RecordingError("net.ports: expected A, and without a hub one more")
    for name in ports:
        if name not in ("A", "user"):
            _check_fields("net.peers", net["peers"], {name: DICT})
            _check_fields(f"net.peers.{name}", net["peers"][name], {"mac": TEXT, "rx": (bool,)})
    for name in net["peers"]:
        if name not in ports or name in ("A", "user"):
            raise RecordingError(f"net.peers: {name!r} is not the name of a peer's port")
    if net.get("user") is not None:
        _check_fields("net", net, {"user": TEXT})


def _check_operation(place: str, op: object, ports: list[str], before: int) -> int:
    _check_fields(place, op, {"op": TEXT, "t": INT})
    assert isinstance(op, Mapping), "its fields have been checked"
    kind = op["op"]
    if kind not in OPERATIONS:
        raise RecordingError(f"{place}: unknown operation {kind!r}")
    _check_fields(place, op, OPERATIONS[kind])
    if op["t"] < before:
        raise RecordingError(f"{place}: t={op['t']} lies before the operation in front of it")
    if op.get("dev", "A") not in ports or op.get("dev") == "user":
        raise RecordingError(f"{place}: no device {op['dev']!r}")
    check = _MORE.get(kind)
    if check is not None:
        check(place, op, ports)
    return int(op["t"])


def _check_dump(place: str, op: Mapping[str, Any], ports: list[str]) -> None:
    more = {"data": TEXT} if "data" in op else {"len": INT, "sha256": TEXT}
    _check_fields(place, op, more)
    _check_limit(place, "len", op.get("len", 0), MAX_BYTES)


def _check_memfill(place: str, op: Mapping[str, Any], ports: list[str]) -> None:
    _check_limit(place, "byte", op["byte"], 0xFF)
    _check_limit(place, "len", op["len"], MAX_BYTES)


def _check_range(place: str, op: Mapping[str, Any], ports: list[str]) -> None:
    _check_limit(place, "count", op["count"], MAX_REGISTERS)
    for offset in op["nonzero"]:
        _check_fields(f"{place}.nonzero", op["nonzero"], {offset: INT})


def _check_frames(place: str, op: Mapping[str, Any], ports: list[str]) -> None:
    for n, frame in enumerate(op["frames"]):
        if not isinstance(frame, str) or not _is_hex(frame):
            raise RecordingError(f"{place}.frames[{n}]: not hexadecimal")
    if "repeat" in op:
        _check_fields(place, op, {"repeat": INT})
        _check_limit(place, "repeat", op["repeat"] * len(op["frames"]), MAX_FRAMES)


def _check_offset(place: str, op: Mapping[str, Any], ports: list[str]) -> None:
    _check_limit(place, "off", op["off"], CONFIG_SIZE - 4)


def _check_mode(place: str, op: Mapping[str, Any], ports: list[str]) -> None:
    if op["mode"] not in ("edge", "level"):
        raise RecordingError(f"{place}.mode: expected edge or level, not {op['mode']!r:.40}")


def _check_monitor(place: str, op: Mapping[str, Any], ports: list[str]) -> None:
    for n, command in enumerate(op["monitor"]):
        at = f"{place}.monitor[{n}]"
        _check_fields(at, command, {"arguments": DICT})
        _check_fields(f"{at}.arguments", command["arguments"], {"name": TEXT, "up": (bool,)})
        name = command["arguments"]["name"]
        if name.removeprefix("nic") not in ports:
            raise RecordingError(f"{at}.arguments.name: no device {name!r:.40}")


_MORE = {
    "dump": _check_dump,
    "memfill": _check_memfill,
    "range": _check_range,
    "inject": _check_frames,
    "peerdump": _check_frames,
    "cfgr": _check_offset,
    "cfgw": _check_offset,
    "irqmode": _check_mode,
    "pause": _check_monitor,
}
"""What an operation's fields must be besides of their types."""


def _check_limit(place: str, key: str, value: int, most: int) -> None:
    if value > most:
        raise RecordingError(f"{place}.{key}: {value} is more than {most}")


def _check_fields(place: str, what: object, fields: Mapping[str, tuple[type, ...]]) -> None:
    if not isinstance(what, Mapping):
        raise RecordingError(f"{place}: an object was expected, not {type(what).__name__}")
    for key, kinds in fields.items():
        value = what.get(key)
        wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        if wrong:
            raise RecordingError(f"{place}.{key}: expected {kinds[0].__name__}, not {value!r:.40}")
        if kinds is INT and isinstance(value, int) and not 0 <= value < 1 << 64:
            raise RecordingError(f"{place}.{key}: {value} is out of range")
        if key == "data" and isinstance(value, str) and not _is_hex(value):
            raise RecordingError(f"{place}.{key}: not hexadecimal")


def _is_hex(text: str) -> bool:
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return True
