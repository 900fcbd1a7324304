"""Filters in whole machines: faults are counted, runs end, and strict runs agree."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from runs import random_profile, tree

from desim.config import MachineConfig
from desim.errors import UserError
from desim.events import Lost
from desim.experiment.backtrace import find_functions
from desim.experiment.output import write
from desim.experiment.run import RunResult, backtrace, run
from desim.machine import Machine
from desim.report import terminal
from desim.scenario.command_line import machine_from_options
from desim.wire import pcapng

SECOND = 10**9
MS = 1_000_000
DATA = bytes(i * 7 % 251 for i in range(30_000))
DIRECT = "-netdev user,id=u,ipv6=off,hostfwd=tcp::5555-:5556 -device e1000,netdev=u"
HUB = (
    "-netdev user,id=u,ipv6=off,hostfwd=tcp::5555-:5556 -netdev hubport,id=p,hubid=0,netdev=u"
    " -netdev hubport,id=q,hubid=0 -device e1000,netdev=q"
)
EVERYTHING = [
    "filter-loss,id=loss,netdev=u,probability=2%,first=5",
    "filter-delay,id=delay,netdev=u,queue=tx,delay=300us,jitter=700us",
    "filter-duplicate,id=twice,netdev=u,queue=rx,probability=1/20",
    "filter-reorder,id=order,netdev=u,every=11,behind=2",
    "filter-corrupt,id=wrong,netdev=u,probability=1%,first=5",
    "filter-buffer,id=buffer,netdev=u,queue=rx,interval=400",
    "filter-dump,id=dump,netdev=u,file=all.pcap",
]


def machine(tmp_path: Path, *filters: str, wiring: str = DIRECT, **changes: Any) -> MachineConfig:
    """One upload to the guest, with filters on the way."""
    (tmp_path / "data").write_bytes(DATA)
    config = machine_from_options(
        shlex.split(wiring) + [word for f in filters for word in ("-object", f)],
        guest=["nc -l -p 5556 > copy"],
        host=["nc -N localhost 5555 < data"],
        folder=tmp_path,
    )
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def lost(result: RunResult, where: str) -> list[int]:
    """The numbers, on the way through ``where``, of the frames that ended there."""
    return [lost.event.frame for lost in result.trace.events(Lost) if lost.event.where == where]


def lost_at_filters(result: RunResult) -> list[dict[str, Any]]:
    """The summary's lines on lost frames, without slirp's own: it refuses the guest's IPv6."""
    return [entry for entry in result.summary["frames"]["lost"] if entry["where"] != "slirp"]


def test_lost_frames_are_counted_with_place_and_reason_and_tcp_mends_it(tmp_path: Path) -> None:
    result = run(machine(tmp_path, "filter-loss,id=f0,netdev=u,queue=tx,every=7,first=10"))
    assert result.files["guest/copy"] == DATA
    frames = result.summary["frames"]
    points = frames["points"]
    missing = points["slirp"]["to_guest"] - points["nic"]["to_guest"]
    assert missing >= 2
    assert lost_at_filters(result) == [
        {"where": "f0", "why": "filter-loss", "code": "filter-loss", "frames": missing}
    ]
    assert f"dropped      {missing} by f0: filter-loss" in terminal.text(
        result, result.config, verbosity=1
    )


