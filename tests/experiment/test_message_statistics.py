"""Statistics of all messages, and which message a selector means."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import config, shipped_run

import desim
from desim.errors import UserError
from desim.experiment.journey import ROUND_TRIP, TO_GUEST, TO_HOST, Direction, Journey, Message, Row
from desim.experiment.journey.select import read_selector, select
from desim.experiment.journey.statistics import PERMILLES, statistics
from desim.experiment.journey.values import Kind
from desim.experiment.run import run
from desim.report import messages as shown


def message(
    number: int,
    total: int | None,
    *,
    kind: Kind = "tcp",
    direction: Direction = TO_GUEST,
    conn: int = 1,
    index: int | None = None,
    fate: str = "",
) -> Message:
    begin = 1000 * number
    end = None if total is None else begin + total
    index = number if index is None else index
    return Message(
        number, kind, direction, conn, index, "host:1", "guest:2", 10, 10 * index, begin, end, fate
    )


def journey(of: Message) -> Journey:
    if of.end_ns is None:
        return Journey(message=of)
    total = of.end_ns - of.begin_ns
    rows = (Row("recv", "slirp.c", total // 3, 0, "", "QEMU", "QEMU"),)
    rows += (Row("so_snd", "", 0, total - total // 3, "window"),)
    return Journey(b"x", 10, "a -> b", of.begin_ns, of.end_ns, rows, rows, of.direction, of)


@given(st.lists(st.one_of(st.none(), st.integers(0, 10**10)), min_size=1, max_size=300))
def test_figures_are_those_of_all_times(times: list[int | None]) -> None:
    journeys = [
        journey(message(n, t, fate="" if t is not None else "lost")) for n, t in enumerate(times, 1)
    ]
    (group,) = statistics(journeys)
    found = [time for time in times if time is not None]
    ordered = sorted(found)
    assert (group.sent, group.arrived) == (len(times), len(found))
    assert group.fates == ({"lost": len(times) - len(found)} if len(found) < len(times) else {})
    assert sum(bucket.messages for bucket in group.histogram) == len(found)
    if not found:
        assert (group.mean_ns, group.min_ns, group.max_ns, group.percentiles) == (None,) * 3 + ({},)
        return
    assert (group.min_ns, group.max_ns) == (ordered[0], ordered[-1])
    assert group.mean_ns == Fraction(sum(found), len(found))
    for name, part in PERMILLES.items():
        at_least = group.percentiles[name]
        assert sum(time <= at_least for time in found) * 1000 >= part * len(found)
        assert sum(time < at_least for time in found) * 1000 < part * len(found)
    steps = [abs(b - a) for a, b in pairwise(found)]
    assert group.jitter_ns == (Fraction(sum(steps), len(steps)) if steps else None)
    assert group.total_ns == sum(found), "each with its share"
    for bucket in group.histogram:
        assert bucket.messages == sum(bucket.begin_ns <= t < bucket.end_ns for t in found)
    assert len(group.histogram) <= 12
    json.dumps(group.as_json())


@given(
    st.permutations(range(1, 30)), st.sampled_from(["first", "last", "fastest", "slowest", "p90"])
)
def test_a_selector_means_one_message(times: list[int], which: str) -> None:
    all_of_them = [message(number, time) for number, time in enumerate(times, 1)]
    found = select(reversed(all_of_them), read_selector(f"msg={which}"))
    wanted = {
        "first": all_of_them[0],
        "last": all_of_them[-1],
        "fastest": min(all_of_them, key=lambda one: one.total_ns or 0),
        "slowest": max(all_of_them, key=lambda one: one.total_ns or 0),
        "p90": sorted(all_of_them, key=lambda one: one.total_ns or 0)[-(-29 * 9 // 10) - 1],
    }
    assert found == wanted[which]


MIXED = [
    message(1, 50),
    message(2, 70, direction=TO_HOST),
    message(3, 60, conn=2),
    message(4, None, conn=2, fate="lost at f0: filter-loss"),
    message(5, 90, kind="ping", direction=ROUND_TRIP, conn=0, index=17),
    message(6, 40, kind="udp", direction=TO_HOST, conn=0, index=1),
]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("msg=first", 1),
        ("guest-to-host", 2),
        ("conn=2,msg=last", 3),
        ("conn=2,msg=1", 3),
        ("ping=17", 5),
        ("udp", 6),
        ("guest-to-host,msg=slowest", 2),
        ("msg=p100", 5),
        (" tcp , msg=3 ", 3),
    ],
)
def test_words_narrow_it_down(text: str, number: int) -> None:
    assert select(MIXED, read_selector(text)).number == number


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("conn=9", "conn=9: no message of this run is one of those"),
        ("conn=2,msg=2", "it has not arrived: lost at f0: filter-loss"),
        ("msg=7", "there are 6 of these messages, from 1 on"),
        ("ping=3", "there are pings with sequence numbers 17 to 17"),
        ("msg=slowst", "did you mean 'slowest'"),
        ("guest-to-hots", "did you mean 'guest-to-host'"),
        ("conn=x", "'conn=x' selects no message"),
    ],
)
def test_what_selects_nothing_is_said(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        select(MIXED, read_selector(text))


def test_the_screen_has_the_figures_and_keeps_to_its_width() -> None:
    groups = shipped_run("burst").statistics
    for width in (60, 80, 120):
        text = [line.text for line in shown.statistics(groups, width)]
        assert max(len(line.rstrip()) for line in text) <= width
    assert text[0] == "statistics  200 datagrams to the guest, 126 arrived, 12.60 kB"
    assert text[1].strip() == "74 lost at e1000: no receive descriptors (RXO)"
    assert "p99.9" in "".join(text)


def test_a_summary_has_them_only_if_they_are_asked_for() -> None:
    assert shipped_run("hello").summary["messages"] is None
    result = run(config("hello", statistics=True))
    (group,) = result.summary["messages"]
    assert (group["kind"], group["direction"], group["sent"]) == ("tcp", TO_GUEST, 1)
    assert group["p99.9_ns"] == result.journey.total_ns
    spent = sum(row["own_ns"] + row["waiting_ns"] for row in group["stations"])
    assert spent == result.journey.total_ns


def test_from_python() -> None:
    result = desim.run(desim.load("names"))
    found = list(result.messages)
    assert [one.message for one in result.journeys] == found
    assert {group.kind for group in result.statistics} == {"tcp", "udp"}
    assert "guest:" in result.journey_report("guest-to-host,udp")
    assert result.statistics_report().startswith("statistics  1 message to the guest, arrived")
    assert "\nprocessor   " in result.statistics_report()
    last = result.journeys.of(found[-1].number)
    assert last.stays
    assert not result.journeys.of(len(found) + 1)
