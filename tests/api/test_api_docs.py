"""``docs/api.md`` describes exactly what there is. (``test_docs.py`` runs its examples.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import desim
import desim.testing
from desim.data import fields
from desim.experiment.journey import Row

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
TEN_LINES = (ROOT / "tests" / "api" / "ten_lines.txt").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.M | re.S)


def test_its_first_example_is_the_ten_lines_word_for_word() -> None:
    lines = re.sub(r"^(>>> |\.\.\. )", "", blocks("pycon")[0], flags=re.M)
    shown = [line for line in lines.splitlines() if line in TEN_LINES.splitlines()]
    assert shown == TEN_LINES.rstrip("\n").splitlines()


def test_the_scenarios_that_it_names_in_a_comment_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (scenario,) = blocks("toml")
    (tmp_path / "my.toml").write_text(scenario, encoding="utf-8")
    assert desim.load("my.toml").description == "The gateway by ping"
    assert desim.load("hello").name == "hello"


def named(text: str) -> set[str]:
    """Names at the start of what stands in backticks."""
    return {re.match(r"\w+", code)[0] for code in re.findall(r"`([A-Za-z_][^`]*)`", text)}


def test_its_table_is_what_is_exported() -> None:
    table = PAGE.partition("| name | is |")[2].partition("\n\n")[0]
    first_column = "\n".join(row.split("|")[1] for row in table.splitlines()[2:])
    assert named(first_column) == set(dir(desim))


def test_its_table_of_a_result_is_what_a_result_has() -> None:
    table = PAGE.partition("| `result.` | is |")[2].partition("\n\n")[0]
    first_column = "\n".join(row.split("|")[1] for row in table.splitlines()[2:])
    assert named(first_column) == {n for n in dir(desim.Result) if not n.startswith("_")}


def test_it_names_all_of_a_journey_and_its_legs() -> None:
    paragraph = PAGE.partition("A leg of a journey has")[2].partition("\n\n")[0]
    known = set(fields(desim.Journey)) - {"rows"}
    known |= {name for name, of in vars(desim.Journey).items() if isinstance(of, property)}
    assert named(paragraph) == {*Row._fields, *known}


def test_it_names_all_that_testing_has() -> None:
    paragraph = PAGE.partition("`desim.testing` has `")[2].partition(";")[0]
    assert named("`" + paragraph) == set(dir(desim.testing))


def test_the_reference_has_all_that_is_offered() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\.\. auto(?:function|class|module):: ([\w.]+)", page, flags=re.M)
    names = {f"desim.{name}" for name in dir(desim)} - {"desim.__version__"}
    assert set(shown) == names | {f"desim.testing.{name}" for name in dir(desim.testing)}
    assert len(shown) == len(set(shown))
