"""One message on its way from ``send()`` on the host to ``read()`` in the guest.

Theory of operation
-------------------
At every instant the message is in exactly one place: in the hands of a thread that
carries it on, or laid down somewhere until the next thread takes it up. So the way
is a chain of legs without gaps, and the times of the legs add up to the total.

    host program  write()                        carried by the program
    socket buffer                                waits: handshake, poll, big lock
    main loop     recv ... e1000_receive_iov     carried by QEMU (or, when the window
                                                 was shut, by the vCPU that brings the ACK)
    receive ring                                 waits: mitigation, interrupt, driver
    vCPU          interrupt ... tcp_data_queue   carried by the guest's kernel
    socket queue                                 waits: the rest of the soft interrupt, scheduler
    vCPU          read()                         carried by the guest's program

Where a leg begins and ends is told by landmarks: functions of which the cores say in their
tables of stages what they mean for a message (``desim.stages.Landmark``). So a second card
or another stack brings its own.

On a leg that is carried, each nanosecond is the *own* time of the innermost open
stage, or waiting if that is a wait. On a leg where the message lies, all time is
waiting, for what the thread that will take it up is doing meanwhile.

Followed is the last byte of the first message that the host sends on a connection
into the guest. Latency follows bytes of the stream: frames are matched by their
sequence numbers, whatever they were cut into.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple

from desim.engine.trace import E, Happened, ThreadRecord, Trace
from desim.events import (
    Connected,
    FramePassed,
    FrameStored,
    FrameTaken,
    Held,
    PinDriven,
    Read,
    Received,
    Sent,
)
from desim.machine.capture import Captured
from desim.stages import LOOPS, Landmark, Owner

Carrier = Literal["host program", "QEMU", "guest kernel", "guest program"]
"""Who has the message."""
HOST_PROGRAM: Carrier = "host program"
EMULATOR: Carrier = "QEMU"
GUEST_KERNEL: Carrier = "guest kernel"
GUEST_PROGRAM: Carrier = "guest program"


class Row(NamedTuple):
    """One station of the way: ns of own time, or of waiting and for what."""

    station: str
    file: str
    own_ns: int
    waiting_ns: int
    waits_for: str
    owner: Owner | None = None
    """Whose code the station is; None if it is a wait."""
    carrier: Carrier | None = None
    """Who has the message then; None if it lies somewhere."""


@dataclass(frozen=True, slots=True)
class Journey:
    """The way of one message of ``size`` bytes, ``text`` being the start of it: leg by leg.

    Iterating over it gives the legs (``rows``), in order; they add up to ``total_ns``
    exactly, always. A run in which no message arrived has a journey without legs, which is
    false.
    """

    text: bytes = b""
    size: int = 0
    connection: str = ""
    begin_ns: int = 0
    """The entry of ``send()``, in virtual ns since power-on."""
    end_ns: int = 0
    """The return of ``read()``."""
    rows: tuple[Row, ...] = ()
    stays: tuple[Row, ...] = ()
    """The same in order of time, without gaps: only what is next to each other is one."""

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def total_ns(self) -> int:
        """From the entry of ``send()`` to the return of ``read()``."""
        return self.end_ns - self.begin_ns

    @property
    def own_ns(self) -> int:
        """What somebody worked on it."""
        return sum(row.own_ns for row in self.rows)

    @property
    def waiting_ns(self) -> int:
        """What it lay somewhere."""
        return sum(row.waiting_ns for row in self.rows)


class _Leg(NamedTuple):
    """A stretch of time: the message is carried, or ``lies`` names the place where it lies."""

    begin: int
    end: int
    record: ThreadRecord
    carrier: Carrier | None
    lies: str = ""
    why: str = ""


def _lies(begin: int, end: int, record: ThreadRecord, place: str, why: str = "") -> _Leg:
    """The message lies at ``place`` until ``record``'s thread takes it up."""
    return _Leg(begin, end, record, None, place, why)


def follow(trace: Trace, frames: Sequence[Captured]) -> Journey:
    """The journey of the first message into the guest; one without legs if none has arrived.

    ``frames`` is the capture at slirp's port.
    """
    connected = {opened.event.conn: opened.event for opened in trace.happened(Connected)}
    read_up_to: dict[int, int] = {}
    for _, _, _, read in trace.happened(Read):
        port, end = read.remote[1], read.first_byte + read.count
        read_up_to[port] = max(end, read_up_to.get(port, 0))
    for sent in trace.happened(Sent):
        message = sent.event
        if message.by != "client" or message.conn not in connected:
            continue
        port = connected[message.conn].client[1]
        byte = message.first_byte + message.count - 1
        if byte >= read_up_to.get(port, 0):
            continue
        way = _Way(trace, frames)
        arrival = way.read(port, byte)
        if arrival is None:
            continue
        legs = way.legs(sent, byte, port, arrival)
        if legs is not None:
            text = way.text(port, message.first_byte, message.count)
            name = f"localhost:{port} -> localhost:{connected[message.conn].server[1]}"
            begin, end = legs[0].begin, legs[-1].end
            stays = tuple(_stays(way, legs))
            return Journey(text, message.count, name, begin, end, tuple(_rows(stays)), stays)
    return Journey()


