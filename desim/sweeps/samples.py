"""Every round trip and every message of a run; if that is asked for, with what held it up longest.

A round trip takes as long as the program that pings has shown; a message from the entry of the call
that sends to the return of the one that reads its last byte. What held it up is the longest wait of
its journey (``desim.experiment.journey``): to look at all journeys takes longer than a small run,
so somebody has to ask for it. Where several programs ping there is no telling whose message is
whose, and begin and cause are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from desim.experiment.journey import Journey, Message
from desim.experiment.pings import pinged
from desim.experiment.run import RunResult
from desim.sweeps.row import Sample

PING = "ping"
MESSAGE = "message"

Way = tuple[Message, Journey | None]
"""A message that has arrived, and its journey if that was looked at."""


def samples(result: RunResult, *, causes: bool) -> list[Sample]:
    """Those of a run: messages and round trips, each in the order of their beginnings."""
    arrived = [way for way in _ways(result, causes) if way[0].end_ns is not None]
    arrived.sort(key=lambda way: (way[0].begin_ns, way[0].number))
    return [
        *_pings(result, [way for way in arrived if way[0].kind == "ping"]),
        *_messages([way for way in arrived if way[0].kind != "ping"]),
    ]


def _ways(result: RunResult, causes: bool) -> Iterator[Way]:
    if causes:
        for journey in result.journeys:
            if journey.message is not None:
                yield journey.message, journey
        return
    for message in result.journeys.messages():
        yield message, None


def _pings(result: RunResult, ways: Sequence[Way]) -> Iterator[Sample]:
    shown = [one.trips_ns for one in pinged(result.transcripts) if one.trips_ns]
    known = len(shown) == 1 and len(shown[0]) == len(ways)
    for number, trip in enumerate(trip for trips in shown for trip in trips):
        if known:
            yield _sample(PING, number, ways[number], trip)
        else:
            yield Sample(PING, number, None, trip)


def _messages(ways: Sequence[Way]) -> Iterator[Sample]:
    for number, way in enumerate(ways):
        yield _sample(MESSAGE, number, way, way[0].total_ns or 0)


def _sample(kind: str, number: int, way: Way, time_ns: int) -> Sample:
    message, journey = way
    if not journey:
        return Sample(kind, number, message.begin_ns, time_ns)
    longest = max(journey, key=lambda row: (row.waiting_ns, row.own_ns))
    return Sample(
        kind, number, message.begin_ns, time_ns, longest.station, longest.waits_for or None
    )
