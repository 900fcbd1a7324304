"""A run as its folder has it (``desim run --out DIR``): summary, trace and frames, read again.

A folder holds all that a run has recorded, so what can be asked of a run can be asked of its
folder: the trace is the one that the run had, mark by mark, and its fingerprint comes out the
same (``Saved.fingerprint``). A folder in which somebody has changed a byte of a file, a frame or a
line of the trace has another one. The trace is read once, line by line, and lies in a spool.

The folder is not believed: its files must be regular ones, lines short and numbers whole. A
``UserError`` says the file, the line and what was expected there.
"""

from __future__ import annotations

import json
import mmap
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from desim.data import fields
from desim.disk import kind_of
from desim.engine.trace import Fingerprint, ThreadRecord, Trace
from desim.errors import UserError
from desim.events import KINDS
from desim.experiment.journey import Journey
from desim.experiment.journey.journeys import Journeys
from desim.experiment.output import MARK, SCENARIO
from desim.machine.capture import Capture
from desim.machine.reasons import all_reasons
from desim.machine.vm import is_card
from desim.reasons import Reason
from desim.spool import Log, Spool
from desim.version import __version__
from desim.wire.addresses import ip
from desim.wire.errors import WireError
from desim.wire.pcapng import INBOUND, packets

FORMAT = "desim-summary/1"
MAX_LINE = 1 << 16
"""Bytes of a line of the trace."""
MAX_SUMMARY = 64 << 20
MARKS = 4096
"""How many are handed to the record at once."""
_CAPTURE = re.compile(r"capture-(.+)\.pcapng")
_NUMBER = re.compile(r"frame ([0-9]{1,18})(?:\n|$)")


def is_run(path: Path) -> bool:
    """Whether ``path`` is the folder of a run."""
    return kind_of(path) == "folder" and kind_of(path / MARK) == "file"


