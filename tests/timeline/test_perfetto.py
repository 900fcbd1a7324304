"""The file for Perfetto, read with Perfetto's own classes: is it what the run was?"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from perfetto_reading import Instant, Timeline, read
from runs import config, shipped_run

from desim.engine.thread import Thread
from desim.engine.watched import OpenStage, Watcher
from desim.events import MitigationBegun, MitigationEnded, PinDriven
from desim.experiment import output
from desim.experiment.run import run
from desim.experiment.saved import Saved
from desim.machine import Machine
from desim.scenario.inputs import Inputs
from desim.scenario.loader import parse_scenario
from desim.timeline import protobuf
from desim.timeline.perfetto import perfetto


@cache
def timeline(name: str) -> Timeline:
    return read(b"".join(perfetto(shipped_run(name))))


class Backtraces(Watcher):
    """The backtrace at every entry of every function, as a breakpoint there would show it."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[int, list[str]]]] = {}

    def entered(self, thread: Thread, stack: list[OpenStage]) -> None:
        names = [stage.name for stage in reversed(stack)]
        self.seen.setdefault(thread.name, []).append((thread.now, names))

    def left(self, thread: Thread, stage: OpenStage, depth: int) -> None:
        """It does not matter here."""


@pytest.mark.slow
def test_what_is_open_around_each_function_is_the_backtrace_there() -> None:
    watch = Backtraces()
    machine = Machine(config("hello", strict=True), watch)
    machine.run()
    shown = timeline("hello").slices
    count = 0
    for group, thread in shown:
        if group not in ("host", "QEMU") or thread == "big lock":
            continue
        functions = [one for one in shown[group, thread] if one.category != "wait"]
        expected = [(at, names) for at, names in watch.seen[thread] if at < machine.end_ns]
        assert [(one.begin, one.stack()) for one in functions] == expected, thread
        count += len(functions)
    assert count > 20_000


def test_every_passage_of_the_trace_is_a_slice_of_its_thread() -> None:
    result = shipped_run("hello")
    shown, codes = timeline("hello").slices, result.trace.codes
    for name, record in result.trace.threads.items():
        group = "QEMU" if name in ("main", "vcpu") else "host"
        slices = shown[group, name]
        spans = list(result.trace.spans(record))
        assert [(one.begin, one.name, one.file) for one in slices] == [
            (span.begin, codes.name(span.code), codes.file(span.code)) for span in spans
        ]
        for one, span in zip(slices, spans, strict=True):
            assert one.end == (result.end_ns if span.is_open else span.end)


def flow(name: str, message: Instant) -> list[Instant]:
    """All that stands on the way of a message, in order."""
    (number,) = message.flows
    return [one for one in timeline(name).instants if number in (*one.flows, *one.last_of)]


def test_arrows_lead_from_send_on_the_host_to_read_in_the_guest() -> None:
    first = next(one for one in timeline("hello").instants if one.name == "sent")
    way = flow("hello", first)
    assert [(one.name, one.track) for one in way] == [
        ("sent", "nc[29702]"),
        ("received", "main"),
        ("frame", "main"),
        ("dma", "main"),
        ("frame", "main"),
        ("taken", "vcpu"),
        ("read", "vcpu"),
    ]
    assert all(a.time <= b.time for a, b in pairwise(way))
    assert way[-1].last_of
    assert not way[-1].flows
    functions = [one.parent.stack() if one.parent else [] for one in way]
    assert "write" in functions[0]
    assert functions[1][:2] == ["recv", "soread"]
    assert functions[2][0] == "slirp_output"
    assert functions[5][0] == "e1000_clean_rx_irq"
    assert "do_syscall_64" in functions[6] or "schedule" in functions[6]
    journey = shipped_run("hello").journey
    assert journey.begin_ns <= way[0].time <= way[-1].time <= journey.end_ns
    assert way[2].values["packet"].endswith("length 17")


@pytest.mark.slow
def test_arrows_lead_from_the_guest_to_a_program_of_the_host() -> None:
    written = [one for one in timeline("http").instants if one.name == "write"]
    ways = [flow("http", one) for one in written]
    for way in ways:
        assert [one.name for one in way] == ["write", "frame", "frame", "sent", "received"]
        assert way[-1].last_of == way[0].flows
        assert all(a.time <= b.time for a, b in pairwise(way))
    # The guest asks a server of the host, and programs of the host ask one of the guest.
    tracks = [way[-1].track.partition("[")[0] for way in ways]
    assert tracks == ["httpd", "curl", "curl", "curl"]


def test_windows_of_mitigation_say_which_register_decided() -> None:
    result = shipped_run("hello")
    begun = [(one.time, one.event.by) for one in result.trace.happened(MitigationBegun)]
    ended = [one.time for one in result.trace.happened(MitigationEnded)]
    windows = timeline("hello").slices["card", "mitigation: line"]
    assert [(one.begin, one.name) for one in windows] == begun
    assert [one.end for one in windows] == ended
    assert {one.name for one in windows} == {"floor", "ITR"}


