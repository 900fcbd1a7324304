"""What a run came to that takes a walk through its trace or its captures: made when asked for.

Each is counted, not sampled. Times of the processor are those of the first machine's; what
belongs to the guest's boot is left out, so that a figure does not hang on how long that took.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from desim.data import NamedTuple
from desim.engine.trace import ThreadRecord, Trace
from desim.events import FrameStored, FrameTaken, Scheduled
from desim.machine.capture import Captured
from desim.stages import Landmark
from desim.wire.parsed import parse_segment

SYN, RST = 0x02, 0x04


class Level(NamedTuple):
    """How much there was of something that comes and goes."""

    most: int
    mean: Fraction
    """Over time, from the first that came to the last that went."""


class Processor(NamedTuple):
    """How long the guest's processor was in which context, in ns."""

    task: int
    softirq: int
    hardirq: int
    idle: int
    programs: dict[str, int]
    """Of ``task`` and what interrupted it not: by program or kernel thread."""

    @property
    def total_ns(self) -> int:
        """All of it."""
        return self.task + self.softirq + self.hardirq + self.idle


class Polls(NamedTuple):
    """The driver's polls."""

    polls: int
    frames: int
    """Frames that were taken out of the ring."""


class Acks(NamedTuple):
    """TCP of all transfers, as its senders' ends of the wire see it."""

    segments: int
    """With data."""
    acks: int
    """Without, behind the handshake."""
    window_min: int | None
    """The smallest window that anybody has offered behind the handshake, in bytes."""
    window_max: int | None


def ring(trace: Trace, begin_ns: int, taken_by: str = "vcpu") -> Level | None:
    """Frames in the card's receive ring; None if no frame came behind ``begin_ns``."""
    came = (one.time for one in trace.happened(FrameStored))
    went = (one.time for one in trace.happened(FrameTaken) if one.record.name == taken_by)
    return level(came, went, begin_ns)


def under_way(slirp: Iterable[Captured], nic: Iterable[Captured], begin_ns: int) -> Level | None:
    """Frames for the guest that slirp has sent and the card has not got."""
    came = (packet.time for packet in slirp if packet.to_guest)
    went = (packet.time for packet in nic if packet.to_guest)
    return level(came, went, begin_ns)


def level(came: Iterable[int], went: Iterable[int], begin_ns: int) -> Level | None:
    """How much was there, by when each came and went, both in order of time.

    What comes and goes at one instant counts as having been there.
    """
    steps = heapq.merge(((t, 0, 1) for t in came), ((t, 1, -1) for t in went))
    there = most = area = 0
    first: int | None = None
    last = begin_ns
    for time, _, step in steps:
        if time >= begin_ns:
            if first is None:
                first = last = time
            area += there * (time - last)
            last = time
        there = max(there + step, 0)
        if time >= begin_ns:
            most = max(most, there)
    if first is None:
        return None
    return Level(most, Fraction(area, last - first) if last > first else Fraction(most))


def polls(trace: Trace, begin_ns: int, thread: str = "vcpu") -> Polls:
    """How often the driver polled behind ``begin_ns``, and what it found."""
    record = trace.threads.get(thread)
    count = 0
    if record is not None:
        wanted = trace.codes.entries(Landmark.POLLED)
        if not wanted.isdisjoint(record.codes):
            for time, code in zip(record.times, record.codes, strict=True):
                count += code in wanted and time >= begin_ns
    frames = sum(
        one.time >= begin_ns for one in trace.happened(FrameTaken) if one.record.name == thread
    )
    return Polls(count, frames)


_CONTEXTS = {
    Landmark.IDLE: "idle",
    Landmark.INTERRUPT: "hardirq",
    Landmark.TIMER_INTERRUPT: "hardirq",
    Landmark.SOFTIRQ: "softirq",
    Landmark.SOFTIRQ_THREAD: "softirq",
}


def processor(trace: Trace, begin_ns: int, end_ns: int, thread: str = "vcpu") -> Processor:
    """Who had the guest's processor from ``begin_ns`` to ``end_ns``: the innermost context.

    Soft interrupts that ksoftirqd serves count as soft interrupts.
    """
    spent = dict.fromkeys(("task", "softirq", "hardirq", "idle"), 0)
    programs: dict[str, int] = {}
    record = trace.threads.get(thread)
    if record is not None:
        at, context, program = begin_ns, "task", ""
        for time, new_context, new_program in _contexts(trace, record):
            until = min(max(time, begin_ns), end_ns)
            if until > at:
                spent[context] += until - at
                if context == "task":
                    programs[program] = programs.get(program, 0) + until - at
                at = until
            context, program = new_context, new_program
        if end_ns > at:
            spent[context] += end_ns - at
            if context == "task":
                programs[program] = programs.get(program, 0) + end_ns - at
    return Processor(**spent, programs=programs)


def _contexts(trace: Trace, record: ThreadRecord) -> Iterator[tuple[int, str, str]]:
    """When the context or the program changes, and to what."""
    of = {
        2 * number: _CONTEXTS[mark]
        for number, mark in enumerate(trace.codes.landmarks)
        if mark in _CONTEXTS
    }
    switches = (event for event in record.events if event[2] == Scheduled.kind)
    switch = next(switches, None)
    stack: list[str] = ["task"]
    program = ""
    for position, (time, code) in enumerate(zip(record.times, record.codes, strict=True)):
        while switch is not None and switch[1] <= position:
            program = switch[3] or "(lowest class)"
            yield switch[0], stack[-1], program
            switch = next(switches, None)
        entered = of.get(code & ~1)
        if entered is None:
            continue
        if code & 1:
            stack.pop()
        else:
            stack.append(entered)
        yield time, stack[-1], program


def acks(frames: Mapping[str, Sequence[Captured]]) -> Acks:
    """Segments with and without data, and windows, of all connections behind their handshakes."""
    segments = pure = 0
    low: int | None = None
    high: int | None = None
    for point, to_guest in (("slirp", True), ("nic", False)):
        opened: set[tuple[bytes, int, bytes, int]] = set()
        for packet in frames.get(point, ()):
            segment = parse_segment(packet.frame.raw)
            if packet.to_guest != to_guest or segment is None or segment.flags & RST:
                continue
            ends = segment.src, segment.sport, segment.dst, segment.dport
            if segment.flags & SYN:
                opened.discard(ends)
                continue
            if segment.payload:
                segments += 1
            elif ends in opened:  # the first without data ends the handshake
                pure += 1
            opened.add(ends)
            window = segment.window
            low = window if low is None else min(low, window)
            high = window if high is None else max(high, window)
    return Acks(segments, pure, low, high)


def of_times(times: Iterable[int]) -> Callable[[int], int | None]:
    """Percentiles of some times, by nearest rank: from parts of a thousand; None without times."""
    ordered = sorted(times)
    count = len(ordered)
    return lambda part: ordered[max(-(-count * part // 1000), 1) - 1] if ordered else None
