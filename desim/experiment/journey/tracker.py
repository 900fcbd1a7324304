"""All messages of a run, followed as its events tell, in one pass.

Theory of operation
-------------------
Events of all threads are gone through in the order of time. What several threads note at one
instant has no order among them, so such events are first all taken in, and only then is looked
which messages have arrived. A message is a call of a program that sends (``Message``): a
program's first write of it makes a ``Course``, and every later event that is about its last byte
adds to that. Bytes of a connection are known by their place in the stream, frames by their
number, datagrams by what is in them; so it does not matter into what they were cut, with what
they were joined, or how often they were sent.

What is kept are the messages that are under way, with the frames that carry them. A message is
handed out when its last byte has been read; those that never are come at the end.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from desim.engine.trace import Noted, ThreadRecord, Trace
from desim.events import (
    Closed,
    Connected,
    Connecting,
    FramePassed,
    FrameStored,
    FrameTaken,
    Held,
    Lost,
    Made,
    PinDriven,
    Read,
    Received,
    Scheduled,
    Sent,
    Written,
)
from desim.experiment.journey.course import Course, Passage
from desim.experiment.journey.datagram_tracker import Datagrams
from desim.experiment.journey.stacks import At
from desim.experiment.journey.values import (
    RESET,
    SLIRP_TOOK,
    TO_GUEST,
    TO_HOST,
    UNDER_WAY,
    Direction,
)
from desim.host.tcp import RCVBUF, SNDBUF
from desim.machine.capture import Captured
from desim.machine.vm import ENDS, is_card, is_qemu, machine_of, place_of
from desim.ports import Endpoint
from desim.wire.addresses import ip_text
from desim.wire.frame import Frame
from desim.wire.parsed import Segment

Handler = Callable[[At, Noted], bool | None]
"""Takes an event in; true if it hangs on another that is not known yet."""

Ends = tuple[str, Endpoint, Endpoint]
"""A connection as a guest sees it: which machine, its own end, the other one."""

MANY = 1 << 10
SYN, ACK = 0x02, 0x10
SOURCE = slice(26, 30)
"""Where an IPv4 packet in a frame says whose it is; elsewhere stands what is no address."""
_SPACE = 1 << 32
_HALF = 1 << 31
_ROOM = SNDBUF + RCVBUF


class Stream:
    """One direction of a connection."""

    __slots__ = (
        "arrived",
        "base",
        "conn",
        "covered",
        "done",
        "early",
        "into",
        "messages",
        "passages",
        "pending",
        "read",
        "reads",
        "taken",
        "written",
    )

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.base: int | None = None
        """The sequence number of the first byte."""
        self.messages = 0
        """How many there were."""
        self.written = 0
        """Bytes that the program has written."""
        self.taken = 0
        """Bytes that QEMU has read from its socket."""
        self.read = 0
        """Bytes that the program at the other end has read."""
        self.pending: deque[Course] = deque()
        self.passages: deque[Passage] = deque()
        """Frames with bytes that are not read, in the order in which they were sent."""
        self.into: deque[tuple[int, int, At]] = deque()
        """What QEMU has read from (or given to) its socket: from, up to, when."""
        self.reads: deque[tuple[int, int, At]] = deque()
        """What the program has read."""
        self.done = 0
        """All messages up to this byte have been handed out."""
        self.covered = 0
        """To the guest: the driver has taken all bytes up to here."""
        self.early: list[tuple[int, int]] = []
        """Stretches behind a gap that it has taken."""
        self.arrived: deque[tuple[int, At]] = deque()
        """Up to which byte all had been taken, and when."""

    def offset(self, segment: Segment) -> int | None:
        """Where a segment's bytes begin; None before its SYN, or for what is not of the stream."""
        if segment.flags & SYN:
            self.base = (segment.seq + 1) % _SPACE
            return None
        if self.base is None:
            return None
        # The 32 bits go round: the place nearest to what has been written is meant.
        near = (segment.seq - self.base - self.written) % _SPACE
        near -= _SPACE if near >= _HALF else 0
        at = self.written + near
        return at if at >= 0 else None

    def take(self, passage: Passage, at: At) -> None:
        """The driver has taken a frame: note how far all bytes are there."""
        begin, end = passage.begin, passage.end
        if end <= self.covered or passage.wrong:
            return
        heapq.heappush(self.early, (begin, end))
        before = self.covered
        while self.early and self.early[0][0] <= self.covered:
            self.covered = max(self.covered, heapq.heappop(self.early)[1])
        if self.covered > before:
            self.arrived.append((self.covered, at))

    def forget(self, upto: int) -> Iterator[Passage]:
        """All messages up to this byte have been handed out: the frames that had them."""
        self.done = upto
        for known in (self.into, self.reads):
            while known and known[0][1] <= upto:
                known.popleft()
        while self.arrived and self.arrived[0][0] <= upto:
            self.arrived.popleft()
        while self.passages and self.passages[0].end <= upto:
            yield self.passages.popleft()


