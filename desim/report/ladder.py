"""The ladder: who told whom what, and when, from the host's program down to the guest's.

Five lifelines stand beside each other in the order of a packet's way. A step goes from one to
another (a call, a frame, a rise of the interrupt pin) or happens at one (a frame leaves the ring).
Sequence numbers are relative to each direction's first one, as tcpdump and Wireshark have them. A
long time without a step is a pause. What is too long is folded in its middle.

Of several machines it shows the first.

The rows are made once; here they become text, and the page makes a picture of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Any, Literal

from desim.data import NamedTuple
from desim.engine.trace import Happened
from desim.events import (
    Closed,
    Connecting,
    DatagramRead,
    DatagramReceived,
    DatagramSent,
    DatagramWritten,
    Event,
    FrameTaken,
    Lost,
    MitigationEnded,
    PinDriven,
    Read,
    Received,
    Sent,
    Written,
)
from desim.experiment.places import machine_thread
from desim.experiment.ran import Ran
from desim.machine.vm import BOOT
from desim.report.text import cut, duration, escape
from desim.wire import tcp
from desim.wire.describe import describe
from desim.wire.parsed import Segment

ROWS = 60
"""A ladder has so many rows at most; what is too much is folded."""
END = 15
"""Rows at the end that are kept then."""
PAUSE_NS = 50_000
"""A time without a step is a pause if it is this long, and twice as long as they usually are."""
REPEATED = 2
"""More calls than these that are the same are one row."""


class Line(IntEnum):
    """A lifeline."""

    HOST = 0
    SLIRP = 1
    CARD = 2
    KERNEL = 3
    PROGRAM = 4


NAMES: Mapping[Line, str] = {
    Line.HOST: "host program",
    Line.SLIRP: "slirp",
    Line.CARD: "card",
    Line.KERNEL: "guest kernel",
    Line.PROGRAM: "guest program",
}


Kind = Literal["call", "frame", "pin", "event", "loss"]


class Step(NamedTuple):
    """Something that one end tells another; or that happens at one, if both are the same."""

    time: int
    source: Line
    target: Line
    what: str
    kind: Kind
    size: int = 0
    """Bytes that a call has handed over."""
    last: int = 0
    """When it happened for the last time, if it did several times."""

    @property
    def end(self) -> int:
        """When it was over."""
        return max(self.time, self.last)

    @property
    def said(self) -> str:
        """What it says, with the bytes."""
        return f"{self.what} {_bytes(self.size)}" if self.size else self.what


class Pause(NamedTuple):
    """So long nothing happened."""

    ns: int


class Fold(NamedTuple):
    """So many steps are not shown."""

    steps: int
    ns: int
    what: str


Row = Step | Pause | Fold


def rows(made: Sequence[Step]) -> list[Row]:
    """The rows of a ladder of these steps, with pauses; what is too much is folded."""
    return list(_folded(_with_pauses(made)))


def steps(run: Ran) -> list[Step]:
    """All steps from the first call of a program behind the boot; without one, from the first
    frame; without one, all."""
    trace = run.trace
    found = [
        (one.time, one.record.rank, one.position, step)
        for kind, told in _TOLD.items()
        for one in trace.happened(kind)
        if not _is_further(one.record.name, kind) and (step := told(one)) is not None
    ]
    # A frame is on its way before what it causes.
    found += [(one.time, -1, number, one) for number, one in enumerate(_frames(run))]
    found.sort(key=lambda one: one[:3])
    made = [step for *_, step in found]
    booted = max(
        (one["ended_ns"] or 0 for one in run.summary["programs"] if one["terminal"] == BOOT),
        default=0,
    )
    later = [step for step in made if step.time >= booted] or made
    first = next((n for n, step in enumerate(later) if _begins(step)), 0)
    return list(_together(later[first:]))


def _is_further(thread: str, kind: type[Event]) -> bool:
    """Whether a further machine did it, in its card or its guest."""
    found = machine_thread(thread)
    return found is not None and found[0] != "" and kind not in ON_HOST


def _begins(step: Step) -> bool:
    """Whether a ladder may begin with it: a program's call, or a segment of TCP."""
    return step.kind == "call" or (step.kind == "frame" and step.what.startswith("["))


