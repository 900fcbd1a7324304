"""What a run notes is of the declared kinds, and counts of reasons come from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints
from zlib import crc32

import pytest
from runs import shipped_run

from desim.data import fields
from desim.engine.simpy_environment import SimPyEnvironment
from desim.engine.thread import Thread
from desim.engine.trace import Trace
from desim.events import (
    EVENTS,
    KINDS,
    Closed,
    DatagramRead,
    DatagramReceived,
    DatagramSent,
    DatagramWritten,
    Held,
    Lost,
    MitigationBegun,
    MitigationEnded,
    PinDriven,
    Raised,
    Read,
    Scheduled,
    Sent,
    Written,
)
from desim.experiment.run import RunResult, run
from desim.host.tcp import RCVBUF, SNDBUF
from desim.machine.counts import reason_counts
from desim.machine.ports import FrameLedger, Recorder
from desim.machine.reasons import all_reasons
from desim.net import reasons
from desim.reasons import Reason
from desim.scenario.command_line import machine_from_options
from desim.stages import Landmark
from desim.wire.frame import Frame

OPTIONS = """-netdev user,id=u,hostfwd=tcp::5555-:5556,hostfwd=udp::7777-:7777
  -device e1000,netdev=u
  -object filter-duplicate,id=twice,netdev=u,every=5"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run in which each kind of event happens."""
    return run(
        machine_from_options(
            OPTIONS.split(),
            guest=["echo back | nc -l -p 5556 > copy", "ltool udpecho 7777 1"],
            host=[
                "echo hello | nc -N localhost 5555",
                "echo hi | nc -u -w1 localhost 7777",
            ],
            folder=tmp_path_factory.mktemp("events"),
        )
    )


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the type that a field is declared with."""
    if parts := get_args(hint):
        if parts[-1] is Ellipsis:
            parts = parts[:1] * len(value)
        return isinstance(value, tuple) and all(map(fits, value, parts))
    return type(value) is hint


def test_what_is_noted_has_the_fields_of_its_kind_with_their_types(result: RunResult) -> None:
    seen = set()
    for record in result.trace.threads.values():
        for _, _, kind, *data in record.events:
            event = KINDS[kind]
            hints = get_type_hints(event)
            names = fields(event)
            assert len(names) == len(data), kind
            for name, value in zip(names, data, strict=True):
                assert fits(value, hints[name]), f"{kind}.{name} is {value!r}"
            seen.add(event)
    assert seen == set(EVENTS)


def test_each_kind_has_a_word_of_its_own() -> None:
    assert len(KINDS) == len(EVENTS)


def test_a_reader_asks_for_a_kind_and_gets_its_fields_by_name(result: RunResult) -> None:
    read = [one.event for one in result.trace.events(Read)]
    assert sum(one.count for one in read) == len("hello\n")
    assert {one.event.by for one in result.trace.events(Closed)} == {"client", "server"}


def test_every_reason_of_a_run_is_declared(result: RunResult) -> None:
    noted = [one.event.why for kind in (Lost, Held) for one in result.trace.events(kind)]
    assert noted
    for why in noted:
        assert all_reasons()[why.code].text == why.text


def lines(result: RunResult) -> Iterator[dict[str, Any]]:
    for line in b"".join(result.trace_text).splitlines():
        yield json.loads(line)


def test_the_file_names_the_data_of_an_event(result: RunResult) -> None:
    connected = next(line for line in lines(result) if line.get("event") == "connected")
    assert list(connected) == ["thread", "at", "position", "event", "conn", "client", "server"]
    assert connected["server"] == ["127.0.0.1", 5555]
    held = next(line for line in lines(result) if line.get("event") == "held")
    assert list(held) == ["thread", "at", "position", "event", "frame", "where", "why"]
    assert list(held["why"]) == ["code", "text", "data"]


def ledger_of(*told: tuple[str, Reason]) -> Trace:
    """The trace of a thread that loses a frame at each place for a reason."""
    env, trace = SimPyEnvironment(), Trace()
    ledger = FrameLedger(Recorder(env))

    def body() -> None:
        for where, why in told:
            ledger.lost(Frame(bytes(60)), where, why)

    thread = Thread(env, "vcpu", 10, body, trace.codes)
    trace.follow(thread)
    env.run()
    trace.finish([thread])
    return trace


def test_reasons_that_differ_in_numbers_only_are_one_line() -> None:
    trace = ledger_of(
        ("a", reasons.QUEUE_FULL.of(limit=7)),
        ("a", reasons.QUEUE_FULL.of(limit=3)),
        ("b", reasons.NO_LINK),
        ("a", reasons.QUEUE_FULL.of(limit=5)),
        ("b", reasons.QUEUE_FULL.of(limit=3)),
    )
    assert reason_counts(trace.happened(Lost)) == [
        {"where": "a", "why": "queue full (3 to 7 packets)", "code": "queue-full", "frames": 3},
        {"where": "b", "why": "no link", "code": "no-link", "frames": 1},
        {"where": "b", "why": "queue full (3 packets)", "code": "queue-full", "frames": 1},
    ]


def test_events_come_in_order_of_time_whatever_thread_noted_them(result: RunResult) -> None:
    for event in EVENTS:
        found = result.trace.events(event)
        assert found == sorted(found, key=lambda o: (o.time, o.record.rank, o.position))


# What the card says of its interrupts


@pytest.mark.parametrize("name", ["hello", "burst", "lossy", "hold-off"])
def test_each_rise_of_the_pin_and_each_window_is_told(name: str) -> None:
    """In QEMU's semantics a window follows each rise, and ends before the next one begins."""
    trace = shipped_run(name).trace
    rises = [one.time for one in trace.happened(PinDriven) if one.event.level]
    assert [one.time for one in trace.happened(Raised)] == rises
    begun, ended = list(trace.happened(MitigationBegun)), list(trace.happened(MitigationEnded))
    assert [one.time for one in begun] == rises
    assert [end.event.begin_ns for end in ended] == rises[: len(ended)]
    assert len(begun) - len(ended) in (0, 1), "the last may be under way"
    for begin, end in zip(begun, ended, strict=False):
        assert end.event.by == begin.event.by
        assert begin.event.until_ns <= end.time, "the main loop may be late"
        assert not end.event.cut
        assert begin.event.by == "floor" or begin.event.asked_by == begin.event.by
    held = 0
    for end, then in zip(ended, begun[1:], strict=False):
        assert end.time <= then.time
        assert 0 <= end.event.waited_ns < end.time - end.event.begin_ns
        assert bool(end.event.causes) == (end.event.waited_ns > 0)
        if end.event.causes:
            held += 1
            assert then.record is end.record, "what has waited rises at once"
            assert then.event.causes == end.event.causes
    assert held == rises_inside(trace, Landmark.MITIGATION_ENDED)


