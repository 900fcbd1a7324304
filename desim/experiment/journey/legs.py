"""The legs of a message's way: who carries it from when to when, and where it lies in between.

    host program  write()                        carried by the program
    socket buffer                                waits: handshake, poll, big lock
    main loop     recv ... e1000_receive_iov     carried by QEMU (or, when the window
                                                 was shut, by the vCPU that brings the ACK)
    receive ring                                 waits: mitigation, interrupt, driver
    vCPU          interrupt ... tcp_data_queue   carried by the guest's kernel
    socket queue                                 waits: the rest of the soft interrupt, scheduler
    vCPU          read()                         carried by the guest's program

And the other way:

    vCPU          write() ... __tcp_transmit_skb carried by the guest's program
    send queue                                   waits: window, retransmission, ARP, the ring
    vCPU          driver ... write of TDT        carried by the guest's kernel
    vCPU          e1000 ... slirp ... send()     carried by QEMU
    so_rcv                                       waits: bytes in front, the host's socket
    socket buffer                                waits: the program
    host program  read()                         carried by the program

A ping goes out like the one and comes back like the other.
"""

from __future__ import annotations

from collections.abc import Iterator

from desim.data import NamedTuple
from desim.engine.trace import ThreadRecord
from desim.experiment.journey.course import Course, Passage
from desim.experiment.journey.stacks import At, Stacks
from desim.experiment.journey.values import (
    EMULATOR,
    GUEST_KERNEL,
    GUEST_PROGRAM,
    HOST_PROGRAM,
    TO_GUEST,
    TO_HOST,
    Carrier,
)
from desim.stages import Landmark

FULL = "room in the socket buffer"


class Leg(NamedTuple):
    """A stretch of time: the message is carried, or ``lies`` names the place where it lies."""

    begin: int
    end: int
    record: ThreadRecord
    carrier: Carrier | None
    lies: str = ""
    why: str = ""


