"""The life of one packet as text: where it was when, why it waited, where it was lost and why.

What a program sends and reads are bytes of a stream; what passes the wire are packets. So the
story begins where somebody sent the packet's last byte, and ends where somebody has read it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from textwrap import wrap

from desim.data import NamedTuple
from desim.engine.marks import Codes
from desim.engine.trace import Noted, ThreadRecord
from desim.errors import UserError
from desim.events import (
    FramePassed,
    FrameStored,
    FrameTaken,
    Held,
    Lost,
    Made,
    PinDriven,
    Read,
    Received,
    Sent,
    Written,
)
from desim.experiment.ran import Ran
from desim.experiment.walk import Open, events_with_stacks
from desim.machine.vm import is_card
from desim.report.text import duration, escape
from desim.stages import Landmark
from desim.timeline.flows import Flows
from desim.timeline.frames import Frames
from desim.wire.describe import describe

WIDTH = 80
_WORDS = (
    *(FramePassed.kind, FrameStored.kind, FrameTaken.kind, Held.kind, Lost.kind, Made.kind),
    *(Sent.kind, Received.kind, Read.kind, Written.kind),
)
_TIME, _SINCE, _THREAD = 13, 8, 10
_INDENT = " " * (_TIME + _SINCE + _THREAD + 6)
_ABOVE = 1 << 62
"""A rank behind all others: an interrupt comes of a line that has risen at the same instant."""


class _Row(NamedTuple):
    """One thing that happened to the packet."""

    time: int
    rank: int
    position: int
    thread: str
    what: str
    function: str
    waits: str = ""
    """Why nothing happens to it after this, until the next row."""


def packets(run: Ran, width: int = WIDTH) -> Iterator[str]:
    """A line for each packet: its number, when and on which way it was seen first, what it is."""
    lost = {one.event.frame: one.event for one in run.trace.happened(Lost)}
    seen: set[int] = set()
    yield f"{'packet':>6}  {'at (s)':>{_TIME}}  what"
    firsts = heapq.merge(*(capture.appended() for capture in run.packets.values()))
    for time, to_guest, number, raw in firsts:
        if number in seen:
            continue
        seen.add(number)
        at = f"{time // 10**9}.{time % 10**9:09d}"
        said = lost.get(number)
        fate = f"lost at {said.where} ({said.why.code}): " if said is not None else ""
        line = f"{number:>6}  {at:>{_TIME}}  {'>' if to_guest else '<'} {fate}"
        line += escape(describe(raw))
        yield line if len(line) <= width else line[: width - 3] + "..."


def life(run: Ran, number: int, width: int = WIDTH) -> Iterator[str]:
    """The lines. Raises ``UserError`` if there was no such packet."""
    frames = Frames(run.packets)
    raw = frames.raw(number)
    if raw is None:
        last = len(frames) - 1
        there = f"there are packets 1 to {last}" if last > 0 else "there were none"
        raise UserError(f"packet {number}: no such packet in this run; {there}")
    flows = Flows(run.trace, run.packets, len(frames))
    life = _Life(run, number, flows)
    rows = life.rows()
    yield from wrap(f"packet {number}: {escape(describe(raw))}", width, subsequent_indent="  ")
    yield f"{len(raw)} bytes {life.direction}; {life.end}"
    if (carried := flows.carried(number)) is not None:
        (conn, end), first, count = carried
        yield f"carries bytes {first} to {first + count - 1} from the {end} of connection {conn}"
    yield ""
    yield f"{'at (s)':>{_TIME}}  {'after':>{_SINCE}}  {'on':<{_THREAD}}  what"
    before: int | None = None
    for row in rows:
        since = "" if before is None else duration(row.time - before)
        at = f"{row.time // 10**9}.{row.time % 10**9:09d}"
        head = f"{at:>{_TIME}}  {since:>{_SINCE}}  {row.thread:<{_THREAD}}  "
        what = f"{row.what}, in {row.function}" if row.function else row.what
        yield from wrap(what, width, initial_indent=head, subsequent_indent=_INDENT + "  ")
        if row.waits:
            why = f"- waits: {row.waits}"
            yield from wrap(why, width, initial_indent=_INDENT, subsequent_indent=_INDENT + "  ")
        before = row.time


def _function(codes: Codes, code: int) -> str:
    """A function and its file, without the file's folder; a wait has none."""
    name, file = codes.name(code), codes.file(code)
    return f"{name} ({file.rpartition('/')[2]})" if file else name


