"""Figures that take a walk through a run: each is checked by another way to it."""

from __future__ import annotations

import json
from fractions import Fraction

import metrics_page
import pytest
from documents import read
from hypothesis import given
from hypothesis import strategies as st
from runs import config, shipped_run

from desim.cli import main
from desim.events import FrameStored, FrameTaken
from desim.experiment import measures
from desim.experiment.run import RunResult, run
from desim.scenario.metrics import METRICS, USUAL
from desim.stages import Landmark
from desim.wire.parsed import parse_segment

RUNS = ("hello", "burst", "lossy", "itr-light")


def value(result: RunResult, name: str) -> Fraction:
    found = result.metrics.value(name)
    assert found is not None, name
    return Fraction(found)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20),
    st.integers(0, 30),
)
def test_a_level_is_what_adding_up_each_instant_gives(
    stays: list[tuple[int, int]], begin: int
) -> None:
    came = sorted(start for start, _ in stays)
    went = sorted(start + length for start, length in stays)
    found = measures.level(came, went, begin)
    last = max(went)
    times = [t for t in (*came, *went) if t >= begin]
    if not times:
        assert found is None
        return
    first = min(times)
    there = [sum(a <= t < b for a, b in ((s, s + n) for s, n in stays)) for t in range(first, last)]
    assert found is not None
    assert found.most >= max(there, default=0)
    if last > first:
        assert found.mean == Fraction(sum(there), last - first)


@pytest.mark.parametrize("name", RUNS)
def test_the_processors_time_is_shared_out_whole(name: str) -> None:
    result = shipped_run(name)
    found = result.metrics.processor
    begin = result.metrics.booted_ns
    assert begin is not None
    assert found.total_ns == result.end_ns - begin
    assert sum(found.programs.values()) == found.task
    assert sum(value(result, f"cpu.{c}") for c in ("task", "softirq", "hardirq", "idle")) == 1
    assert min(found[:4]) > 0
    trace = result.trace
    idle = result.end_ns - trace.threads["vcpu"].times[-1]  # it was halted when the run ended
    codes = trace.codes.entries(Landmark.IDLE)
    for span in trace.spans(trace.threads["vcpu"]):
        if span.code in codes and trace.codes.name(span.code) == "do_idle":
            idle += max(span.end - max(span.begin, begin), 0)
    assert found.idle <= idle, "interrupts that end it are not idle time"


@pytest.mark.parametrize("name", RUNS)
def test_parts_add_up_to_their_whole(name: str) -> None:
    result = shipped_run(name)
    lost = sum(value(result, f"lost.{group}") for group in ("ring", "queue", "fault", "other"))
    assert lost == value(result, "frames.lost")
    deciders = ("itr", "radv", "tadv", "floor")
    assert sum(value(result, f"irq_held_by.{by}") for by in deciders) == value(result, "irq_held")
    assert sum(value(result, f"irq_windows.{by}") for by in deciders) == 1
    assert value(result, "irq_allowed") <= 7813, "QEMU's floor"


def test_a_burst_fills_the_ring_as_far_as_there_are_descriptors() -> None:
    result = shipped_run("burst")
    stored = [one.event.frame for one in result.trace.happened(FrameStored)]
    taken = [one.event.frame for one in result.trace.happened(FrameTaken)]
    assert set(taken) <= set(stored)
    assert value(result, "ring.max") <= 80 - 1
    assert value(result, "ring.max") > 70, "74 found no room"
    assert value(result, "lost.ring") == 74
    assert value(result, "to_guest.sent") == 200
    assert value(result, "to_guest.arrived") == 126
    times = sorted(m.total_ns for m in result.messages() if m.total_ns is not None)
    assert value(result, "to_guest.min") == times[0]
    assert value(result, "to_guest.p90") == times[-(-len(times) * 9 // 10) - 1]
    assert value(result, "to_guest.max") == times[-1]


def test_what_was_requested_programmed_allowed_and_got() -> None:
    result = shipped_run("itr-light")
    assert value(result, "irq_requested") == 4000
    assert abs(value(result, "irq_programmed") - 4000) < 10, "ITR counts units of 256 ns"
    assert value(result, "irq_rate") < value(result, "irq_allowed")
    assert shipped_run("hello").metrics.value("irq_requested") is None, "a dynamic mode"


def test_segments_and_acks_are_those_of_the_captures() -> None:
    result = shipped_run("lossy")
    sent = 0
    for packet in result.packets["nic"]:
        segment = parse_segment(packet.frame.raw)
        sent += not packet.to_guest and segment is not None and bool(segment.payload)
    assert value(result, "tcp.segments") == sent
    ratio = value(result, "tcp.segments") / value(result, "tcp.acks")
    assert value(result, "tcp.segments_per_ack") == ratio
    assert value(result, "poll_frames") > 0


def test_a_summary_has_the_usual_ones_and_all_if_asked() -> None:
    assert list(shipped_run("hello").summary["metrics"]) == list(USUAL)
    assert list(run(config("hello", statistics=True)).summary["metrics"]) == list(METRICS)


def test_a_page_and_a_command_have_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    page = read(metrics_page.PAGE)
    assert page == metrics_page.page(page), "stale: nox -s pages makes it anew"
    assert main(["metrics"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in METRICS)
    assert max(map(len, shown.splitlines())) <= 80
    assert main(["metrics", "--json", "cpu", "ring.max"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["cpu.task", "cpu.softirq", "cpu.hardirq", "cpu.idle", "ring.max"]
    assert told["cpu.task"] | {"about": ""} == {
        "kind": "share",
        "unit": "part",
        "about": "",
        "exactness": "costs",
        "asked": True,
    }
    assert main(["metrics", "irq_rate"]) == 0
    assert "[expect] irq_rate" in capsys.readouterr().out
    assert main(["metrics", "irq_rat"]) == 0
    capsys.readouterr()
    assert main(["metrics", "rng.max"]) == 2
    assert "did you mean 'ring.max'" in capsys.readouterr().err
