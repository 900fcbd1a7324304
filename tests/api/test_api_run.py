"""Runs from Python: the same as those of the command line, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Generator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from runs import desim as command
from runs import shipped_run, tree

import desim


@pytest.fixture(scope="module")
def result() -> desim.Result:
    return desim.run(desim.load("hello"))


# The same run


@pytest.mark.slow
def test_it_is_the_run_of_the_command_line(result: desim.Result, tmp_path: Path) -> None:
    assert result.fingerprint == shipped_run("hello").fingerprint
    done = command("run", "hello", "--out", str(tmp_path / "a"))
    assert done.stdout == str(result) + "\n"
    result.save(tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.slow
def test_arguments_are_those_of_the_command_line(tmp_path: Path) -> None:
    refused = desim.load("refused")
    result = desim.run(refused, costs="zero", seed=9, until="6s")
    words = ["--costs", "zero", "--seed", "9", "--until", "6s", "--json"]
    assert json.loads(command("run", "refused", *words).stdout) == result.summary
    assert result.scenario == refused.set({"seed": 9, "until": "6s"})
    assert desim.run(refused, costs="zero", seed=9, until=6 * 10**9).summary == result.summary


def test_a_profile_of_ones_own_is_found_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "free.toml").write_text('description = "mine"')
    result = desim.run(desim.load("refused"), costs=Path("free.toml").absolute())
    assert result.summary["costs"]["profile"] == "free"
    assert desim.run(desim.load("refused"), costs="./free.toml").summary == result.summary


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"costs": "zeroo"}, desim.ProfileError, "did you mean 'zero'?"),
        ({"costs": "no.toml"}, desim.ProfileError, "costs no.toml: no such file"),
        ({"seed": -1}, desim.ScenarioError, "seed -1: must be 0 or more"),
        ({"seed": True}, desim.ScenarioError, "seed True: must be a whole number"),
        ({"until": "5"}, desim.ScenarioError, "until '5': a duration needs its unit"),
        ({"until": -1}, desim.ScenarioError, "until -1: must be text such as"),
        ({"until": 5.0}, desim.ScenarioError, "until 5.0: must be text such as"),
    ],
)
def test_bad_arguments_are_the_users_mistakes(
    arguments: dict[str, Any], error: type[desim.UserError], message: str
) -> None:
    with pytest.raises(error) as caught:
        desim.run(desim.load("hello"), **arguments)
    assert message in str(caught.value)


def test_a_note_is_with_the_results_too() -> None:
    scenario = desim.from_qemu("-nic user -icount 3 -m 256", guest="true")
    with desim.assemble(scenario, costs="zero") as machine:
        notes = machine.notes
    assert [note.partition(":")[0] for note in notes] == [
        "no effect on the network, ignored",
        "no effect, ignored",
    ]
    assert tuple(desim.run(scenario, costs="zero").summary["notes"]) == notes


# Backtraces


@pytest.mark.slow
def test_a_backtrace_is_that_of_the_command_line() -> None:
    function = "slirp/tcp_output.c:tcp_output"
    stack = desim.backtrace(desim.load("hello"), function, hit=2, after="5s", calls=True)
    words = ["--break", function, "--hit", "2", "--after", "5s", "--calls"]
    assert command("backtrace", "hello", *words).stdout == f"{stack}\n"


@pytest.mark.parametrize(
    ("function", "more", "message"),
    [
        (
            "ip_inputt",
            {},
            "ip_inputt: no modelled function has this name; the nearest are ip_",
        ),
        ("slirp/if.c:ip_input", {}, "ip_input is not in this file"),
        ("ip_input", {"hit": 0}, "hit 0: must be a whole number, counted from 1"),
        ("ip_input", {"after": "x"}, "after 'x': not a duration"),
    ],
)
def test_what_cannot_be_stopped_at_is_said_so(
    function: str, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(desim.UserError) as caught:
        desim.backtrace(desim.load("hello"), function, **more)
    assert message in str(caught.value)


# Machines


@pytest.mark.slow
def test_processes_beside_it_change_nothing(result: desim.Result) -> None:
    seen: list[tuple[int, int]] = []

    def watch(machine: desim.Machine) -> Generator[Any, Any, None]:
        while True:
            yield machine.environment.timeout(333_333)
            frames = machine.frames["slirp"]
            seen.append((machine.now_ns, len(frames)))
            assert not frames or frames[-1].time <= machine.now_ns

    machine = desim.assemble(desim.load("hello"))
    machine.environment.process(watch(machine))
    assert repr(machine) == "<Machine of desim.load('hello') at 0s>"
    assert machine.run().fingerprint == result.fingerprint
    assert [at for at, _ in seen] == [333_333 * n for n in range(1, len(seen) + 1)]
    assert seen[-1][1] == len(result.frames["slirp"])


@pytest.mark.slow
def test_a_machine_runs_once_and_not_when_it_is_closed() -> None:
    with desim.assemble(desim.load("refused")) as machine:
        machine.run()
        with pytest.raises(desim.UserError, match="a machine runs once"):
            machine.run()
    machine = desim.assemble(desim.load("refused"))
    machine.close()
    with pytest.raises(desim.UserError, match="a machine runs once"):
        machine.run()


def test_progress_is_told_in_virtual_time() -> None:
    times: list[int] = []
    result = desim.run(desim.load("refused"), progress=times.append)
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= result.end_ns


# Results


def test_a_result_never_changes(result: desim.Result) -> None:
    with pytest.raises(AttributeError, match="a result does not change"):
        result.end_ns = 0
    with pytest.raises(AttributeError, match="a result does not change"):
        del result.scenario
    with pytest.raises(TypeError):
        result.files["guest/hello.txt"] = b""
    result.summary["end_ns"] = 0
    assert result.summary["end_ns"] == result.end_ns


def test_the_legs_of_its_journey_add_up(result: desim.Result) -> None:
    journey = result.journey
    assert journey
    assert sum(leg.own_ns + leg.waiting_ns for leg in journey) == journey.total_ns
    assert list(journey) == list(journey.rows)
    assert len(journey) == len(journey.rows)
    assert result.summary["journey"]["total_ns"] == journey.total_ns


def test_a_run_in_which_nothing_arrives_has_a_journey_without_legs() -> None:
    journey = desim.run(desim.load("refused")).journey
    assert not journey
    assert list(journey) == []
    assert journey.total_ns == 0


def test_its_repr_says_what_ran_and_how_it_ended(result: desim.Result) -> None:
    assert repr(result) == (
        "<Result of desim.load('hello'): ended at 8600000000 ns, all programs have ended; "
        f"journey {result.journey.total_ns} ns; fingerprint {result.fingerprint.whole[:16]}>"
    )


@pytest.mark.slow
def test_its_trace_is_what_is_saved(result: desim.Result, tmp_path: Path) -> None:
    result.save(tmp_path / "out")
    assert b"".join(result.trace) == (tmp_path / "out" / "trace.jsonl").read_bytes()
    with pytest.raises(desim.OutputError, match="holds an earlier run"):
        result.save(tmp_path / "out")
    result.save(str(tmp_path / "out"), force=True)


# Notebooks


class Table(HTMLParser):
    """The cells of a table, and every tag that was opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.feed(html)
        assert not self.open, "a tag is not closed"

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_notebook_shows_the_answer_the_frames_and_the_way(result: desim.Result) -> None:
    rows = Table(result._repr_html_()).rows
    first = {row[0]: row for row in rows}
    assert first["host send() to guest read()"][1:] == ["1 948 370 ns", '"Hello qemu Geust\\n"']
    assert first["frames"][1] in ("nic", "slirp")
    way = rows[[row[0] for row in rows].index("who has the message") + 1 :]
    own, waiting = ([int(row[i].replace(" ", "")) for row in way] for i in (1, 2))
    assert way[-1][0] == "sum"
    assert sum(own[:-1]) == own[-1] == result.journey.own_ns
    assert sum(waiting[:-1]) == waiting[-1] == result.journey.waiting_ns


def test_a_notebook_obeys_nothing_that_a_program_wrote() -> None:
    hostile = "<script>alert(1)</script>&\x1b[2J"
    scenario = desim.from_qemu(
        "-nic user,hostfwd=tcp::5555-:5556",
        guest="nc -l -p 5556 > '<b>.txt'",
        host=f"echo '{hostile}' | nc -N localhost 5555",
        changes={"description": hostile},
    )
    html = desim.run(scenario, costs="zero")._repr_html_()
    assert html.isprintable()
    table = Table(html)
    assert table.tags == {"table", "caption", "tbody", "tr", "th", "td"}
    assert ["file", f"{len(hostile) + 1} bytes", "guest/<b>.txt"] in table.rows


def test_a_notebook_shows_a_run_without_a_journey_too() -> None:
    html = desim.run(desim.load("refused"))._repr_html_()
    assert "who has the message" not in html
    assert Table(html).rows
