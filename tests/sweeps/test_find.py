"""Searches: answers that are known from the rules of the driver and of the card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeping import document

from desim.cli import main
from desim.e1000.interrupts import MIT_FLOOR, MIT_UNIT_NS
from desim.guest.drivers.e1000.itr import itr_register
from desim.guest.drivers.e1000.rx import RX_BUFFER_WRITE
from desim.report.searches import found_text
from desim.scenario.conditions import read_wanted
from desim.scenario.values import Axis, Ends
from desim.sweeps.find import FIRST, INNER, Find, Found
from desim.sweeps.search import Point, Search
from desim.sweeps.sweep import Progress


class Made(Search):
    """A search whose figures are made up."""

    def __init__(self, of: Callable[[int], int | None]) -> None:
        self.of = of
        self.runs = 0

    def tried(self, axes: Any, metrics: Any, into: list[Point]) -> Iterator[Progress]:
        (axis,) = axes
        assert isinstance(axis, Axis)
        self.runs += len(axis.values)
        into += [Point((n,), {name: self.of(n) for name in metrics}, []) for n in axis.values]
        yield Progress(0, 0, 0, None, 1, None)


def found(of: Callable[[int], int | None], ends: Ends, text: str = "ping.p99 > 1ms") -> Found:
    find = Find(Made(of), "x", ends, read_wanted(text))
    for _ in find.steps():
        pass
    return find.found


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 7), st.integers(-5, 3005))
def test_of_a_condition_that_goes_on_holding_the_smallest_is_found(
    first: int, more: int, step: int, at: int
) -> None:
    ends = Ends(first, first + more, False, step)
    result = found(lambda n: 2 * 10**6 if n >= at else 0, ends)
    values = range(first, first + more + 1, step)
    right = next((value for value in values if value >= at), None)
    assert (result.answer.value if result.answer else None) == right
    assert result.broken == []
    assert result.runs == len(result.tries) <= FIRST + 6 * INNER
    if right is not None and right != first:
        assert result.before is not None
        assert result.before.value == right - step


def test_a_condition_that_comes_and_goes_is_told() -> None:
    result = found(lambda n: 2 * 10**6 if 20 <= n < 30 or n >= 70 else 0, Ends(0, 80, False))
    assert [(a.value, b.value) for a, b in result.broken] == [(20, 30)]
    assert result.answer is not None
    assert result.answer.value == 20
    assert "not monotone: it holds at 20, but not at 30" in found_text(result, "made")


def test_what_is_shown() -> None:
    assert found_text(found(lambda n: n * 400_000, Ends(0, 4, False)), "made").splitlines() == [
        "made: the smallest x with ping.p99 > 1ms",
        "  from 0 to 4; 5 values tried, 5 runs",
        "",
        "x  ping.p99",
        "0      0 ns",
        "1  400.0 us",
        "2  800.0 us",
        "3  1.200 ms  holds",
        "4  1.600 ms  holds",
        "",
        "x = 3: ping.p99 is 1.200 ms; at 2 it is 800.0 us",
    ]
    assert "none: it holds at none" in found_text(found(lambda n: 0, Ends(0, 4, False)), "made")
    first = found_text(found(lambda n: 2 * 10**6, Ends(0, 4, False)), "made")
    assert "x = 0: ping.p99 is 2.000 ms, the smallest value that was asked for" in first


# The answer to the second request waits for the end of the window behind the first one's interrupt,
# and nothing else takes time: so the longest round trip is that window.
PINGS = """
qemu = "-nic user,model=e1000"
costs = "zero"
guest.ipv6 = false
guest.modprobe = "{line}"
[[guest.run]]
at = "5s"
command = "ltool ping 10.0.2.2 1 1000 56 1"
[[guest.run]]
at = "5s"
command = "ltool ping 10.0.2.2 1 1000 56 1"
"""
FLOOR_NS = MIT_FLOOR * MIT_UNIT_NS


def answer(folder: Path, text: str, vary: tuple[str, Ends], until: str) -> Found:
    find = Find(Search(document(folder, text), workers=1), *vary, read_wanted(until))
    for _ in find.steps():
        pass
    return find.found


@pytest.mark.slow
def test_the_rate_whose_itr_reaches_the_floor(tmp_path: Path) -> None:
    """ITR is 10**9 / (256 * rate) in whole units; the floor is 500 of them, 7,813 per second."""
    text = PINGS.format(line="e1000 TxIntDelay=0")
    key = "guest.modprobe.InterruptThrottleRate"
    result = answer(tmp_path, text, (key, Ends(7600, 8000, False)), f"ping.max <= {FLOOR_NS}ns")
    right = next(rate for rate in range(7600, 8001) if itr_register(rate) <= MIT_FLOOR)
    assert right == 7797
    assert result.answer is not None
    assert result.answer.value == right
    assert result.broken == []


@pytest.mark.slow
def test_the_absolute_delay_that_outlasts_the_floor(tmp_path: Path) -> None:
    """RADV counts in units of 1,024 ns if RDTR is not 0, and below the floor it changes nothing."""
    line = "e1000 InterruptThrottleRate=0 TxIntDelay=0 RxIntDelay=1"
    key = "guest.modprobe.RxAbsIntDelay"
    text = PINGS.format(line=line)
    result = answer(tmp_path, text, (key, Ends(1, 400, False)), f"ping.max > {FLOOR_NS}ns")
    right = next(delay for delay in range(400) if delay * 4 > MIT_FLOOR)
    assert right == 126
    assert result.answer is not None
    assert result.answer.value == right


BURST = """
qemu = "-nic user,model=e1000,hostfwd=udp::5555-:5556"
costs = "zero"
guest.ipv6 = false
guest.modprobe = "e1000 InterruptThrottleRate=100"
guest.run = [{ command = "ltool udprecv 5556 150 1000" }]
host.run = [{ command = "ltool udpsend localhost 5555 1 150 100 0 0 0" }]
"""


@pytest.mark.slow
def test_the_ring_that_takes_a_burst(tmp_path: Path) -> None:
    """One descriptor of a ring is never the card's; the driver gives back 16 at a time, here once
    before the next interrupt is allowed; and it rounds the ring up to 8."""
    key = "guest.modprobe.RxDescriptors"
    result = answer(tmp_path, BURST, (key, Ends(80, 256, False, 8)), "frames.lost == 0")
    right = next(size for size in range(80, 257, 8) if size - 1 + RX_BUFFER_WRITE >= 150)
    assert right == 136
    assert result.answer is not None
    assert result.answer.value == right


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    document(tmp_path, PINGS.format(line="e1000"))
    vary = ["--vary", "guest.modprobe.TxIntDelay=0:1"]
    assert main(["find", "pings.toml", *vary, "--until", "p50 > 0ns"]) == 0
    assert "guest.modprobe.TxIntDelay = 0: ping.p50 is" in capsys.readouterr().out
    assert main(["find", "pings.toml", *vary, "--until", "ping.p50 > 1s"]) == 1
    assert "none: it holds at none of these" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("vary", "until", "told"),
    [
        ("until=1s:2s", "end > 1s", "a range of durations needs its step"),
        ("seed=1,2", "irq > 1", "must be FROM:TO or FROM:TO:STEP"),
        ("seed=1:2", "irq > 1", "--vary seed: --seeds says which seeds"),
        ("until=7s:8s:1s", "ping.p98 > 1ms", "ping.p98: no such metric"),
        ("until=7s:8s:1s", "ping.p99", "must be a figure and a condition on it"),
        ("until=7s:8s:1s", "ping.p99 > 1", "a duration needs its unit"),
        ("until=7s:8s:1s", "transfer.rate > 1 MB/s", "the runs have no transfer.rate"),
        ("run.limits.events=300:400:100", "irq > 1", "with run.limits.events=300: stopped: more"),
    ],
)
def test_what_cannot_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vary: str, until: str, told: str, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    document(tmp_path, PINGS.format(line="e1000"))
    assert main(["find", "pings.toml", "--vary", vary, "--until", until]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1