class Connection:
    """One TCP connection of the host that goes on in the guest."""

    __slots__ = (
        "client",
        "forwarded",
        "guest",
        "number",
        "opened",
        "remote",
        "reset",
        "segments",
        "server",
        "streams",
    )

    def __init__(self, client: Endpoint | None, server: Endpoint | None) -> None:
        self.client, self.server = client, server
        """The two sockets of the host; None: slirp itself is the other end, as far as is known."""
        self.forwarded = True
        """Whether the host has opened it; else the guest."""
        self.number = 0
        """Among those that the guest has part in."""
        self.guest: Endpoint | None = None
        self.remote: Endpoint | None = None
        """The two ends as the guest sees them."""
        self.opened = 0
        """When it was open; 0: not yet."""
        self.segments = 0
        """Of whoever opens it, up to the second, with which it is open."""
        self.reset = False
        self.streams = {TO_GUEST: Stream(self), TO_HOST: Stream(self)}


class Tracker:
    """Goes through a trace; ``courses`` hands out each message as it has arrived."""

    def __init__(
        self, trace: Trace, frames: Mapping[str, Sequence[Captured]], host: bytes = b""
    ) -> None:
        """``frames`` are the captures at the two ends of the wire; ``host`` is the address of the
        host as the guest sees it."""
        self.trace = trace
        self._host = host
        self._captures = {name: _Capture(found) for name, found in frames.items()}
        self._machines = [
            name.removesuffix("-nic") for name in frames if is_card(name) and name != "nic"
        ]
        """Those behind the first, which has no name, by their cards' captures."""
        self._conns = 0
        self._connections: dict[int, Connection] = {}
        self._dialled: dict[Endpoint, Connection] = {}
        """By the client's end, those that are not open yet."""
        self._clients: dict[int, Connection] = {}
        """By the client's port, those that the guest has no part in so far."""
        self._in_guest: dict[Ends, Connection] = {}
        self._passages: dict[int, Passage] = {}
        self._unraised: list[Passage] = []
        self._changed: dict[Stream, None] = {}
        self._syns: dict[str, Ends] = {}
        """By thread: the guest's SYN that slirp has in its hands."""
        self._seen: set[int] = set()
        """Frames that have passed an end of the wire lately."""
        self._before = 0
        """Frames up to this number had, by the last instant."""
        self._rise: At | None = None
        self._pid = 0
        self._datagrams = Datagrams(self._passages, self.end_name)
        self._handlers: dict[str, Handler] = {
            Connecting.kind: self._connecting,
            Connected.kind: self._connected,
            Sent.kind: self._sent,
            Received.kind: self._received,
            Closed.kind: self._closed,
            Scheduled.kind: self._switched,
            Written.kind: self._written,
            Read.kind: self._read,
            FramePassed.kind: self._passed,
            FrameStored.kind: self._stored,
            FrameTaken.kind: self._taken,
            PinDriven.kind: self._driven,
            Held.kind: self._held_up,
            Lost.kind: self._lost,
            Made.kind: self._made,
            **self._datagrams.handlers,
        }

    def courses(self) -> Iterator[Course]:
        """Each message: those that have arrived as they do, then the others, as they were sent."""
        for _, batch in groupby(_events(self.trace), key=lambda one: one[0][0]):
            self._take_in(list(batch))
            yield from self._arrived()
        yield from self._rest()

    def _take_in(self, batch: list[tuple[Noted, ThreadRecord]]) -> None:
        """The events of one instant. Each thread's have their order; a thread that notes what
        hangs on another's (it reads from a connection that is not known) waits for that one."""
        handlers = self._handlers
        if len(self._seen) > MANY:
            self._before = max(self._seen)
            self._seen.clear()
        if len(batch) == 1:
            event, record = batch[0]
            handle = handlers.get(event[2])
            if handle is not None:
                handle(At(event[0], record, event[1]), event)
            return
        threads: dict[str, deque[tuple[Noted, ThreadRecord]]] = {}
        for event, record in batch:
            if event[2] in handlers:
                threads.setdefault(record.name, deque()).append((event, record))
        self._before = max(self._seen, default=self._before)
        self._seen.clear()
        forced = False
        while threads:
            moved = False
            for name, left in list(threads.items()):
                while left:
                    event, record = left[0]
                    if handlers[event[2]](At(event[0], record, event[1]), event) and not forced:
                        break
                    left.popleft()
                    moved, forced = True, False
                if not left:
                    del threads[name]
            forced = not moved

    def earlier(self, course: Course) -> bool:
        """Whether another message to the guest was sent before ``course``, and may arrive yet."""
        return any(
            other.sent.time < course.sent.time
            for conn in self._connections.values()
            for other in list(conn.streams[TO_GUEST].pending)[:1]
        )

    # --- who has arrived

    def _arrived(self) -> Iterator[Course]:
        yield from self._datagrams.arrived()
        for stream in self._changed:
            while stream.pending:
                course = stream.pending[0]
                if stream.read <= course.last_byte or not self._is_whole(stream, course):
                    break
                stream.pending.popleft()
                self._complete(stream, course)
                self._forget(stream, course.last_byte + 1)
                yield course
        self._changed.clear()

    def _is_whole(self, stream: Stream, course: Course) -> bool:
        """Whether the call that sends is known to be over: another has begun, or it has met no
        end of the room that there is."""
        return len(stream.pending) > 1 or (course.direction == TO_GUEST and not course.full)

    def _rest(self) -> Iterator[Course]:
        left = self._datagrams.rest()
        streams = {
            stream: None
            for conn in (*self._connections.values(), *self._in_guest.values())
            for stream in conn.streams.values()
            if conn.guest is not None
        }
        for stream in streams:
            for course in stream.pending:
                self._complete(stream, course)
                if course.read is None and stream.conn.reset:
                    course.fate = course.fate or RESET
                left.append(course)
        for course in sorted(left, key=lambda course: (course.sent.time, course.conn)):
            if course.read is None:
                course.fate = course.fate or UNDER_WAY
            yield course

    def _complete(self, stream: Stream, course: Course) -> None:
        """Gather what is known of the last byte of a message that has been read."""
        byte, conn = course.last_byte, stream.conn
        course.conn, course.opened = conn.number, conn.opened
        course.forwarded = conn.forwarded
        course.sender, course.receiver = self._ends(conn, course.direction)
        course.connection = _text(conn)
        into = next((at for begin, end, at in stream.into if begin <= byte < end), None)
        course.read = next((at for begin, end, at in stream.reads if begin <= byte < end), None)
        if conn.client is None:
            course.fate = SLIRP_TOOK
        carried = [passage for passage in stream.passages if passage.holds(byte)]
        if course.direction == TO_GUEST:
            course.into_qemu = into
            tried = [p for p in carried if p.slirp is not None]
            there = [p for p in carried if p.taken is not None and p.stored and not p.wrong]
            course.passage = min(there, key=_taken, default=None)
            whole = next((at for end, at in stream.arrived if end > byte), None)
            if course.passage is not None and whole is not None:
                course.whole = whole if whole.time > _taken(course.passage) else None
        else:
            course.out_of_qemu = into
            tried = [p for p in carried if p.nic is not None]
            there = [p for p in tried if p.slirp is not None and not p.wrong]
            course.passage = min(there, key=_at_slirp, default=None)
        course.tried = next(iter(tried), course.passage)
        first = next((p for p in stream.passages if p.holds(course.first_byte)), None)
        if first is not None:
            begin = course.first_byte - first.begin
            course.text = first.payload[begin : begin + course.size]

    def _forget(self, stream: Stream, upto: int) -> None:
        for passage in stream.forget(upto):
            self._passages.pop(passage.number, None)

    def _ends(self, conn: Connection, direction: Direction) -> tuple[str, str]:
        assert conn.guest is not None, "the guest has part in it"
        assert conn.remote is not None, "and so has somebody else"
        guest, remote = f"guest:{conn.guest[1]}", self.end_name(conn.remote)
        return (remote, guest) if direction == TO_GUEST else (guest, remote)

    def end_name(self, end: Endpoint) -> str:
        """``host:39866``; another address than the host's is written out."""
        known = not self._host or end[0] == self._host
        return f"{'host' if known else ip_text(end[0])}:{end[1]}"

    # --- the host's sockets

    def _connecting(self, at: At, event: Noted) -> None:
        client, server = event[3:]
        conn = self._dialled[client] = Connection(client, server)
        syn = self._syns.pop(at.record.name, None)
        if syn is not None and is_qemu(at.record):
            # The guest's; until now slirp itself was taken for the other end.
            alone = self._in_guest[syn]
            alone.streams[TO_HOST].conn = alone.streams[TO_GUEST].conn = conn
            conn.streams, conn.segments = alone.streams, alone.segments
            conn.forwarded = False
            self._join(conn, syn)

    def _connected(self, at: At, event: Noted) -> None:
        number, client, server = event[3:]
        conn = self._dialled.pop(client, None) or Connection(client, server)
        self._connections[number] = conn
        if conn.guest is None:
            self._clients[client[1]] = conn

    def _join(self, conn: Connection, ends: Ends) -> None:
        """A guest has part in a connection."""
        _, conn.guest, conn.remote = ends
        self._in_guest[ends] = conn

    def _closed(self, at: At, event: Noted) -> None:
        number, _, how = event[3:]
        if how == "reset" and number in self._connections:
            self._connections[number].reset = True

    def _sent(self, at: At, event: Noted) -> bool:
        number, first, count, _, resumed = event[3:]
        conn = self._connections.get(number)
        if conn is None:
            return True
        if is_qemu(at.record):
            stream = conn.streams[TO_HOST]
            stream.into.append((first, first + count, at))
            return False
        stream = conn.streams[TO_GUEST]
        self._wrote(stream, TO_GUEST, at, first, count, resumed)
        course = stream.pending[-1]
        course.full = first + count - stream.taken >= _ROOM
        return False

    def _received(self, at: At, event: Noted) -> bool:
        number, first, count, _ = event[3:]
        conn = self._connections.get(number)
        if conn is None:
            return True
        if is_qemu(at.record):
            stream = conn.streams[TO_GUEST]
            stream.into.append((first, first + count, at))
            stream.taken = first + count
        elif conn.guest is None:
            # Two programs of the host: the guest has no part in it.
            if conn.client is not None:
                self._clients.pop(conn.client[1], None)
            del self._connections[number]
        else:
            self._has_read(conn.streams[TO_HOST], first, count, at)
        return False

    def _wrote(
        self, stream: Stream, direction: Direction, at: At, first: int, count: int, resumed: bool
    ) -> None:
        """A program has written: a new message, or more of the last one."""
        stream.written = first + count
        last = stream.pending[-1] if stream.pending else None
        if resumed and last is not None and last.last_byte + 1 == first:
            last.size += count
            last.sent_last = at
            return
        stream.messages += 1
        stream.pending.append(
            Course("tcp", direction, at, at, first, count, stream.messages, pid=self._pid)
        )
        self._changed[stream] = None

    def _has_read(self, stream: Stream, first: int, count: int, at: At) -> None:
        stream.reads.append((first, first + count, at))
        stream.read = max(stream.read, first + count)
        self._changed[stream] = None

    # --- the guest's sockets

    def _written(self, at: At, event: Noted) -> bool:
        local, remote, first, count, resumed = event[3:]
        conn = self._in_guest.get((machine_of(at.record.name, self._machines), local, remote))
        if conn is not None:
            self._wrote(conn.streams[TO_HOST], TO_HOST, at, first, count, resumed)
        return conn is None

    def _read(self, at: At, event: Noted) -> bool:
        local, remote, first, count = event[3:]
        conn = self._in_guest.get((machine_of(at.record.name, self._machines), local, remote))
        if conn is not None:
            self._has_read(conn.streams[TO_GUEST], first, count, at)
        return conn is None

    def _switched(self, at: At, event: Noted) -> None:
        self._pid = event[4]
        self._datagrams.switched(self._pid)

    # --- the wire and the card

    def _passed(self, at: At, event: Noted) -> bool:
        name, to_guest, number = event[3:]
        machine, point = place_of(name, self._machines)
        if point not in ENDS:
            return False  # a cable between machines: what comes out of it is another frame
        from_sender = (point == "slirp") == to_guest
        captured = self._captures.get(name)
        frame = None if captured is None else captured.take(number)
        early = to_guest and point == "slirp" and frame is not None
        if captured is not None and frame is not None and early and self._is_early(machine, frame):
            captured.put_back(frame)
            return True
        self._seen.add(number)
        if point == "slirp" and not to_guest:
            self._syns.pop(at.record.name, None)
            self._datagrams.at_slirp(at, number)
        passage = self._passages.get(number)
        if frame is not None:
            passage = self._look(at, machine, to_guest, number, frame, passage, from_sender)
        if passage is not None:
            if point == "slirp":
                passage.slirp = passage.slirp or at
                self._slirp_has(passage, to_guest)
            else:
                passage.nic = passage.nic or at
        return False

    def _is_unseen(self, number: int) -> bool:
        """Whether a frame has yet to pass its sender's end of the wire."""
        return number > self._before and number not in self._seen

    def _is_early(self, machine: str, frame: Frame) -> bool:
        """Whether slirp opens a connection to the guest whose other part is not known."""
        segment = frame.segment
        if segment is None or segment.flags & (SYN | ACK) != SYN:
            return False
        ends = machine, (segment.dst, segment.dport), (segment.src, segment.sport)
        return segment.sport not in self._clients and ends not in self._in_guest

    def _slirp_has(self, passage: Passage, to_guest: bool) -> None:
        """A frame of the guest, which ends there if there is no socket of the host behind it."""
        stream = passage.flow
        if not to_guest and isinstance(stream, Stream) and stream.conn.client is None:
            stream.read = max(stream.read, passage.end)
            self._changed[stream] = None

    def _look(
        self,
        at: At,
        machine: str,
        to_guest: bool,
        number: int,
        frame: Frame,
        passage: Passage | None,
        from_sender: bool,
    ) -> Passage | None:
        """Whose bytes a frame has; ``from_sender``: it is at its sender's end of the wire."""
        segment = frame.segment
        if segment is None:
            if from_sender:
                if self._machines and not to_guest:
                    self._datagrams.guests.add(frame.raw[SOURCE])
                return self._datagrams.frame(at, to_guest, number, frame.raw)
            if passage is not None and passage.made:
                passage.wrong = self._datagrams.is_wrong(frame.raw)
            return passage
        source, target = (segment.src, segment.sport), (segment.dst, segment.dport)
        ends = (machine, target, source) if to_guest else (machine, source, target)
        if segment.flags & (SYN | ACK) == SYN and from_sender == to_guest:
            self._syn(at, to_guest, ends, segment)
        conn = self._in_guest.get(ends)
        if conn is None:
            return passage
        stream = conn.streams[TO_GUEST if to_guest else TO_HOST]
        if not from_sender:
            if passage is not None and passage.made and segment.payload:
                offset = stream.offset(segment)
                passage.wrong = offset != passage.begin or not segment.sums_ok
            return passage
        offset = stream.offset(segment)
        self._opens(conn, at, to_guest)
        if offset is None or not segment.payload or offset + len(segment.payload) <= stream.done:
            return passage
        made = Passage(number, stream, offset, offset + len(segment.payload))
        stream.passages.append(made)
        self._passages[number] = made
        made.payload = segment.payload
        return made

    def _syn(self, at: At, to_guest: bool, ends: Ends, segment: Segment) -> None:
        """A connection begins at slirp: its own to the guest, or the guest's."""
        if to_guest:
            conn = self._clients.pop(segment.sport, None)
            if conn is not None:
                self._join(conn, ends)
            return
        self._syns[at.record.name] = ends
        known = self._in_guest.get(ends)
        if known is None or known.segments > 1:
            conn = Connection(None, None)
            conn.forwarded = False
            conn.streams[TO_HOST].base = (segment.seq + 1) % _SPACE
            self._join(conn, ends)

    def _opens(self, conn: Connection, at: At, to_guest: bool) -> None:
        """Slirp answers the guest's SYN-ACK, or the guest answers slirp's."""
        if conn.opened:
            return
        conn.segments += to_guest == conn.forwarded
        if conn.segments == 2:
            self._conns += 1
            conn.number, conn.opened = self._conns, at.time

    def _stored(self, at: At, event: Noted) -> bool:
        passage = self._passages.get(event[3])
        if passage is not None and passage.stored is None:
            passage.stored = at
            if self._rise is not None and self._rise.time == at.time:
                passage.raised = self._rise
            else:
                self._unraised.append(passage)
        return passage is None and self._is_unseen(event[3])

    def _driven(self, at: At, event: Noted) -> None:
        if event[3]:
            self._rise = at
            for passage in self._unraised:
                passage.raised = at
            self._unraised.clear()

    def _taken(self, at: At, event: Noted) -> bool:
        passage = self._passages.get(event[3])
        if passage is not None and passage.taken is None:
            passage.taken = at
            if isinstance(passage.flow, Stream):
                passage.flow.take(passage, at)
        return passage is None and self._is_unseen(event[3])

    def _held_up(self, at: At, event: Noted) -> bool:
        passage = self._passages.get(event[3])
        if passage is not None and not passage.held:
            passage.held = str(event[5])
        return passage is None and self._is_unseen(event[3])

    def _lost(self, at: At, event: Noted) -> bool:
        passage = self._passages.get(event[3])
        if passage is not None:
            passage.lost = f"lost at {event[4]}: {event[5]}"
        return passage is None and self._is_unseen(event[3])

    def _made(self, at: At, event: Noted) -> bool:
        number, of = event[3:5]
        origin = self._passages.get(of)
        if origin is None:
            return self._is_unseen(of)
        made = Passage(number, origin.flow, origin.begin, origin.end)
        made.made, made.slirp, made.nic = True, origin.slirp, origin.nic
        self._passages[number] = made
        if isinstance(made.flow, Stream):
            made.flow.passages.append(made)
        return False


