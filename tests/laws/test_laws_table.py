"""The laws as people see them: the list, the page, and what a scenario file says of them."""

from __future__ import annotations

from pathlib import Path

import laws_page
import pytest
from documents import ROOT, read
from runs import config, desim, shipped_run

from desim.experiment.run import run
from desim.laws.table import LAWS


def test_the_page_is_made_of_the_laws() -> None:
    old = read(laws_page.PAGE)
    assert laws_page.page(old) == old, "nox -s pages writes it anew"


@pytest.mark.parametrize("name", LAWS)
def test_a_law_states_itself_and_names_what_stands_behind_it(name: str) -> None:
    law = LAWS[name]
    assert law.summary.endswith("."), name
    for place in law.test.split(", "):
        assert (ROOT / place.split(" ")[0]).exists(), place
    assert law.recording


def test_shipped_scenarios_keep_the_laws_about_one_run() -> None:
    for name in ("hello", "lossy", "cut-link"):
        for law in LAWS.values():
            assert law.broken(shipped_run(name)) == [], (name, law.name)


def test_desim_laws_lists_all_and_tells_one() -> None:
    listed = desim("laws")
    assert [line for line in listed.stdout.splitlines() if not line.startswith(" ")] == list(LAWS)
    told = desim("laws", "no-interrupt-is-lost")
    assert "raises the line" in told.stdout
    assert "tests/vectors/e1000" in told.stdout
    wrong = desim("laws", "no-interupt-is-lost")
    assert wrong.returncode == 2
    assert "did you mean 'no-interrupt-is-lost'?" in wrong.stderr


SCENARIO = """extends = "hello"

[expect]
laws = ["what-arrives-is-a-prefix", "{name}"]
"""


def test_a_scenario_names_the_laws_that_it_must_keep(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SCENARIO.format(name="no-interrupt-is-lost"))
    assert desim("run", str(path), "--quiet").returncode == 0
    path.write_text(SCENARIO.format(name="no-interrupt-lost"))
    wrong = desim("run", str(path))
    assert wrong.returncode == 2
    assert "mine.toml:4: expect.laws[1]" in wrong.stderr


def test_a_law_that_is_broken_fails_the_run_that_expects_it() -> None:
    made = config("hello")
    made.expect.laws = ("the-run-ends", "a-run-is-the-same-again")
    made.limits.events = 5_000
    result = run(made)
    assert not any("law" in one for one in result.expectations), "a limit is a reason with a name"
    result.ended = "somehow"
    del result.__dict__["expectations"]
    assert any(one.startswith("law the-run-ends: ") for one in result.expectations)


def test_a_law_cannot_be_judged_by_a_run_that_has_kept_little() -> None:
    made = config("hello", record="none")
    made.expect.laws = ("the-run-ends",)
    assert any("cannot be judged" in one for one in run(made).expectations)
