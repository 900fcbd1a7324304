"""The search for a difference, with an original that is made up: it cannot count beyond four."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from desim.against import table
from desim.against.corpus import Corpus
from desim.against.original import Held, Input, Judged
from desim.against.search import Progress, search
from desim.cli import main
from desim.engine.draw import Draw
from desim.errors import ModelError, UserError


class Counting:
    """Original and peer in one."""

    name, version, things, core, by_chance = "counting", "counting 4.0", "counts", "slirp", 1

    def open(self) -> Counting:
        return self

    def close(self) -> None:
        pass

    def hold(self, given: Input) -> Held:
        numbers = [move[1] for move in given["moves"]]
        if 13 in numbers:
            return Held(crash="SIGSEGV", counts={"crashes": 1})
        if 99 in numbers:
            return Held(error="no such number")
        said = [min(number, 4) for number in numbers]
        return Held({"asked": numbers, "said": said}, counts={"sent: number": len(numbers)})

    def draw(self, number: int) -> Input:
        return {"moves": [["say", 0], ["say", number], ["say", 1]], "loud": False}

    def changed(self, given: Input, draw: Draw) -> Input:
        return {**given, "loud": True}

    def is_input(self, given: Mapping[str, Any]) -> bool:
        moves = given.get("moves", ())
        return set(given) == {"moves", "loud"} and all(len(move) == 2 for move in moves)

    def judge(self, recording: dict[str, Any], *, watch: bool = True) -> Judged:
        marks = frozenset(f"said-{number}" for number in recording["said"])
        if recording["asked"] == recording["said"]:
            return Judged("", "", marks)
        return Judged(f"said {max(recording['said'])}", "more", marks)

    def known_marks(self) -> list[str]:
        return [f"said-{number}" for number in range(6)]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    monkeypatch.setattr(table, "ORIGINALS", {"counting": Counting})
    return Counting()


def searched(original: Counting, seed: int, limit: int, **more: Any) -> Progress:
    progress = Progress()
    search(original, progress=progress, seed=seed, limit=limit, until=lambda now: False, **more)
    return progress


def test_a_difference_is_made_small_and_saved(
    counting: Counting, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["fuzz", "--against", "counting", "--examples", "4", "--seed", "3"]
    assert main([*words, "--save", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    path = tmp_path / "counting-5.json"
    assert json.loads(path.read_text()) == {"asked": [5], "said": [4], "name": "counting-5"}
    assert "example 5: counting 4.0 and desim differ\n  said 4\n" in out
    assert f"  saved, made small (1 move): desim conform slirp {path}" in out
    assert "counting 4.0: 4 counts, " in out
    assert "4 of 6 marks, 2 differences" in out
    assert "marks not hit: said-2, said-5" in out


def test_what_makes_the_original_crash_is_told_and_is_no_difference(
    counting: Counting, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["fuzz", "--against", "counting", "--examples", "1", "--seed", "13"]
    assert main([*words, "--save", str(tmp_path)]) == 0
    assert "example 13: counting 4.0 crashes: SIGSEGV" in capsys.readouterr().out
    assert json.loads((tmp_path / "counting-13-crash.json").read_text()) == counting.draw(13)


def test_what_cannot_be_given_is_a_fault_of_ours(counting: Counting) -> None:
    with pytest.raises(ModelError, match="counting, input 99: no such number"):
        searched(counting, 99, 1)


def test_a_corpus_keeps_who_is_first_at_a_mark_and_changes_it(
    counting: Counting, tmp_path: Path
) -> None:
    searched(counting, 0, 4, corpus=Corpus(tmp_path, counting))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "said-0-0.json", "said-2-2.json", "said-3-3.json",
    ]  # fmt: skip
    corpus = Corpus(tmp_path, counting)
    made = [corpus.input(number) for number in range(100, 140)]
    assert made[0] == counting.draw(100)
    assert any(one != counting.draw(100 + n) for n, one in enumerate(made))
    assert made == [Corpus(tmp_path, counting).input(number) for number in range(100, 140)]


def test_a_file_that_is_of_no_corpus_is_named(counting: Counting, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UserError, match=r"x\.json: not of a corpus of --against counting"):
        Corpus(tmp_path, counting)


def test_an_original_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", "--against", "libslrp"]) == 2
    assert "expected one of libslirp, qemu; did you mean 'libslirp'?" in capsys.readouterr().err
    assert main(["fuzz", "--against", "qemu", "--laws", "mine.py"]) == 2
    assert "--laws judges whole scenarios" in capsys.readouterr().err
