"""No unit of work takes more calls than ``benchmarks/budget.toml`` allows.

Counts are exact, so that any growth shows: ``python -m benchmarks budget --against REV`` says
in which functions. A change that has a good reason gives it with ``--write --reason``.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from benchmarks import start
from benchmarks.budget import (
    FILE,
    PYTHON,
    Line,
    counted,
    difference,
    grown_since,
    history,
    is_ours,
    load,
    parse,
    rewritten,
    unexplained,
)
from benchmarks.calls import COUNTS, measure

ours = pytest.mark.skipif(not is_ours(), reason=f"the budget is that of Python {PYTHON}")


@ours
@pytest.mark.slow
@pytest.mark.parametrize("what", COUNTS)
def test_a_unit_of_work_takes_no_more_calls_than_its_budget(what: str) -> None:
    allowed, calls = load()[what].calls, counted(what)
    if calls > allowed:
        commits = history()
        grown = grown_since(what, commits[0][0]) if commits else ""
        pytest.fail(f"{what}: {calls:.2f} calls, budget {allowed:.2f}\n{grown}", pytrace=False)


@ours
@pytest.mark.slow
def test_a_start_loads_and_compiles_no_more_than_it_may() -> None:
    found = start.names()
    for what, limit in start.allowed().items():
        assert len(found[what]) <= limit, f"{what}: python -m benchmarks.start --names shows them"


@ours
@pytest.mark.slow
def test_a_count_is_the_same_whatever_the_process_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Constructors of data were written in the middle of a count, at a place that depended on how
    # many objects its configuration had taken: more where nothing is kept compiled. Where SIGINT
    # is ignored nobody takes it.
    what = "one boot, study-2016, none"
    found = {measure(COUNTS[what]), measure(COUNTS[what]), counted(what)}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        found.add(counted(what))
        monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
        found.add(counted(what))
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(found) == 1


@ours
@pytest.mark.slow
def test_a_start_is_counted_alike_where_nothing_is_kept_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    kept = start.names()
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert start.names() == kept


def test_the_budget_has_a_line_for_each_count_and_no_other() -> None:
    assert list(load()) == list(COUNTS)


def test_a_count_above_its_lowest_has_a_reason() -> None:
    past = [lines for _, lines in history()]
    if not past:
        pytest.skip("the history of the budget is not here")
    assert not unexplained(load(), past)


def test_a_rise_without_a_reason_is_found() -> None:
    past = [{"x": Line(3.0)}, {"x": Line(2.0, "once")}]
    assert unexplained({"x": Line(2.01)}, past)
    assert not unexplained({"x": Line(2.01, "because")}, past)
    assert not unexplained({"x": Line(2.0)}, past)


def test_writing_lowers_and_raises_only_with_a_reason() -> None:
    lines = {"less": Line(5.0, "old"), "more": Line(5.0), "other": Line(1.0, "kept")}
    found = {"less": 4.0, "more": 6.0, "new": 7.0}
    new, refused = rewritten(lines, found, "", {})
    assert new == lines | {"less": Line(4.0), "new": Line(7.0)}
    assert refused == ["more: 5.00 -> 6.00"]
    new, refused = rewritten(lines, found, "a check", {})
    assert (new["more"], refused) == (Line(6.0, "a check"), [])


def test_a_reason_stays_while_a_count_is_above_its_lowest() -> None:
    lines = {"a": Line(9.0, "a check"), "b": Line(9.0, "a check")}
    new, _ = rewritten(lines, {"a": 8.0, "b": 7.0}, "", {"a": 7.0, "b": 7.0})
    assert new == {"a": Line(8.0, "a check"), "b": Line(7.0)}


def test_a_line_reads_as_it_was_written() -> None:
    lines = {"a": Line(5.0), "b": Line(6.25, 'a "check"')}
    text = "".join(f'"{what}" = {line}\n' for what, line in lines.items())
    assert parse("[calls]\n" + text) == lines
    assert FILE.exists()


def test_a_comparison_names_the_functions_that_grew_first() -> None:
    lines = difference({"same": 1.0, "gone": 2.0, "grown": 1.0}, {"same": 1.0, "grown": 4.0})
    assert [line.split()[-1] for line in lines] == ["grown", "gone"]
