"""The ports of one machine: where the cores touch what others can see.

Every implementation here does three things and nothing else: it meets the other
threads at its touch point, it notes what is worth noting, and it calls the next
room. So a core never knows that there are threads, and a touch point is in one
place only.
What can be noted says ``desim.events``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVarTuple, cast
from zlib import crc32

from desim.e1000.interrupts import InterruptObserver
from desim.e1000.registers import cause_names
from desim.engine.environment import Environment
from desim.engine.trace import Trace
from desim.errors import OverBudgetError
from desim.events import (
    Closed,
    Connected,
    Connecting,
    DatagramRead,
    DatagramReceived,
    DatagramSent,
    DatagramWritten,
    FramePassed,
    FrameStored,
    Held,
    Kind,
    Lost,
    Made,
    MitigationBegun,
    MitigationEnded,
    PinDriven,
    Raised,
    Read,
    Received,
    Scheduled,
    Sent,
    Written,
)
from desim.guest.cpu.fair import Task
from desim.guest.cpu.ioapic import IoApicPin
from desim.guest.kernel import ProgramObserver
from desim.guest.mm.memory import Memory
from desim.host.loopback import SocketObserver
from desim.machine.capture import Capture
from desim.machine.conservation import UnderWay
from desim.machine.counts import Passed, wanted
from desim.ports import AsyncNetPort, CopyLedger, Dma, Endpoint, NetClient, NetPort, PciBus
from desim.reasons import Reason
from desim.record import Record, keeps
from desim.spool import Spool
from desim.wire.frame import Frame

Ts = TypeVarTuple("Ts")

FRAMES_OF_ONE = 10_000_000
"""The numbers that a machine has for its frames."""


class Recorder:
    """Notes on the running thread, numbers frames, keeps the captures and the balance."""

    def __init__(
        self,
        env: Environment,
        *,
        record: Record = "trace",
        capture: bool = True,
        max_frames: int | None = None,
        max_notes: int | None = None,
        spool: Spool | None = None,
    ) -> None:
        """``record`` and ``capture`` say what the run keeps (``desim.record``).

        ``max_frames`` and ``max_notes`` are how many a run may have; None: no limit. ``spool``
        is where the captures lie; None: one of their own.
        """
        self.env = env
        self.frames = self.notes = self.base = 0
        self.max_frames = max_frames
        self.max_notes = max_notes
        self.under_way = UnderWay()
        self.captures: dict[str, Capture] = {}
        self.passed = Passed(env)
        self._wanted = wanted(record)
        self._counts = not keeps(record, "journeys") and (capture or keeps(record, "counters"))
        self._capture = capture
        self._spool = spool or Spool()

    def beside(self, number: int) -> Recorder:
        """The recorder of a further machine: what it keeps lies with the rest, but it counts its
        frames and notes itself, as no machine waits for another before it does.

        ``number`` counts the machines before: the first frame of the second one is 10000001.
        """
        from copy import copy  # few runs have a second machine

        other = copy(self)
        other.notes = 0
        other.frames = other.base = number * FRAMES_OF_ONE
        if self.max_frames is not None:
            other.max_frames = other.base + self.max_frames
        return other

    def noter(self, kind: Kind[*Ts]) -> Callable[[*Ts], None] | None:
        """What notes events of a kind on the running thread; None if this run does not want them.

        It is called with the values of the event's fields, which are kept as they are: to make
        an object of each costs time, and few of them are ever looked at. Outside of threads it
        does nothing. It raises ``OverBudgetError`` for one event too many.
        """
        env, word = self.env, kind.kind
        if word == FramePassed.kind and self._counts:
            return cast("Callable[[*Ts], None]", self.passed.note)
        if word not in self._wanted:
            return None

        def note(*data: *Ts) -> None:
            thread = env.running
            if thread is not None:
                if self.notes == self.max_notes:
                    raise self.too_many("notes", self.notes)
                self.notes += 1
                # NOTE: ``Thread.note`` written out (one call less for each event).
                at = thread.taken + len(thread.marks)
                thread.events.append((thread.now, at, word, *data))

        return note

    def always(self, kind: Kind[*Ts]) -> Callable[[*Ts], None]:
        """As ``noter``, in a run that notes events of that kind."""
        note = self.noter(kind)
        assert note is not None, "this run does not note it"
        return note

    def connections(self) -> Connections | None:
        """Who notes what becomes of sockets; None if this run does not want to know."""
        return Connections(self) if Sent.kind in self._wanted else None

    def mitigation(self) -> Mitigation | None:
        """Who notes the card's interrupts; None if this run does not want to know."""
        return Mitigation(self) if Raised.kind in self._wanted else None

    def switches(self) -> Callable[[Task | None], None] | None:
        """What notes that the guest's processor goes over to a task; None as above."""
        note = self.noter(Scheduled)
        if note is None:
            return None

        def switched(task: Task | None) -> None:
            if task is None:
                note("", 0)
            else:
                note(task.name, task.pid)

        return switched

    def number(self, frame: Frame) -> int:
        """The frame's number; the first capture point that sees it gives it.

        Raises ``OverBudgetError`` for one frame too many.
        """
        if not frame.number:
            if self.frames == self.max_frames:
                raise self.too_many("frames", self.frames - self.base)
            self.frames += 1
            frame.number = self.frames
        return frame.number

    def too_many(self, what: str, count: int) -> OverBudgetError:
        """The error for a run that has reached a limit."""
        at = f"{self.env.time()} ns (run.limits.{what})"
        return OverBudgetError(f"more than {count} {what} by {at}")

    def point(self, name: str) -> Capture | None:
        """Where the packets of a capture point are to be kept; None if they are not."""
        self.passed.point(name)
        # The way of a message is told from what passes the ends of the wire.
        if self._capture or FramePassed.kind in self._wanted:
            return self.captures.setdefault(name, Capture(self._spool))
        return None

    def finish(self, trace: Trace, end_ns: int) -> None:
        """Forget what had not happened when the run ended, of which ``trace`` does not know any
        more."""
        if self._counts:
            self.passed.finish(end_ns)
        else:
            self.passed.count(trace)
        for name, packets in self.captures.items():
            packets.cut(self.passed.at(name))


