"""Interrupts by interval, cause and holder, counted from the trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from runs import config, shipped_run

import desim
from desim.engine.trace import ThreadRecord, Trace
from desim.events import MitigationBegun, MitigationEnded, PinDriven, Raised
from desim.experiment.interrupts import Held, Interrupts, by_interval, lies, together
from desim.experiment.run import run
from desim.spool import Spool

SCENARIOS = ("hello", "hold-off", "itr-medium", "cut-link", "window")


def interrupts(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = shipped_run(name).summary["interrupts"]
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_boot_and_run_are_the_whole_run(name: str) -> None:
    result, found = shipped_run(name), interrupts(name)
    rises = [one for one in result.trace.events(PinDriven) if one.event.level]
    assert found["boot"]["rises"] + found["run"]["rises"] == len(rises)
    assert found["boot"]["length_ns"] + found["run"]["length_ns"] == result.end_ns - 1
    taken = found["boot"]["taken"] + found["run"]["taken"]
    assert taken == result.metrics.value("irq")


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_rise_of_qemus_card_begins_one_window_and_has_a_cause(name: str) -> None:
    for interval in interrupts(name).values():
        if interval is not None:
            assert sum(interval["windows"].values()) == interval["rises"]
            assert max(interval["causes"].values()) <= interval["rises"]
            assert sum(interval["causes"].values()) >= interval["rises"]
            held = sum(one["times"] for one in interval["held"])
            assert held <= interval["rises"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_held_is_what_the_figure_says(name: str) -> None:
    found = interrupts(name)
    held = [one for part in ("boot", "run") for one in found[part]["held"]]
    assert sum(one["times"] for one in held) == shipped_run(name).metrics.value("irq_held")
    assert all(one["longest_ns"] <= one["waited_ns"] for one in held)


def test_frames_that_wait_for_itr_wait_for_itr() -> None:
    (itr, floor) = interrupts("itr-medium")["run"]["held"]
    assert (itr["holds"], itr["by"], itr["times"]) == ("line", "ITR", 149)
    assert itr["causes"] == {"RXT0": 149, "TXDW": 149}
    assert itr["longest_ns"] < 249_856
    assert (floor["by"], floor["times"]) == ("floor", 1)


def test_without_transfers_there_are_none_in_transfers() -> None:
    assert interrupts("itr-medium")["transfers"] is None
    assert interrupts("window")["transfers"]["length_ns"] < 10**9


def test_the_datasheets_delays_hold_a_cause_and_not_the_line() -> None:
    result = desim.run(desim.load("rdtr").set({"semantics": "datasheet"}))
    held = result.summary["interrupts"]["run"]["held"]
    assert {(one["holds"], one["by"]) for one in held} == {
        ("RXT0", "RADV"),
        ("RXT0", "RDTR"),
        ("TXDW", "TIDV"),
    }
    assert all(list(one["causes"]) == [one["holds"]] for one in held)
    assert result.metric("irq_held") == 0


def test_a_run_without_a_card_or_without_a_record_of_it_has_none() -> None:
    without = desim.run(desim.from_qemu("-nic none", host=["echo hello"]))
    assert without.summary["interrupts"] is None
    for record in ("none", "counters"):
        assert run(config("hello", record=record)).summary["interrupts"] is None


def test_frames_are_not_needed_but_for_transfers() -> None:
    found = run(config("hello", capture=False)).summary["interrupts"]
    whole = interrupts("hello")
    assert (found["boot"], found["run"]) == (whole["boot"], whole["run"])
    assert found["transfers"] is None


VCPU = ThreadRecord("vcpu", 0, Spool())
"""A thread that enters no function."""


class Told:
    """A trace of events alone."""

    def __init__(self, *events: tuple[int, Any]) -> None:
        self.events = events
        self.threads = {VCPU.name: VCPU}
        self.codes = Trace().codes

    def happened(self, kind: type[Any]) -> list[Any]:
        return [Happened(*one) for one in self.events if isinstance(one[1], kind)]


class Happened:
    record = VCPU

    def __init__(self, time: int, event: Any) -> None:
        self.time, self.event = time, event


def test_intervals_may_overlap_and_have_their_ends_in_them() -> None:
    told: Any = Told(
        (1, Raised(("RXT0",))),
        (1, MitigationBegun("line", ("RXT0",), "ITR", 9, "ITR", 8, 8)),
        (2, MitigationBegun("RXT0", ("RXT0",), "RDTR", 9, "RDTR", 8, 0)),
        (5, MitigationEnded("line", ("TXDW", "RXT0"), "ITR", 1, 3, False)),
        (5, Raised(("TXDW", "RXT0"))),
        (6, MitigationEnded("line", ("RXT0",), "ITR", 5, 7, False)),
        (7, MitigationEnded("line", (), "ITR", 5, 0, False)),
        (8, MitigationEnded("line", ("RXT0",), "ITR", 5, 7, True)),
    )
    found = by_interval(told, {"all": [(0, 9)], "some": [(1, 1), (5, 5)], "none": []})
    held = Held("line", "ITR", 2, 10, 7, {"RXT0": 2, "TXDW": 1})
    causes, windows = {"RXT0": 2, "TXDW": 1}, {"ITR": 1}
    assert found["all"] == Interrupts(9, 0, 2, causes, windows, [held])
    first = Held("line", "ITR", 1, 3, 3, {"RXT0": 1, "TXDW": 1})
    assert found["some"] == Interrupts(0, 0, 2, causes, windows, [first])
    assert found["none"] == Interrupts(0, 0, 0, {}, {}, [])
    assert found["all"].held_back == 2


def test_stretches_that_touch_are_one() -> None:
    assert together([(5, 7), (1, 2), (2, 3), (6, 9)]) == [(1, 3), (5, 9)]
    assert [lies(time, [(1, 3), (5, 9)]) for time in (0, 1, 3, 4, 5, 9, 10)] == [
        False,
        True,
        True,
        False,
        True,
        True,
        False,
    ]
