"""Which bytes of which stream an event of the trace is about, and which messages end there.

A *message* is what a program gave to its kernel at once. It is followed by its last byte, as a
journey is: through the host's socket, slirp, frames (those that carry the byte, whatever the
stream was cut into, and each time it was sent again), the ring, to whoever reads it. All events
about that byte have the message's number, so a tool can draw arrows from one to the next.

A stream is one direction of a connection between two sockets of the host, named by the end that
sends. Where one of the two ends is QEMU's, the stream goes on in frames, to or from the guest:

* a forwarded connection is known by the client's port, which slirp keeps;
* one that the guest opens is known by its SYN, on account of which QEMU asks for a connection.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping

from desim.engine.trace import Noted, Trace
from desim.events import (
    Connected,
    Connecting,
    FramePassed,
    FrameStored,
    FrameTaken,
    Read,
    Received,
    Sent,
    Written,
)
from desim.experiment.places import machine_point, machine_thread
from desim.machine.capture import Capture
from desim.wire.parsed import parse_segment

SYN, ACK = 2, 16
MESSAGES = 1 << 40
"""Messages that a stream may have."""

Stream = tuple[int, str]
"""A connection's number, and the end that sends: ``client`` or ``server``."""
Pair = tuple[str, int, int]
"""A TCP connection of a guest: its machine, its own port, the other end's."""


def other(end: str) -> str:
    """The other end."""
    return "server" if end == "client" else "client"