class Saved:
    """One run, in its folder. Raises ``UserError`` if it is none, or of another format."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = Spool()
        if not is_run(folder):
            raise UserError(f"{folder}: not the folder of a run (no {MARK}); desim run --out")
        with _open(folder / "summary.json") as file:
            text = file.read(MAX_SUMMARY + 1)
        try:
            self.summary: dict[str, Any] = json.loads(text[:MAX_SUMMARY])
            found = self.summary["format"]
        except (ValueError, RecursionError, TypeError, KeyError):
            raise UserError(f"{folder}/summary.json: not a summary of desim") from None
        if found != FORMAT:
            raise UserError(f"{folder}/summary.json: format {found!r}; expected {FORMAT!r}")

    @property
    def scenario(self) -> str | None:
        """What was run (``desim.scenario.written``); None if the folder does not say."""
        if kind_of(self.folder / SCENARIO) is None:
            return None
        with _open(self.folder / SCENARIO) as file:
            return file.read(MAX_SUMMARY).decode("utf-8", "replace")

    @property
    def name(self) -> str:
        """The scenario's."""
        return str(self.summary["scenario"])

    @property
    def end_ns(self) -> int:
        """When the run ended."""
        return int(self.summary["end_ns"])

    @cached_property
    def trace(self) -> Trace:
        """What the threads have recorded."""
        path = self.folder / "trace.jsonl"
        if kind_of(path) is None:
            raise UserError(f"{self.folder}: holds no trace (trace.jsonl)")
        with _open(path) as file:
            return _Reader(path, self.spool).read(file)

    @cached_property
    def packets(self) -> dict[str, Capture]:
        """The frames that passed each capture point, with their numbers."""
        found = {}
        for path in sorted(self.folder.iterdir()):
            if (match := _CAPTURE.fullmatch(path.name)) is not None:
                found[match[1]] = self._capture(path, match[1])
        return found

    def _capture(self, path: Path, point: str) -> Capture:
        made = Capture(self.spool)
        with _open(path) as file:
            if not os.fstat(file.fileno()).st_size:
                raise UserError(f"{path}: is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                try:
                    for packet in packets(data):
                        number = _NUMBER.match(packet.comment)
                        if number is None:
                            raise WireError("a packet whose comment has no number of a frame")
                        to_guest = (packet.direction == INBOUND) == is_card(point)
                        made.append((packet.time_ns, to_guest, int(number[1]), packet.raw))
                except WireError as error:
                    raise UserError(f"{path}: {error}") from None
        return made

    @cached_property
    def files(self) -> Mapping[str, Log]:
        """What programs wrote, by name below ``guest/`` and ``host/``."""
        found = {}
        for side in ("guest", "host"):
            for path in sorted((self.folder / side).rglob("*")):
                if kind_of(path) == "file":
                    log = found[path.relative_to(self.folder).as_posix()] = Log(self.spool)
                    with _open(path) as file:
                        while piece := file.read(1 << 16):
                            log.append(piece)
        return found

    @cached_property
    def journey(self) -> Journey:
        """The way of the first message into the guest."""
        return self.journeys.first()

    @cached_property
    def journeys(self) -> Journeys:
        """All messages and their ways."""
        return Journeys(self.trace, self.packets)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """That of what the folder holds: the run's own, if nobody has changed anything."""
        return self.trace.fingerprint(self._content())

    def _content(self) -> Iterator[tuple[str, bytes | Log]]:
        for point, captured in sorted(self.packets.items()):
            for _, _, _, raw in captured.appended():
                yield f"capture {point}", raw
        for name, log in sorted(self.files.items()):
            yield f"file {name}", log
        for name, digest in self.summary["inputs"].items():
            yield f"input {name}", bytes.fromhex(digest)


def _open(path: Path) -> BinaryIO:
    """A regular file; links are not followed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if kind_of(path) != "file":
        os.close(fd)
        raise UserError(f"{path}: is not a regular file")
    return open(fd, "rb")


class _Reader:
    """Makes a trace of ``trace.jsonl``."""

    def __init__(self, path: Path, spool: Spool) -> None:
        self._path = path
        self._spool = spool
        self.trace = Trace(spool=spool)
        self._record: ThreadRecord | None = None
        self._stack: list[tuple[int, int, bool]] = []
        """Open passages: their end, their code, whether they are never left."""
        self._times: list[int] = []
        self._codes: list[int] = []
        self._in_events = False

    def read(self, file: BinaryIO) -> Trace:
        """All of it."""
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            try:
                if len(line) > MAX_LINE:
                    raise ValueError(f"a line of more than {MAX_LINE} bytes")
                self._line(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                said = f"no {error}" if isinstance(error, KeyError) else str(error)
                raise UserError(
                    f"{self._path}:{number}: not a line of a trace of desim {__version__}: {said}"
                ) from None
        self._end_thread()
        return self.trace

    def _line(self, line: dict[str, Any]) -> None:
        name = line["thread"]
        if self._record is None or self._record.name != name:
            self._end_thread()
            threads = self.trace.threads
            if name in threads:
                raise ValueError(f"thread {name} a second time")
            self._record = threads[name] = ThreadRecord(name, len(threads), self._spool)
            self._in_events = False
        if "begin" in line:
            self._passage(line)
        else:
            self._event(self._record, line)

    def _passage(self, line: dict[str, Any]) -> None:
        if self._in_events:
            raise ValueError("a passage behind events")
        begin, end, depth = _whole(line["begin"]), _whole(line["end"]), _whole(line["depth"])
        codes = self.trace.codes
        if "wait" in line:
            code = codes.wait(_text(line["wait"]))
        else:
            code = codes.stage(_text(line["stage"]), _text(line["file"]), *_known(line))
        if depth > len(self._stack):
            raise ValueError(f"depth {depth} where {len(self._stack)} passages are open")
        self._leave(depth)
        self._mark(begin, code)
        self._stack.append((end, code, line.get("open") is True))

    def _leave(self, depth: int) -> None:
        """Leave all passages down to ``depth``."""
        while len(self._stack) > depth:
            end, code, is_open = self._stack.pop()
            if not is_open:
                self._mark(end, code + 1)

    def _mark(self, time: int, code: int) -> None:
        self._times.append(time)
        self._codes.append(code)
        if len(self._times) >= MARKS:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._record is not None:
            self._record.times.extend(self._times)
            self._record.codes.extend(self._codes)
        self._times.clear()
        self._codes.clear()

    def _event(self, record: ThreadRecord, line: dict[str, Any]) -> None:
        if not self._in_events:
            self._leave(0)
            self._hand_over()
            self._in_events = True
        kind = line["event"]
        if kind not in KINDS:
            raise ValueError(f"event {kind!r}")
        data = [_valued(line[name]) for name in fields(KINDS[kind])]
        record.events.append((_whole(line["at"]), _whole(line["position"]), kind, *data))

    def _end_thread(self) -> None:
        self._leave(0)
        self._hand_over()


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{value!r} is no whole number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _known(line: dict[str, Any]) -> tuple[Any, Any]:
    """Owner and landmark of a stage, which stand in the rooms' tables."""
    from desim.stages import known_stages

    known = known_stages().get((line["stage"], line["file"]))
    return (None, None) if known is None else (known.owner, known.landmark)


def _valued(value: Any) -> Any:
    """A value of an event as a trace keeps it (``desim.experiment.trace_lines`` wrote it)."""
    if isinstance(value, dict):
        reason = all_reasons().get(value["code"])
        text = _text(value["text"])
        plain = text.replace("{", "{{").replace("}", "}}") if value["data"] else text
        made = Reason(value["code"], plain if reason is None else reason.text)
        return made.of(**value["data"])
    if isinstance(value, list):
        match value:
            case [address, int(port)]:
                return ip(address), _whole(port)
        return tuple(map(_text, value))
    return value