class _Life:
    """Looks up what befell one packet."""

    def __init__(self, run: Ran, number: int, flows: Flows) -> None:
        self._trace = run.trace
        self._number = number
        self._flows = flows
        self._carried = flows.carried(number)
        self.direction = "on no wire"
        self.end = "still on its way when the run ended"
        self._stored: int | None = None
        self._taken: int | None = None

    def rows(self) -> list[_Row]:
        """Everything, in order of time."""
        rows: list[_Row] = []
        for record in self._trace.threads.values():
            for event, stack in events_with_stacks(record, _WORDS):
                told = self._told(event, record.name)
                if told is not None:
                    rows.append(self._row(record, event, stack, *told))
        if self._stored is not None:
            rows += self._until_taken(self._stored, self._taken)
        return sorted(rows)

    def _row(
        self, record: ThreadRecord, event: Noted, stack: list[Open], what: str, waits: str = ""
    ) -> _Row:
        codes = self._trace.codes
        function = ""
        if stack:
            code = stack[-1][1]
            function = _function(codes, code)
        time = event[0]
        if event[2] == Written.kind:
            # It is noted when the call returns; by then frames may have gone out with it.
            calls = codes.entries(Landmark.GUEST_CALL)
            time = next((begin for begin, code in stack if code in calls), time)
        return _Row(time, record.rank, event[1], record.name, what, function, waits)

    def _told(self, event: Noted, thread: str) -> tuple[str, str] | None:
        """What an event says of the packet, and what it has to wait for then."""
        kind, data, number = event[2], event[3:], self._number
        if kind == FramePassed.kind:
            passed = FramePassed(*data)
            return self._passed(passed) if passed.frame == number else None
        if kind == Made.kind:
            made = Made(*data)
            if made.frame == number:
                return f"made from packet {made.of} at {made.where}: {made.why}", ""
            if made.of == number:
                return f"packet {made.frame} is made from it at {made.where}: {made.why}", ""
            return None
        if kind in (FrameStored.kind, FrameTaken.kind, Held.kind, Lost.kind):
            return self._card(event) if data[0] == number else None
        if self._carried is None:
            return None
        stream, first, count = self._carried
        if not self._flows.is_about(event, thread, stream, first + count - 1):
            return None
        return self._bytes(event, is_guests=self._flows.is_guests(stream))

    def _passed(self, passed: FramePassed) -> tuple[str, str]:
        self.direction = "to the guest" if passed.to_guest else "from the guest"
        arrives = passed.to_guest == is_card(passed.point)
        if arrives:
            self.end = "arrived"
        return f"{'arrives at' if arrives else 'leaves'} {passed.point}", ""

    def _card(self, event: Noted) -> tuple[str, str]:
        kind, data = event[2], event[3:]
        if kind == FrameStored.kind:
            self._stored = event[0]
            return "the card writes it into the guest's memory", ""
        if kind == FrameTaken.kind:
            self._taken = event[0]
            return "the driver takes it out of the ring", ""
        _, where, why = data
        if kind == Held.kind:
            return f"cannot go on at {where}", str(why)
        self.end = f"lost at {where}: {why}"
        return self.end, ""

    def _bytes(self, event: Noted, *, is_guests: bool) -> tuple[str, str]:
        kind = event[2]
        if kind == Sent.kind:
            who = "QEMU gives its last byte" if is_guests else "the program sends its last byte"
            return f"{who} to the host's kernel", "in the socket, until somebody reads"
        if kind == Received.kind:
            return ("the program has" if is_guests else "QEMU takes") + " its last byte", ""
        if kind == Read.kind:
            return "the guest's program has its last byte", ""
        return "the guest's program gives its last byte to its kernel", ""

    def _until_taken(self, stored: int, taken: int | None) -> Iterator[_Row]:
        """The pin and the interrupt between the card's DMA and the driver."""
        codes = self._trace.codes
        end = taken if taken is not None else 1 << 63
        why = {
            Landmark.MITIGATION_ENDED: "interrupt mitigation is over",
            Landmark.UNMASKED: "the driver lets interrupts through again (NAPI)",
        }
        for record in self._trace.threads.values():
            for event, stack in events_with_stacks(record, (PinDriven.kind,)):
                if not stored <= event[0] <= end or not PinDriven(*event[3:]).level:
                    continue
                marks = [codes.landmark(code) for _, code in stack]
                said = next((why[mark] for mark in marks if mark in why), "")
                what = "the interrupt line rises" + (f": {said}" if said else "")
                yield self._row(record, event, stack, what)
            wanted = codes.entries(Landmark.INTERRUPT)
            if taken is None or wanted.isdisjoint(record.codes):
                continue
            for place, (time, code) in enumerate(zip(record.times, record.codes, strict=True)):
                if code in wanted and stored <= time <= taken:
                    what = "the guest's processor takes an interrupt of the card"
                    function = _function(codes, code)
                    yield _Row(time, _ABOVE, place, record.name, what, function)
