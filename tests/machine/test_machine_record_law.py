"""The law of recording: what happens is the same whatever of it is kept.

Files, terminals, the end, frames and counters of a run are equal at all levels of
``desim.record``, and its journeys are those of a trace, leg by leg.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import SHIPPED, config, random_profile, shipped_run

from desim.config import InputFile, MachineConfig, RunCommand
from desim.costs.profile import load
from desim.events import FramePassed
from desim.experiment.run import RunResult, run
from desim.machine import Machine
from desim.machine.capture import Captured
from desim.record import Record
from desim.scenario.command_line import machine_from_options
from desim.stages import Landmark

SECOND = 10**9
MS = 1_000_000
LESS: tuple[tuple[Record, bool], ...] = (
    ("none", False),
    ("none", True),
    ("counters", False),
    ("counters", True),
    ("journeys", False),
    ("journeys", True),
    ("trace", False),
)
"""Every way to keep less than everything."""


UNJUDGED = "cannot be judged"


def frames(packets: Sequence[Captured]) -> list[tuple[int, bool, int, bytes]]:
    return [(p.time, p.to_guest, p.frame.number, p.frame.raw) for p in packets]


def assert_same(less: RunResult, full: RunResult) -> None:
    """What a run that keeps ``less`` shows is what the one that keeps everything shows."""
    assert (less.ended, less.end_ns, less.failed) == (full.ended, full.end_ns, full.failed)
    assert less.files == full.files
    assert less.transcripts == full.transcripts
    kept = dict(less.summary)
    # What is expected of a figure that was not recorded is not judged, and the run says so.
    kept["expectations"] = [one for one in kept["expectations"] if UNJUDGED not in one]
    expected = dict(full.summary) | {key: kept[key] for key in ("record", "capture")}
    expected["fingerprint"] = None
    if not less.keeps("counters"):
        expected["frames"] = None
    if not less.keeps("journeys"):
        expected["journey"] = expected["interrupts"] = expected["metrics"] = None
    elif not less.captured:
        # What is said of transfers needs their packets.
        expected["metrics"] = None
        if full.summary["interrupts"] is not None:
            expected["interrupts"] = full.summary["interrupts"] | {"transfers": None}
    assert kept == expected
    if less.captured:
        assert {p: frames(packets) for p, packets in less.packets.items()} == {
            p: frames(packets) for p, packets in full.packets.items()
        }
    if less.keeps("journeys"):
        assert less.journey == full.journey


def keep(made: MachineConfig, record: Record, capture: bool) -> MachineConfig:
    made.record, made.capture = record, capture
    return made


@pytest.mark.parametrize(("record", "capture"), LESS)
def test_hello_keeps_the_law(record: Record, capture: bool) -> None:
    assert_same(run(keep(config("hello"), record, capture)), shipped_run("hello"))


@pytest.mark.parametrize("record", ["none", "journeys"])
def test_a_strict_run_keeps_it_too(record: Record) -> None:
    assert_same(run(config("hello", strict=True, record=record)), shipped_run("hello"))


@pytest.mark.slow
@pytest.mark.parametrize(("record", "capture"), LESS[:1] + LESS[2:6:2])
@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "hello"])
def test_shipped_scenarios_keep_the_law(name: str, record: Record, capture: bool) -> None:
    assert_same(run(keep(config(name), record, capture)), shipped_run(name))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize("name", ["hello-close", "upload"])
def test_they_keep_it_whatever_things_cost(name: str, seed: int, tmp_path: Path) -> None:
    """Which stages a run of level ``journeys`` records depends on what they cost."""
    changes: dict[str, Any] = {
        "costs": random_profile(seed, tmp_path),
        "modprobe": ("e1000", "e1000_plain", "e1000_polling")[seed % 3],
    }
    full = run(config(name, until_ns=9 * SECOND, **changes))
    for record in ("counters", "journeys"):
        less = run(config(name, until_ns=9 * SECOND, record=record, capture=False, **changes))
        assert_same(less, full)


# What a thread had noted ahead of the end has not happened


def instants() -> Iterator[int]:
    """When something that is counted happens in the whole of ``hello``, and just after."""
    full = shipped_run("hello")
    times = [one.time for one in full.trace.events(FramePassed)]
    record = full.trace.threads["vcpu"]
    interrupts = full.trace.codes.entries(Landmark.INTERRUPT)
    times += [t for t, code in zip(record.times, record.codes, strict=True) if code in interrupts]
    for time in sorted(set(times)):
        if time > 5 * SECOND:
            yield from (time, time + 1)


@pytest.mark.slow
def test_a_run_that_ends_in_the_middle_counts_what_had_happened() -> None:
    ends = list(instants())
    assert len(ends) > 20
    ahead = 0
    for end in ends:
        counts = []
        for record, capture in (("trace", True), ("counters", False), ("counters", True)):
            machine = Machine(config("hello", until_ns=end, record=record, capture=capture))
            machine.run()
            counts.append(machine.frame_counts())
            if capture:
                counts.append({p: frames(c) for p, c in machine.captures().items()})
            if record == "trace":
                made = machine.recorder.frames
                passed = sum(sum(point.values()) for point in counts[0]["points"].values())
                ahead += 2 * made > passed
        full, captured, less, also_less, also_captured = counts
        assert full == less == also_less, end
        assert captured == also_captured, end
    assert ahead, "in none of these runs is a thread ahead of the end, so that nothing is tried"


@pytest.mark.parametrize("limit", [3, 14])
def test_a_limit_of_frames_stops_a_run_that_keeps_nothing_where_it_stops_others(
    limit: int,
) -> None:
    ends = []
    for record, capture in (("trace", True), ("none", False)):
        made = keep(config("hello"), record, capture)
        made.limits.frames = limit
        machine = Machine(made)
        machine.run()
        ends.append((machine.ended, machine.end_ns, machine.failed, machine.files()))
    assert ends[0] == ends[1]
    assert f"more than {limit} frames by" in ends[0][0]


def test_limits_of_records_are_for_what_is_recorded() -> None:
    def ended(record: Record, **limits: int) -> str:
        made = keep(config("hello"), record, capture=False)
        for limit, value in limits.items():
            setattr(made.limits, limit, value)
        machine = Machine(made)
        machine.run()
        return machine.ended

    for record in ("journeys", "trace"):
        assert "more than 10 notes by" in ended(record, notes=10)
    for record in ("none", "counters"):
        assert ended(record, notes=10, marks=0) == "all programs have ended"


# What no scenario has: drawn conversations

EXAMPLES = 12 if settings.default is not None and settings.default.derandomize else 300

FILTERS = (
    "filter-loss,id=f,netdev=u,probability=1/9",
    "filter-delay,id=f,netdev=u,delay=3ms,jitter=1ms",
    "filter-duplicate,id=f,netdev=u,every=5",
    "filter-reorder,id=f,netdev=u,every=6",
    "filter-corrupt,id=f,netdev=u,every=7",
    "filter-buffer,id=f,netdev=u,interval=2000",
)


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """What ``conversation`` takes."""
    return {
        "filters": draw(st.lists(st.sampled_from(FILTERS), max_size=1)),
        "hub": draw(st.booleans()),
        "ways": draw(
            st.lists(
                st.tuples(
                    st.sampled_from(["up", "out", "ping", "udp"]),
                    st.integers(0, 9_000),
                    st.integers(0, 400),
                ),
                min_size=1,
                max_size=3,
            )
        ),
        "modprobe": draw(st.sampled_from(["e1000", "e1000 InterruptThrottleRate=500"])),
        "profile": draw(st.integers(0, 50)),
        "seed": draw(st.integers(0, 99)),
        "until_ns": draw(st.integers(6_000 * MS, 9_000 * MS)),
    }


def conversation(drawn: dict[str, Any], folder: Path) -> MachineConfig:
    """A machine whose guest and host talk in some ways, each with so many bytes, so late."""
    forwards = "".join(f",hostfwd=tcp::{5000 + n}-:{5000 + n}" for n in range(3))
    net = ["-netdev", f"user,id=u{forwards}", "-device", "e1000,netdev=u"]
    if drawn["hub"]:
        net = ["-net", f"user,id=u{forwards}", "-net", "nic,model=e1000"]
    objects = [] if drawn["hub"] else [w for text in drawn["filters"] for w in ("-object", text)]
    made = machine_from_options([*net, *objects], guest=[], host=[], folder=folder)
    made.seed, made.until_ns = drawn["seed"], drawn["until_ns"]
    made.modprobe = drawn["modprobe"]
    made.costs = random_profile(drawn["profile"], folder)

    def start(side: str, command: str, at_ns: int) -> None:
        commands = made.guest if side == "guest" else made.host
        name = f"{side} {len(commands) + 1}"
        commands.append(
            RunCommand(
                side="guest" if side == "guest" else "host",
                command=command,
                terminal=name,
                at_ns=at_ns,
            )
        )

    for n, (way, size, late_ms) in enumerate(drawn["ways"]):
        sent = InputFile(name=f"sent{n}", data=bytes(i * 7 % 251 for i in range(size)))
        made.guest_files[sent.name] = made.host_files[sent.name] = sent
        at, port = 6_000 * MS + late_ms * MS, 5000 + n
        if way == "up":
            start("guest", f"nc -l -p {port} > got{n}", 5_500 * MS)
            start("host", f"nc -N localhost {port} < sent{n}", at)
        elif way == "out":
            start("host", f"nc -l -p {port + 1000} > got{n}", 5_500 * MS)
            start("guest", f"nc -N 10.0.2.2 {port + 1000} < sent{n}", at)
        elif way == "ping":
            start("guest", f"ping -c 2 -s {size // 8} 10.0.2.2", at)
        else:
            start("guest", "nslookup example.org", at)
    return made


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(drawn=conversations())
def test_drawn_conversations_keep_the_law(
    drawn: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    full = run(conversation(drawn, folder))
    for record, capture in LESS[1:5]:
        assert_same(run(keep(conversation(drawn, folder), record, capture)), full)


# What the level of journeys relies on


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["hello-close", "upload"])
def test_time_passes_in_what_costs_or_waits_or_is_a_landmark_only(
    name: str, seed: int, tmp_path: Path
) -> None:
    """A driver's delay is in a stage that is ``Landmark.PAUSED``, for one."""
    costs = random_profile(seed, tmp_path)
    full = run(config(name, costs=costs, until_ns=9 * SECOND))
    codes, profile = full.trace.codes, load(costs)
    for record in full.trace.threads.values():
        stack: list[int] = []
        at = 0
        for time, code in zip(record.times, record.codes, strict=True):
            if stack and time > at and not codes.is_wait(stack[-1]):
                stage = codes.file(stack[-1]), codes.name(stack[-1])
                assert any(profile.cost(*stage)) or codes.landmark(stack[-1]), stage
            at = time
            if code & 1:
                stack.pop()
            else:
                stack.append(code)
