"""What a run notes is of the declared kinds, and counts of reasons come from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import pytest

from desim.engine.simpy_environment import SimPyEnvironment
from desim.engine.thread import Thread
from desim.engine.trace import Trace
from desim.events import EVENTS, KINDS, Closed, Held, Lost, Read
from desim.experiment.run import RunResult, run
from desim.machine.counts import reason_counts
from desim.machine.ports import FrameLedger, Recorder
from desim.machine.reasons import all_reasons
from desim.net import reasons
from desim.reasons import Reason
from desim.scenario.command_line import machine_from_options
from desim.wire.frame import Frame

OPTIONS = """-netdev user,id=u,hostfwd=tcp::5555-:5556 -device e1000,netdev=u
  -object filter-duplicate,id=twice,netdev=u,every=5"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run in which each kind of event happens."""
    return run(
        machine_from_options(
            OPTIONS.split(),
            guest=["nc -l -p 5556 > copy"],
            host=["echo hello | nc -N localhost 5555"],
            folder=tmp_path_factory.mktemp("events"),
        )
    )


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the type that a field is declared with."""
    if parts := get_args(hint):
        return isinstance(value, tuple) and all(map(fits, value, parts))
    return type(value) is hint


def test_what_is_noted_has_the_fields_of_its_kind_with_their_types(result: RunResult) -> None:
    seen = set()
    for record in result.trace.threads.values():
        for _, _, kind, *data in record.events:
            event = KINDS[kind]
            hints = get_type_hints(event)
            names = [field.name for field in fields(event)]
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
    assert reason_counts(trace, Lost) == [
        {"where": "a", "why": "queue full (3 to 7 packets)", "code": "queue-full", "frames": 3},
        {"where": "b", "why": "no link", "code": "no-link", "frames": 1},
        {"where": "b", "why": "queue full (3 packets)", "code": "queue-full", "frames": 1},
    ]


def test_events_come_in_order_of_time_whatever_thread_noted_them(result: RunResult) -> None:
    for event in EVENTS:
        found = result.trace.events(event)
        assert found == sorted(found, key=lambda o: (o.time, o.record.rank, o.position))
