"""Examples: one number is one scenario, for ever, and its file says all of it."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections import defaultdict
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pytest
from runs import desim, shipped_run

from desim.api.scenario import load
from desim.engine.draw import Draw
from desim.errors import ScenarioError
from desim.experiment.run import run
from desim.fuzz.bench import KINDS, bench_of
from desim.fuzz.campaign import Example, Progress, examples, search
from desim.fuzz.corpus import Corpus
from desim.fuzz.finding import Finding
from desim.fuzz.judge import GOES_ON, TURNS, Breach, judge, laws_for
from desim.fuzz.judge import MARKS as MARKS_OF_A_RUN
from desim.fuzz.marks import MARKS, Evidence, hit
from desim.fuzz.scenario import BENCH, Configurations, document_of, scenario_from, scenario_of
from desim.fuzz.story import story
from desim.fuzz.toml import text_of
from desim.host.loopback import PAIRS
from desim.laws.endless import polls_in_circles
from desim.laws.table import LAWS
from desim.machine.booted import machine_key
from desim.machine.reasons import all_reasons
from desim.stages import known_stages
from desim.wire.tcp import RST

FOUND = Path(__file__).parent / "found"
NUMBERS = [bench * BENCH + place for bench in range(60) for place in (0, 7)]


def test_every_example_is_a_scenario_that_can_be_run() -> None:
    for number in NUMBERS:
        scenario_of(number)


def test_an_example_is_the_same_on_every_python() -> None:
    said = json.dumps([document_of(number) for number in NUMBERS[:20]], sort_keys=True)
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == "f91b97d78d19d32f", (
        "examples are others now: findings that were told by their number are lost"
    )


def test_the_examples_of_a_bench_go_on_from_one_boot() -> None:
    keys = {machine_key(scenario_of(number).configuration()) for number in range(128, 136)}
    assert len(keys) == 1


def test_a_bench_has_some_kinds_switched_off_and_every_kind_is_in_some() -> None:
    benches = [bench_of(number) for number in range(40)]
    assert all(bench.kinds < set(KINDS) for bench in benches)
    assert set().union(*(bench.kinds for bench in benches)) == set(KINDS)


@pytest.mark.parametrize("number", NUMBERS[::12])
def test_its_file_says_all_of_it(number: int, tmp_path: Path) -> None:
    data = document_of(number)
    text = text_of(data, ("a comment",))
    assert tomllib.loads(text) == data
    path = tmp_path / "example.toml"
    path.write_text(text)
    mine, theirs = scenario_of(number).configuration(), load(path).configuration()
    assert machine_key(mine) == machine_key(theirs)
    assert (mine.guest, mine.host) == (theirs.guest, theirs.host)


def test_the_machine_of_a_bench_is_read_once_and_examples_are_what_their_files_say() -> None:
    read = Configurations()
    for number in NUMBERS[:40]:
        data = document_of(number)
        whole = scenario_from(data, f"fuzz-{number}").configuration()
        assert read.of(number, data) == whole


def test_odd_text_is_written_as_it_can_be_read() -> None:
    data = {"a": 'say "no"\n\t\\', "b": {"c d": ["ä", "\x7f", "🙂"], "e": True, "f": -1}}
    assert tomllib.loads(text_of(data)) == data


def test_draws_are_within_their_limits() -> None:
    draw = Draw(1, "fuzz test")
    assert {draw.between(3, 5) for _ in range(60)} == {3, 4, 5}
    assert {len(draw.some("abc", 1, 2)) for _ in range(30)} == {1, 2}
    assert draw.some("abc", 3, 9) == ["a", "b", "c"]


def test_every_law_has_its_turn() -> None:
    had = {law.name for turn in range(TURNS) for law in laws_for(turn)}
    assert had == set(LAWS)


def test_marks_are_told_from_what_there_is() -> None:
    known = known_stages()
    reasons = all_reasons()
    asked: list[object] = []

    class Asked:
        def __contains__(self, what: object) -> bool:
            asked.append(what)
            return False

        def __call__(self, file: str, name: str) -> bool:
            return (file, name) in self

    for mark in MARKS.values():
        seen: Any = Asked()
        mark.hit(Evidence(seen, seen, cast("Any", defaultdict(dict)), seen))
    for what in asked:
        if isinstance(what, tuple):
            file, name = what
            assert (name, file) in known, what
        elif isinstance(what, str) and " " not in what:
            assert what in reasons, what


def test_a_mark_that_no_example_can_hit_says_why() -> None:
    beyond = {name: mark.beyond for name, mark in MARKS.items() if mark.beyond}
    assert list(beyond) == ["nested", "slirp-no-udp-socket"]
    assert f"nested ({beyond['nested']})" in Progress().missing
    two = ["-netdev user,id=u", "-netdev user,id=v", "-device e1000,netdev=u"]
    with pytest.raises(ScenarioError, match="2 user networks"):
        scenario_from({"qemu": two}, "two").configuration()
    assert f"{2 * PAIRS:,} ports" in beyond["slirp-no-udp-socket"]


@pytest.mark.slow
def test_a_search_is_the_same_whatever_the_number_of_workers() -> None:
    found = []
    for workers in (1, 2):
        progress = Progress()
        came: dict[int, str] = {}
        search(
            examples(66),
            progress=progress,
            workers=workers,
            limit=6,
            until=lambda _: False,
            told=lambda _, example, outcome, came=came: came.update(
                {example.number: outcome.ended}
            ),
        )
        found.append((progress.examples, progress.marks, progress.findings, list(came.items())))
    assert found[0] == found[1]
    assert found[0][0] == 6
    assert [number for number, _ in found[0][3]] == list(range(66, 72))


def test_a_corpus_keeps_what_hits_a_new_mark_and_changes_it(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "corpus")
    example = Example(66, document_of(66))
    corpus.keep(example, frozenset({"time-wait", "undo"}))
    corpus.keep(Example(67, document_of(67)), frozenset({"undo"}))
    assert [path.name for path in corpus.folder.iterdir()] == ["time-wait-66.toml"]
    again = Corpus(corpus.folder)
    assert again.marks == {"time-wait", "undo"}
    assert again.entries == [example.data]
    made = list(islice(again.examples(examples(66)), 6))
    assert [one.drawn for one in made] == [True, False] * 3
    assert [one.data for one in made if one.drawn] == [document_of(n) for n in (66, 68, 70)]
    assert all(one.data != example.data for one in made if not one.drawn)
    assert made == list(islice(Corpus(corpus.folder).examples(examples(66)), 6))


@pytest.mark.slow
def test_a_small_search_finds_nothing() -> None:
    """The gate's own: ``nox -s fuzz`` looks further."""
    progress = Progress()
    search(examples(64), progress=progress, limit=40, until=lambda _: False)
    assert [finding.breach for finding in progress.findings] == []
    assert progress.examples == 40


