"""Journeys of messages: all of a run, or the first to the guest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from desim.engine.trace import Trace
from desim.experiment.journey.course import Course
from desim.experiment.journey.legs import Leg, Legs
from desim.experiment.journey.stacks import Stacks
from desim.experiment.journey.stays import rows, stays
from desim.experiment.journey.tracker import Tracker
from desim.experiment.journey.values import TO_GUEST, Journey, Message, Row
from desim.machine.capture import Captured


class Journeys:
    """The messages of one run, in the order of their arrival, and the way of each.

    ``frames`` are the captures at the two ends of the wire, ``slirp`` and ``nic``; ``host`` is
    the host's address as the guest sees it (``UserNet.host``). Each call goes through the trace
    once; what is kept of it are the messages that are under way.
    """

    def __init__(
        self, trace: Trace, frames: Mapping[str, Sequence[Captured]], host: bytes = b""
    ) -> None:
        self._trace = trace
        self._frames = frames
        self._host = host
        self._stacks = Stacks(trace)
        self._legs = Legs(self._stacks)

    def messages(self) -> Iterator[Message]:
        """Every message, those that have not arrived last."""
        for number, course in enumerate(self._courses(), 1):
            yield self._message(number, course)

    def __iter__(self) -> Iterator[Journey]:
        """The journey of every message, with its rows, in no order, and without its stays; of a
        message that has not arrived it is false."""
        from desim.experiment.journey.tally import Tallies  # few runs want all of them

        tallies = Tallies(self._stacks)
        for number, course in enumerate(self._courses(), 1):
            message = self._message(number, course)
            legs = self._legs.of(course) if message.end_ns is not None else []
            found = rows(row for leg in legs for row in tallies.rows(leg))
            yield _made(course, message, legs, found)

    def of(self, number: int) -> Journey:
        """The journey of a message, by its number, with its stays; false if there is none."""
        for found, course in enumerate(self._courses(), 1):
            if found == number:
                return self._journey(number, course)
        return Journey()

    def first(self) -> Journey:
        """The first message of those that the host sends through a forwarded port and that have
        arrived; false without one."""
        return self._firsts[0]

    def other(self) -> Journey:
        """Where none of those has arrived: the first message to arrive of any connection, or else
        of any kind; false without one."""
        found = self._firsts[1]
        return Journey() if found is None else self._journey(*found)

    @cached_property
    def _firsts(self) -> tuple[Journey, tuple[int, Course] | None]:
        """The first message through a forwarded port, and of all others, as far as one looked."""
        best: tuple[tuple[int, int], Journey] | None = None
        other: tuple[int, Course] | None = None
        tracker = Tracker(self._trace, self._frames, self._host)
        for number, course in enumerate(tracker.courses(), 1):
            if course.read is None:
                continue
            if other is None or (course.kind == "tcp" and other[1].kind != "tcp"):
                other = number, course
            if course.kind != "tcp" or course.direction != TO_GUEST or not course.forwarded:
                continue
            when = course.sent.time, course.sent.record.rank
            if best is not None and when > best[0]:
                continue
            journey = self._journey(number, course)
            if journey:
                best = when, journey
                if not tracker.earlier(course):
                    break
        return Journey() if best is None else best[1], other

    def _courses(self) -> Iterator[Course]:
        return Tracker(self._trace, self._frames, self._host).courses()

    def _message(self, number: int, course: Course) -> Message:
        return Message(
            number,
            course.kind,
            course.direction,
            course.conn,
            course.index,
            course.sender,
            course.receiver,
            course.size,
            course.first_byte,
            self._legs.begin(course),
            None if course.read is None else self._legs.end(course),
            course.fate,
        )

    def legs(self, course: Course) -> list[Leg]:
        """The legs of a course: they follow each other without gaps."""
        return self._legs.of(course)

    def _journey(self, number: int, course: Course) -> Journey:
        message = self._message(number, course)
        legs = self._legs.of(course) if message.end_ns is not None else []
        found = tuple(stays(self._stacks, legs))
        return _made(course, message, legs, rows(found), found)


def _made(
    course: Course,
    message: Message,
    legs: list[Leg],
    found: Iterable[Row],
    stayed: tuple[Row, ...] = (),
) -> Journey:
    begin, end = (legs[0].begin, legs[-1].end) if legs else (0, 0)
    if legs and begin == end:
        # Nothing took any time; and yet it has arrived.
        last = legs[-1]
        found = stayed = (Row(last.record.name, "", 0, 0, "", None, last.carrier),)
    return Journey(
        course.text,
        course.size,
        course.connection,
        begin,
        end,
        tuple(found),
        stayed,
        course.direction,
        message,
    )
