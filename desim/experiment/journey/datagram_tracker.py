"""Datagrams and pings on their way (``tracker`` has the connections).

A datagram is known by what is in it: the event of the program that sends it has the length and a
sum of its bytes, and so have frames once they are put together. Of equal ones the first that was
sent is the first that is seen. Between slirp and the programs of the host the kernel's number
tells them apart, and in the guest the number of the frame that made a datagram whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

from desim.data import NamedTuple
from desim.engine.trace import Noted
from desim.events import (
    DatagramRead,
    DatagramReceived,
    DatagramSent,
    DatagramWritten,
)
from desim.experiment.journey.course import Course, Passage
from desim.experiment.journey.datagrams import Datagram, Reassembly
from desim.experiment.journey.stacks import At
from desim.experiment.journey.values import (
    ROUND_TRIP,
    SLIRP_TOOK,
    TO_A_GUEST,
    TO_GUEST,
    TO_HOST,
    Kind,
)
from desim.machine.vm import is_qemu
from desim.ports import Endpoint
from desim.wire.ipv4 import PROTO_ICMP, PROTO_UDP

STRANGERS = 1 << 10
"""Frames of datagrams that no program has sent so far, of which so many are remembered."""
NO_ROOM = "the host's socket had no room, or there was none"


class Key(NamedTuple):
    """What a datagram of the guest is known by."""

    protocol: int
    sport: int
    remote: Endpoint
    size: int
    crc: int


class Datagrams:
    """Follows them; ``passages`` are the frames under way by number, shared with the tracker."""

    def __init__(self, passages: dict[int, Passage], end_name: Callable[[Endpoint], str]) -> None:
        self._passages = passages
        self._end_name = end_name
        self._assembly = {True: Reassembly(), False: Reassembly()}
        self._written: dict[Key, deque[Course]] = {}
        """Sent by programs of the guest, and not seen on the wire."""
        self._strangers: dict[Key, deque[Course]] = {}
        """Seen on the wire, and not known to be sent by a program: their calls may not be over."""
        self._order: deque[Key] = deque()
        """Of these, in the order in which they were seen."""
        self._by_number: dict[int, Course] = {}
        """In the host's kernel, by the number that it has there."""
        self._into_guest: dict[tuple[int, int], deque[Course]] = {}
        """Read by QEMU and not seen on the wire, by length and sum."""
        self._at_slirp: dict[str, Course] = {}
        """By thread: the datagram that slirp has in its hands."""
        self._pings: dict[tuple[int, int], Course] = {}
        """Under way, by identifier and sequence number."""
        self._under_way: dict[Course, None] = {}
        """All that have not arrived."""
        self._of_qemu: set[int] = set()
        """Ports of QEMU's own sockets."""
        self.guests: set[bytes] = set()
        """Addresses of guests, where there are several: the tracker tells."""
        self._counts: dict[tuple[str, int, int], int] = {}
        self._pid = 0
        self._done: list[Course] = []
        self.handlers: dict[str, Callable[[At, Noted], bool | None]] = {
            DatagramSent.kind: self._sent,
            DatagramReceived.kind: self._received,
            DatagramWritten.kind: self._wrote,
            DatagramRead.kind: self._read,
        }

    def switched(self, pid: int) -> None:
        """The guest's processor goes over to a process."""
        self._pid = pid

    def arrived(self) -> Iterator[Course]:
        """Those that have arrived since the last time."""
        if self._done:
            done, self._done = self._done, []
            yield from done

    def rest(self) -> list[Course]:
        """Those that have not; of what programs of the host send, only what was meant for QEMU."""
        left = []
        for course in self._at_slirp.values():
            if course.kind == "udp":
                course.fate = self._taken_by_slirp(course)
        for course in self._under_way:
            if course.direction == TO_GUEST and course.into_qemu is None:
                if int(course.receiver.rpartition(":")[2]) not in self._of_qemu:
                    continue
            for passage in (course.back, course.passage):
                if passage is not None and passage.lost and not course.fate:
                    course.fate = passage.lost
            if course.address in self.guests and not course.fate:
                course.fate = TO_A_GUEST
            left.append(course)
        return left

    # --- what programs do

    def _wrote(self, at: At, event: Noted) -> None:
        protocol, local, remote, count, crc = event[3:]
        if protocol not in (PROTO_ICMP, PROTO_UDP):
            return
        sport = local[1] if protocol == PROTO_UDP else 0
        port = remote[1] if protocol == PROTO_UDP else 0
        key = Key(protocol, sport, (remote[0], port), count, crc)
        found = self._strangers.get(key)
        if found:
            course = _first(self._strangers, key)
            self._order.remove(key)
            course.sent = course.sent_last = at
            course.confirmed = True
        else:
            course = self._of_guest(key, at)
            self._written.setdefault(key, deque()).append(course)
        course.pid = self._pid
        if course.kind == "udp":
            course.index = self._count("from guest", sport, port)
        self._under_way[course] = None
        if course.read is not None or course.fate:
            self._finish(course)

    def _of_guest(self, key: Key, at: At) -> Course:
        kind: Kind = "udp" if key.protocol == PROTO_UDP else "ping"
        direction = TO_HOST if kind == "udp" else ROUND_TRIP
        course = Course(kind, direction, at, at, 0, key.size, 0, crc=key.crc)
        name = self._end_name(key.remote)
        course.sender = f"guest:{key.sport}" if kind == "udp" else "guest"
        course.receiver = name if kind == "udp" else name.rpartition(":")[0]
        course.address = key.remote[0]
        course.connection = f"{course.sender} -> {course.receiver}"
        return course

    def _sent(self, at: At, event: Noted) -> None:
        number, local, remote, count, crc, queued = event[3:]
        if is_qemu(at.record):
            self._of_qemu.add(local[1])
            course = self._at_slirp.pop(at.record.name, None)
            if course is None:
                return
            course.out_of_qemu = at
            if queued:
                self._by_number[number] = course
            else:
                course.fate = NO_ROOM
                self._finish(course)
            return
        course = Course("udp", TO_GUEST, at, at, 0, count, 0, crc=crc)
        course.sender, course.receiver = f"host:{local[1]}", f"qemu:{remote[1]}"
        course.index = self._count("to guest", local[1], remote[1])
        course.fate = "" if queued else NO_ROOM
        self._under_way[course] = None
        if queued:
            self._by_number[number] = course

    def _received(self, at: At, event: Noted) -> bool:
        number, local = event[3], event[4]
        qemu = is_qemu(at.record)
        if qemu:
            self._of_qemu.add(local[1])
        course = self._by_number.pop(number, None)
        if course is None:
            return True
        if course.direction == ROUND_TRIP:
            course.back_into_qemu = at
        elif course.direction == TO_HOST:
            course.read = at
            self._finish(course)
        elif qemu:
            course.into_qemu = at
            self._into_guest.setdefault((course.size, course.crc), deque()).append(course)
        else:
            del self._under_way[course]  # from one program of the host to another
        return False

    def _read(self, at: At, event: Noted) -> bool:
        passage = self._passages.get(event[7])
        if passage is None:
            return True
        course = passage.flow
        if not isinstance(course, Course) or course not in self._under_way:
            return False
        if course.direction == ROUND_TRIP and passage.reply and course.pid == self._pid:
            course.back = passage
        elif course.direction == TO_GUEST:
            course.passage = passage
        else:
            return False
        course.read = at
        self._finish(course)
        return False

    # --- what passes the wire

    def frame(self, at: At, to_guest: bool, number: int, raw: bytes) -> Passage | None:
        """A frame at its sender's end of the wire: whose bytes it has, if that is of interest."""
        datagram = self._assembly[to_guest].datagram(raw)
        if datagram is None:
            return None
        if to_guest:
            return self._goes_in(number, datagram)
        key = Key(
            datagram.protocol, datagram.sport, (datagram.dst, datagram.dport), *datagram.measure
        )
        if key in self._written:
            course = _first(self._written, key)
        else:
            course = self._of_guest(key, at)
            course.confirmed = False
            self._strangers.setdefault(key, deque()).append(course)
            self._order.append(key)
            if len(self._order) > STRANGERS:
                self._drop(_first(self._strangers, self._order.popleft()))
        passage = self._passages[number] = Passage(number, course, 0, key.size)
        course.passage = course.tried = passage
        course.text = datagram.text
        if datagram.echo is not None:
            ident, sequence, _ = datagram.echo
            course.index = sequence
            self._pings[ident, sequence] = course
        return passage

    def is_wrong(self, raw: bytes) -> bool:
        """Whether a frame that a filter has made is not what it was made of."""
        datagram = Reassembly().datagram(raw)
        return datagram is not None and datagram.wrong

    def at_slirp(self, at: At, number: int) -> None:
        """Slirp gets a frame of the guest, and has done with the one before."""
        before = self._at_slirp.pop(at.record.name, None)
        if before is not None and before.kind == "udp":
            before.fate = self._taken_by_slirp(before)
            self._finish(before)
        passage = self._passages.get(number)
        if passage is not None and isinstance(passage.flow, Course):
            self._at_slirp[at.record.name] = passage.flow

    def _taken_by_slirp(self, course: Course) -> str:
        return TO_A_GUEST if course.address in self.guests else SLIRP_TOOK

    def _goes_in(self, number: int, datagram: Datagram) -> Passage | None:
        """A datagram for the guest is on the wire."""
        if datagram.echo is not None:
            ident, sequence, reply = datagram.echo
            course = self._pings.get((ident, sequence)) if reply else None
            if course is None:
                return None
            passage = Passage(number, course, 0, 0)
            passage.reply = True
            course.back = passage
        else:
            if datagram.measure not in self._into_guest:
                return None
            course = _first(self._into_guest, datagram.measure)
            passage = Passage(number, course, 0, datagram.measure[0])
            course.passage = course.tried = passage
            course.text = datagram.text
            course.sender = self._end_name((datagram.src, datagram.sport))
            course.receiver = f"guest:{datagram.dport}"
            course.connection = f"{course.sender} -> {course.receiver}"
        self._passages[number] = passage
        return passage

    def _count(self, kind: str, one: int, other: int) -> int:
        key = kind, one, other
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts[key]

    def _finish(self, course: Course) -> None:
        """It has arrived, or never will."""
        if course.confirmed and course in self._under_way:
            del self._under_way[course]
            self._drop(course)
            self._done.append(course)

    def _drop(self, course: Course) -> None:
        """Nothing more will be heard of it."""
        for passage in (course.passage, course.back):
            if passage is not None:
                self._passages.pop(passage.number, None)
        if course.kind == "ping" and course.passage is not None:
            for key in [key for key, one in self._pings.items() if one is course]:
                del self._pings[key]


K = TypeVar("K")


def _first(waiting: dict[K, deque[Course]], key: K) -> Course:
    """Take the first of those that wait under ``key``."""
    found = waiting[key].popleft()
    if not waiting[key]:
        del waiting[key]
    return found
