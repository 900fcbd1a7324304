"""Commands that help with files and the shell: scenarios NAME, new, schema, completion, version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import needs
import pytest
from documents import ROOT

import desim
from desim.cli._commands import COMMANDS
from desim.cli._main import main
from desim.scenario.key_texts import KEYS
from desim.scenario.metrics import METRICS


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words]) == 2
    return capsys.readouterr().err


def test_a_shipped_scenario_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "scenarios" / "hello.toml").read_text(encoding="utf-8")
    assert told(capsys, "scenarios", "hello") == text
    assert "hello" in told(capsys, "scenarios")
    assert "did you mean 'hello'" in refused(capsys, "scenarios", "helo")


@pytest.mark.parametrize("origin", list(desim.scenarios()))
def test_a_new_scenario_is_the_one_that_it_was_made_from(
    origin: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    written = told(capsys, "new", "mine", "--from", origin).splitlines()
    assert written[0] == "mine.toml"
    assert sorted(written) == sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
    )
    made, given = desim.load("mine.toml").configuration(), desim.load(origin).configuration()
    for name in ("user", "nic", "guest", "host", "guest_files", "host_files", "expect", "costs"):
        assert getattr(made, name) == getattr(given, name)
    text = Path("mine.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    for key in KEYS:
        said = key.split(".")[0] in data or key.startswith("machine.NAME.")
        assert said or f"# {key}: " in text or key.removeprefix("expect.") in METRICS
    assert "# expect.NAME: a condition" in text
    assert "# [machine.NAME]: one more QEMU" in text


def test_new_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.symlink("nowhere", "mine.toml")
    assert "mine.toml: is there already" in refused(capsys, "new", "mine.toml")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("my own")
    assert "site/index.html: is there already" in refused(capsys, "new", "web", "--from", "http")
    assert not (tmp_path / "web.toml").exists()
    for name in ("../x", "", "/tmp/x", "a\0b", ".."):
        assert "must be the name of a file in the current folder" in refused(capsys, "new", name)
    assert "hello" in refused(capsys, "new", "x", "--from", "helo")
    os.chmod(tmp_path, 0o500)
    if os.geteuid() != 0:  # root may write anywhere
        assert "cannot be written: Permission denied" in refused(capsys, "new", "other")


def test_the_schema_is_printed_as_it_ships(capsys: pytest.CaptureFixture[str]) -> None:
    file = (ROOT / "scenarios" / "scenario.schema.json").read_text(encoding="utf-8")
    assert told(capsys, "schema") == file
    assert json.loads(file)["additionalProperties"] is False


def test_version_names_what_a_report_should(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "version").splitlines()
    assert lines[0] == f"desim {desim.__version__}"
    assert [line.split()[0] for line in lines[1:]] == ["Python", "simpy", "greenlet"]


COMPLETED = [
    (["run", "hel"], ["hello", "hello-close", "hello-hub", "hello-redir"]),
    (["run", "--cos"], ["--costs"]),
    (["run", "--costs", "t"], ["tcg"]),
    (["run", "--semantics", ""], ["qemu", "datasheet"]),
    (["qemu", "-net"], ["-net", "-netdev"]),
    (["new", "x", "--from", "n"], ["names", "netboot"]),
    (["scenarios", "up"], ["upload"]),
    (["completion", ""], ["bash", "zsh", "fish"]),
]


def script(shell: str, tmp_path: Path) -> Path:
    path = tmp_path / f"desim.{shell}"
    done = subprocess.run(
        [sys.executable, "-m", "desim", "completion", shell], capture_output=True, check=True
    )
    path.write_bytes(done.stdout)
    return path


@pytest.mark.parametrize(("words", "found"), [([""], list(COMMANDS)), *COMPLETED])
def test_bash_completes(words: list[str], found: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ask = (
        f"source {script('bash', tmp_path)}; cd empty; "
        'COMP_WORDS=(desim "$@"); COMP_CWORD=$#; _desim; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", ask, "bash", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(done.stdout.split()) == sorted(found)


@needs.zsh
def test_zsh_takes_the_script(tmp_path: Path) -> None:
    ask = f"autoload -U compinit; compinit -u; source {script('zsh', tmp_path)}; whence -w _desim"
    done = subprocess.run(["zsh", "-f", "-c", ask], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("_desim: function\n", "")


@needs.fish
@pytest.mark.parametrize(("words", "found"), COMPLETED)
def test_fish_completes(words: list[str], found: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ask = f"source {script('fish', tmp_path)}; complete -C 'desim {' '.join(words)}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", ask],
        cwd=tmp_path / "empty",
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    offered = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert set(found) <= set(offered)
