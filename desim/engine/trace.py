"""What happened, thread by thread; and its fingerprint.

What a thread records (``desim.engine.thread``) becomes two columns here, ``times`` (ns)
and ``codes``, and a list of events ``(time, position, kind, data...)`` between them. The
order within a thread is the order of its own time; threads are kept apart, because
the order in which the simulator happened to run them means nothing.

All of it lies in a spool (``desim.spool``), so a long run takes no more memory than a short
one, and whoever reads a record goes through it instead of holding it.

The fingerprint is SHA-256 over a canonical encoding, with its ingredients apart:
``times`` (when), ``names`` (which stages, by name, in which order) and ``bytes``
(what crossed a capture point or was written to a file). When one of them changes
it says what kind of change it was.
"""

from __future__ import annotations

import hashlib
import heapq
import struct
import sys
from array import array
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from desim.data import NamedTuple
from desim.engine.marks import Codes, Row, split
from desim.engine.thread import Thread
from desim.errors import OverBudgetError
from desim.events import Event
from desim.reasons import Reason
from desim.record import Record, keeps
from desim.spool import Batches, Column, Log, Spool

LOOK_AHEAD = 4096
"""Marks behind the entry of a stage among which ``Trace.spans`` looks for its exit."""

PIECE = 64
"""Bytes of codes that are renumbered once, however often they come: what a thread does is much the
same again and again, so that of a hundred such pieces less than ten are new."""
AT_ONCE = 8192
"""Codes that are cut into pieces at one go: few enough that these lie in memory that was used
before."""
KNOWN = 4096
"""Pieces that are remembered, at most."""

Noted = tuple[Any, ...]
"""An event as a thread has noted it: time, position, kind, data."""


class Notes(Batches[Noted]):
    """Events of a thread, in its order."""

    __slots__ = ()

    def _put_away(self, values: list[Noted]) -> Any:
        reasons = {
            place: tuple(event[-1])
            for place, event in enumerate(values)
            if event[-1].__class__ is Reason  # it is the last of the data
        }
        return [e[:-1] if n in reasons else e for n, e in enumerate(values)], reasons

    def _taken_out(self, away: Any) -> list[Noted]:
        events: list[Noted]
        events, reasons = away
        for place, reason in reasons.items():
            events[place] += (Reason(*reason),)
        return events


class ThreadRecord:
    """One thread's records: two columns, and the events between them.

    An event is ``(time, position, kind, *data)``: it happened before the record at
    ``position`` and after the one in front of it.
    """

    __slots__ = ("_counted", "_counts", "codes", "events", "name", "rank", "times")

    def __init__(self, name: str, rank: int, spool: Spool) -> None:
        self.name = name
        self.rank = rank
        self.times = Column(spool, "q")
        self.codes = Column(spool, "H")
        self.events = Notes(spool)
        self._counts: dict[int, int] = {}
        """How often each code is among the first ``_counted``."""
        self._counted = 0

    def counts(self) -> Mapping[int, int]:
        """How often each code stands in the record; 0 for one that was cut off again.

        What has been counted once is not looked at again.
        """
        counts = self._counts
        for chunk in self.codes.chunks(self._counted):
            for code, times in Counter(chunk).items():
                counts[code] = counts.get(code, 0) + times
        self._counted = len(self.codes)
        return counts

    def cut(self, before: int) -> None:
        """Forget everything from the instant ``before`` on."""
        keep = bisect_left(self.times, before)
        for code in self.codes[keep : self._counted]:
            self._counts[code] -= 1
        self._counted = min(self._counted, keep)
        self.times.cut(keep)
        self.codes.cut(keep)
        kept = len(self.events)
        while kept and self.events[kept - 1][0] >= before:
            kept -= 1
        self.events.cut(kept)


E = TypeVar("E", bound=Event)


class Happened(NamedTuple, Generic[E]):
    """An event of a trace: when (ns), and where it stands in which thread's record."""

    time: int
    record: ThreadRecord
    position: int
    event: E


class Span(NamedTuple):
    """One passage through a stage (or wait): from its entry to its exit."""

    begin: int
    end: int
    depth: int
    code: int
    is_open: bool = False
    """Whether it was never left: ``end`` is then the end of the record."""


