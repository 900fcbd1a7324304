"""A run as a file for Perfetto (ui.perfetto.dev, traceconv, trace_processor).

=============  =====================================================================
group          tracks
=============  =====================================================================
host           a thread for each program, and the host's timers if there are any
QEMU           its threads ``main`` and ``vcpu`` with all functions; who holds the
               big lock
guest          a track for each context of the processor: programs and threads of
               the kernel, soft interrupts, each hard interrupt, idle
card           the interrupt line, windows of interrupt mitigation; counters: frames
               in the receive ring, frames that wait in the net layer
connections    counters: bytes in flight and advertised windows, of each direction
=============  =====================================================================

A slice is a function or a wait (in parentheses); slices are nested as the calls are, so what is
open at an instant is what a backtrace shows. An instant is an event of the trace
(``docs/trace.md``), on the thread on which it happened. Arrows follow messages from the program
that sends to the one that reads (``desim.timeline.flows``).

The trace is read thread by thread, and the file written piece by piece.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from desim.engine.trace import Noted, ThreadRecord
from desim.events import (
    FramePassed,
    FrameStored,
    FrameTaken,
    Held,
    Lost,
    MitigationBegun,
    MitigationEnded,
    PinDriven,
    Written,
)
from desim.experiment.contexts import contexts
from desim.experiment.places import MAIN, VCPU, machine_point, machine_thread
from desim.experiment.ran import Ran
from desim.experiment.trace_lines import named
from desim.stages import Landmark
from desim.timeline.flows import Flows
from desim.timeline.frames import Frames
from desim.timeline.perfetto_file import TraceFile
from desim.wire.addresses import ip_text
from desim.wire.describe import describe
from desim.wire.parsed import parse_segment

PACKETS = 2000
"""How many make a piece, about."""
WAIT = "wait"
BIG_LOCK = "(big lock)"
"""The wait for it."""
Ends = tuple[bytes, int, bytes, int]
"""One direction of a connection: address and port of who sends, and of who receives."""


def perfetto(run: Ran) -> Iterator[bytes]:
    """The file, in pieces."""
    made = _Timeline(run)
    for _ in made.steps():
        if made.file.waiting >= PACKETS:
            yield made.file.take()
    yield made.file.take()


class _Timeline:
    """Writes one run. Its generators stop now and then, so that somebody can take what is there."""

    def __init__(self, run: Ran) -> None:
        self.trace = run.trace
        self.packets = run.packets
        self.end_ns = run.end_ns
        self.frames = Frames(run.packets)
        self.flows = Flows(run.trace, run.packets, len(self.frames))
        self.file = TraceFile()

    def steps(self) -> Iterator[None]:
        """Everything."""
        file = self.file
        host = file.group("host", 0)
        records = sorted(self.trace.threads.values(), key=lambda record: record.rank)
        machines: dict[str, list[ThreadRecord]] = {}
        for record in records:
            of = machine_thread(record.name)
            if of is not None:
                machines.setdefault(of[0], []).append(record)
            else:
                yield from self._thread(record, file.thread(record.name, host))
        for number, (name, threads) in enumerate(machines.items()):
            yield from self._machine(f"{name} " if name else "", threads, 1 + 3 * number)
        connections = file.group("connections", 1 + 3 * len(machines))
        for point in sorted(self.packets):
            machine, end = machine_point(point)
            if end != "nic":
                yield from self._windows(point, connections, f"{machine} " if machine else "")

    def _machine(self, name: str, threads: list[ThreadRecord], rank: int) -> Iterator[None]:
        """One machine: QEMU's threads, the guest's contexts, the card."""
        file = self.file
        groups = ("QEMU", "guest", "card")
        qemu, guest, card = (file.group(name + g, rank + n) for n, g in enumerate(groups))
        for record in threads:
            yield from self._thread(record, file.thread(record.name, qemu))
        yield from self._big_lock(threads, file.track("big lock", qemu))
        for record in threads:
            if _kind(record) == VCPU:
                yield from self._contexts(record, guest)
        yield from self._line(threads, file.track("interrupt line", card))
        yield from self._mitigation(threads, card)
        yield from self._ring(threads, file.counter("receive ring", card, "frames", 2))
        yield from self._queue(threads, file.counter("net queues", card, "frames", 3))

    # --- functions, waits and events

    def _thread(self, record: ThreadRecord, track: int) -> Iterator[None]:
        """All marks of a thread, with its events between them."""
        file, codes = self.file, self.trace.codes
        events = iter(record.events)
        coming = next(events, None)
        open_stages = 0
        in_calls = codes.entries(Landmark.GUEST_CALL)
        calls: list[int] = []
        """When the open system calls of the guest began."""
        for place, (time, code) in enumerate(zip(record.times, record.codes, strict=True)):
            while coming is not None and coming[1] <= place:
                self._instant(track, record.name, coming, calls[-1] if calls else coming[0])
                coming = next(events, None)
            if code & ~1 in in_calls:
                if code & 1:
                    calls.pop()
                else:
                    calls.append(time)
            if code & 1:
                open_stages -= 1
                file.end(track, time)
            else:
                open_stages += 1
                category = codes.owner(code) or WAIT
                file.begin(track, time, codes.name(code), category, codes.file(code))
            yield
        while coming is not None:
            self._instant(track, record.name, coming, calls[-1] if calls else coming[0])
            coming = next(events, None)
            yield
        for _ in range(open_stages):  # a run may end in the middle of them
            file.end(track, self.end_ns)

    def _instant(self, track: int, thread: str, event: Noted, called: int) -> None:
        """An event, in a system call of the guest that began at ``called``."""
        flows, last_of = self.flows.of(event, thread)
        values = {name: _plain(value) for name, value in named(event).items()}
        frame = values.get("frame")
        if isinstance(frame, int) and (raw := self.frames.raw(frame)) is not None:
            values["packet"] = describe(raw)
        if event[2] == Written.kind and flows:
            # It is noted when the call returns; by then frames may have gone out with it.
            self.file.instant(track, called, "write", "event", values, flows)
            flows = []
        self.file.instant(track, event[0], event[2], "event", values, flows, last_of)

    # --- who had what

    def _big_lock(self, threads: list[ThreadRecord], track: int) -> Iterator[None]:
        """Slices that say who has it."""
        holds = {MAIN: self._main_holds, VCPU: self._vcpu_holds}
        # One gives it to the other at one instant: the file has them in their order.
        for begin, end, name in heapq.merge(*(holds[_kind(one)](one) for one in threads)):
            self.file.begin(track, begin, name, "lock")
            self.file.end(track, end)
            yield

    def _main_holds(self, record: ThreadRecord) -> Iterator[tuple[int, int, str]]:
        """The main loop has the lock but for its sleep, and while it waits for the lock."""
        codes = self.trace.codes
        waits = {2 * n for n, name in enumerate(codes.names) if name == BIG_LOCK}
        free = codes.entries(Landmark.UNLOCKED) | waits
        since: int | None = None
        outside = 0
        for time, code in zip(record.times, record.codes, strict=True):
            if since is None and not outside:
                since = time
            if code & ~1 in free:
                outside += -1 if code & 1 else 1
                if since is not None and time > since:
                    yield since, time, record.name
                since = None if outside else time
        if since is not None and self.end_ns > since:
            yield since, self.end_ns, record.name

    def _vcpu_holds(self, record: ThreadRecord) -> Iterator[tuple[int, int, str]]:
        """A processor has it in a device access: in QEMU's functions."""
        codes = self.trace.codes
        depth = since = 0
        for time, code in zip(record.times, record.codes, strict=True):
            if codes.owner(code) != "QEMU" or codes.landmark(code) is Landmark.LOOP:
                continue
            if code & 1:
                depth -= 1
                if not depth and time > since:
                    yield since, time, record.name
            else:
                if not depth:
                    since = time
                depth += 1

    def _contexts(self, record: ThreadRecord, group: int) -> Iterator[None]:
        tracks: dict[str, int] = {}
        ranks = {"hardirq": 0, "softirq": 1, "task": 2, "idle": 3}
        for begin, end, kind, name in contexts(self.trace, record, self.end_ns):
            label = f"{kind} {name}".strip() if kind != "task" else name
            if label not in tracks:
                tracks[label] = self.file.track(label, group, ranks[kind])
            self.file.begin(tracks[label], begin, label, kind)
            self.file.end(tracks[label], end)
            yield

    # --- the card

    def _events(self, threads: list[ThreadRecord], *words: str) -> Iterator[Noted]:
        """Events of some threads in order of time, then of the threads' ranks."""

        def of(record: ThreadRecord) -> Iterator[tuple[tuple[int, int, int], Noted]]:
            for event in record.events:
                if event[2] in words:
                    yield (event[0], record.rank, event[1]), event

        for _, event in heapq.merge(*map(of, threads), key=lambda one: one[0]):
            yield event

    def _line(self, threads: list[ThreadRecord], track: int) -> Iterator[None]:
        """Slices while the card asks for an interrupt."""
        high = False
        for event in self._events(threads, PinDriven.kind):
            level = PinDriven(*event[3:]).level
            if level and not high:
                self.file.begin(track, event[0], "high", "irq")
            elif high and not level:
                self.file.end(track, event[0])
            high = level
            yield
        if high:
            self.file.end(track, self.end_ns)

    def _mitigation(self, threads: list[ThreadRecord], group: int) -> Iterator[None]:
        """Slices while the card holds interrupts back, or one cause; each says which register
        decides for how long."""
        tracks: dict[str, int] = {}
        is_open: set[str] = set()
        for event in self._events(threads, MitigationBegun.kind, MitigationEnded.kind):
            begins = event[2] == MitigationBegun.kind
            holds = event[3]
            if holds not in tracks:
                tracks[holds] = self.file.track(f"mitigation: {holds}", group, 1)
            if holds in is_open:
                self.file.end(tracks[holds], event[0])
                is_open.discard(holds)
            if begins:
                told = {name: _plain(value) for name, value in named(event).items()}
                self.file.begin(tracks[holds], event[0], str(told["by"]), "mitigation", "", told)
                is_open.add(holds)
            yield
        for holds in sorted(is_open):
            self.file.end(tracks[holds], self.end_ns)

    def _ring(self, threads: list[ThreadRecord], track: int) -> Iterator[None]:
        """Received frames that the driver has not taken yet."""
        waiting: set[int] = set()
        for event in self._events(threads, FrameStored.kind, FrameTaken.kind):
            if event[2] == FrameStored.kind:
                waiting.add(event[3])
            else:
                waiting.discard(event[3])
            self.file.count(track, event[0], len(waiting))
            yield

    def _queue(self, threads: list[ThreadRecord], track: int) -> Iterator[None]:
        """Frames that were told to wait, until they go on or end."""
        waiting: set[int] = set()
        for event in self._events(threads, Held.kind, FramePassed.kind, Lost.kind):
            frame = event[5] if event[2] == FramePassed.kind else event[3]
            before = len(waiting)
            if event[2] == Held.kind:
                waiting.add(frame)
            else:
                waiting.discard(frame)
            if len(waiting) != before:
                self.file.count(track, event[0], len(waiting))
            yield

    # --- TCP

    def _windows(self, point: str, group: int, machine: str) -> Iterator[None]:
        """Bytes in flight, and the window that the other side has open, as seen at a point."""
        directions: dict[Ends, _Direction] = {}
        for time, _, frame in self.packets[point]:
            segment = parse_segment(frame.raw)
            if segment is None:
                continue
            ends = (segment.src, segment.sport, segment.dst, segment.dport)
            back = (segment.dst, segment.dport, segment.src, segment.sport)
            for key in (ends, back):
                if key not in directions:
                    directions[key] = _Direction(self.file, group, key, machine)
            directions[ends].sends(time, segment.seq, segment.flags, len(segment.payload))
            directions[back].hears(time, segment.ack, segment.flags, segment.window)
            yield