def _together(made: Sequence[Step]) -> Iterator[Step]:
    """Calls that are the same, one behind the other, as one if there are more than two."""
    place = 0
    while place < len(made):
        step = made[place]
        end = place + 1
        while end < len(made) and step.kind == "call" and made[end][1:5] == step[1:5]:
            end += 1
        if end - place > REPEATED:
            size = sum(one.size for one in made[place:end])
            yield step._replace(
                what=f"{step.what} {end - place} times,", size=size, last=made[end - 1].time
            )
        else:
            yield from made[place:end]
        place = end


def _frames(run: Ran) -> Iterator[Step]:
    """The frames at the card."""
    numbers = _Numbers()
    for packet in run.packets.get("nic", ()):
        ends = (Line.SLIRP, Line.CARD) if packet.to_guest else (Line.CARD, Line.SLIRP)
        segment = packet.frame.segment
        said = numbers.of(segment) if segment is not None else _short(describe(packet.frame.raw))
        yield Step(packet.time, *ends, said, "frame")


class _Numbers:
    """What TCP's segments say, with relative numbers."""

    def __init__(self) -> None:
        self._first: dict[tuple[bytes, int, bytes, int], int] = {}

    def of(self, segment: Segment) -> str:
        """``[P.], seq 1:18, ack 1``."""
        ends = (segment.src, segment.sport, segment.dst, segment.dport)
        seq = (segment.seq - self._first.setdefault(ends, segment.seq)) & 0xFFFFFFFF
        words = [f"[{tcp.flags_text(segment.flags)}]"]
        size = len(segment.payload)
        if size:
            words.append(f"seq {seq}:{seq + size}")
        elif segment.flags & (tcp.SYN | tcp.FIN | tcp.RST):
            words.append(f"seq {seq}")
        if segment.flags & tcp.ACK:
            # Of a direction that was not seen yet no relative number is known.
            other = self._first.get(ends[2:] + ends[:2])
            words.append(
                f"ack {segment.ack if other is None else segment.ack - other & 0xFFFFFFFF}"
            )
        return ", ".join(words)


def _short(text: str) -> str:
    """``IP 10.0.2.2.67 > 255.255.255.255.68: BOOTP/DHCP, Reply`` without its addresses."""
    return re.sub(r"^(IP6?) \S+ > \S+: |^(ARP,) (?:Request|Reply) ", r"\1\2 ", text)


# --- what each kind of event says


def _in_qemu(one: Happened[Any]) -> bool:
    return machine_thread(one.record.name) is not None


def _program(one: Happened[Any]) -> str:
    """The host's program on whose thread it was: ``nc`` of ``nc[29702]``."""
    return one.record.name.partition("[")[0]


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count:,} bytes"


def _host(one: Happened[Any], call: str, into: bool, size: int = 0) -> Step:
    """A call on a socket of the host; ``into``: the host's kernel gets something."""
    if _in_qemu(one):
        ends = (Line.SLIRP, Line.HOST) if into else (Line.HOST, Line.SLIRP)
        return Step(one.time, *ends, f"QEMU {call}", "call", size)
    ends = (Line.HOST, Line.SLIRP) if into else (Line.SLIRP, Line.HOST)
    return Step(one.time, *ends, f"{_program(one)} {call}", "call", size)


def _lost(one: Happened[Lost]) -> Step:
    event = one.event
    line = Line.CARD if event.where.startswith("e1000") else Line.SLIRP
    frame = f"frame {event.frame}" if event.frame else "a frame"
    said = f"{frame} lost at {event.where}: {event.why}"
    return Step(one.time, line, line, said, "loss")


def _taken(one: Happened[FrameTaken]) -> Step:
    said = f"takes frame {one.event.frame} out of the ring"
    return Step(one.time, Line.KERNEL, Line.KERNEL, said, "event")


def _pin(one: Happened[PinDriven]) -> Step | None:
    if not one.event.level:
        return None
    return Step(one.time, Line.CARD, Line.KERNEL, "INTA# rises", "pin")


def _held_off(one: Happened[MitigationEnded]) -> Step | None:
    event = one.event
    if not event.waited_ns:
        return None
    said = f"hold-off ({event.by}) ends: {duration(event.waited_ns)} waited"
    return Step(one.time, Line.CARD, Line.CARD, said, "event")


def _guest(one: Happened[Any], call: str, into: bool) -> Step:
    """A call on a socket of the guest; ``into``: its kernel gets something."""
    ends = (Line.PROGRAM, Line.KERNEL) if into else (Line.KERNEL, Line.PROGRAM)
    return Step(one.time, *ends, call, "call", one.event.count)


ON_HOST = (Connecting, Sent, Received, Closed, DatagramSent, DatagramReceived)
"""What is done on sockets of the host, whichever machine does it."""

