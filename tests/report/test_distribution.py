"""Distributions: every message once, and all of its time in one cause or another."""

from __future__ import annotations

import re
from functools import cache

import pytest
from runs import shipped_run

from desim.experiment.journey.journeys import Journeys
from desim.report.page.causes import CAUSES, REST, Group, groups
from desim.report.page.distribution import COLUMNS, figure

NAMES = ["itr-light", "itr-medium", "upload", "lossy"]


@cache
def made(name: str) -> list[Group]:
    run = shipped_run(name)
    return groups(Journeys(run.trace, run.packets))


@pytest.mark.parametrize("name", NAMES)
def test_causes_add_up_to_the_time_of_each_message(name: str) -> None:
    assert made(name)
    for group in made(name):
        assert len(group.causes) <= CAUSES
        for trip in group.trips:
            assert sum(trip.parts.values()) == trip.ns
            assert trip.parts.keys() <= set(group.causes)
        assert sum(map(group.total, group.causes)) == sum(trip.ns for trip in group.trips)


@pytest.mark.parametrize("name", NAMES)
def test_every_message_that_has_arrived_is_there_once(name: str) -> None:
    run = shipped_run(name)
    arrived = [m for m in Journeys(run.trace, run.packets).messages() if m.end_ns is not None]
    found = [trip for group in made(name) for trip in group.trips]
    assert {trip.number for trip in found} <= {message.number for message in arrived}
    for group in made(name):
        same = [m for m in arrived if (m.kind, m.direction) == (group.kind, group.direction)]
        assert len(group.trips) == len(same) >= 5
        assert [trip.begin for trip in group.trips] == sorted(trip.begin for trip in group.trips)


def test_few_messages_have_no_distribution() -> None:
    assert made("hello") == []


@pytest.mark.parametrize("name", NAMES)
def test_the_histogram_has_all_and_the_line_goes_up_to_all(name: str) -> None:
    for group in made(name):
        text = str(figure(group, "d", "assumed", "x").picture)
        counted = [int(n.replace(",", "")) for n in re.findall(r"<title>([\d,]+): most of", text)]
        assert sum(counted) == len(group.trips)
        shares = [float(share) for share in re.findall(r"<title>([\d.]+) % took no longer", text)]
        assert shares == sorted(shares)
        assert shares[-1] == 100
        heat = text.partition("over time")[2]
        cells = [int(n.replace(",", "")) for n in re.findall(r"<title>([\d,]+)</title>", heat)]
        assert sum(cells) == len(group.trips)


def test_quantiles_are_messages_from_the_shortest_to_the_longest() -> None:
    (group,) = made("itr-medium")
    text = str(figure(group, "d", "assumed", "x").picture)
    columns = re.findall(r"<title>([\d.]+) % \(([\d,.]+) µs\):", text)
    assert len({share for share, _ in columns}) == COLUMNS
    times = [float(time.replace(",", "")) for _, time in columns]
    assert times == sorted(times)


def test_waiting_is_hatched_and_work_is_not() -> None:
    for name in NAMES:
        for group in made(name):
            drawn = figure(group, "d", "assumed", "x")
            for key, cause in zip(drawn.legend, group.causes, strict=True):
                if cause is not REST:
                    assert ("-waits-" in key.css) == cause.waits
            looks = [key.css for key in drawn.legend if "-waits-" in key.css]
            assert len(looks) == len(set(looks)) or len(looks) > 3


def test_what_holds_pings_back_is_told_by_their_journeys() -> None:
    (group,) = made("itr-light")
    slowest = max(group.trips, key=lambda trip: trip.ns)
    assert any("hold-off" in cause.what for cause in slowest.parts)
