"""What programs that ping have shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from desim.data import NamedTuple
from desim.machine import Transcript
from desim.scenario.metrics import exact

_TRIP = rb"\btime=([0-9]+(?:\.[0-9]+)?) ms\b"
_STATISTICS = rb"(?m)^([0-9]+) packets transmitted, ([0-9]+) packets received"


class Pings(NamedTuple):
    """What programs that ping have shown: requests, answers, round trips (ns) in order."""

    sent: int
    received: int
    trips_ns: list[int]


def pinged(transcripts: Iterable[Transcript]) -> Iterator[Pings]:
    """What each program that pings has shown, its round trips in the order of its requests."""
    for transcript in transcripts:
        output = transcript.output
        trips = [int(exact(text.decode()) * 10**6) for text in re.findall(_TRIP, output)]
        statistics = [(int(sent), int(back)) for sent, back in re.findall(_STATISTICS, output)]
        if statistics or trips:
            sent = sum(sent for sent, _ in statistics)
            yield Pings(sent, sum(back for _, back in statistics), trips)
        for told in transcript.measured:
            if told["test"] == "ping":
                stamps = zip(told["recv_ns"], told["send_ns"], strict=True)
                trips = [got - went for got, went in stamps if got >= 0]
                yield Pings(len(told["send_ns"]), told["received"], trips)


def of_all(transcripts: Iterable[Transcript]) -> Pings | None:
    """What all of them have shown, trips from the shortest on; None if nothing was pinged."""
    found = list(pinged(transcripts))
    if not found:
        return None
    trips = sorted(trip for one in found for trip in one.trips_ns)
    return Pings(sum(one.sent for one in found), sum(one.received for one in found), trips)