_TOLD: Mapping[type[Event], Callable[[Happened[Any]], Step | None]] = {
    FrameTaken: _taken,
    PinDriven: _pin,
    MitigationEnded: _held_off,
    Lost: _lost,
    Connecting: lambda one: _host(one, "connect()", True),
    Sent: lambda one: _host(one, "send()", True, one.event.count),
    Received: lambda one: _host(one, "recv()", False, one.event.count),
    Closed: lambda one: _host(one, "reset" if one.event.how == "reset" else "close()", True),
    DatagramSent: lambda one: _host(one, "sendto()", True, one.event.count),
    DatagramReceived: lambda one: _host(one, "recvfrom()", False, one.event.count),
    Read: lambda one: _guest(one, "read()", False),
    Written: lambda one: _guest(one, "write()", True),
    DatagramRead: lambda one: _guest(one, "recvfrom()", False),
    DatagramWritten: lambda one: _guest(one, "sendto()", True),
}


# --- pauses and folds


def _with_pauses(made: Sequence[Step]) -> Iterator[Step | Pause]:
    if not made:
        return
    gaps = sorted(after.time - step.end for step, after in pairwise(made))
    least = max(PAUSE_NS, gaps[len(gaps) // 2] * 2 if gaps else 0)
    last: Step | None = None
    for step in made:
        if last is not None and step.time - last.end >= least:
            yield Pause(step.time - last.end)
        last = step
        yield step


def _folded(made: Iterable[Step | Pause]) -> Iterator[Row]:
    found = list(made)
    if len(found) <= ROWS:
        yield from found
        return
    front, end = found[: ROWS - END - 1], found[-END:]
    hidden = [row for row in found[len(front) : -END] if isinstance(row, Step)]
    yield from front
    yield Fold(len(hidden), hidden[-1].time - hidden[0].time, _counted(hidden))
    yield from end


def _counted(hidden: Sequence[Step]) -> str:
    """What the steps of a fold are: frames, interrupts, losses; what is left is not counted."""
    to_guest = sum(s.kind == "frame" and s.target is Line.CARD for s in hidden)
    from_guest = sum(s.kind == "frame" and s.target is Line.SLIRP for s in hidden)
    rises = sum(s.kind == "pin" for s in hidden)
    lost = sum(s.kind == "loss" for s in hidden)
    words = [f"{to_guest:,} frames to the guest", f"{from_guest:,} from it"]
    words += [f"{rises:,} interrupts", *([f"{lost:,} lost"] if lost else [])]
    return ", ".join(words)


# --- text

PITCH = 6
NARROWEST = 64
TIME = 11
SHORT = ("host", "slirp", "card", "kern", "prog")


def text(run: Ran, width: int = 80) -> Iterator[str]:
    """The ladder as lines of at most ``width`` columns (or 64, if that is more)."""
    found = rows(steps(run))
    start = next((row.time for row in found if isinstance(row, Step)), None)
    if start is None:
        yield "ladder      nothing happened behind the boot"
        return
    width = max(width, NARROWEST)
    room = width - TIME - 2 - PITCH * len(Line)
    names = "".join(f"{name:<{PITCH}}" for name in SHORT)
    yield f"{'us':>{TIME}}  {names}after {start // 10**9}.{start % 10**9:09d} s"
    for row in found:
        if isinstance(row, Pause):
            yield f"{'+' + duration(row.ns):>{TIME}}  {_lines(':').rstrip()}"
        elif isinstance(row, Fold):
            yield f"{'...':>{TIME}}  {row.steps:,} more steps in {duration(row.ns)}:"
            yield f"{'':>{TIME}}  {cut(row.what, width - TIME - 2)}"
        else:
            said = cut(escape(row.said), room)
            yield f"{_micro(row.time - start):>{TIME}}  {_drawn(row)}{said}".rstrip()


def _micro(ns: int) -> str:
    return f"{ns // 1000:,}.{ns % 1000 // 100}".replace(",", " ")


def _lines(char: str) -> str:
    return f"{char:<{PITCH}}" * len(Line)


def _drawn(step: Step) -> str:
    cells = list(_lines("|"))
    source, target = step.source * PITCH, step.target * PITCH
    if source == target:
        cells[source] = "x" if step.kind == "loss" else "*"
    elif source < target:
        cells[source + 1 : target] = "-" * (target - source - 2) + ">"
    else:
        cells[target + 1 : source] = "<" + "-" * (source - target - 2)
    return "".join(cells)