class Fingerprint(NamedTuple):
    """Hexadecimal SHA-256 of a run, whole and by ingredient."""

    whole: str
    times: str
    names: str
    bytes: str


class Trace:
    """The records of all threads of one run.

    Connect it to a thread with ``follow``; ``finish`` takes over what the threads
    have not handed in yet.
    """

    def __init__(
        self,
        codes: Codes | None = None,
        *,
        record: Record = "trace",
        max_marks: int | None = None,
        spool: Spool | None = None,
    ) -> None:
        """``record`` is what the run keeps; ``max_marks`` how many marks it may record, None: no
        limit, as for counters alone.

        The limit is looked at as a thread hands its marks in, up to ten thousands at a time.
        ``spool`` is where the records lie; None: one of their own.
        """
        self.codes = codes or Codes()
        self._record = record
        self._spool = spool or Spool()
        self._max_marks = max_marks if keeps(record, "journeys") else None
        self._marks = 0
        self.threads: dict[str, ThreadRecord] = {}

    def follow(self, thread: Thread) -> None:
        """Record what ``thread`` notes."""
        assert thread.name not in self.threads, f"two threads called {thread.name}"
        thread.marks_waits = keeps(self._record, "journeys")
        thread.open = 0 if self._record == "journeys" else 1
        if self._record == "none":
            return
        self.threads[thread.name] = ThreadRecord(thread.name, thread.rank, self._spool)
        thread.collect = self._collect

    def finish(self, threads: Iterable[Thread], before: int | None = None) -> None:
        """Take over what is left; to be called when the run has ended.

        A thread may have noted what it was about to do after the run's end. Only
        what came before the instant ``before`` (ns) has happened; None keeps all.
        """
        self._max_marks = None
        self.collect(threads)
        if before is not None:
            for record in self.threads.values():
                record.cut(before)

    def collect(self, threads: Iterable[Thread]) -> None:
        """Take over what ``threads`` have recorded so far."""
        for thread in threads:
            if thread.collect is not None:
                self._collect(thread)

    def _collect(
        self, thread: Thread, row: Row | None = None, begin: int = 0, count: int = 0
    ) -> None:
        """Take over what ``thread`` has recorded, and the first ``count`` marks of a row behind."""
        record = self.threads[thread.name]
        marks = thread.marks
        if marks:
            times, codes = split(marks)
            record.times.append(times)
            record.codes.append(codes)
        record.events.extend(thread.events)
        taken = len(marks) + count
        marks.clear()
        thread.events.clear()
        if row is not None:
            record.times.append(row.times(begin)[: 8 * count])
            record.codes.append(row.codes[:count])
        thread.taken += taken
        self._marks += taken
        if self._max_marks is not None and self._marks > self._max_marks:
            raise OverBudgetError(
                f"more than {self._max_marks} marks by {thread.now} ns (run.limits.marks)"
            )

    def spans(self, record: ThreadRecord) -> Iterator[Span]:
        """The passages through stages, in order of entry; open ones end with the record.

        Few stages are open for long. Those are looked for in a first pass; the second keeps
        spans for a moment only, until their ends have come.
        """
        late, opened = _late_ends(record)
        waiting: deque[list[Any]] = deque()
        stack: list[list[Any]] = []
        number = 0
        for time, code in zip(record.times, record.codes, strict=True):
            if not code & 1:
                entered: list[Any] = [
                    time,
                    late.get(number, -1),
                    len(stack),
                    code,
                    number in opened,
                ]
                number += 1
                stack.append(entered)
                waiting.append(entered)
                continue
            left = stack.pop()
            assert left[3] == code - 1, "a stage was left that was not entered last"
            left[1] = time
            while waiting and waiting[0][1] >= 0:
                yield Span(*waiting.popleft())
        for entered in waiting:
            yield Span(*entered)

    def happened(self, kind: type[E]) -> Iterator[Happened[E]]:
        """The events of a kind, in order of time, then of the threads' ranks, one by one."""
        word = kind.kind

        def of(record: ThreadRecord) -> Iterator[Happened[E]]:
            for event in record.events:
                if event[2] == word:
                    yield Happened(event[0], record, event[1], kind(*event[3:]))

        return heapq.merge(
            *map(of, self.threads.values()),
            key=lambda one: (one.time, one.record.rank, one.position),
        )

    def events(self, kind: type[E]) -> list[Happened[E]]:
        """All that ``happened`` gives, at once."""
        return list(self.happened(kind))

    def fingerprint(self, crossed: Iterable[tuple[str, bytes | Log]] = ()) -> Fingerprint:
        """The hashes of everything recorded so far, and of what ``crossed`` its sources.

        A source is a capture point or a file; what crossed one counts in its order.
        """
        times, names, content = (hashlib.sha256() for _ in range(3))
        sources: dict[str, Any] = {}
        for source, piece in crossed:
            digest = sources.setdefault(source, hashlib.sha256())
            if isinstance(piece, bytes):
                digest.update(struct.pack("<Q", len(piece)))
                digest.update(piece)
            else:
                digest.update(struct.pack("<Q", piece.size))
                for part in piece.pieces():
                    digest.update(part)
        for name in sorted(self.threads):
            record = self.threads[name]
            for digest in (times, names):
                digest.update(f"thread {name} {len(record.times)}\n".encode())
            for chunk in record.times.chunks():
                times.update(_little_endian(chunk))
            for packed in self._canonical(record.codes, names):
                names.update(packed)
            for event in record.events:
                times.update(f"{event[0]} {event[2]}\n".encode())
                data = event[3:]
                if event[-1].__class__ is Reason:
                    # It is the last of the data, and counts as people read it.
                    data = (*data[:-1], str(event[-1]))
                names.update(f"{event[1]} {event[2]} {data!r}\n".encode())
        for source in sorted(sources):
            content.update(f"{source} {sources[source].hexdigest()}\n".encode())
        whole = hashlib.sha256(
            f"times {times.hexdigest()}\nnames {names.hexdigest()}\n"
            f"bytes {content.hexdigest()}\n".encode()
        )
        return Fingerprint(
            whole.hexdigest(), times.hexdigest(), names.hexdigest(), content.hexdigest()
        )

    def _canonical(self, codes: Column, names: Any) -> Iterator[bytes]:
        """Codes renumbered by first appearance; the names go into the hash in that order."""
        number: dict[int, int] = {}
        seen: dict[bytes, bytes] = {}
        for _, new in _pieces(codes, seen):
            for code in dict.fromkeys(array("H", b"".join(new))):
                number.setdefault(code & ~1, 2 * len(number))
            seen |= dict.fromkeys(new, b"")
        for code in number:
            names.update(f"{self.codes.name(code)} {self.codes.file(code)}\n".encode())
        of = number | {code + 1: new + 1 for code, new in number.items()}
        known: dict[bytes, bytes] = {}
        for pieces, new in _pieces(codes, known):
            given = array("H", b"".join(new))
            packed = struct.pack(f"<{len(given)}H", *map(of.__getitem__, given))
            known |= zip(new, _cut(packed), strict=True)  # a shorter one is the last of all
            yield b"".join(map(known.__getitem__, pieces))


