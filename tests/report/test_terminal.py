"""The report of a run: text that repeats to the byte, and obeys nobody but us."""

from __future__ import annotations

from pathlib import Path

import golden
import pytest
from runs import SHIPPED, desim, shipped_run

from desim.experiment.run import RunResult, run
from desim.report import long, terminal
from desim.report.text import escape, grouped, seconds
from desim.scenario.loader import load_scenario

HOSTILE = r"""
description = "a \u001b]0;title\u0007 \u202e description"
qemu = "-nic user,hostfwd=tcp::5555-:5556"
guest.run = [{command = "busybox nc -l -p 5556 < /dev/null"}]
host.run = [{command = "cat hostile | nc -N localhost 5555"}, {command = "echo 'a\u009bb'"}]
"""
PAIR = """
costs = "zero"
qemu = "-netdev socket,id=s,listen=:1234 -device e1000,netdev=s"
guest.address = "10.0.0.1/24"
guest.run = [{command = "nc -lp 5556"}]
[machine.b]
qemu = "-netdev socket,id=s,connect=:1234 -device e1000,netdev=s,mac=52:54:00:12:34:57"
guest.address = "10.0.0.2/24"
guest.run = [{command = "echo Hello | nc -q 0 10.0.0.1 5556", at = "5s"}]
"""
BYTES = b"\x1b[2J\x1b]0;owned\x07 \x00\r\x9b31m \xff\xfe \xe2\x80\xae tab\there\nnext\n"


@pytest.fixture
def hostile(tmp_path: Path) -> RunResult:
    (tmp_path / "test.toml").write_text(HOSTILE.replace("cat hostile", "cat < hostile"))
    (tmp_path / "hostile").write_bytes(BYTES)
    return run(load_scenario(str(tmp_path / "test.toml")))


def text(result: RunResult) -> str:
    return terminal.text(result, result.config, long.WIDTH, 2)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_report_is_that_in_results(name: str) -> None:
    path = golden.FOLDER / f"{name}.txt"
    assert golden.report(name) == path.read_text(encoding="utf-8"), "nox -s results rewrites it"
    path = golden.FOLDER / f"{name}-vv.txt"
    assert golden.long_report(name) == path.read_text(encoding="utf-8")


def test_results_holds_nothing_else() -> None:
    assert {path.name for path in golden.FOLDER.iterdir()} == set(golden.files())


def test_desim_run_prints_this_report() -> None:
    done = desim("run", "hello")
    assert done.stdout == golden.report("hello")
    assert done.stderr == ""


@pytest.mark.slow
def test_the_width_of_the_users_terminal_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert desim("run", "hello-close").stdout == golden.report("hello-close")


def test_no_control_character_of_a_guest_reaches_the_terminal(hostile: RunResult) -> None:
    shown = text(hostile)
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert r"\x1b[2J\x1b]0;owned\x07 \x00\x0d\x9b31m \xff\xfe \u202e tab" in shown


def test_nor_does_one_of_a_scenario(hostile: RunResult) -> None:
    assert r"a \x1b]0;title\x07 \u202e description" in text(hostile)


def test_a_program_cannot_forge_a_line_of_the_report() -> None:
    lines = text(shipped_run("hello")).splitlines()
    assert sum(line.startswith("fingerprint ") for line in lines) == 1


def test_long_output_is_cut_and_counted() -> None:
    result = shipped_run("hello")
    transcript = result.transcripts[1]._replace(output=b"line\n" * 1000)
    changed = RunResult.__new__(RunResult)
    changed.__dict__ |= result.__dict__ | {"transcripts": [transcript]}
    shown = text(changed).splitlines()
    assert shown.count("line") == long.MAX_LINES
    assert f"({1000 - long.MAX_LINES} more lines)" in shown


@pytest.mark.parametrize("name", SHIPPED)
def test_no_line_is_longer_than_the_width(name: str) -> None:
    assert max(map(len, golden.report(name).splitlines())) <= 80
    assert max(map(len, golden.long_report(name).splitlines())) <= long.WIDTH


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("hello", r'"Hello qemu Geust\n", 17 bytes'),
        # Not the datagrams to the name server in front of it.
        ("names", r'"Hello by name\n", 14 bytes, host send() to guest read()'),
        ("netboot", "ping 0, 64 bytes, there and back"),
        ("dhcp", ""),
    ],
)
def test_a_message_is_explained_if_there_is_one(name: str, sent: str) -> None:
    lines = [line for line in golden.report(name).splitlines() if line.startswith("message")]
    assert [line[12:].rpartition("  ")[0].rstrip() for line in lines] == [sent] * bool(sent)
    assert f"The way of {sent}" in text(shipped_run(name)) or not sent


def test_between_guests_nothing_is_explained_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "pair.toml").write_text(PAIR)
    shown = text(run(load_scenario(str(tmp_path / "pair.toml"))))
    assert "message     between guests: such ways are not followed\n" in shown
    assert "No message between host and guest has arrived in this run." in shown


def test_what_did_not_arrive_is_said() -> None:
    shown = text(shipped_run("refused"))
    assert "No message between host and guest has arrived in this run." in shown
    assert "Connection refused" in shown
    assert "(exit status 1)" in shown


@pytest.mark.parametrize(
    ("ns", "expected"),
    [(0, "0.000 000 000 s"), (1, "0.000 000 001 s"), (12_345_678_901, "12.345 678 901 s")],
)
def test_seconds_are_grouped_by_milli_micro_and_nano(ns: int, expected: str) -> None:
    assert seconds(ns) == expected


def test_numbers_are_grouped_by_thousands() -> None:
    assert [grouped(n) for n in (0, 999, 1_000, 1_234_567)] == ["0", "999", "1 000", "1 234 567"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain \xc3\xa9", "plain é"),
        (b"\x07", "\\x07"),
        (b"\x7f", "\\x7f"),
        ("\u2028".encode(), "\\u2028"),
        (b"a\tb\nc", "a\tb\nc"),
        ("\x1b", "\\x1b"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(data: bytes | str, expected: str) -> None:
    assert escape(data) == expected