def rises_inside(trace: Trace, landmark: Landmark) -> int:
    """How often the pin rose inside a function."""
    codes = trace.codes.entries(landmark)
    found = 0
    for rise in trace.happened(PinDriven):
        before = rise.record.codes[: rise.position]
        found += rise.event.level and any(before.count(c) > before.count(c + 1) for c in codes)
    return found


def test_the_processor_goes_over_to_programs_and_kernel_threads(result: RunResult) -> None:
    names = {one.event.name: one.event.pid for one in result.trace.happened(Scheduled)}
    assert {"nc", "ltool", "init"} <= names.keys()
    assert all(pid >= 200 for name, pid in names.items() if name in ("nc", "ltool", "init"))


# What programs write and read


def test_a_datagram_is_told_at_each_end(result: RunResult) -> None:
    trace = result.trace
    sent = [one.event for one in trace.happened(DatagramSent)]
    received = [one.event for one in trace.happened(DatagramReceived)]
    assert [one.datagram for one in received] == [one.datagram for one in sent if one.queued]
    assert [one.count for one in sent] == [one.count for one in received] == [3, 3]
    (read,) = [one.event for one in trace.happened(DatagramRead)]
    (written,) = [one.event for one in trace.happened(DatagramWritten)]
    assert (read.protocol, read.local[1], read.count) == (17, 7777, 3)
    assert (written.protocol, written.remote, written.count) == (17, read.remote, 3)
    assert written.crc == sent[0].crc == sent[1].crc == crc32(b"hi\n")
    frames = {packet.frame.number: packet.frame.raw for packet in result.packets["nic"]}
    assert frames[read.frame].rstrip(b"\0").endswith(b"hi\n")


def test_what_a_blocked_call_writes_later_is_told_as_the_same_call(tmp_path: Path) -> None:
    """A call at each end, larger than all buffers; slirp reads little by little."""
    size = SNDBUF + RCVBUF + 1
    trace = run(
        machine_from_options(
            ["-netdev", "user,id=u,hostfwd=tcp::5555-:5556", "-device", "e1000,netdev=u"],
            guest=[f"ltool tcpsrv 5556 {size} 1"],
            host=[f"ltool tcpcli localhost 5555 {size} 1 0"],
            folder=tmp_path,
        )
    ).trace
    sent = [one.event for one in trace.happened(Sent) if one.event.by == "client"]
    written = [one.event for one in trace.happened(Written)]
    assert [one.first_byte for one in sent if not one.resumed] == [0]
    assert [one.first_byte for one in written if not one.resumed] == [0]
    for parts in (sent, written):
        assert sum(one.count for one in parts) == size
        assert len(parts) > 1
