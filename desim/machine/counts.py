"""What became of a run's frames, counted.

A run with a trace counts what stands there. One without keeps ``Lost``, ``Held`` and ``Made``
all the same, of which there are few, and counts the many frames that pass as they do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from desim.engine.environment import Environment
from desim.engine.trace import Happened, Trace
from desim.events import KINDS, FramePassed, Held, Lost, Made
from desim.reasons import Reason, together
from desim.record import Record, keeps
from desim.stages import Landmark


def wanted(record: Record) -> Collection[str]:
    """The words of the events that a run notes."""
    if keeps(record, "journeys"):
        return tuple(KINDS)
    return (Lost.kind, Held.kind, Made.kind) if keeps(record, "counters") else ()


class Passed:
    """How many frames have passed each capture point, and which have passed an odd number.

    A thread may pass frames ahead of the environment's time, and the run may end before it gets
    there. So what is ahead is kept apart, and counted when time has come that far.
    """

    __slots__ = ("_ahead", "_env", "_latest", "_odd", "_points")

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._points: dict[str, list[int]] = {}
        self._odd: set[int] = set()
        self._ahead: list[tuple[int, str, bool, int]] = []
        self._latest = 0
        """The latest instant in ``_ahead``."""

    def point(self, name: str) -> None:
        """There is a capture point ``name``."""
        self._points[name] = [0, 0]

    def note(self, point: str, to_guest: bool, number: int) -> None:
        """The running thread passes a frame now; nothing outside of threads."""
        env = self._env
        thread = env.running
        if thread is None:
            return
        ahead = self._ahead
        if ahead and self._latest < env._now:
            self._fold()
        now = thread.now
        if now > self._latest:
            self._latest = now
        ahead.append((now, point, to_guest, number))

    def _fold(self) -> None:
        for _, point, to_guest, number in self._ahead:
            self._add(point, to_guest, number)
        self._ahead.clear()

    def _add(self, point: str, to_guest: bool, number: int) -> None:
        self._points[point][to_guest] += 1
        self._odd ^= {number}

    def finish(self, end_ns: int) -> None:
        """The run has ended: what is noted for ``end_ns`` or later has not happened."""
        self._ahead = [one for one in self._ahead if one[0] < end_ns]
        self._fold()

    def count(self, trace: Trace) -> None:
        """Take what has passed from a trace that has it."""
        word = FramePassed.kind
        for record in trace.threads.values():
            for event in record.events:
                if event[2] == word:
                    self._add(*event[3:])

    def at(self, point: str) -> int:
        """How many frames have passed a point."""
        return sum(self._points[point])

    def points(self) -> dict[str, dict[str, int]]:
        """How many have passed each point, and which way."""
        return {
            name: {"to_guest": to_guest, "from_guest": from_guest}
            for name, (from_guest, to_guest) in sorted(self._points.items())
        }

    def under_way(self) -> set[int]:
        """The numbers of the frames that have passed one end of the wire and not the other."""
        return set(self._odd)


def frame_counts(trace: Trace, passed: Passed) -> dict[str, Any]:
    """Frames at each capture point; lost, held, made ones by place and reason; those queued."""
    under_way = passed.under_way()
    lost, held, made = trace.events(Lost), trace.events(Held), trace.events(Made)
    under_way ^= {one.event.frame for one in made}
    under_way -= {one.event.frame for one in lost}
    vcpu = trace.threads["vcpu"].codes
    return {
        "points": passed.points(),
        "lost": reason_counts(lost),
        "held": reason_counts(held),
        "made": reason_counts(made),
        "queued": len(under_way),
        "interrupts": sum(map(vcpu.count, trace.codes.entries(Landmark.INTERRUPT))),
    }


def reason_counts(
    events: Iterable[Happened[Lost] | Happened[Held] | Happened[Made]],
) -> list[dict[str, Any]]:
    """How many frames were lost, held or made, where and why, in alphabetical order.

    Reasons that differ in numbers only are counted together, and the numbers given as a range.
    """
    found: dict[tuple[str, Any], list[Reason]] = {}
    for _, _, _, event in events:
        found.setdefault((event.where, event.why.group), []).append(event.why)
    rows = [(where, together(whys), whys) for (where, _), whys in found.items()]
    return [
        {"where": where, "why": why, "code": whys[0].code, "frames": len(whys)}
        for where, why, whys in sorted(rows, key=lambda row: row[:2])
    ]