class Legs:
    """Makes the legs of courses; they follow each other without gaps."""

    def __init__(self, stacks: Stacks) -> None:
        self.stacks = stacks

    def of(self, course: Course) -> list[Leg]:
        """All legs in order, or none if a station cannot be found in the trace."""
        make = {TO_GUEST: self._to_guest, TO_HOST: self._to_host}.get(
            course.direction, self._round_trip
        )
        return make(course)

    def begin(self, course: Course) -> int:
        """The entry of the call that sends."""
        mark = Landmark.HOST_CALL if course.direction == TO_GUEST else Landmark.GUEST_CALL
        return self.stacks.around(course.sent, mark)[0]

    def end(self, course: Course) -> int:
        """The return of the call that reads; of one that has been read."""
        assert course.read is not None, "nobody has read it"
        mark = Landmark.HOST_CALL if course.direction == TO_HOST else Landmark.GUEST_CALL
        return self.stacks.around(course.read, mark)[1]

    # --- to the guest

    def _to_guest(self, course: Course) -> list[Leg]:
        passage, read, into_qemu = course.passage, course.read, course.into_qemu
        if passage is None or read is None or into_qemu is None or course.tried is None:
            return []
        sent = course.sent_last
        legs = list(self._writing(course, into_qemu.record, HOST_PROGRAM, Landmark.HOST_CALL))
        recv, _ = self.stacks.around(into_qemu, Landmark.TAKEN_BY_QEMU)
        opened = min(max(course.opened, sent.time), recv)
        legs.append(lies(sent.time, opened, into_qemu.record, "host socket buffer", "handshake"))
        legs.append(lies(opened, recv, into_qemu.record, "host socket buffer"))
        if course.kind == "udp":
            legs += self._datagram_out_of_slirp(into_qemu, recv, passage)
        else:
            legs += self._out_of_slirp(into_qemu, recv, course.tried, passage)
        legs += self._into_guest(legs[-1].end, passage, course.whole, read)
        return legs

    def _writing(
        self, course: Course, waits: ThreadRecord, carrier: Carrier, call: Landmark
    ) -> Iterator[Leg]:
        """The call that sends, until its last byte is taken."""
        first, last = course.sent, course.sent_last
        begin, _ = self.stacks.around(first, call)
        yield Leg(begin, first.time, first.record, carrier)
        if last is not first:
            again = max(self.stacks.around(last, call)[0], first.time)
            yield lies(first.time, again, waits, carrier, FULL)
            yield Leg(again, last.time, last.record, carrier)

    def _out_of_slirp(
        self, into_qemu: At, recv: int, tried: Passage, passage: Passage
    ) -> Iterator[Leg]:
        """From recv() to the last byte in the guest's memory."""
        stacks = self.stacks
        framed, first_try, stored = passage.slirp, tried.slirp, passage.stored
        assert framed is not None, "it has passed slirp's end of the wire"
        assert first_try is not None, "so has the first try"
        assert stored is not None, "it is in the guest's memory"
        _, read_end = stacks.around(into_qemu, Landmark.READ_INTO_SLIRP)
        sending, _ = stacks.around(framed, Landmark.SENT_BY_SLIRP)
        if into_qemu.record is framed.record and sending <= read_end:
            yield Leg(recv, framed.time, framed.record, EMULATOR)
        else:
            read_end = min(read_end, framed.time)
            yield Leg(recv, read_end, into_qemu.record, EMULATOR)
            sending = max(sending, read_end)
            if tried.number != passage.number and not passage.made:
                first, _ = stacks.around(first_try, Landmark.SENT_BY_SLIRP)
                first = min(first, sending)
                if first > read_end:
                    yield lies(read_end, first, first_try.record, "so_snd", "window")
                yield lies(max(first, read_end), sending, framed.record, "so_snd", "retransmission")
            else:
                yield lies(read_end, sending, framed.record, "so_snd", "window")
            yield Leg(sending, framed.time, framed.record, EMULATOR)
        yield from self._to_card(framed.time, framed, passage)

    def _datagram_out_of_slirp(self, into_qemu: At, recv: int, passage: Passage) -> Iterator[Leg]:
        """The same of a datagram: it lies in slirp only while that asks for the guest's address."""
        framed = passage.slirp
        assert framed is not None, "it has passed slirp's end of the wire"
        _, done = self.stacks.emulated(into_qemu)
        if framed.record is not into_qemu.record or framed.time > done:
            done = min(done, framed.time)
            sending = max(self.stacks.emulated(framed)[0], done)
            yield Leg(recv, done, into_qemu.record, EMULATOR)
            yield lies(done, sending, framed.record, "slirp", "ARP")
            recv = sending
        yield Leg(recv, framed.time, framed.record, EMULATOR)
        yield from self._to_card(framed.time, framed, passage)

    def _to_card(self, at: int, framed: At, passage: Passage) -> Iterator[Leg]:
        """From slirp's end of the wire to the guest's memory."""
        stored = passage.stored
        assert stored is not None, "it is in the guest's memory"
        delivering, done = self.stacks.around(stored, Landmark.DELIVERED)
        if passage.held or stored.record is not framed.record:
            queued = min(max(at, delivering), stored.time)
            yield lies(at, queued, stored.record, "net queue", passage.held or "receiver not ready")
            at = queued
        raised = passage.raised
        if raised is not None and raised.record is stored.record and raised.time <= done:
            done = raised.time
        if passage.taken is not None:
            # A driver that polls may take the frame while QEMU is still at it.
            done = min(done, passage.taken.time)
        yield Leg(at, max(done, at), stored.record, EMULATOR)

    def _into_guest(self, at: int, passage: Passage, whole: At | None, read: At) -> Iterator[Leg]:
        """From the ring to the return of the call that reads."""
        taken, raised = passage.taken, passage.raised
        assert taken is not None, "the driver has taken it"
        entry, _ = self.stacks.around(taken, Landmark.INTERRUPT, Landmark.SOFTIRQ_THREAD)
        until = taken.time if entry < at else entry
        if raised is not None and at < raised.time <= until:
            yield lies(at, raised.time, taken.record, "receive ring", self._why_late(raised))
            at = raised.time
        yield lies(at, until, taken.record, "receive ring")
        yield Leg(until, taken.time, taken.record, GUEST_KERNEL)
        at = taken.time
        reading, done = self.stacks.around(read, Landmark.GUEST_CALL)
        reading = max(reading, at)
        queued = self.stacks.first_end(taken, Landmark.QUEUED, reading)
        queued = reading if queued is None else max(queued, at)
        yield Leg(at, queued, taken.record, GUEST_KERNEL)
        if whole is not None and queued < whole.time <= reading:
            yield lies(queued, whole.time, whole.record, "socket queue", "bytes in front of it")
            queued = whole.time
        yield lies(queued, reading, taken.record, "socket queue")
        yield Leg(reading, done, read.record, GUEST_PROGRAM)

    def _why_late(self, raised: At) -> str:
        """Why the line rose only then: by what made it rise."""
        if self.stacks.depth(raised, Landmark.MITIGATION_ENDED) is not None:
            return "interrupt mitigation"
        if self.stacks.depth(raised, Landmark.UNMASKED) is not None:
            return "interrupts masked by the driver (NAPI)"
        return "interrupt"

    # --- to the host

    def _to_host(self, course: Course) -> list[Leg]:
        passage, read, given = course.passage, course.read, course.out_of_qemu
        if passage is None or read is None or given is None or passage.slirp is None:
            return []
        legs = list(self._out_of_guest(course, passage))
        legs += self._through_slirp(legs[-1].end, passage.slirp, given)
        at = legs[-1].end
        reading, done = self.stacks.around(read, Landmark.HOST_CALL)
        reading = max(reading, at)
        legs.append(lies(at, reading, read.record, "host socket buffer"))
        legs.append(Leg(reading, done, read.record, HOST_PROGRAM))
        return legs

    def _out_of_guest(self, course: Course, passage: Passage) -> Iterator[Leg]:
        """From the program's call to slirp's end of the wire."""
        stacks = self.stacks
        tried = course.tried or passage
        first, last = course.sent, course.sent_last
        nic, first_try = passage.nic, tried.nic
        assert nic is not None, "it has left the card"
        assert first_try is not None, "so has the first try"
        handed = stacks.emulated(nic)[0]
        at, _ = stacks.around(first, Landmark.GUEST_CALL)
        if last is not first and nic.time > first.time:
            yield Leg(at, first.time, first.record, GUEST_PROGRAM)
            again = max(stacks.around(last, Landmark.GUEST_CALL)[0], first.time)
            again = min(again, max(handed, first.time))
            yield lies(first.time, again, last.record, GUEST_PROGRAM, FULL)
            at = again
        sending = stacks.around(nic, Landmark.SENT_BY_GUEST)[0]
        sending = min(max(sending, at), handed) if handed >= at else at
        if nic.time <= last.time and nic.record is last.record:
            yield Leg(at, sending, nic.record, GUEST_PROGRAM)
        else:
            called = min(max(last.time, at), sending)
            yield Leg(at, called, last.record, GUEST_PROGRAM)
            why = self._why_unsent(course, first_try)
            if tried.number != passage.number and not passage.made:
                begun = stacks.around(first_try, Landmark.SENT_BY_GUEST)[0]
                begun = min(max(begun, called), sending)
                if begun > called:
                    yield lies(called, begun, nic.record, "guest send queue", why)
                called, why = begun, "retransmission"
            yield lies(called, sending, nic.record, "guest send queue", why)
        handed = max(handed, sending)
        yield Leg(sending, handed, nic.record, GUEST_KERNEL)
        yield from self._to_slirp(handed, nic, passage)

    def _why_unsent(self, course: Course, sent: At) -> str:
        """Why a frame has left the card only then: by what sent it."""
        # A datagram that is sent along with another has waited in front of the driver.
        of_tcp = course.kind == "tcp"
        if of_tcp and self.stacks.depth(sent, Landmark.SENT_BY_GUEST) is not None:
            return "window"
        if self.stacks.depth(sent, Landmark.RESOLVED) is not None:
            return "ARP"
        return "room in the transmit ring"

    def _to_slirp(self, at: int, nic: At, passage: Passage) -> Iterator[Leg]:
        """From the card to slirp's end of the wire."""
        slirp = passage.slirp
        assert slirp is not None, "it has reached slirp"
        if nic.record is slirp.record and not passage.held:
            yield Leg(at, slirp.time, slirp.record, EMULATOR)
            return
        yield Leg(at, max(nic.time, at), nic.record, EMULATOR)
        at = max(nic.time, at)
        entry = min(max(self.stacks.emulated(slirp)[0], at), slirp.time)
        yield lies(at, entry, slirp.record, "net queue", passage.held or "receiver not ready")
        yield Leg(entry, slirp.time, slirp.record, EMULATOR)

    def _through_slirp(self, at: int, slirp: At, given: At) -> Iterator[Leg]:
        """From slirp's end of the wire to its socket."""
        stacks = self.stacks
        _, done = stacks.emulated(slirp)
        if slirp.record is given.record and given.time <= done:
            yield Leg(at, given.time, given.record, EMULATOR)
            return
        giving = max(stacks.innermost(given), at)
        done = min(max(done, at), giving)
        yield Leg(at, done, slirp.record, EMULATOR)
        yield lies(done, giving, given.record, "so_rcv")
        yield Leg(giving, given.time, given.record, EMULATOR)

    # --- there and back

    def _round_trip(self, course: Course) -> list[Leg]:
        passage, back, read = course.passage, course.back, course.read
        if passage is None or back is None or read is None:
            return []
        if passage.slirp is None or back.slirp is None or back.taken is None:
            return []
        legs = list(self._out_of_guest(course, passage))
        at, framed = legs[-1].end, back.slirp
        if course.out_of_qemu is not None and course.back_into_qemu is not None:
            legs += self._through_slirp(at, passage.slirp, course.out_of_qemu)
            at = legs[-1].end
            reading = self.stacks.emulated(course.back_into_qemu)[0]
            reading = min(max(reading, at), framed.time)
            legs.append(lies(at, reading, framed.record, "host socket buffer"))
            at = reading
        elif framed.record is not passage.slirp.record:
            answering = min(max(self.stacks.emulated(framed)[0], at), framed.time)
            legs.append(lies(at, answering, framed.record, "slirp", "its turn"))
            at = answering
        legs.append(Leg(at, framed.time, framed.record, EMULATOR))
        legs += self._to_card(framed.time, framed, back)
        legs += self._into_guest(legs[-1].end, back, None, read)
        return legs


def lies(begin: int, end: int, record: ThreadRecord, place: str, why: str = "") -> Leg:
    """The message lies at ``place`` until ``record``'s thread takes it up."""
    return Leg(begin, end, record, None, place, why)
