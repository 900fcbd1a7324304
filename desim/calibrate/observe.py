"""What recordings measured, as equations over the figures of a cost profile.

Stretches in which the guest's processor never waits, all of it work:

* from one reading of the clock to another in ``ltool``'s tests: a round trip, a train's
  sending, a TFTP block without mitigation;
* from one frame of the guest to another;
* from one event to the next of a kernel trace.

A stretch in which the simulated processor waits is left out: its length says when
something else happened, not how much work there was.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from desim.calibrate.kernel_trace import Event
from desim.calibrate.meter import Figure, Meter, Reading, figures_at
from desim.conform.linux.recording import Packet
from desim.data import NamedTuple
from desim.machine import Machine
from desim.machine.capture import Captured
from desim.stages import Landmark

EVENT_FILE = "kernel trace"
"""The file under which the cost of writing a trace event is fitted; no profile has it."""

GROUPS, ENOUGH = 4, 20
"""Parts into which stretches of one kind are divided, if there are enough."""

SINGLE_STRETCHES = (
    ("send to return", "send_ns", "sent_ns", 0, 0),
    ("return to reply", "sent_ns", "recv_ns", 0, 0),
    ("stamp to reply", "krx_ns", "recv_ns", 0, 0),
)
TRAIN_STRETCHES = (
    ("sending a train", "send_ns", "sent_ns", 0, -1),
    ("first stamp to first reply", "krx_ns", "recv_ns", 0, 0),
    ("last stamp to last reply", "krx_ns", "recv_ns", -1, -1),
    ("reading a train", "recv_ns", "recv_ns", 0, -1),
)
"""What the four lists of a ping give: from which list to which, and of which packets of a
train (the first is 0, the last -1)."""

INTERRUPTED = figures_at(Landmark.INTERRUPT)

WIRE_STRETCH_NS = 2_000
WIRE_EXACT_NS = 20_000
"""Captures are stamped in whole us: of a stretch of this length that is an error of 2 %, as
the model has itself. A shorter one counts less."""

SYN_STRETCH_NS = 1_000_000
"""A guest's clock is about 10 us off the machine's after ten seconds: 1 % of this at most."""
BURST_GAP_NS = 2_000
"""Frames that are closer than this left in one write of TDT."""
BURST_STRETCH_NS = 20_000
BURSTS = 3
"""How often a pair of bursts has to occur to be taken for usual."""
MOST_ROUNDS = 4
"""So many rounds of a transfer to the guest are taken together."""
SMALL_FRAME = 80
"""A frame of the guest up to this length carries no data."""

USUAL_WEIGHT = 4.0
"""A median stands for many stretches that are all alike."""

TRACE_WEIGHT = 0.25
"""Stretches of a trace are mostly the writing of events, of which a model is rough."""

TRANSFER_WEIGHT = 10.0
"""An upload is one stretch, and holds what hundreds of segments take."""

WAITS = ("(spinning)", "(halted)")
NOTHING_TO_DO = figures_at(Landmark.IDLE)
"""What the processor is in while it waits, be it for no time at all."""


class Observation(NamedTuple):
    """One equation: the figures, each as often as it was due, add up to ``measured``."""

    name: str
    measured: float
    counts: Mapping[Figure, float]
    weight: float = 1.0
    """How many observations it stands for."""


class RoundKind(NamedTuple):
    """What tells rounds of a transfer to the guest apart."""

    before: int
    """Frames in the round before them."""
    frames: int
    """In all of them."""
    order: tuple[int, ...]
    """The rounds, from that with the fewest frames to that with the most."""


class Waits:
    """How long the vCPU has waited, up to any instant."""

    def __init__(self, machine: Machine) -> None:
        codes = machine.trace.codes
        record = machine.trace.threads["vcpu"]
        wanted = {code for code in dict.fromkeys(record.codes) if codes.name(code) in WAITS}
        self._ends = [0]
        self._sums = [0]
        begin = 0
        for time, code in zip(record.times, record.codes, strict=True):
            if code in wanted:
                if code & 1:
                    self._ends.append(time)
                    self._sums.append(self._sums[-1] + time - begin)
                else:
                    begin = time

    def between(self, first: int, last: int) -> int:
        """Ns of waiting in waits that ended after ``first`` and by ``last``."""
        upper = bisect_left(self._ends, last + 1) - 1
        lower = bisect_left(self._ends, first + 1) - 1
        return self._sums[upper] - self._sums[lower]


MEASURED = frozenset({Landmark.STAMPED, Landmark.SENT_BY_CARD})
"""Where a run is measured, beside where its programs read the clock: as a received packet is
stamped, and as the card hands a frame of the guest to slirp."""

READINGS = ((Landmark.CLOCK_READ, "<"), (Landmark.STAMPED, "<"), (Landmark.SENT_BY_CARD, ">"))
"""What of that is a reading of a clock: leaving the first two, entering the last."""


class Clockwork:
    """The clock readings of a simulated run, the program's and the kernel's, by their time."""

    def __init__(self, meter: Meter, machine: Machine) -> None:
        self._meter = meter
        self._at = {r.time: r for r in meter.readings if (r.landmark, r.what[-1]) in READINGS}
        self._waits = Waits(machine)

    def stretch(self, first: int, last: int) -> dict[Figure, int] | None:
        """The figures due between two readings; None if the processor waited meanwhile."""
        begin, end = self._at.get(first), self._at.get(last)
        if begin is None or end is None or self._waits.between(first, last):
            return None
        counts = self._meter.between(begin, end)
        return None if NOTHING_TO_DO & counts.keys() else counts

    def pairs(self, first: int, last: int) -> list[tuple[int, int]]:
        """The program's readings from one instant to another, two and two."""
        times = [
            r.time
            for r in self._meter.readings
            if (r.landmark, r.what[-1]) == READINGS[0] and first < r.time <= last
        ]
        return list(zip(times[::2], times[1::2], strict=False))