@pytest.mark.slow
def test_desim_fuzz_says_what_it_did() -> None:
    done = desim("fuzz", "--examples", "3", "--seed", "64")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("3 examples, ")
    assert f"of {len(MARKS)} marks, 0 findings" in done.stdout


def test_a_run_without_an_end_is_a_finding_and_slirps_spinning_is_none() -> None:
    config = load(FOUND / "slirp-spins.toml").configuration()
    spinning = run(config)
    assert spinning.ended.startswith("stopped: more than")
    assert judge(spinning, []) == []
    assert "slirp-spins" in hit(spinning)
    assert config.user is not None
    config.user.version = "4.7"  # as if it were another, which does not spin
    (breach,) = judge(spinning, [])
    assert breach.law == GOES_ON
    assert "thread main is in" in breach.text
    assert f"marks = {MARKS_OF_A_RUN}" in Finding(1, document_of(1), breach).text()


def test_slirp_may_spin_while_time_stands_still() -> None:
    config = load(FOUND / "slirp-spins-while-time-stands-still.toml").configuration()
    spinning = run(config)
    assert "meetings at" in spinning.ended
    law = LAWS["the-run-ends"]
    assert law.broken(spinning) == []
    assert "slirp-spins" in hit(spinning)
    assert config.user is not None
    config.user.version = "4.7"
    assert law.broken(spinning)


def test_a_program_may_poll_in_circles_for_long() -> None:
    name = "a-program-that-polls-in-circles-for-long.toml"
    circling = run(load(FOUND / name).configuration())
    assert circling.ended.startswith("stopped: more than")
    assert judge(circling, []) == []
    assert not polls_in_circles(shipped_run("upload"))


def test_slirp_may_answer_its_own_resets_for_ever() -> None:
    stormy = run(load(FOUND / "slirp-answers-itself.toml").configuration())
    assert stormy.ended.startswith("stopped: more than")
    assert judge(stormy, []) == []
    last = [packet.frame.segment for packet in stormy.packets["slirp"]][-100:]
    assert all(segment is not None and segment.flags & RST for segment in last)


def test_a_finding_tells_what_came_before_it() -> None:
    result = shipped_run("hello-close")
    told = story(result, 5_100_000_000)
    assert told[-1].startswith("5.0")
    assert any("slirp sends SYN of" in line for line in told)
    assert len(told) <= 8


def test_a_finding_is_a_file_that_expects_the_law(tmp_path: Path) -> None:
    finding = Finding(66, document_of(66), Breach("no-interrupt-is-lost", "it is low", 7))
    path = finding.save(tmp_path / "found")
    text = path.read_text()
    assert path.name == "no-interrupt-is-lost-66.toml"
    assert "# Found by: desim fuzz --seed 66 --examples 1" in text
    assert load(path).configuration().expect.laws == ("no-interrupt-is-lost",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--examples", "0"], "counted from 1"),
        (["--examples", "1", "--time", "1s"], "not allowed with argument"),
        (["--tim", "1s"], "did you mean '--time'?"),
    ],
)
def test_mistakes_are_told(words: list[str], said: str) -> None:
    done = desim("fuzz", *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_scenario_cannot_ask_for_a_law_that_starts_a_process() -> None:
    (law,) = [law for law in LAWS.values() if law.process]
    data = {**document_of(0), "expect": {"laws": [law.name]}}
    with pytest.raises(ScenarioError, match="starts another process"):
        scenario_from(data, "asks")
    text = Finding(7, document_of(7), Breach(law.name, "fingerprints differ")).text()
    assert f"PYTHONHASHSEED=1 desim run {law.name}-7.toml, and =2" in text
    assert "laws" not in tomllib.loads(text).get("expect", {})
