"""The rows of a journey under headings: none lost, none twice, each where it belongs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.experiment.journey import Carrier, Row
from desim.experiment.run import run
from desim.report.long import short_file
from desim.report.stations import (
    GUEST_KERNEL,
    GUEST_PROGRAM,
    HOST,
    LIES,
    QEMU,
    QEMU_BELOW_GUEST,
    group_rows,
)
from desim.report.text import escape, grouped, quoted, seconds, share
from desim.scenario.loader import load_scenario
from desim.stages import Owner

CARRIERS: list[Carrier] = ["host program", "QEMU", "guest kernel", "guest program"]
OWNERS: list[Owner | None] = [None, "host", "QEMU", "guest"]
times = {"own_ns": st.integers(0, 10**10), "waiting_ns": st.integers(0, 10**10)}
reasons = st.sampled_from(["", "poll", "window"])
rows = st.builds(
    Row,
    station=st.sampled_from(list(LIES)),
    file=st.just(""),
    waits_for=reasons,
    owner=st.none(),
    carrier=st.none(),
    **times,
) | st.builds(
    Row,
    station=st.sampled_from(["vcpu", "main", "do_syscall_64", "recv", "ip_output"]),
    file=st.sampled_from(["", "host kernel", "slirp/if.c", "net/net.c", "net/core/dev.c"]),
    waits_for=reasons,
    owner=st.sampled_from(OWNERS),
    carrier=st.sampled_from(CARRIERS),
    **times,
)


def done(station: str, owner: Owner, carrier: Carrier) -> Row:
    return Row(station, "a.c", 1, 0, "", owner, carrier)


def waited(station: str, why: str, carrier: Carrier | None = None) -> Row:
    return Row(station, "", 0, 1, why, None, carrier)


@given(st.lists(rows, max_size=30))
def test_every_row_is_under_one_heading_and_sums_are_kept(given_rows: list[Row]) -> None:
    groups = group_rows(given_rows)
    assert sorted((r for g in groups for r in g.rows), key=repr) == sorted(given_rows, key=repr)
    assert sum(g.own_ns for g in groups) == sum(r.own_ns for r in given_rows)
    assert sum(g.waiting_ns for g in groups) == sum(r.waiting_ns for r in given_rows)
    assert len({g.title for g in groups}) == len(groups)
    assert all(g.rows for g in groups)


def test_who_has_the_message_follows_its_way() -> None:
    way = [
        done("write", "host", "host program"),
        waited("host socket buffer", "poll"),
        done("recv", "host", "QEMU"),
        done("tcp_output", "QEMU", "QEMU"),
        waited("main", "big lock", "QEMU"),
        waited("receive ring", "interrupt mitigation"),
        done("ip_rcv", "guest", "guest kernel"),
        done("xmit_seg", "QEMU", "guest kernel"),
        waited("vcpu", "big lock", "guest kernel"),
        done("sock_def_readable", "guest", "guest kernel"),
        waited("socket queue", "scheduler"),
        done("do_syscall_64", "guest", "guest program"),
        done("release_sock", "guest", "guest program"),
    ]
    assert [(g.title, len(g.rows)) for g in group_rows(way)] == [
        (HOST, 1),
        (LIES["host socket buffer"], 1),
        (QEMU, 3),
        (LIES["receive ring"], 1),
        (GUEST_KERNEL, 3),
        (QEMU_BELOW_GUEST, 1),
        (LIES["socket queue"], 1),
        (GUEST_PROGRAM, 2),
    ]


@pytest.mark.parametrize("carrier", ["guest kernel", "guest program"])
@pytest.mark.parametrize("owner", ["QEMU", "host"])
def test_what_runs_inside_an_access_to_the_card_is_not_the_guests(
    owner: Owner, carrier: Carrier
) -> None:
    (group,) = group_rows([done("send", owner, carrier)])
    assert group.title == QEMU_BELOW_GUEST


def test_a_guest_that_takes_the_message_in_qemus_hands_is_still_the_guest() -> None:
    (group,) = group_rows([done("e1000_xmit_frame", "guest", "QEMU")])
    assert group.title == GUEST_KERNEL


FILTERED = """
description = "a filter on the way of the line"
qemu = '''-netdev user,id=u,hostfwd=tcp::5555-:5556 -device e1000,netdev=u
  -object filter-dump,id=f0,netdev=u,file=seen.pcap'''
costs = "costs.toml"
guest.run = [{command = "nc -l -p 5556 > hello.txt"}]
host.run = [{at = "5s", command = "echo hello | nc -N localhost 5555"}]
"""
FILTER_COSTS = """description = "a filter takes time"
["net/net.c"]
filter_receive = { enter = 1000, source = "chosen" }
["net/dump.c"]
dump_receive_iov = { enter = 1000, source = "chosen" }
"""


def test_time_in_a_packet_filter_is_qemus(tmp_path: Path) -> None:
    (tmp_path / "filtered.toml").write_text(FILTERED)
    (tmp_path / "costs.toml").write_text(FILTER_COSTS)
    journey = run(load_scenario(str(tmp_path / "filtered.toml"))).journey
    assert journey is not None
    groups = group_rows(journey.rows)
    passed = {
        row.station: (group.title, row.own_ns)
        for group in groups
        for row in group.rows
        if "filter" in row.station or "dump" in row.station
    }
    assert passed["filter_receive"] == (QEMU, 2000)  # at both ends
    assert passed["dump_receive_iov"] == (QEMU, 1000)
    assert sum(g.own_ns + g.waiting_ns for g in groups) == journey.total_ns


def test_figures_can_be_read_off() -> None:
    assert seconds(5_000_123_456) == "5.000 123 456 s"
    assert grouped(1_234_567) == "1 234 567"
    assert share(1, 3) == "33.3%"
    assert share(0, 0) == "0.0%"


def test_a_long_path_keeps_its_end() -> None:
    path = "drivers/net/ethernet/intel/e1000/e1000_main.c"
    assert short_file(path) == ".../intel/e1000/e1000_main.c"
    assert short_file("slirp/if.c") == "slirp/if.c"


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_nothing_escapes_that_a_terminal_would_obey(data: bytes | str) -> None:
    assert all(char.isprintable() or char in "\n\t" for char in escape(data))


def test_a_message_is_shown_on_one_line_and_its_cut_is_marked() -> None:
    assert quoted(b"a\tb\n", 4) == '"a\\tb\\n"'
    assert quoted(b"x" * 30, 30) == '"' + "x" * 24 + '..."'
