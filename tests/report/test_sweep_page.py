"""The page of a sweep: every round trip in its place, in whole numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import desim

import desim as package
from desim.errors import UserError
from desim.report.page import sweep, sweep_picture
from desim.report.page.sweeping import THROTTLE, facets, percentile, varied
from desim.report.page.vertical import BITS, Vertical, log2
from desim.scenario.metrics import METRICS
from desim.sweeps.database import MEMORY, Database, Head, Metric, Parameter
from desim.sweeps.row import Row, Sample

EVIL = "<script>alert(1)</script>"
FACTS = {
    "format": "desim-sweep/1",
    "desim": package.__version__,
    "scenario": "made-up",
    "description": f"Two clouds {EVIL}",
    "costs": "study-2016",
    "digest": "0" * 64,
    "runs": "12",
    "seeds": "2",
    "varied": "load (2) x rate (3) x seed (2)",
    "show": '["ping.p99", "irq_rate"]',
}


def row(run: int, load: str, rate: int, seed: int, times: list[int], **more: Any) -> Row:
    figures = dict.fromkeys(METRICS) | {"ping.p99": max(times), "irq_rate": Fraction(rate, 3)}
    samples = [
        Sample("ping", n, None, ns, "receive ring", "interrupt mitigation")
        for n, ns in enumerate(times)
    ]
    fields = {"error": None, "error_kind": None, "expected": None} | more
    return Row(
        run,
        (load, rate, seed),
        package.__version__,
        "ab" * 32,
        "all programs have ended",
        10**9,
        metrics=tuple(figures.values()),
        samples=samples,
        **fields,
    )


def database(path: str = MEMORY, key: str = THROTTLE) -> Database:
    parameters = (Parameter("load", 0, 2), Parameter(key, 1, 3), Parameter("seed", 2, 2))
    metrics = tuple(Metric(name, m.kind, m.about, m.exactness) for name, m in METRICS.items())
    made = Database.begin(path, Head(FACTS, parameters, metrics))
    made.add(rows())
    return made


def rows() -> Iterator[Row]:
    number = 0
    for load in ("light", f"heavy {EVIL}"):
        for rate in (0, 500, 8000):
            for seed in (1, 2):
                slow = 10**9 // rate if rate == 500 else 400_000
                yield row(number, load, rate, seed, [350_000, slow + seed, slow + 7])
                number += 1


def test_runs_that_differ_in_their_seeds_are_in_one_column() -> None:
    with closing(database()) as made:
        found = facets(made)
        assert varied(made.head) == THROTTLE
    assert [facet.others["load"] for facet in found] == ["light", f"heavy {EVIL}"]
    for facet in found:
        assert [column.value for column in facet.columns] == [0, 500, 8000]
        assert [len(column.samples) for column in facet.columns] == [6, 6, 6]
        assert [len(column.figures["irq_rate"]) for column in facet.columns] == [2, 2, 2]


def test_every_round_trip_is_in_the_picture() -> None:
    with closing(database()) as made:
        text = sweep.page(made)
    one = text.partition('id="sweep-2"')[0].partition('id="sweep-1"')[2]
    drawn = [int(n) for n in re.findall(r"<title>(\d+) of 6</title>", one)]
    assert sum(drawn) == 18
    assert one.count('class="percentile"') == 2 * 3
    assert one.count('class="run"') == 6
    assert "p99 is 400 µs with InterruptThrottleRate = 0 and 2,000 µs with 500" in one


def test_the_floor_is_that_of_the_card() -> None:
    with closing(database()) as made:
        text = sweep.page(made)
    one = text.partition('id="sweep-2"')[0].partition('id="sweep-1"')[2]
    assert one.count('class="floor"><title>') == 2  # 0 and 8000, not 500
    assert "at most 7,813 per second: floor" in one
    assert "at most 500 per second: ITR" in one
    assert "at most 7,813 a second" in text


def test_limits_are_known_for_that_key_alone() -> None:
    with closing(database(key="guest.modprobe.RxIntDelay")) as made:
        text = sweep.page(made)
    assert "floor decides" not in text
    assert sweep_picture.limits([EVIL, None, 2.5]) == {}


def test_names_and_values_are_no_markup() -> None:
    with closing(database()) as made:
        text = sweep.page(made)
    assert text.count("<script>") == 1
    assert "alert(1)</script>" not in text


def test_each_figure_says_how_far_it_can_be_trusted() -> None:
    with closing(database()) as made:
        text = sweep.page(made)
    assert "<td>ping.p99</td><td>time</td><td>assumed</td>" in text
    assert "<td>irq</td><td>count</td><td>verified</td>" in text


def test_failed_runs_are_told() -> None:
    with closing(database()) as made:
        made.add([row(1, "light", 0, 2, [1], error="out of time", error_kind="limit")])
        text = sweep.page(made)
    assert "some runs failed" in text
    assert "out of time" in text


def test_colours_are_who_held_it_up() -> None:
    with closing(database()) as made:
        text = sweep.page(made)
    assert 'class="dot at-card"' in text
    assert "waited for the end of the card&#39;s hold-off (18)" in text
    assert 'class="dot plain"' not in text


def test_the_command_makes_the_page_of_a_database(tmp_path: Path) -> None:
    path = tmp_path / "made-up.db"
    with closing(database(str(path))) as made:
        text = sweep.page(made)
    assert package.html_report(path) == text
    with pytest.raises(UserError, match="is a sweep; no run, message"):
        package.html_report(path, begin="1s")
    done = desim("report", str(path), "-o", str(tmp_path / "a.html"), "--seed", "2")
    assert done.returncode == 2
    assert f"--seed: {path} is no scenario" in done.stderr


def test_a_database_of_others_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (a)")
    with pytest.raises(UserError, match="not of a sweep of desim"):
        package.html_report(path)
    head = Head(FACTS, (Parameter("rate", 0, 2),), ())
    empty = Database.begin(MEMORY, head)
    with closing(empty), pytest.raises(UserError, match="holds no run yet"):
        sweep.page(empty)


# --- heights


@given(st.fractions(min_value=Fraction(1, 10**6), max_value=10**18))
def test_a_logarithm_is_right_to_its_last_bit(value: Fraction) -> None:
    exact = math.log2(value.numerator) - math.log2(value.denominator)
    assert abs(log2(value) / (1 << BITS) - exact) <= 1.5 / (1 << BITS)


def test_logarithms_of_powers_are_whole() -> None:
    assert [log2(1 << n) for n in range(60)] == [n << BITS for n in range(60)]
    assert log2(Fraction(1, 8)) == -3 << BITS


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=20))
def test_all_values_have_room_and_larger_ones_are_not_lower(values: list[int]) -> None:
    scale = Vertical.of([*values], 200)
    heights = [scale.at(value) for value in sorted(values)]
    assert all(0 <= height <= 200 for height in heights)
    assert heights == sorted(heights, reverse=True)
    assert all(0 <= scale.at(mark) <= 200 for mark in scale.marks())


def test_percentiles_are_those_of_the_figures() -> None:
    assert [percentile([5, 1, 3, 2, 4], share) for share in (50, 99)] == [3, 5]
