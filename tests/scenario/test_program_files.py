"""The user's files that a command's program may open by itself: which are read, which refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from desim.config import InputFile
from desim.scenario.commands import check_command
from desim.scenario.inputs import Inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scenario = tmp_path / "scenario"
    (scenario / "www" / "sub").mkdir(parents=True)
    (scenario / "www" / "index.html").write_bytes(b"hello\n")
    (scenario / "www" / "sub" / "a").write_bytes(b"a")
    (scenario / "www" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_bytes(b"secret")
    return scenario


def read(folder: Path, command: str) -> tuple[dict[str, bytes], list[str]]:
    files: dict[str, InputFile] = {}
    mistakes = check_command(command, "guest", Inputs(folder), files)
    return {name: file.data for name, file in files.items()}, mistakes


def test_a_servers_folder_is_read_with_a_list_of_its_files(folder: Path) -> None:
    files, mistakes = read(folder, "httpd -f -h ./www/")
    assert files == {
        "www/": b"index.html\nsub/a\n",
        "www/index.html": b"hello\n",
        "www/sub/a": b"a",
    }
    assert mistakes == []


@pytest.mark.parametrize("command", ["httpd -f", "httpd -f -h .", "httpd -f -h ./"])
def test_the_scenarios_whole_folder_is_never_read(folder: Path, command: str) -> None:
    assert read(folder, command) == ({}, [])


def test_a_file_to_send_is_read(folder: Path) -> None:
    assert read(folder, "tftp -p -l www/index.html 10.0.2.2")[0] == {"www/index.html": b"hello\n"}


@pytest.mark.parametrize("command", ["httpd -f -h made", "tftp -p -l made 10.0.2.2"])
def test_what_is_not_there_may_be_written_by_a_program(folder: Path, command: str) -> None:
    assert read(folder, command) == ({}, [])


@pytest.mark.parametrize(
    "command",
    ["httpd -f -h ..", "httpd -f -h /etc", "tftp -p -l ../secret h", "tftp -p -l www/link h"],
)
def test_nothing_outside_the_scenarios_folder_is_read(folder: Path, command: str) -> None:
    files, mistakes = read(folder, command)
    assert files == {}
    if command != "httpd -f -h ..":
        assert "outside the scenario's folder" in mistakes[0]


@pytest.mark.parametrize(
    "command", ["tftp -g -r f -l ../x h", "tftp -g -r f -l /x h", "curl -o ../x h", "curl -o /x h"]
)
def test_nothing_is_written_outside_the_runs_folder(folder: Path, command: str) -> None:
    _, mistakes = read(folder, command)
    assert "../x" in mistakes[0] or "/x" in mistakes[0]
