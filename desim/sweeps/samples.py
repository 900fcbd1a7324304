"""Every round trip of a run, and the time of its first message: what percentiles are made of."""

from __future__ import annotations

from collections.abc import Iterator

from desim.experiment.metrics import pinged
from desim.experiment.run import RunResult
from desim.sweeps.row import Sample


def samples(result: RunResult) -> list[Sample]:
    """In the order of their kinds, and of their requests."""
    return [*_pings(result), *_messages(result)]


def _pings(result: RunResult) -> Iterator[Sample]:
    trips = (trip for one in pinged(result.transcripts) for trip in one.trips_ns)
    for number, trip in enumerate(trips):
        yield Sample("ping", number, None, trip)


def _messages(result: RunResult) -> Iterator[Sample]:
    journey = result.journey
    if journey:
        longest = max(journey, key=lambda row: row.waiting_ns)
        yield Sample(
            "message", 0, journey.begin_ns, journey.total_ns, longest.station, longest.waits_for
        )