def _holds(bytes_: Happened[Sent] | Happened[Received] | Happened[Read], byte: int) -> bool:
    """Whether the event is about the byte."""
    first = bytes_.event.first_byte
    return first <= byte < first + bytes_.event.count


class _Stacks:
    """The stacks of open stages of one thread, as places in its record.

    The record is read as far as somebody asks; every ``STEP`` marks the stack is kept, so that
    the one at any position is a short way off.
    """

    STEP = 512

    def __init__(self, record: ThreadRecord) -> None:
        self._codes = record.codes
        self._kept: list[tuple[int, ...]] = [()]

    def at(self, position: int) -> list[int]:
        """The places of entry of the stages that were open in front of ``position``."""
        number = position // self.STEP
        while len(self._kept) <= number:
            last = len(self._kept) * self.STEP
            self._kept.append(tuple(self._passed(self._kept[-1], last - self.STEP, last)))
        return self._passed(self._kept[number], number * self.STEP, position)

    def _passed(self, stack: tuple[int, ...], begin: int, end: int) -> list[int]:
        """What becomes of the stack in front of ``begin`` by the marks up to ``end``."""
        found = list(stack)
        for index, code in enumerate(self._codes[begin:end], begin):
            if code & 1:
                found.pop()
            else:
                found.append(index)
        return found


