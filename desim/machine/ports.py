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

from desim.engine.environment import Environment
from desim.engine.trace import Trace
from desim.errors import OverBudgetError
from desim.events import (
    Closed,
    Connected,
    FramePassed,
    FrameStored,
    Held,
    Kind,
    Lost,
    Made,
    PinDriven,
    Read,
    Received,
    Sent,
)
from desim.guest.cpu.ioapic import IoApicPin
from desim.guest.kernel import ReadObserver
from desim.guest.mm.memory import Memory
from desim.host.loopback import SocketObserver
from desim.machine.capture import Capture
from desim.machine.conservation import UnderWay
from desim.machine.counts import Passed, wanted
from desim.net.filter_faults import FaultLedger
from desim.ports import Endpoint, NetClient, NetPort, PciBus
from desim.reasons import Reason
from desim.record import Record, keeps
from desim.spool import Spool
from desim.wire.frame import Frame

Ts = TypeVarTuple("Ts")


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
        self.frames = self.notes = 0
        self.max_frames = max_frames
        self.max_notes = max_notes
        self.under_way = UnderWay()
        self.captures: dict[str, Capture] = {}
        self.passed = Passed(env)
        self._wanted = wanted(record)
        self._counts = not keeps(record, "journeys") and (capture or keeps(record, "counters"))
        self._capture = capture
        self._spool = spool or Spool()

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

    def number(self, frame: Frame) -> int:
        """The frame's number; the first capture point that sees it gives it.

        Raises ``OverBudgetError`` for one frame too many.
        """
        if not frame.number:
            if self.frames == self.max_frames:
                raise self.too_many("frames", self.frames)
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
        # The way of a message is told from what slirp has sent.
        if self._capture or (name == "slirp" and FramePassed.kind in self._wanted):
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
                raise recorder.too_many("frames", recorder.frames)
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

    def can_receive(self) -> bool:
        return self.client.can_receive()

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


class FrameLedger(FaultLedger):
    """The ledger of one machine: every frame that ended early is noted, with place and reason."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._note_lost = recorder.noter(Lost)
        self._note_held = recorder.noter(Held)
        self._note_made = recorder.noter(Made)

    def lost(self, frame: Frame, where: str, why: Reason) -> None:
        self.recorder.under_way.lost(frame)
        if self._note_lost is not None:
            self._note_lost(frame.number, where, why)

    def held(self, frame: Frame, where: str, why: Reason) -> None:
        if self._note_held is not None:
            self._note_held(frame.number, where, why)

    def made(self, frame: Frame, of: Frame, where: str, why: Reason) -> None:
        number = self.recorder.number(frame)
        self.recorder.under_way.sent(frame)
        if self._note_made is not None:
            self._note_made(number, of.number, where, why)


class Connections(SocketObserver, ReadObserver):
    """Notes what programs and QEMU do with their connections (``SocketObserver``,
    ``ReadObserver``)."""

    def __init__(self, recorder: Recorder) -> None:
        self._connected = recorder.noter(Connected)
        self._sent = recorder.noter(Sent)
        self._received = recorder.noter(Received)
        self._closed = recorder.noter(Closed)
        self._read = recorder.noter(Read)

    def connected(self, conn: int, client: Endpoint, server: Endpoint) -> None:
        if self._connected is not None:
            self._connected(conn, client, server)

    def sent(self, conn: int, first_byte: int, count: int, by: str) -> None:
        if self._sent is not None:
            self._sent(conn, first_byte, count, by)

    def received(self, conn: int, first_byte: int, count: int, by: str) -> None:
        if self._received is not None:
            self._received(conn, first_byte, count, by)

    def closed(self, conn: int, by: str, how: str) -> None:
        if self._closed is not None:
            self._closed(conn, by, how)

    def read(self, local: Endpoint, remote: Endpoint, first_byte: int, count: int) -> None:
        if self._read is not None:
            self._read(remote, first_byte, count)


class Bus(PciBus):
    """``PciBus``: the guest's memory by DMA, and the card's pin."""

    __slots__ = (
        "_level",
        "_meet_dma",
        "_meet_irq",
        "_note_driven",
        "_note_stored",
        "memory",
        "pin",
    )

    def __init__(
        self, env: Environment, memory: Memory, pin: IoApicPin, recorder: Recorder
    ) -> None:
        self.memory = memory
        self.pin = pin
        self._note_stored = recorder.noter(FrameStored)
        self._note_driven = recorder.noter(PinDriven)
        self._level = False
        self._meet_dma = env.touch_point("dma")
        self._meet_irq = env.touch_point("irq_line")

    def dma_read(self, address: int, size: int) -> bytes:
        self._meet_dma()
        return self.memory.read(address, size)

    def dma_write(self, address: int, data: bytes) -> None:
        self._meet_dma()
        self.memory.write(address, data)

    def dma_write_frame(self, address: int, data: bytes, frame: Frame) -> None:
        self._meet_dma()
        self.memory.write_frame(address, data, frame)
        if self._note_stored is not None:
            self._note_stored(frame.number)

    def set_irq(self, level: bool) -> None:
        if level != self._level:
            self._meet_irq()
            self._level = level
            if self._note_driven is not None:
                self._note_driven(level)
            self.pin.set_level(level)
