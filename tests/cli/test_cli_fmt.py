"""``desim fmt``: files in place, --check, --diff, standard input, and mistakes."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from desim.cli import main

BAD = "seed=1\n\n\n# why\nuntil   =  '5s'\n"
GOOD = "seed = 1\n\n# why\nuntil = '5s'\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text(BAD)
    Path("good.toml").write_text(GOOD)


def test_a_file_is_laid_out_and_a_good_one_not_touched(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.toml").chmod(0o640)
    before = Path("good.toml").stat()
    assert main(["fmt", "bad.toml", "good.toml"]) == 0
    assert capsys.readouterr().out == "bad.toml\n"
    assert Path("bad.toml").read_text() == GOOD
    assert Path("bad.toml").stat().st_mode & 0o777 == 0o640
    assert Path("good.toml").stat().st_mtime_ns == before.st_mtime_ns
    assert sorted(os.listdir()) == ["bad.toml", "good.toml"]
    assert main(["fmt", "bad.toml"]) == 0
    assert capsys.readouterr().out == ""


def test_check_and_diff_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", "--check", "good.toml"]) == 0
    assert main(["fmt", "--check", "good.toml", "bad.toml"]) == 1
    assert capsys.readouterr().out == "bad.toml\n"
    assert main(["fmt", "--diff", "bad.toml"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("--- bad.toml\n+++ bad.toml\n@@")
    assert "-seed=1\n-\n+seed = 1\n" in shown
    assert main(["fmt", "--check", "--diff", "bad.toml"]) == 1
    assert Path("bad.toml").read_text() == BAD


def test_standard_input_comes_back_laid_out(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{BAD}x='\u00e4\t'"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert main(["fmt", "-"]) == 0
    assert capsysbinary.readouterr().out.decode() == f"{GOOD}x = '\u00e4\t'\n"


def test_what_is_wrong_is_told_and_the_rest_is_laid_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("broken.toml").write_text("a = [1,\n")
    Path("latin.toml").write_bytes(b"a = '\xe4'\n")
    Path("large.toml").write_text("#" * (1 << 19))
    Path("folder.toml").mkdir()
    names = ["broken.toml", "latin.toml", "large.toml", "folder.toml", "none.toml", "bad.toml"]
    assert main(["fmt", *names]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(": ")[0] for line in told[:2]] == [
        "broken.toml:2",
        "latin.toml:1",
    ]
    assert told[2:] == [
        "desim: large.toml: larger than 256 KiB",
        "desim: fmt: folder.toml: is no file",
        "desim: fmt: none.toml: there is no such file",
    ]
    assert Path("bad.toml").read_text() == GOOD


def test_a_scenario_that_cannot_be_run_is_laid_out_all_the_same() -> None:
    Path("odd.toml").write_text("nosuch='key'")
    assert main(["fmt", "odd.toml"]) == 0
    assert Path("odd.toml").read_text() == "nosuch = 'key'\n"