class _Way:
    """Finds the legs of one journey."""

    def __init__(self, trace: Trace, frames: Sequence[Captured]) -> None:
        self.trace = trace
        self.frames = frames
        self._stacks: dict[str, _Stacks] = {}

    def legs(
        self, sent: Happened[Sent], byte: int, port: int, arrival: Happened[Read]
    ) -> list[_Leg] | None:
        """All legs in order, or None if a station cannot be found in the trace."""
        begin, _ = self._around(sent, Landmark.HOST_CALL)
        received = self.first(
            Received, lambda one: one.event.conn == sent.event.conn and _holds(one, byte)
        )
        numbers = self._numbers(port, byte)
        dma = self.first(FrameStored, lambda one: one.event.frame in numbers)
        if received is None or dma is None:
            return None
        number = dma.event.frame
        framed = self.first(
            FramePassed, lambda one: one.event.point == "slirp" and one.event.frame == number
        )
        taken = self.first(FrameTaken, lambda one: one.event.frame == number)
        tried = self.first(
            FramePassed, lambda one: one.event.point == "slirp" and one.event.frame in numbers
        )
        if framed is None or taken is None or tried is None:
            return None
        recv, _ = self._around(received, Landmark.TAKEN_BY_QEMU)
        legs = [_Leg(begin, sent.time, sent.record, HOST_PROGRAM)]
        opened = min(max(self._established(port), sent.time), recv)
        legs.append(_lies(sent.time, opened, received.record, "host socket buffer", "handshake"))
        legs.append(_lies(opened, recv, received.record, "host socket buffer"))
        legs += self._through_qemu(received, recv, tried, framed, dma, taken)
        legs += self._through_ring(legs[-1].end, dma, taken)
        legs += self._through_guest(legs[-1].end, taken, arrival)
        return legs

    def _through_qemu(
        self,
        received: Happened[Received],
        recv: int,
        tried: Happened[FramePassed],
        framed: Happened[FramePassed],
        dma: Happened[FrameStored],
        taken: Happened[FrameTaken],
    ) -> Iterator[_Leg]:
        """From recv() to the last byte in the guest's memory.

        ``tried`` is the first frame with that byte, ``framed`` the one that arrived.
        """
        _, read_end = self._around(received, Landmark.READ_INTO_SLIRP)
        sending, _ = self._around(framed, Landmark.SENT_BY_SLIRP)
        if received.record is framed.record and sending <= read_end:
            yield _Leg(recv, framed.time, framed.record, EMULATOR)
        else:
            yield _Leg(recv, read_end, received.record, EMULATOR)
            sending = max(sending, read_end)
            if tried.event.frame != framed.event.frame:
                first, _ = self._around(tried, Landmark.SENT_BY_SLIRP)
                if first > read_end:
                    yield _lies(read_end, first, tried.record, "so_snd", "window")
                yield _lies(
                    max(first, read_end), sending, framed.record, "so_snd", "retransmission"
                )
            else:
                yield _lies(read_end, sending, framed.record, "so_snd", "window")
            yield _Leg(sending, framed.time, framed.record, EMULATOR)
        delivering, done = self._around(dma, Landmark.DELIVERED)
        at = framed.time
        held = self.first(Held, lambda one: one.event.frame == framed.event.frame)
        if held is not None or dma.record is not framed.record:
            queued = max(at, delivering)
            why = str(held.event.why) if held is not None else "receiver not ready"
            yield _lies(at, queued, dma.record, "net queue", why)
            at = queued
        raised = self._next_irq(dma.time)
        if raised is not None and raised.record is dma.record and raised.time <= done:
            done = raised.time
        # A driver that polls may take the frame while QEMU is still at it.
        done = min(done, taken.time)
        yield _Leg(at, max(done, at), dma.record, EMULATOR)

    def _through_ring(
        self, at: int, dma: Happened[FrameStored], taken: Happened[FrameTaken]
    ) -> Iterator[_Leg]:
        """From the ring to the driver's hands."""
        entry, _ = self._around(taken, Landmark.INTERRUPT, Landmark.SOFTIRQ_THREAD)
        until = taken.time if entry < at else entry
        raised = self._next_irq(dma.time)
        if raised is not None and at < raised.time <= until:
            yield _lies(at, raised.time, taken.record, "receive ring", self._why_late(raised))
            at = raised.time
        yield _lies(at, until, taken.record, "receive ring")
        yield _Leg(until, taken.time, taken.record, GUEST_KERNEL)

    def _why_late(self, raised: Happened[PinDriven]) -> str:
        """Why the line rose only then: by what made it rise."""
        if self._depth(raised, Landmark.MITIGATION_ENDED) is not None:
            return "interrupt mitigation"
        if self._depth(raised, Landmark.UNMASKED) is not None:
            return "interrupts masked by the driver (NAPI)"
        return "interrupt"

    def _through_guest(
        self, at: int, taken: Happened[FrameTaken], arrival: Happened[Read]
    ) -> Iterator[_Leg]:
        """From the driver to the return of read()."""
        queued = self._first_end(taken, Landmark.QUEUED)
        reading, done = self._around(arrival, Landmark.GUEST_CALL)
        queued = min(max(queued, at), max(reading, at))
        yield _Leg(at, queued, taken.record, GUEST_KERNEL)
        yield _lies(queued, max(reading, queued), taken.record, "socket queue")
        yield _Leg(max(reading, queued), done, arrival.record, GUEST_PROGRAM)

    def _segments(self, port: int) -> Iterator[tuple[int, Captured, bytes]]:
        """Stream offset, frame and payload of what slirp sent on the connection, in order."""
        start: int | None = None
        for captured in self.frames:
            segment = captured.frame.segment
            if segment is None or not captured.to_guest or segment.sport != port:
                continue
            if start is None:
                start = segment.seq + 1  # the SYN takes one number
            yield (segment.seq - start) & 0xFFFFFFFF, captured, segment.payload

    def _numbers(self, port: int, byte: int) -> set[int]:
        """The numbers of the frames that carry the byte."""
        return {
            captured.frame.number
            for offset, captured, payload in self._segments(port)
            if payload and offset <= byte < offset + len(payload)
        }

    def text(self, port: int, first: int, count: int) -> bytes:
        """The message, as far as its first frame shows it."""
        for offset, _, payload in self._segments(port):
            if payload and offset <= first < offset + len(payload):
                return payload[first - offset : first - offset + count]
        return b""

    def _established(self, port: int) -> int:
        """When slirp answered the guest's SYN-ACK."""
        return next((sent.time for _, sent, _ in islice(self._segments(port), 1, None)), 0)

    def read(self, port: int, byte: int) -> Happened[Read] | None:
        """The guest's read() that got the byte."""
        return self.first(Read, lambda one: one.event.remote[1] == port and _holds(one, byte))

    def _next_irq(self, time: int) -> Happened[PinDriven] | None:
        """The first rise of the pin at or after ``time``."""
        return self.first(PinDriven, lambda one: one.time >= time and one.event.level)

    def first(self, kind: type[E], wanted: Callable[[Happened[E]], bool]) -> Happened[E] | None:
        """The first event of a kind that is wanted."""
        return next(filter(wanted, self.trace.happened(kind)), None)

    def stack(self, record: ThreadRecord, position: int) -> list[int]:
        """The places of entry of the stages that were open at ``position`` of ``record``."""
        if record.name not in self._stacks:
            self._stacks[record.name] = _Stacks(record)
        return self._stacks[record.name].at(position)

    def _depth(self, event: Happened[Any], *landmarks: Landmark) -> tuple[int, int] | None:
        """Where the outermost stage of ``landmarks`` that was open at ``event`` was entered, as a
        place in the record, and how many stages were open from there on; None without one.
        """
        record, codes = event.record, self.trace.codes
        stack = self.stack(record, event.position)
        for depth, index in enumerate(stack):
            if codes.landmark(record.codes[index]) in landmarks:
                return index, len(stack) - depth
        return None

    def _around(self, event: Happened[Any], *landmarks: Landmark) -> tuple[int, int]:
        """When the outermost stage of ``landmarks`` that was open at ``event`` began and ended."""
        found = self._depth(event, *landmarks)
        if found is None:
            return event.time, event.time
        index, levels = found
        return event.record.times[index], self._end(event.record, event.position, levels)

    def _end(self, record: ThreadRecord, position: int, levels: int) -> int:
        """When the stage ``levels`` deep in the stack at ``position`` was left."""
        for index, code in enumerate(record.codes.since(position), position):
            levels += -1 if code & 1 else 1
            if levels == 0:
                return record.times[index]
        return record.times[-1]

    def _first_end(self, event: Happened[Any], landmark: Landmark) -> int:
        """When the first stage that is ``landmark`` was left after ``event``."""
        record, codes = event.record, self.trace.codes
        for index, code in enumerate(record.codes.since(event.position), event.position):
            if code & 1 and codes.landmark(code) is landmark:
                return record.times[index]
        return event.time


