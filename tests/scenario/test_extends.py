"""``extends``: a scenario made from another one."""

from __future__ import annotations

from pathlib import Path

import pytest

import desim
from desim.errors import ScenarioError
from desim.spool import Log


def made(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(files))}.toml"


def mistakes(path: Path) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        desim.load(path)
    return [message.replace(f"{path.parent}/", "") for message in caught.value.messages]


def test_tables_are_joined_and_all_else_is_replaced(tmp_path: Path) -> None:
    path = made(
        tmp_path,
        own='extends = "base.toml"\nseed = 7\nguest.ipv6 = false\n'
        '[[host.run]]\ncommand = "echo two"\n[expect]\nirq = "0"\n',
        base='description = "The base"\nseed = 3\nguest.modprobe = "e1000_plain"\n'
        '[[host.run]]\ncommand = "echo one"\n[[host.run]]\ncommand = "echo more"\n'
        '[[guest.run]]\ncommand = "echo guest"\n[expect]\ntransfers = "0"\n',
    )
    config = desim.load(path).configuration()
    assert (config.name, config.description, config.seed) == ("own", "The base", 7)
    assert (config.modprobe, config.guest_ipv6) == ("e1000_plain", False)
    assert [run.command for run in config.host] == ["echo two"]
    assert [run.command for run in config.guest] == ["echo guest"]
    assert config.expect.metrics == {"transfers": "0", "irq": "0"}


def test_a_shipped_scenario_brings_its_files(tmp_path: Path) -> None:
    path = made(tmp_path, own='extends = "http"\ndescription = "Mine"\n')
    mine, theirs = desim.load(path).configuration(), desim.load("http").configuration()
    assert mine.host_files == theirs.host_files
    assert mine.expect == theirs.expect
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "notes.txt").write_text("my own")
    expected = desim.load(path).configuration().expect.guest_files
    assert expected == {"notes.txt": Log.of(b"my own")}


def test_a_file_goes_before_a_shipped_one(tmp_path: Path) -> None:
    path = made(tmp_path, own='extends = "hello"\n')
    (tmp_path / "hello").write_text('description = "Not the shipped one"\n', encoding="utf-8")
    assert desim.load(path).description == "Not the shipped one"


def test_a_chain(tmp_path: Path) -> None:
    path = made(
        tmp_path,
        a='extends = "b.toml"\nseed = 1\n',
        b='extends = "c.toml"\nseed = 2\nuntil = "2s"\n',
        c='seed = 3\nuntil = "3s"\ndescription = "c"\n',
    )
    config = desim.load(path).configuration()
    assert (config.seed, config.until_ns, config.description) == (1, 2 * 10**9, "c")


def test_each_mistake_is_told_where_it_was_made(tmp_path: Path) -> None:
    path = made(
        tmp_path,
        own='extends = "base.toml"\nsed = 1\n[guest]\nipv6 = 1\n',
        base='until = "x"\n[[guest.run]]\ncommand = "nosuch"\n[host]\nrum = 1\n',
    )
    told = [message.split(": ")[0:2] for message in mistakes(path)]
    assert told == [
        ["base.toml:1", "until"],
        ["base.toml:3", "guest.run[0].command"],
        ["base.toml:5", "host.rum"],
        ["own.toml:2", "sed"],
        ["own.toml:4", "guest.ipv6"],
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"own": 'extends = "helo"'}, 'own.toml:1: extends: "helo": neither a file in the'),
        ({"own": 'extends = "own.toml"'}, "the file would extend itself"),
        (
            {"own": 'extends = "b.toml"', "b": '\nextends = "own.toml"'},
            'b.toml:2: extends: "own.toml": the file would extend itself',
        ),
        ({"own": 'extends = "../x.toml"'}, "outside the scenario's folder"),
        ({"own": "extends = 3"}, "own.toml:1: extends: 3: must be text, in quotes"),
        ({"own": 'extends = "b.toml"', "b": "x = = 1"}, "b.toml:1"),
    ],
)
def test_what_cannot_be_extended(tmp_path: Path, files: dict[str, str], message: str) -> None:
    assert message in mistakes(made(tmp_path, **files))[0]


def test_a_long_chain_is_refused(tmp_path: Path) -> None:
    files = {f"f{n}": f'extends = "f{n + 1}.toml"\n' for n in range(12)}
    files["f12"] = "seed = 1\n"
    assert "more than 8 files one behind the other" in mistakes(made(tmp_path, **files))[0]


def test_only_a_file_extends(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="only a file extends another one"):
        desim.load("hello").set({"extends": "http"})