class _Capture:
    """A capture, read as its frames are asked for, nearly in its order."""

    def __init__(self, frames: Sequence[Captured]) -> None:
        self._left = iter(frames)
        self._ahead: dict[int, Frame] = {}

    def take(self, number: int) -> Frame | None:
        """The frame of that number; None if the capture has not got it."""
        found = self._ahead.pop(number, None)
        while found is None:
            captured = next(self._left, None)
            if captured is None:
                return None
            if captured.frame.number == number:
                return captured.frame
            self._ahead[captured.frame.number] = captured.frame
        return found

    def put_back(self, frame: Frame) -> None:
        """It will be asked for again."""
        self._ahead[frame.number] = frame


def _taken(passage: Passage) -> int:
    assert passage.taken is not None, "the driver has taken it"
    return passage.taken.time


def _at_slirp(passage: Passage) -> int:
    assert passage.slirp is not None, "it has reached slirp"
    return passage.slirp.time


def _text(conn: Connection) -> str:
    """A connection as the host's programs see it, or else the guest's."""
    ends = conn.client or conn.guest, conn.server or conn.remote
    return " -> ".join(f"localhost:{end[1]}" for end in ends if end is not None)


def _events(trace: Trace) -> Iterator[tuple[Noted, ThreadRecord]]:
    """All events in order of time, then of the threads' ranks."""

    def of(record: ThreadRecord) -> Iterator[tuple[int, int, int, Noted, ThreadRecord]]:
        for event in record.events:
            yield event[0], record.rank, event[1], event, record

    merged = heapq.merge(*map(of, trace.threads.values()), key=lambda one: one[:3])
    for *_, event, record in merged:
        yield event, record