def _pieces(codes: Column, known: dict[bytes, bytes]) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Codes in pieces, some at a time, and which of those are not in ``known``, each once.

    The caller adds them to it. When there are many in it, it is emptied.
    """
    for begin in range(0, len(codes), AT_ONCE):
        pieces = _cut(codes[begin : begin + AT_ONCE].tobytes())
        if len(known) > KNOWN:
            known.clear()
        yield pieces, [piece for piece in dict.fromkeys(pieces) if piece not in known]


def _cut(data: bytes) -> list[bytes]:
    return [data[at : at + PIECE] for at in range(0, len(data), PIECE)]


def _late_ends(record: ThreadRecord) -> tuple[dict[int, int], set[int]]:
    """When those stages were left that were open for more than ``LOOK_AHEAD`` marks, or when the
    record ends if they never were: by their number in order of entry; and which those are."""
    ends: dict[int, int] = {}
    stack: list[tuple[int, int]] = []
    number = 0
    for position, code in enumerate(record.codes):
        if not code & 1:
            stack.append((number, position))
            number += 1
            continue
        opened, entered = stack.pop()
        if position - entered > LOOK_AHEAD:
            ends[opened] = record.times[position]
    for opened, _ in stack:
        ends[opened] = record.times[-1]
    return ends, {opened for opened, _ in stack}


def _little_endian(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()