def test_copies_and_changed_frames_are_frames_of_their_own(tmp_path: Path) -> None:
    result = run(
        machine(
            tmp_path,
            "filter-duplicate,id=twice,netdev=u,queue=tx,frames=8:9",
            "filter-corrupt,id=wrong,netdev=u,queue=tx,frames=14",
        )
    )
    assert result.files["guest/copy"] == DATA
    frames = result.summary["frames"]
    assert frames["made"] == [
        {"where": "twice", "why": "filter-duplicate", "code": "filter-duplicate", "frames": 2},
        {"where": "wrong", "why": "filter-corrupt", "code": "filter-corrupt", "frames": 1},
    ]
    assert lost_at_filters(result) == [
        {
            "where": "wrong",
            "why": "filter-corrupt: goes on changed",
            "code": "filter-corrupted",
            "frames": 1,
        }
    ]
    assert frames["queued"] == 0
    sent, got = (result.packets[point] for point in ("slirp", "nic"))
    raws = [p.frame.raw for p in sent if p.to_guest]
    arrived = [p.frame for p in got if p.to_guest]
    assert len({frame.number for frame in arrived}) == len(arrived) == len(raws) + 2
    assert sum(frame.raw not in raws for frame in arrived) == 1
    assert "made         2 by twice: filter-duplicate" in terminal.text(
        result, result.config, verbosity=1
    )


def test_a_delay_is_a_wait_on_the_way_of_the_message(tmp_path: Path) -> None:
    plain = run(machine(tmp_path)).journey
    late = run(machine(tmp_path, "filter-delay,id=d,netdev=u,delay=5ms")).journey
    assert plain is not None
    assert late is not None
    waits = {row.waits_for: row.waiting_ns for row in late.rows}
    assert waits["filter-delay"] >= 5 * MS
    assert late.total_ns == late.own_ns + late.waiting_ns > plain.total_ns + 10 * MS


@pytest.mark.slow
@pytest.mark.parametrize("costs", ["zero", "study-2016", 3, 29])
def test_strict_runs_agree(costs: str | int, tmp_path: Path) -> None:
    profile = costs if isinstance(costs, str) else random_profile(costs, tmp_path)
    lazy, strict = (
        run(machine(tmp_path, *EVERYTHING, costs=profile, strict=strict, until_ns=40 * SECOND))
        for strict in (False, True)
    )
    assert lazy.fingerprint == strict.fingerprint
    assert lazy.summary == strict.summary
    assert len(lazy.files["host/all.pcap"]) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("until_ns", range(4_000_100_000, 4_030_000_000, 5_555_555))
def test_a_run_that_is_stopped_leaves_the_dump_that_there_was_then(
    until_ns: int, tmp_path: Path
) -> None:
    lazy, strict = (
        run(machine(tmp_path, *EVERYTHING, strict=strict, until_ns=until_ns))
        for strict in (False, True)
    )
    assert lazy.summary == strict.summary
    packets = pcapng.read(lazy.files["host/all.pcap"])
    assert all(packet.time_ns < until_ns for packet in packets)


def test_one_more_filter_disturbs_no_others_random_stream(tmp_path: Path) -> None:
    first = "filter-loss,id=a,netdev=u,queue=tx,probability=10%,first=6"
    alone = run(machine(tmp_path, first))
    beside = run(machine(tmp_path, "filter-loss,id=b,netdev=u,queue=rx,probability=0", first))
    assert lost(alone, "a") == lost(beside, "a") != []
    renamed = run(machine(tmp_path, first.replace("id=a", "id=c")))
    assert lost(renamed, "c") != lost(alone, "a")


def test_another_seed_is_another_misfortune(tmp_path: Path) -> None:
    loss = "filter-loss,id=a,netdev=u,queue=tx,probability=10%,first=6"
    one, other = (run(machine(tmp_path, loss, seed=seed)) for seed in (1, 2))
    assert lost(one, "a") != lost(other, "a")
    assert one.files == other.files


@pytest.mark.parametrize("netdev", ["u", "p", "q"])
def test_any_netdev_of_a_hub_can_have_them(netdev: str, tmp_path: Path) -> None:
    objects = [
        f"filter-loss,id=f,netdev={netdev},every=10,first=9",
        f"filter-dump,id=d,netdev={netdev},file=x",
    ]
    result = run(machine(tmp_path, *objects, wiring=HUB))
    assert result.files["guest/copy"] == DATA
    assert [entry["where"] for entry in lost_at_filters(result)] == ["f"]
    assert len(pcapng.read(result.files["host/x"])) > 30