def test_the_interrupt_line_and_the_ring() -> None:
    result, shown = shipped_run("hello"), timeline("hello")
    rises = [one.time for one in result.trace.happened(PinDriven) if one.event.level]
    line = shown.slices["card", "interrupt line"]
    assert [one.begin for one in line] == rises
    falls = [one.time for one in result.trace.happened(PinDriven) if not one.event.level]
    assert [one.end for one in line] == falls[-len(rises) :]
    ring = [value for _, value in shown.counters["card", "receive ring"]]
    assert max(ring) == 1
    assert ring[-1] == 0
    assert len(ring) == 2 * result.frame_counts["points"]["nic"]["to_guest"]


def test_one_thread_at_a_time_has_the_big_lock() -> None:
    held = sorted(
        (one.begin, one.end, one.name) for one in timeline("hello").slices["QEMU", "big lock"]
    )
    assert {name for _, _, name in held} == {"main", "vcpu"}
    assert all(first[1] <= second[0] for first, second in pairwise(held))


def test_the_processor_is_always_in_one_context() -> None:
    contexts = sorted(
        (one.begin, one.end, track)
        for (group, track), slices in timeline("hello").slices.items()
        if group == "guest"
        for one in slices
    )
    assert contexts[0][0] == 0
    assert contexts[-1][1] == shipped_run("hello").end_ns
    assert all(first[1] == second[0] for first, second in pairwise(contexts))
    names = {"nc", "ifconfig", "idle", "softirq", "hardirq e1000", "hardirq timer", "kworker/0:1"}
    assert names < {one[2] for one in contexts}


def test_windows_are_those_of_the_segments() -> None:
    counters = timeline("hello").counters
    back = "10.0.2.15:5556 > 10.0.2.2:39866"
    assert [value for _, value in counters["connections", f"{back} window"]] == [65535]
    there = "10.0.2.2:39866 > 10.0.2.15:5556"
    assert [v for _, v in counters["connections", f"{there} in flight"]] == [1, 0, 17, 0, 1, 0]


@pytest.mark.slow
def test_another_scenario_makes_a_file_too() -> None:
    name = "http"
    shown = timeline(name)
    assert shown.groups == ["host", "QEMU", "guest", "card", "connections"]
    for slices in shown.slices.values():
        assert all(one.begin <= one.end <= shipped_run(name).end_ns for one in slices)


TWO = """
costs = "zero"
qemu = '''-netdev user,id=u,hostfwd=tcp::5555-10.0.2.15:5556 -netdev hubport,id=h0,hubid=0,netdev=u
    -netdev hubport,id=h1,hubid=0 -device e1000,netdev=h1
    -netdev socket,id=s,listen=:1234 -netdev hubport,id=h2,hubid=0,netdev=s'''
[[guest.run]]
command = "nc -lp 5556 > hello.txt"
[[host.run]]
at = "6s"
command = "echo hello | nc -N localhost 5555"
[machine.b]
qemu = "-netdev socket,id=s,connect=:1234 -device e1000,netdev=s,mac=52:54:00:12:34:57"
guest.modprobe_at = "2s"
[[machine.b.guest.run]]
command = "ping -c 1 10.0.2.15"
"""


@pytest.mark.slow
def test_each_machine_has_its_own_groups(tmp_path: Path) -> None:
    result = run(parse_scenario(TWO.encode(), "two.toml", Inputs(tmp_path)))
    shown = read(b"".join(perfetto(result)))
    assert shown.groups == [
        "host",
        *("QEMU", "guest", "card"),
        *("b QEMU", "b guest", "b card"),
        "connections",
    ]
    assert ("QEMU", "vcpu") in shown.slices
    assert ("b QEMU", "b vcpu") in shown.slices
    pings = {one.track for one in shown.instants if one.values.get("name") == "ping"}
    assert pings == {"b vcpu"}
    assert ("b card", "interrupt line") in shown.slices
    first = next(one for one in shown.instants if one.name == "sent" and one.flows)
    way = [one for one in shown.instants if set(first.flows) & {*one.flows, *one.last_of}]
    assert {one.name for one in way} == {"sent", "received", "frame", "dma", "taken", "read"}
    assert [one.track for one in way if one.name == "read"] == ["vcpu"]
    # A folder of two machines is read again.
    output.write(result, tmp_path / "out")
    saved = Saved(tmp_path / "out")
    assert saved.fingerprint == result.fingerprint
    assert list(saved.packets["b-nic"].appended()) == list(result.packets["b-nic"].appended())


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, b"\0"), (127, b"\x7f"), (300, b"\xac\x02"), (-1, b"\xff" * 9 + b"\x01")],
)
def test_varints(value: int, written: bytes) -> None:
    assert protobuf.varint(value) == written
