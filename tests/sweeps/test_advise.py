"""Which settings nothing beats, and what is tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeping import document

from desim.cli import main
from desim.guest.drivers.modules import modprobe
from desim.report.searches import advice_text
from desim.scenario.conditions import read_wanted
from desim.scenario.values import Axis
from desim.sweeps.advise import Advice, Advise, lines, reason
from desim.sweeps.row import Sample
from desim.sweeps.search import Point, Search
from desim.sweeps.sweep import Progress


class Made(Search):
    """A search whose figures are made up: a pair for each setting."""

    def __init__(self, pairs: list[tuple[int | None, int]]) -> None:
        self.pairs = pairs
        self.runs = len(pairs)

    def tried(
        self, axes: Any, metrics: Any, into: list[Point], kept: str = "", together: bool = False
    ) -> Iterator[Progress]:
        slow = [Sample("ping", n, None, n, "ring", "hold-off") for n in range(3)]
        for number in axes[0].values:
            pair = self.pairs[number]
            figures = dict(zip(metrics, pair, strict=True))
            into.append(Point((number,), figures, slow))
        yield Progress(0, 0, 0, None, 1, None)


def advice(pairs: list[tuple[int | None, int]], target: str = "ping.p99 < 10ns") -> Advice:
    axis = Axis("x", tuple(range(len(pairs))))
    advise = Advise(Made(pairs), read_wanted(target), ["irq"], [axis])
    for _ in advise.steps():
        pass
    return advise.advice


PAIRS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=30)


@given(PAIRS)
def test_nothing_beats_what_is_shown_and_something_beats_the_rest(
    pairs: list[tuple[int, int]],
) -> None:
    made = advice(list(pairs))
    front = [(choice.target, choice.cost) for choice in made.front]

    def beaten(pair: tuple[Any, Any]) -> bool:
        return any(o[0] <= pair[0] and o[1] <= pair[1] and o != pair for o in pairs)

    assert sorted(front) == sorted({pair for pair in pairs if not beaten(pair)})
    assert [cost for _, cost in front] == sorted(cost for _, cost in front)
    assert sum(choice.alike + 1 for choice in made.front) == sum(p in front for p in pairs)
    meeting = [choice for choice in made.front if choice.target < 10]
    assert made.best == (meeting[0] if meeting else None)


def test_a_target_from_below_is_better_the_more_there_is() -> None:
    made = advice([(5, 1), (9, 2), (7, 2)], "transfer.rate > 8 B/s")
    assert [choice.values for choice in made.front] == [(0,), (1,)]
    assert made.best is not None
    assert made.best.values == (1,)


def test_what_is_shown() -> None:
    assert advice_text(advice([(20, 1), (5, 3), (5, 3), (None, 0)]), "made").splitlines() == [
        "made: ping.p99 < 10ns with as few irq as possible",
        "  4 settings tried, 4 runs; nothing beats these:",
        "",
        "x  ping.p99  irq",
        "0     20 ns    1",
        "    the slow ones: ring: hold-off",
        "1      5 ns    3  meets it",
        "    the slow ones: ring: hold-off",
        "",
        'x = "1"',
        "  ping.p99 5 ns, irq 3; 1 other setting does the same",
    ]
    none = advice_text(advice([(20, 1)]), "made")
    assert none.endswith("no setting has ping.p99 < 10ns\n  the nearest: ping.p99 20 ns, irq 1")


def test_the_settings_that_are_tried_load_the_driver() -> None:
    tried = list(lines("e1000 copybreak=0 InterruptThrottleRate=7"))
    assert tried[0] == "e1000 copybreak=0 InterruptThrottleRate=7"
    assert len(tried) == len(set(tried)) == 44
    for line in tried:
        assert modprobe(line).values["copybreak"] == 0
        assert not modprobe(line).unknown


def test_the_slowest_hundredth_says_why() -> None:
    made = [Sample("ping", n, None, n, "a", "b") for n in range(300)]
    made += [Sample("ping", n, None, 1000 + n, "ring", "hold-off") for n in range(3)]
    assert reason(made, "ping") == "ring: hold-off"
    assert reason(made, "message") == ""
    assert reason([Sample("ping", 0, None, 1)], "ping") == ""


HELLO = """
qemu = "-nic user,model=e1000,hostfwd=tcp::5555-:5556"
guest.ipv6 = false
guest.run = [{ command = "nc -l -p 5556 > got" }]
host.run = [{ command = "echo hello | nc -N localhost 5555" }]
"""


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    document(tmp_path, HELLO)
    words = ["advise", "pings.toml", "--target", "message.time < 3ms", "--minimise", "interrupts"]
    vary = ["--vary", "guest.modprobe.InterruptThrottleRate=200,8000"]
    assert main([*words, *vary]) == 0
    shown = capsys.readouterr().out
    assert 'guest.modprobe.InterruptThrottleRate = "8000"' in shown
    assert "the slow ones: " in shown


@pytest.mark.parametrize(
    ("target", "cost", "more", "told"),
    [
        ("ping.p99 == 1ms", "irq", [], "the target must be a limit"),
        ("ping.p99 < 1ms", "irks", [], "irks: no such metric"),
        ("ping.p99 < 1ms", "irq", ["--set", "guest.modprobe=e1000_plain"], "e1000_plain has no"),
    ],
)
def test_what_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, cost: str, more: list[str],
    told: str, capsys: Any,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    document(tmp_path, HELLO)
    assert main(["advise", "pings.toml", "--target", target, "--minimise", cost, *more]) == 2
    assert told in capsys.readouterr().err