def _kind(record: ThreadRecord) -> str:
    """Which of QEMU's threads a record is of."""
    of = machine_thread(record.name)
    assert of is not None, f"{record.name} is none of QEMU's"
    return of[1]


class _Direction:
    """One direction of a connection: what is on its way, and what may be."""

    def __init__(self, file: TraceFile, group: int, ends: Ends, machine: str) -> None:
        src, sport, dst, dport = ends
        name = f"{machine}{ip_text(src)}:{sport} > {ip_text(dst)}:{dport}"
        self._file = file
        self._flight = file.counter(f"{name} in flight", group, "bytes")
        self._window = file.counter(f"{name} window", group, "bytes")
        self._next: int | None = None
        self._acked = 0
        self._shown = (-1, -1)

    def sends(self, time: int, seq: int, flags: int, size: int) -> None:
        """A segment of this direction."""
        after = seq + size + (flags & 1) + (flags >> 1 & 1)  # FIN and SYN take a number each
        if self._next is None or flags & 2:
            self._next, self._acked = after & 0xFFFFFFFF, seq
        elif (after - self._next) & 0xFFFFFFFF < 1 << 31:
            self._next = after & 0xFFFFFFFF
        self._show(time, self._shown[1])

    def hears(self, time: int, ack: int, flags: int, window: int) -> None:
        """A segment of the other direction."""
        if not flags & 16:
            return
        if (ack - self._acked) & 0xFFFFFFFF < 1 << 31:
            self._acked = ack
        self._show(time, window)

    def _show(self, time: int, window: int) -> None:
        flight = 0 if self._next is None else (self._next - self._acked) & 0xFFFFFFFF
        if flight != self._shown[0]:
            self._file.count(self._flight, time, flight)
        if window >= 0 and window != self._shown[1]:
            self._file.count(self._window, time, window)
        self._shown = flight, window


def _plain(value: object) -> int | str:
    """A value of an event as a number or text."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, dict):
        return str(value["text"])
    if isinstance(value, (list, tuple)):
        return ":".join(map(str, value))
    return str(value)