def test_a_dump_shows_what_the_capture_point_beside_it_saw(tmp_path: Path) -> None:
    result = run(machine(tmp_path, "filter-dump,id=d,netdev=u,file=logs/x.pcap,maxlen=100"))
    packets = pcapng.read(result.files["host/logs/x.pcap"])
    point = result.packets["slirp"]
    assert [(p.raw, p.size) for p in packets] == [
        (p.frame.raw[:100], len(p.frame.raw)) for p in point
    ]
    out = tmp_path / "out"
    write(result, out)
    assert tree(out)["host/logs/x.pcap"] == result.files["host/logs/x.pcap"]


def test_a_program_of_the_host_can_read_a_dump(tmp_path: Path) -> None:
    config = machine(tmp_path, "filter-dump,id=d,netdev=u,file=x.pcap")
    config.host[0].command = "cat x.pcap > copy.pcap"
    result = run(config)
    copy = result.files["host/copy.pcap"]
    assert len(pcapng.read(copy)) >= 4
    assert result.files["host/x.pcap"].startswith(copy)


def test_a_dump_that_cannot_be_opened_is_the_users_mistake(tmp_path: Path) -> None:
    config = machine(
        tmp_path, "filter-dump,id=d,netdev=u,file=x", "filter-dump,id=e,netdev=u,file=x/y"
    )
    with pytest.raises(UserError, match="filter-dump,id=e: net dump: can't open x/y: Not a dir"):
        Machine(config)


def test_a_dump_alone_changes_no_time(tmp_path: Path) -> None:
    without = run(machine(tmp_path, costs="zero"))
    dumped = run(machine(tmp_path, "filter-dump,id=d,netdev=u,file=x", costs="zero"))
    assert dumped.packets["nic"] == without.packets["nic"] or [
        (p.time, p.frame.raw) for p in dumped.packets["nic"]
    ] == [(p.time, p.frame.raw) for p in without.packets["nic"]]


def test_a_run_is_not_over_while_a_buffer_keeps_what_was_sent_last(tmp_path: Path) -> None:
    config = machine(tmp_path, "filter-buffer,id=f,netdev=u,interval=1500000", until_ns=60 * SECOND)
    # This client closes nothing, so that all wait when its line has arrived.
    config.host[0].command = "echo hi | nc localhost 5555"
    result = run(config)
    assert result.ended == "all programs wait and only periodic timers remain"
    assert result.files["guest/copy"] == b"hi\n"
    assert result.summary["frames"]["queued"] == 0


def test_what_a_filter_keeps_at_the_end_counts_as_queued(tmp_path: Path) -> None:
    config = machine(tmp_path, "filter-delay,id=f,netdev=u,delay=1h", until_ns=10 * SECOND)
    frames = run(config).summary["frames"]
    assert frames["points"]["slirp"] == {"to_guest": 0, "from_guest": 0}
    assert frames["queued"] == frames["points"]["nic"]["from_guest"] > 0


def test_a_backtrace_shows_where_filters_sit(tmp_path: Path) -> None:
    config = machine(tmp_path, "filter-buffer,id=f,netdev=u,interval=1000")
    found = backtrace(config, find_functions("filter_buffer_receive_iov"))
    assert found is not None
    names = [frame.function for frame in found.frames]
    assert names[:4] == [
        "filter_buffer_receive_iov",
        "qemu_netfilter_receive",
        "filter_receive_iov",
        "filter_receive",
    ]
    found = backtrace(config, find_functions("qemu_netfilter_pass_to_next"))
    assert found is not None
    names = [frame.function for frame in found.frames]
    assert names[:5] == [
        "qemu_netfilter_pass_to_next",
        "qemu_net_queue_deliver",
        "qemu_net_queue_flush",
        "filter_buffer_flush",
        "filter_buffer_release_timer",
    ]
