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

import heapq
from array import array
from bisect import bisect_left
from collections.abc import Iterator

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
from desim.ports import Endpoint
from desim.timeline.frames import Frames
from desim.wire.parsed import Segment, parse_segment

SYN = 2
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

    def __init__(self, trace: Trace, frames: Frames) -> None:
        self._frames = frames
        self._streams: dict[Stream, int] = {}
        self._ends: dict[int, array[int]] = {}
        """For each stream the last byte of each message, in order."""
        self._qemu: dict[int, str] = {}
        """Which end of a connection is QEMU's, if one is."""
        self._pairs: dict[Pair, list[tuple[int, int]]] = {}
        """For each pair of ports, since when it belongs to which connection."""
        self._by_port: dict[int, int] = {}
        """Connections by the client's port, for those that are forwarded."""
        self._asked: dict[Endpoint, Pair] = {}
        """QEMU's ends of connections that it has asked for, and the guest's for which it has."""
        self._starts: dict[tuple[Pair, bool], int] = {}
        self._carried = [array("q", bytes(8 * len(frames))) for _ in range(3)]
        """For each frame: its stream (0 for none), its first byte, how many."""
        self._read(trace)

    # --- what happened

    def _read(self, trace: Trace) -> None:
        words = (Connecting.kind, Connected.kind, FramePassed.kind, Sent.kind, Written.kind)

        def of(name: str, rank: int) -> Iterator[tuple[int, int, int, str, Noted]]:
            for event in trace.threads[name].events:
                if event[2] in words:
                    yield event[0], rank, event[1], name, event

        # What a thread does at one instant is in its order.
        merged = heapq.merge(
            *(of(record.name, record.rank) for record in trace.threads.values()),
            key=lambda one: one[:3],
        )
        syn: dict[str, Pair] = {}
        for time, _, _, thread, event in merged:
            kind, data = event[2], event[3:]
            if kind == FramePassed.kind:
                self._passed(FramePassed(*data), thread, time, syn)
            elif kind == Connecting.kind:
                # Only QEMU's threads pass frames: it is the guest's SYN that makes QEMU connect.
                if (pair := syn.pop(thread, None)) is not None:
                    self._asked[Connecting(*data).client] = pair
            elif kind == Connected.kind:
                self._connected(Connected(*data), time)
            elif kind == Sent.kind:
                conn, first, count, end = data[:4]
                if self._qemu.get(conn) != end:
                    self._message((conn, end), first + count - 1)
            else:
                found = self._guests(event, thread)
                if found is not None:
                    (conn, program), first, count = found
                    self._message((conn, other(program)), first + count - 1)

    def _passed(self, passed: FramePassed, thread: str, time: int, syn: dict[str, Pair]) -> None:
        machine, end = machine_point(passed.point)
        if end != "slirp":
            return
        raw = self._frames.raw(passed.frame)
        segment = None if raw is None else parse_segment(raw)
        if segment is None:
            return
        pair = machine, segment.sport, segment.dport
        if passed.to_guest:
            pair = machine, segment.dport, segment.sport
        if segment.flags & SYN:
            self._starts[pair, passed.to_guest] = segment.seq + 1
            if not passed.to_guest and not segment.flags & 16:
                syn[thread] = pair
            elif passed.to_guest and not segment.flags & 16 and segment.sport in self._by_port:
                conn = self._by_port[segment.sport]
                self._qemu[conn] = "server"
                self._pairs.setdefault(pair, []).append((time, conn))
        if segment.payload:
            self._carries(passed, pair, segment, time)

    def _carries(self, passed: FramePassed, pair: Pair, segment: Segment, time: int) -> None:
        conn, start = self._connection(pair, time), self._starts.get((pair, passed.to_guest))
        if conn is None or start is None:
            return
        end = self._qemu[conn] if not passed.to_guest else other(self._qemu[conn])
        stream, first, count = self._carried
        stream[passed.frame] = self._stream((conn, end))
        first[passed.frame] = (segment.seq - start) & 0xFFFFFFFF
        count[passed.frame] = len(segment.payload)

    def _connected(self, opened: Connected, time: int) -> None:
        pair = self._asked.pop(opened.client, None)
        if pair is None:
            self._by_port[opened.client[1]] = opened.conn
        else:
            self._qemu[opened.conn] = "client"
            self._pairs.setdefault(pair, []).append((time, opened.conn))

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

    def _message(self, stream: Stream, last: int) -> None:
        self._ends.setdefault(self._stream(stream), array("q")).append(last)

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