def _stays(way: _Way, legs: list[_Leg]) -> Iterator[Row]:
    """Where the message was, in order of time; what is next to each other and the same is one."""
    last: Row | None = None
    for row in _places(way, legs):
        if last is None:
            last = row
        elif _is_same(last, row):
            last = _joined(last, row)
        else:
            yield last
            last = row
    if last is not None:
        yield last


def _places(way: _Way, legs: list[_Leg]) -> Iterator[Row]:
    """Where the message was, piece by piece."""
    trace = way.trace
    codes = trace.codes
    for leg in legs:
        for stack, ns in _pieces(way, leg):
            if leg.lies:
                yield Row(leg.lies, "", 0, ns, leg.why or _doing(trace, stack, leg.record))
                continue
            code = stack[-1] if stack else None
            if code is None or codes.is_wait(code):
                doing = _doing(trace, stack, leg.record)
                yield Row(leg.record.name, "", 0, ns, doing, None, leg.carrier)
            else:
                name, file, owner = codes.name(code), codes.file(code), codes.owner(code)
                yield Row(name, file, ns, 0, "", owner, leg.carrier)


def _rows(stays: tuple[Row, ...]) -> list[Row]:
    """The stations: each function, and each wait, once, in the order of their first time."""
    rows: list[Row] = []
    for stay in stays:
        place = next((n for n in range(len(rows) - 1, -1, -1) if _is_same(rows[n], stay)), None)
        if place is None:
            rows.append(stay)
        else:
            rows[place] = _joined(rows[place], stay)
    return rows


def _is_same(one: Row, other: Row) -> bool:
    """Whether both are the same function, or the same wait."""
    return (one.station, one.file, one.waits_for) == (other.station, other.file, other.waits_for)


def _joined(one: Row, other: Row) -> Row:
    """Both as one."""
    own, waiting = one.own_ns + other.own_ns, one.waiting_ns + other.waiting_ns
    return one._replace(own_ns=own, waiting_ns=waiting)


def _doing(trace: Trace, stack: list[int], record: ThreadRecord) -> str:
    """What the thread that is to take the message up is doing instead: a wait by its name,
    work by the outermost stage above the thread's endless loop."""
    if not stack:
        return f"{record.name} to start"
    codes = trace.codes
    if codes.is_wait(stack[-1]):
        wait = codes.name(stack[-1]).strip("()")
        return {"halted": "interrupt"}.get(wait, wait)
    above = [code for code in stack if codes.landmark(code) not in LOOPS]
    return f"{record.name} in {codes.name((above or stack[-1:])[0])}"


def _pieces(way: _Way, leg: _Leg) -> Iterator[tuple[list[int], int]]:
    """The stack of open stages and for how many ns it stood, in order; not to be kept."""
    times, codes = leg.record.times, leg.record.codes
    position = bisect_right(times, leg.begin)
    stack = [codes[index] for index in way.stack(leg.record, position)]
    at = leg.begin
    while position < len(times) and at < leg.end:
        time, code = times[position], codes[position]
        if time > at:
            until = min(time, leg.end)
            yield stack, until - at
            at = until
        if code & 1:
            stack.pop()
        else:
            stack.append(code)
        position += 1
    if at < leg.end:
        yield stack, leg.end - at