class Tap(NetPort, NetClient):
    """A capture point in front of a net client, as ``filter-dump`` is.

    It is the client's handler in the net layer's eyes, and its net port in the
    client's. A frame towards the guest that the client refuses for now (0) will
    come again, and counts then.
    """

    __slots__ = (
        "_captured",
        "_looping",
        "_note",
        "_under_way",
        "can_receive",
        "client",
        "name",
        "port",
        "recorder",
        "sends_to_guest",
    )

    def __init__(
        self, name: str, recorder: Recorder, port: NetPort, *, sends_to_guest: bool
    ) -> None:
        self.name = name
        self.recorder = recorder
        self.port = port
        self.client: NetClient
        self.can_receive: Callable[[], bool]
        """The client's own: the net layer asks before each frame (1 call a frame)."""
        self.sends_to_guest = sends_to_guest
        self._captured = recorder.point(name)
        self._note = recorder.noter(FramePassed)
        self._under_way = recorder.under_way
        self._looping = False

    # NOTE: numbering, capturing, noting and ``UnderWay.sent`` and ``arrived`` are written out in
    # what every frame passes (six calls less for each frame, and four where nothing is kept).

    def send(self, frame: Frame) -> int:
        """The client sends."""
        recorder = self.recorder
        number = frame.number
        if not number:
            if recorder.frames == recorder.max_frames:
                raise recorder.too_many("frames", recorder.frames - recorder.base)
            recorder.frames = frame.number = number = recorder.frames + 1
        if self._captured is not None:
            env = recorder.env
            now = env._now if env.running is None else env.running.now
            self._captured.append((now, self.sends_to_guest, number, frame.raw))
        if self._note is not None:
            self._note(self.name, self.sends_to_guest, number)
        under_way = self._under_way
        if number in under_way.frames:
            under_way.sent(frame)  # it raises the error
        under_way.frames[number] = frame
        return self.port.send(frame)

    def flush(self) -> None:
        self.port.flush()

    def loopback(self, frame: Frame) -> int:
        """Such a frame never leaves the card and is not captured."""
        self._looping = True
        taken = self.port.loopback(frame)
        self._looping = False
        return taken

    def stand_before(self, client: NetClient) -> None:
        """Be the capture point in front of ``client``, before anything passes."""
        self.client = client
        self.can_receive = client.can_receive

    def blocked_by(self) -> Reason | None:
        return self.client.blocked_by()

    def receive(self, frame: Frame) -> int:
        """The net layer delivers."""
        if self._looping:
            return self.client.receive(frame)
        number = frame.number
        under_way = self._under_way
        if number not in under_way.frames:
            under_way.arrived(frame)  # it raises the error
        del under_way.frames[number]
        to_guest = not self.sends_to_guest
        captured = self._captured
        now = 0
        if captured is not None:
            env = self.recorder.env
            now = env._now if env.running is None else env.running.now
        taken = 1
        if to_guest:  # the card: it may refuse, and never answers from within
            taken = self.client.receive(frame)
            if not taken:
                under_way.refused(frame)
                return taken
        if captured is not None:
            captured.append((now, to_guest, number, frame.raw))
        if self._note is not None:
            self._note(self.name, to_guest, number)
        return taken if to_guest else self.client.receive(frame)

    def set_link(self, up: bool) -> None:
        self.client.set_link(up)


