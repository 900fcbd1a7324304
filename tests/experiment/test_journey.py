"""The way of a message: it begins and ends where it should, and its times add up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from runs import HELLO, SHIPPED, config, random_profile, shipped_run

from desim.experiment.journey import Journey
from desim.experiment.run import RunResult, run
from desim.scenario.command_line import machine_from_options

WITHOUT = (
    *("burst", "dhcp", "flood", "flush-loss", "iperf3", "itr-light", "itr-medium", "itr-study"),
    *("livelock", "lossy", "names", "netboot", "refused", "services"),
)
"""Here no program of the host sends through a forwarded port of TCP."""
ARRIVING = [name for name in SHIPPED if name not in WITHOUT]


def check_sums(journey: Journey) -> None:
    assert journey.total_ns == journey.end_ns - journey.begin_ns > 0
    assert journey.own_ns + journey.waiting_ns == journey.total_ns
    assert sum(row.own_ns + row.waiting_ns for row in journey.rows) == journey.total_ns
    for row in journey.rows:
        assert row.own_ns >= 0, row
        assert row.waiting_ns >= 0, row
        assert row.own_ns == 0 or row.waits_for == "", row


def spans(result: RunResult, threads: Sequence[str], stage: str) -> list[tuple[int, int]]:
    """When ``stage`` was passed through on these threads."""
    trace = result.trace
    return [
        (span.begin, span.end)
        for name, record in trace.threads.items()
        if name in threads
        for span in trace.spans(record)
        if trace.codes.name(span.code) == stage
    ]


@pytest.mark.parametrize("name", ARRIVING)
def test_own_and_waiting_times_add_up_to_the_total(name: str) -> None:
    journey = shipped_run(name).journey
    assert journey is not None
    check_sums(journey)


@pytest.mark.parametrize("name", ARRIVING)
def test_its_stays_are_its_rows_in_the_order_of_time(name: str) -> None:
    journey = shipped_run(name).journey
    came: dict[tuple[str, str, str], int] = {}
    last = None
    for stay in journey.stays:
        where = (stay.station, stay.file, stay.waits_for)
        assert where != last
        last = where
        came[where] = came.get(where, 0) + stay.own_ns + stay.waiting_ns
    assert came == {
        (row.station, row.file, row.waits_for): row.own_ns + row.waiting_ns for row in journey
    }


@pytest.mark.parametrize("name", WITHOUT)
def test_where_nothing_arrives_there_is_no_journey(name: str) -> None:
    assert shipped_run(name).journey == Journey()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["hello-close", "upload"])
def test_they_add_up_whatever_things_cost(name: str, seed: int, tmp_path: Path) -> None:
    journey = run(config(name, costs=random_profile(seed, tmp_path))).journey
    assert journey is not None
    check_sums(journey)


@pytest.mark.parametrize("name", ["hello", "upload"])
def test_where_nothing_costs_anything_all_is_waiting(name: str) -> None:
    journey = run(config(name, costs="zero")).journey
    assert journey is not None
    assert journey.own_ns == 0
    assert journey.waiting_ns == journey.total_ns


@pytest.mark.parametrize("name", ARRIVING)
def test_it_begins_as_the_hosts_program_enters_the_call_that_writes(name: str) -> None:
    result = shipped_run(name)
    assert result.journey is not None
    begin = result.journey.begin_ns
    programs = [name for name in result.trace.threads if name not in ("vcpu", "main")]
    (call,) = [span for span in spans(result, programs, "syscall") if span[0] == begin]
    assert any(call[0] <= b <= e <= call[1] for b, e in spans(result, programs, "write"))


@pytest.mark.parametrize("name", ARRIVING)
def test_it_ends_as_the_guests_program_returns_from_the_call_that_reads(name: str) -> None:
    result = shipped_run(name)
    assert result.journey is not None
    end = result.journey.end_ns
    calls = [
        span
        for stage in ("do_syscall_64", "schedule")
        for span in spans(result, ["vcpu"], stage)
        if span[1] == end
    ]
    reads = spans(result, ["vcpu"], "tcp_recvmsg")
    assert any(call[0] <= b <= e <= call[1] for call in calls for b, e in reads)


@pytest.mark.parametrize("name", ARRIVING)
def test_every_message_passes_these_stations(name: str) -> None:
    journey = shipped_run(name).journey
    assert journey is not None
    stations = [row.station for row in journey.rows]
    passed = [
        "write",
        "host socket buffer",
        "tcp_output",
        "slirp_output",
        "e1000_receive_iov",
        "receive ring",
        "e1000_receive_skb",
        "ip_rcv_core",
        "socket queue",
        "do_syscall_64",
    ]
    assert [station for station in dict.fromkeys(stations) if station in passed] == passed


def test_the_message_is_the_studys_line() -> None:
    journey = shipped_run("hello").journey
    assert journey is not None
    assert (journey.text, journey.size) == (HELLO, len(HELLO))
    assert journey.connection.endswith("-> localhost:5555")


def test_a_message_whose_frame_is_lost_waits_for_its_retransmission() -> None:
    made = machine_from_options(
        [
            *("-netdev", "user,id=u,hostfwd=tcp::5555-:5556", "-device", "e1000,netdev=u"),
            *("-object", "filter-loss,id=f0,netdev=u,queue=tx,frames=7"),
        ],
        guest=["nc -lvp 5556 > hello.txt"],
        host=["echo hello | nc -N localhost 5555"],
        folder=Path(),
    )
    journey = run(made).journey
    check_sums(journey)
    (wait,) = (row for row in journey.rows if row.station == "so_snd")
    # From slirp's first attempt to the one that arrives; its timer looks twice a second.
    assert wait.waits_for == "retransmission"
    assert wait.waiting_ns > 1_000_000_000
