"""TOML files that ship say what they said when they were compiled, until they change."""

import os
import sys
import tomllib
from pathlib import Path

import pytest

from desim.costs.profile import FOLDER
from desim.errors import ScenarioError
from desim.scenario import loader, shipped
from desim.shipped_toml import tables

SHIPPED = sorted(
    path for folder in (FOLDER, shipped.shipped_folder()) for path in Path(folder).glob("*.toml")
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_file_says_what_the_parser_says(path: Path) -> None:
    for _ in range(2):
        assert tables(str(path)) == tomllib.loads(path.read_text(encoding="utf-8"))


def test_each_reader_has_tables_of_its_own() -> None:
    path = str(SHIPPED[0])
    tables(path).clear()
    assert tables(path)


@pytest.mark.parametrize("keeps", [True, False])
def test_a_file_that_has_changed_is_parsed_again(
    keeps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", not keeps)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    file = tmp_path / "one.toml"
    parsed = []
    loads = tomllib.loads

    def counted(text: str) -> dict[str, object]:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(tomllib, "loads", counted)
    file.write_text('a = 1\n["x/y.c"]\nz = { enter = 2, source = "\\"quoted\\" \\u00b5s" }\n')
    first = {"a": 1, "x/y.c": {"z": {"enter": 2, "source": '"quoted" µs'}}}
    assert [tables(str(file)), tables(str(file))] == [first, first]
    assert len(parsed) == (1 if keeps else 2)
    assert (tmp_path / "__pycache__").exists() is keeps
    os.utime(file, (1, 1))
    assert tables(str(file)) == first
    file.write_text("a = 12345\n")
    assert tables(str(file)) == {"a": 12345}


def test_messages_about_a_shipped_scenario_say_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (loader, shipped):
        monkeypatch.setattr(module, "shipped_folder", lambda: str(tmp_path))
    file = tmp_path / "one.toml"
    for text, message in (
        ("qemu = '-nographic'\nseed = 'x'\n", 'one.toml:2: seed: "x": must be a whole number'),
        ("seed = 3\nseed =\n", 'one.toml:2: "seed =": Invalid value (column 7)'),
    ):
        file.write_text(text)
        with pytest.raises(ScenarioError) as caught:
            loader.load_scenario("one")
        assert message in caught.value.messages