class EndTap(Tap):
    """The capture point in front of an injector, or (``SocketTap``) of a netdev with a socket.

    What goes to it has passed when it has taken all of it.
    """

    __slots__ = ()

    def __init__(self, name: str, recorder: Recorder, port: NetPort) -> None:
        super().__init__(name, recorder, port, sends_to_guest=True)

    def receive(self, frame: Frame) -> int:
        """The net layer delivers."""
        under_way = self.recorder.under_way
        under_way.arrived(frame)
        answer = self.client.receive(frame)
        if answer > 0:
            self._passes(frame, to_guest=False)
        elif answer == 0:
            under_way.refused(frame)
        return answer

    def _passes(self, frame: Frame, *, to_guest: bool) -> None:
        recorder = self.recorder
        number = recorder.number(frame)
        if self._captured is not None:
            self._captured.append((recorder.env.time(), to_guest, number, frame.raw))
        if self._note is not None:
            self._note(self.name, to_guest, number)


class SocketTap(EndTap, AsyncNetPort):
    """The same of a client that is to be told of what has to wait."""

    __slots__ = ("_async",)

    def __init__(self, name: str, recorder: Recorder, port: AsyncNetPort) -> None:
        super().__init__(name, recorder, port)
        self._async = port

    def send_async(self, frame: Frame, sent: Callable[[int], None]) -> int:
        """The client sends, and is to be told of what has to wait."""
        self._passes(frame, to_guest=True)
        self.recorder.under_way.sent(frame)
        return self._async.send_async(frame, sent)


class FrameLedger(CopyLedger):
    """The ledger of one machine: every frame that ended early is noted, with place and reason.

    ``machine`` is its name; places in the first, which has none, need none.
    """

    def __init__(self, recorder: Recorder, machine: str = "") -> None:
        self.recorder = recorder
        self._prefix = f"{machine} " if machine else ""
        self._note_lost = recorder.noter(Lost)
        self._note_held = recorder.noter(Held)
        self._note_made = recorder.noter(Made)

    def lost(self, frame: Frame, where: str, why: Reason) -> None:
        self.recorder.under_way.lost(frame)
        if self._note_lost is not None:
            self._note_lost(frame.number, self._prefix + where, why)

    def held(self, frame: Frame, where: str, why: Reason) -> None:
        if self._note_held is not None:
            self._note_held(frame.number, self._prefix + where, why)

    def made(self, frame: Frame, of: Frame, where: str, why: Reason) -> None:
        number = self.recorder.number(frame)
        self.recorder.under_way.sent(frame)
        if self._note_made is not None:
            self._note_made(number, of.number, self._prefix + where, why)