def stretches(
    name: str,
    measured: Sequence[int],
    simulated: Sequence[tuple[int, int]],
    clock: Clockwork,
) -> Iterator[Observation]:
    """Observations of stretches of one kind. Nothing if the processor waits in one."""
    found = []
    for first, last in simulated:
        counts = clock.stretch(first, last)
        if counts is None:
            return
        found.append((last - first, counts))
    yield from parts(name, measured, found)


def parts(
    name: str, measured: Sequence[int], simulated: Sequence[tuple[int, Mapping[Figure, int]]]
) -> Iterator[Observation]:
    """Stretches of one kind, measured and simulated, as one observation or as several.

    With many of them there are several: the shortest quarter measured stands against the
    shortest quarter simulated, and so on, so that what is due only now and then is told
    from what always is.
    """
    found = sorted(simulated, key=lambda entry: entry[0])
    ordered = sorted(measured)
    count = GROUPS if min(len(found), len(ordered)) >= ENOUGH else 1
    for part in range(count):
        ours = found[part * len(found) // count : (part + 1) * len(found) // count]
        theirs = ordered[part * len(ordered) // count : (part + 1) * len(ordered) // count]
        if not ours or not theirs:
            return
        total: dict[Figure, float] = defaultdict(float)
        for _, counts in ours:
            for figure, times in counts.items():
                total[figure] += times / len(ours)
        label = f"{name}, part {part + 1} of {count}" if count > 1 else name
        yield Observation(label, sum(theirs) / len(theirs), total)


def tool_observations(
    name: str, measured: Mapping[str, Any], simulated: Mapping[str, Any], clock: Clockwork
) -> Iterator[Observation]:
    """What a test of ``ltool`` measured by its own clock."""
    start = simulated.get("t0_ns", simulated.get("t0"))
    if start is None:
        return
    if "sent_ns" in measured and "train" in simulated:
        yield from _ping(name, measured, simulated, start, clock)
    elif "rtt_ns" in measured and "elapsed_ns" in simulated:
        blocks = clock.pairs(start, start + simulated["elapsed_ns"])[: len(simulated["rtt_ns"])]
        yield from stretches(f"{name}: a block", measured["rtt_ns"], blocks, clock)
    elif "written_ns" in measured and "written_ns" in simulated:
        connected = [(start, start + simulated["connect_ns"])]
        yield from stretches(f"{name}: connecting", [measured["connect_ns"]], connected, clock)
        ends = ("connect_ns", "written_ns")
        first, last = (start + simulated[end] for end in ends)
        writing = [measured[ends[1]] - measured[ends[0]]]
        for found in stretches(f"{name}: writing", writing, [(first, last)], clock):
            yield found._replace(weight=TRANSFER_WEIGHT)


def usual_stretch(
    name: str,
    measured: Sequence[int],
    simulated: Sequence[tuple[int, int]],
    clock: Clockwork,
) -> Iterator[Observation]:
    """One observation of short stretches of one kind: of the usual one, the median."""
    found = []
    for first, last in simulated:
        counts = clock.stretch(first, last)
        if counts is not None:
            found.append((last - first, counts))
    if found and measured:
        found.sort(key=lambda entry: entry[0])
        length = sorted(measured)[len(measured) // 2]
        yield Observation(name, length, found[len(found) // 2][1], USUAL_WEIGHT)


def kinds(
    name: str,
    measured: Sequence[int],
    begins: Sequence[int],
    lengths: Sequence[int],
    clock: Clockwork,
) -> Iterator[Observation]:
    """Stretches of which each does one of a few things, as one observation for each.

    In a long train some requests go to the card at once, some wait for it, some need new
    memory. Which do what is the simulation's word; those that it interrupts are left out, and
    that a measured one was interrupted now and then does not move the median.
    """
    found: dict[frozenset[tuple[Figure, int]], list[int]] = defaultdict(list)
    for length, begin, own in zip(measured, begins, lengths, strict=False):
        counts = clock.stretch(begin, begin + own)
        if counts is not None and not INTERRUPTED & counts.keys():
            found[frozenset(counts.items())].append(length)
    for number, (counts_of, taken) in enumerate(found.items(), 1):
        yield Observation(f"{name} of kind {number}", median(taken), dict(counts_of))


def _ping(
    name: str, measured: Mapping[str, Any], found: Mapping[str, Any], start: int, clock: Clockwork
) -> Iterator[Observation]:
    train = found["train"]
    for label, begin, end, first, last in SINGLE_STRETCHES if train == 1 else TRAIN_STRETCHES:
        spans = [
            [
                (lists[begin][at + first % train], lists[end][at + last % train])
                for at in range(0, len(lists[end]) - train + 1, train)
            ]
            for lists in (measured, found)
        ]
        yield from stretches(
            f"{name}: {label}",
            [b - a for a, b in spans[0] if a >= 0 and b >= 0],
            [(start + a, start + b) for a, b in spans[1]],
            clock,
        )
    if train >= ENOUGH:
        sending = [
            [b - a for a, b in zip(lists["send_ns"], lists["sent_ns"], strict=True)]
            for lists in (measured, found)
        ]
        begins = [start + at for at in found["send_ns"]]
        yield from kinds(f"{name}: a request", sending[0], begins, sending[1], clock)
    if train > 1:
        for label, times in (("one more request", "send_ns"), ("one more reply", "recv_ns")):
            spans = [
                [(a, b) for at, (a, b) in enumerate(pairwise(lists[times]), 1) if at % train]
                for lists in (measured, found)
            ]
            yield from usual_stretch(
                f"{name}: {label}",
                [b - a for a, b in spans[0]],
                [(start + a, start + b) for a, b in spans[1]],
                clock,
            )


def syn_observation(
    name: str,
    began: int,
    recorded: Sequence[Packet],
    begins: int,
    simulated: Sequence[Captured],
    clock: Clockwork,
) -> Iterator[Observation]:
    """From the clock's reading in front of ``connect`` (``began`` when recorded, ``begins`` when
    simulated; ns) to the SYN.

    Only of the first connect after boot, which takes some ms: for the others the guest's and the
    machine's clocks are too far apart.
    """
    theirs = [p.time_us * 1000 for p in recorded if not p.to_guest]
    ours = [c.time for c in simulated if not c.to_guest]
    if not theirs or not ours or theirs[0] - began < SYN_STRETCH_NS:
        return
    counts = clock.stretch(begins, ours[0])
    if counts is not None:
        yield Observation(f"{name}: to the SYN", theirs[0] - began, counts)


def wire_observations(
    name: str,
    recorded: Sequence[Packet],
    simulated: Sequence[Captured],
    clock: Clockwork,
) -> Iterator[Observation]:
    """Stretches between frames of the guest, as far as the same frames go in the same order."""
    begin: tuple[int, int] | None = None
    for packet, captured in zip(recorded, simulated, strict=False):
        frame = captured.frame
        if (packet.to_guest, packet.length) != (captured.to_guest, len(frame.raw)):
            return
        if captured.to_guest:
            continue
        here = (packet.time_us * 1000, captured.time)
        if begin is None:
            begin = here
            continue
        counts = clock.stretch(begin[1], here[1])
        if counts is None:
            begin = here
        elif here[0] - begin[0] >= WIRE_STRETCH_NS:
            measured = here[0] - begin[0]
            weight = 1 / (1 + (WIRE_EXACT_NS / measured) ** 2)
            yield Observation(f"{name}: {begin[0]} to {here[0]}", measured, counts, weight)
            begin = here


def burst_observations(
    name: str, recorded: Sequence[Packet], simulated: Sequence[Captured], clock: Clockwork
) -> Iterator[Observation]:
    """From one burst of the guest to the next, by how many frames the two have.

    An upload falls into a rhythm of bursts; wherever in it a stretch is, it takes the same.
    """
    measured: dict[tuple[int, int], list[int]] = defaultdict(list)
    bursts = _bursts([(p.time_us * 1000, p.length) for p in recorded if not p.to_guest])
    for (first, begin), (second, end) in pairwise(bursts):
        measured[first, second].append(end - begin)
    ours: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    found = [(c.time, len(c.frame.raw)) for c in simulated if not c.to_guest]
    for (first, begin), (second, end) in pairwise(_bursts(found)):
        ours[first, second].append((begin, end))
    for kind, lengths in sorted(measured.items()):
        passed = ours.get(kind, [])
        if min(len(lengths), len(passed)) >= BURSTS and sorted(lengths)[0] >= BURST_STRETCH_NS:
            yield from usual_stretch(
                f"{name}: from {kind[0]} frames to {kind[1]}", lengths, passed, clock
            )


def round_observations(
    name: str, recorded: Sequence[Packet], simulated: Sequence[Captured], clock: Clockwork
) -> Iterator[Observation]:
    """Of a transfer to the guest, from one ACK to the next, or to one of the next few: by how
    many frames came meanwhile, and in the round before.

    Such a transfer falls into a rhythm, too, of rounds in some of which nothing waits. A frame
    more in one of them and one less in the next is the same rhythm.
    """
    measured: dict[RoundKind, list[int]] = defaultdict(list)
    for kind, begin, end in _rounds([(p.time_us * 1000, p.to_guest) for p in recorded]):
        measured[kind].append(end - begin)
    ours: dict[RoundKind, list[tuple[int, int]]] = defaultdict(list)
    for kind, begin, end in _rounds([(c.time, c.to_guest) for c in simulated]):
        ours[kind].append((begin, end))
    for kind, lengths in sorted(measured.items()):
        passed = ours.get(kind, [])
        if min(len(lengths), len(passed)) >= BURSTS:
            label = f"{name}: {kind.frames} frames in {len(kind.order)} after {kind.before}"
            yield from usual_stretch(label, lengths, passed, clock)


def _rounds(passed: Sequence[tuple[int, bool]]) -> Iterator[tuple[RoundKind, int, int]]:
    """Rounds between frames of the guest, alone and some together: when they begin and end (ns).

    A frame of the guest with none to it before belongs to no round.
    """
    rounds: list[tuple[int, int, int]] = []
    begin: int | None = None
    frames = 0
    for time, to_guest in passed:
        if to_guest:
            frames += 1
            continue
        if begin is not None and frames:
            rounds.append((frames, begin, time))
        begin, frames = time, 0
    for first in range(1, len(rounds)):
        before, _, end = rounds[first - 1]
        counts: list[int] = []
        for frames, begins, ends in rounds[first : first + MOST_ROUNDS]:
            if begins != end:
                break
            counts.append(frames)
            end = ends
            order = sorted(range(len(counts)), key=counts.__getitem__)
            yield RoundKind(before, sum(counts), tuple(order)), rounds[first][1], end


def _bursts(frames: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """How many data frames each burst has, and when it begins (ns)."""
    bursts: list[tuple[int, int]] = []
    last = -BURST_GAP_NS
    for time, length in frames:
        if length > SMALL_FRAME:
            if time - last < BURST_GAP_NS:
                bursts[-1] = (bursts[-1][0] + 1, bursts[-1][1])
            else:
                bursts.append((1, time))
            last = time
    return bursts


def trace_observations(
    name: str, events: Sequence[Event], meter: Meter, waits: Waits
) -> Iterator[Observation]:
    """The stretches of a kernel trace that the simulation has passed as well.

    A stretch is known by its two ends and the point in front of it. What happened between
    its ends besides (an event that has no model) is part of its kind, too.
    """
    measured: dict[Kind, list[int]] = defaultdict(list)
    before = here = ""
    began = 0
    writing: list[str] = []
    for event in events:
        if event.point:
            if here and before:
                measured[before, here, event.point, tuple(writing)].append(event.time - began)
            before, here, began = here, event.point, event.time
            writing = []
        writing += event.written
    simulated = _stretches(meter, waits, {kind[:3] for kind in measured})
    usual: dict[tuple[str, ...], Kind] = {}
    for kind, lengths in measured.items():
        best = usual.setdefault(kind[:3], kind)
        if len(lengths) > len(measured[best]):
            usual[kind[:3]] = kind
    for kind in usual.values():
        found = simulated.get(kind[:3])
        if found:
            events_written = [(EVENT_FILE, what, "enter") for what in kind[3]]
            for row in parts(f"{name}: {' '.join(kind[:3])}", measured[kind], found):
                counts = dict(row.counts)
                for figure in events_written:
                    counts[figure] = counts.get(figure, 0) + 1
                yield row._replace(counts=counts, weight=TRACE_WEIGHT)


Kind = tuple[str, str, str, tuple[str, ...]]


def _stretches(
    meter: Meter, waits: Waits, wanted: set[tuple[str, ...]]
) -> dict[tuple[str, ...], list[tuple[int, dict[Figure, int]]]]:
    """Length and counts of each time that a wanted stretch was passed."""
    ways: dict[tuple[str, ...], list[tuple[int, dict[Figure, int]]]] = defaultdict(list)
    used = {point for key in wanted for point in key}
    last: list[Reading] = []
    for reading in meter.readings:
        if reading.what not in used:
            continue
        if len(last) == 2:
            key = (last[0].what, last[1].what, reading.what)
            if key in wanted and not waits.between(last[1].time, reading.time):
                length = reading.time - last[1].time
                ways[key].append((length, meter.between(last[1], reading)))
        last = [*last[-1:], reading]
    return ways
