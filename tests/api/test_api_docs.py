"""``docs/api.md`` runs as it stands, and describes exactly what there is."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import desim
import desim.testing

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
TEN_LINES = (ROOT / "tests" / "api" / "ten_lines.txt").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.M | re.S)


def test_every_example_shows_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (scenario,) = blocks("toml")
    (tmp_path / "my.toml").write_text(scenario, encoding="utf-8")
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    session = doctest.DocTestParser().get_doctest(
        "".join(blocks("pycon")), {}, "docs/api.md", "docs/api.md", 0
    )
    assert len(session.examples) > 60
    failed, _ = doctest.DocTestRunner(optionflags=flags).run(session, clear_globs=False)
    assert not failed, capsys.readouterr().out


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


def test_it_names_all_that_testing_has() -> None:
    paragraph = PAGE.partition("`desim.testing` has `Connection`")[2].partition(";")[0]
    assert named("`Connection`" + paragraph) == set(dir(desim.testing))