class Connections(SocketObserver, ProgramObserver):
    """Notes what programs and QEMU do with their sockets (``SocketObserver``,
    ``ProgramObserver``). Only a run that keeps all events has one (``Recorder.connections``)."""

    def __init__(self, recorder: Recorder) -> None:
        always = recorder.always
        self._connecting = always(Connecting)
        self._connected = always(Connected)
        self._sent = always(Sent)
        self._received = always(Received)
        self._closed = always(Closed)
        self._read = always(Read)
        self._written = always(Written)
        self._datagram_sent = always(DatagramSent)
        self._datagram_received = always(DatagramReceived)
        self._datagram_written = always(DatagramWritten)
        self._datagram_read = always(DatagramRead)

    def connecting(self, client: Endpoint, server: Endpoint) -> None:
        self._connecting(client, server)

    def connected(self, conn: int, client: Endpoint, server: Endpoint) -> None:
        self._connected(conn, client, server)

    def sent(self, conn: int, first_byte: int, count: int, by: str, resumed: bool) -> None:
        self._sent(conn, first_byte, count, by, resumed)

    def received(self, conn: int, first_byte: int, count: int, by: str) -> None:
        self._received(conn, first_byte, count, by)

    def closed(self, conn: int, by: str, how: str) -> None:
        self._closed(conn, by, how)

    def datagram_sent(
        self, number: int, local: Endpoint, remote: Endpoint, data: bytes, queued: bool
    ) -> None:
        self._datagram_sent(number, local, remote, len(data), crc32(data), queued)

    def datagram_received(self, number: int, local: Endpoint, remote: Endpoint, count: int) -> None:
        self._datagram_received(number, local, remote, count)

    def read(self, local: Endpoint, remote: Endpoint, first_byte: int, count: int) -> None:
        self._read(local, remote, first_byte, count)

    def written(
        self, local: Endpoint, remote: Endpoint, first_byte: int, count: int, resumed: bool
    ) -> None:
        self._written(local, remote, first_byte, count, resumed)

    def datagram_written(
        self, protocol: int, local: Endpoint, remote: Endpoint, data: bytes
    ) -> None:
        self._datagram_written(protocol, local, remote, len(data), crc32(data))

    def datagram_read(
        self, protocol: int, local: Endpoint, remote: Endpoint, count: int, frame: int
    ) -> None:
        self._datagram_read(protocol, local, remote, count, frame)


class Mitigation(InterruptObserver):
    """Notes what the card says of its interrupts (``InterruptObserver``). Only a run that keeps
    all events has one (``Recorder.mitigation``)."""

    def __init__(self, recorder: Recorder) -> None:
        self._raised = recorder.always(Raised)
        self._begun = recorder.always(MitigationBegun)
        self._ended = recorder.always(MitigationEnded)

    def raised(self, causes: int) -> None:
        self._raised(cause_names(causes))

    def mitigation_begun(
        self,
        holds: str,
        causes: int,
        by: str,
        until_ns: int,
        asked_by: str,
        asked_ns: int,
        itr_ns: int,
    ) -> None:
        self._begun(holds, cause_names(causes), by, until_ns, asked_by, asked_ns, itr_ns)

    def mitigation_ended(
        self, holds: str, causes: int, by: str, begin_ns: int, waited_ns: int, cut: bool
    ) -> None:
        self._ended(holds, cause_names(causes), by, begin_ns, waited_ns, cut)


class _NotedDma(Dma):
    """The guest's memory, in a run that notes which frames are stored there."""

    __slots__ = ("_note", "memory")

    def __init__(self, memory: Memory, note: Callable[[int], None]) -> None:
        self.memory = memory
        self._note = note

    def read(self, address: int, size: int) -> bytes:
        return self.memory.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        self.memory.write(address, data)

    def write_frame(self, address: int, data: bytes, frame: Frame) -> None:
        self.memory.write_frame(address, data, frame)
        self._note(frame.number)


class Bus(PciBus):
    """``PciBus``: the guest's memory by DMA, and the card's pin."""

    # NOTE: who has met the others has the memory itself until time moves: a frame's descriptor is
    # read, its bytes and the descriptor are written, with one meeting (0.95 of a segment's
    # instructions).
    __slots__ = ("_dma", "_level", "_meet_dma", "_meet_irq", "_note_driven", "pin")

    def __init__(
        self, env: Environment, memory: Memory, pin: IoApicPin, recorder: Recorder
    ) -> None:
        note_stored = recorder.noter(FrameStored)
        self._dma = memory if note_stored is None else _NotedDma(memory, note_stored)
        self.pin = pin
        self._note_driven = recorder.noter(PinDriven)
        self._level = False
        self._meet_dma = env.touch_point("dma")
        self._meet_irq = env.touch_point("irq_line")

    def dma(self) -> Dma:
        self._meet_dma()
        return self._dma

    def set_irq(self, level: bool) -> None:
        if level != self._level:
            self._meet_irq()
            self._level = level
            if self._note_driven is not None:
                self._note_driven(level)
            self.pin.set_level(level)