class Flows:
    """The messages of one run. Reads the trace once."""

    def __init__(self, trace: Trace, captures: Mapping[str, Capture], frames: int) -> None:
        """``frames``: one more than the highest number of a frame."""
        self._streams: dict[Stream, int] = {}
        self._ends: dict[int, array[int]] = {}
        """For each stream the last byte of each message, in order."""
        self._qemu: dict[int, str] = {}
        """Which end of a connection is QEMU's, if one is."""
        self._pairs: dict[Pair, list[tuple[int, int]]] = {}
        """For each pair of ports, since when it belongs to which connection."""
        self._carried = [array("q", bytes(8 * frames)) for _ in range(3)]
        """For each frame: its stream (0 for none), its first byte, how many."""
        points = [point for point in captures if machine_point(point)[1] == "slirp"]
        # Frames are taken in their own order: at one instant several threads may do several things.
        self._open(trace, {point: captures[point] for point in points})
        for point in points:
            self._carry(machine_point(point)[0], captures[point])
        self._give(trace)

    # --- what happened

    def _open(self, trace: Trace, captures: Mapping[str, Capture]) -> None:
        """Which connection of the guest is which of the host."""
        opened = [(one.time, one.event) for one in trace.happened(Connected)]
        asking: dict[int, Pair] = {}
        """SYNs of the guest, by the frame's number."""
        for point, capture in captures.items():
            machine = machine_point(point)[0]
            for time, to_guest, number, raw in capture.appended():
                segment = parse_segment(raw)
                if segment is None or segment.flags & (SYN | ACK) != SYN:
                    continue
                if not to_guest:
                    asking[number] = machine, segment.sport, segment.dport
                    continue
                found = [o.conn for at, o in opened if at <= time and o.client[1] == segment.sport]
                if found:
                    self._is(found[-1], "server", (machine, segment.dport, segment.sport), time)
        for record in trace.threads.values():
            pair: Pair | None = None
            for event in record.events:
                if event[2] == FramePassed.kind:
                    pair = asking.get(event[5], pair)
                elif event[2] == Connecting.kind and pair is not None:
                    # It is the guest's SYN, just passed on this thread, that makes QEMU connect.
                    time, client = event[0], Connecting(*event[3:]).client
                    found = [o.conn for at, o in opened if at >= time and o.client == client]
                    if found:
                        self._is(found[0], "client", pair, time)
                    pair = None

    def _is(self, conn: int, end: str, pair: Pair, time: int) -> None:
        """From an instant on, a connection of the guest is one of the host; which end is QEMU's."""
        self._qemu[conn] = end
        self._pairs.setdefault(pair, []).append((time, conn))

    def _carry(self, machine: str, capture: Capture) -> None:
        """Which bytes of which stream each frame carries."""
        starts: dict[tuple[Pair, bool], int] = {}
        stream, first, count = self._carried
        for time, to_guest, number, raw in capture.appended():
            segment = parse_segment(raw)
            if segment is None:
                continue
            pair = machine, segment.sport, segment.dport
            if to_guest:
                pair = machine, segment.dport, segment.sport
            if segment.flags & SYN:
                starts[pair, to_guest] = segment.seq + 1
            conn, start = self._connection(pair, time), starts.get((pair, to_guest))
            if segment.payload and conn is not None and start is not None:
                end = other(self._qemu[conn]) if to_guest else self._qemu[conn]
                stream[number] = self._stream((conn, end))
                first[number] = (segment.seq - start) & 0xFFFFFFFF
                count[number] = len(segment.payload)

    def _give(self, trace: Trace) -> None:
        """The messages: what programs gave to their kernels."""
        found: dict[Stream, list[int]] = {}
        for record in trace.threads.values():
            for event in record.events:
                if event[2] == Sent.kind:
                    conn, first, count, end = event[3:7]
                    if self._qemu.get(conn) != end:
                        found.setdefault((conn, end), []).append(first + count - 1)
                elif event[2] == Written.kind:
                    told = self._guests(event, record.name)
                    if told is not None:
                        (conn, program), first, count = told
                        found.setdefault((conn, other(program)), []).append(first + count - 1)
        for stream, ends in found.items():
            self._ends[self._stream(stream)] = array("q", sorted(ends))

    def _connection(self, pair: Pair, time: int) -> int | None:
        """The connection that a pair of ports belongs to at an instant."""
        found = [conn for since, conn in self._pairs.get(pair, ()) if since <= time]
        return found[-1] if found else None

    def _guests(self, event: Noted, thread: str) -> tuple[Stream, int, int] | None:
        """What a program of the guest has read or written: the stream of the program at the
        connection's other end, the first byte, how many."""
        told = Read(*event[3:]) if event[2] == Read.kind else Written(*event[3:])
        machine, _ = machine_thread(thread) or ("", "")
        conn = self._connection((machine, told.local[1], told.remote[1]), event[0])
        return (
            None if conn is None else ((conn, other(self._qemu[conn])), told.first_byte, told.count)
        )

    def _stream(self, stream: Stream) -> int:
        return self._streams.setdefault(stream, len(self._streams) + 1)

    # --- what is asked

    def carried(self, frame: int) -> tuple[Stream, int, int] | None:
        """The bytes of a stream that a frame carries: the stream, the first, how many."""
        if not 0 <= frame < len(self._carried[0]) or not self._carried[0][frame]:
            return None
        number, first, count = (column[frame] for column in self._carried)
        return list(self._streams)[number - 1], first, count

    def is_guests(self, stream: Stream) -> bool:
        """Whether the guest sends it."""
        return self._qemu.get(stream[0]) == stream[1]

    def is_about(self, event: Noted, thread: str, stream: Stream, byte: int) -> bool:
        """Whether somebody sent, took or read this byte of a stream with an event."""
        kind, data = event[2], event[3:]
        if kind in (Sent.kind, Received.kind):
            conn, first, count, end = data[:4]
            of = (conn, end if kind == Sent.kind else other(end))
        elif (
            kind in (Read.kind, Written.kind) and (told := self._guests(event, thread)) is not None
        ):
            (conn, end), first, count = told
            of = (conn, end if kind == Read.kind else other(end))
        else:
            return False
        return of == stream and first <= byte < first + count

    def of(self, event: Noted, thread: str) -> tuple[list[int], list[int]]:
        """The messages whose last byte an event is about: those that go on, and those that have
        arrived with it."""
        kind, data = event[2], event[3:]
        if kind == Sent.kind:
            conn, first, count, end = data[:4]
            return self._ending((conn, end), first, count), []
        if kind == Received.kind:
            conn, first, count, end = data[:4]
            found = self._ending((conn, other(end)), first, count)
            return (found, []) if self._qemu.get(conn) == end else ([], found)
        if kind in (Read.kind, Written.kind):
            told = self._guests(event, thread)
            if told is None:
                return [], []
            (conn, end), first, count = told
            if kind == Read.kind:
                return [], self._ending((conn, end), first, count)
            return self._ending((conn, other(end)), first, count), []
        if kind in (FramePassed.kind, FrameStored.kind, FrameTaken.kind):
            frame = data[-1]
            if 0 <= frame < len(self._carried[0]):
                number, first, count = (column[frame] for column in self._carried)
                return self._within(number, first, count), []
        return [], []

    def _ending(self, stream: Stream, first: int, count: int) -> list[int]:
        return self._within(self._streams.get(stream, 0), first, count)

    def _within(self, stream: int, first: int, count: int) -> list[int]:
        """The messages of a stream whose last byte is among these bytes."""
        ends = self._ends.get(stream)
        if ends is None or not count:
            return []
        begin, end = bisect_left(ends, first), bisect_left(ends, first + count)
        return [stream * MESSAGES + message + 1 for message in range(begin, end)]
