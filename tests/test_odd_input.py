"""Odd names, texts and values are mistakes with one message each, never a traceback."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from runs import desim

from desim.cli._screen import LONGEST, one_line
from desim.costs.profile import load
from desim.disk import kind_of, look
from desim.errors import ProfileError, ScenarioError, UserError
from desim.scenario.loader import load_scenario
from desim.toml_limits import MAX_KEY_PARTS, long_key

LONG = "a" * 300
TOO_LONG = "File name too long"


def refused(path: Path) -> str:
    """What is said of a scenario."""
    with pytest.raises(ScenarioError) as error:
        load_scenario(str(path))
    return str(error.value)


def scenario(folder: Path, text: str) -> Path:
    path = folder / "odd.toml"
    path.write_text(text)
    return path


# Names


def test_what_a_name_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "fifo")
    assert look(tmp_path) == "folder"
    assert look(tmp_path / "file") == "file"
    assert look(tmp_path / "fifo") == "other"
    assert look(tmp_path / "none") is None
    assert look(tmp_path / "file" / "below") is None
    assert look(Path("zero\0byte")) is None
    with pytest.raises(UserError, match=TOO_LONG):
        kind_of(tmp_path / LONG)


@pytest.mark.parametrize(
    "words",
    [
        ["run", LONG],
        ["run", "hello", "--costs", f"{LONG}.toml"],
        ["conform", "e1000", LONG],
        ["conform", "slirp", LONG],
        ["conform", "linux", LONG],
        ["lint-driver", LONG],
        ["run", "hello", "--out", LONG],
        ["qemu", "-netdev", f"user,id=u,tftp={LONG}"],
        ["qemu", "--host", f"cat {LONG}"],
        ["qemu", "--host", f"cat < {LONG}"],
    ],
    ids=" ".join,
)
def test_a_name_that_is_too_long_is_a_mistake_of_the_user(words: list[str]) -> None:
    done = desim(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert TOO_LONG in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreadable_file_below_tftp_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "secret").write_text("")
    real = os.open

    def denied(path: str | Path, *rest: int) -> int:
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", path)
        return real(path, *rest)

    monkeypatch.setattr(os, "open", denied)
    text = refused(scenario(tmp_path, 'qemu = "-netdev user,id=u,tftp=boot"'))
    assert "secret: cannot be read: Permission denied" in text


# TOML


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (".".join("a" * MAX_KEY_PARTS) + " = 1", None),
        (".".join("a" * (MAX_KEY_PARTS + 1)) + " = 1", 1),
        ("x = 1\n[" + " . ".join(["'a'", '"b"'] * 9) + "]", 2),
        ("x = { " + ".".join("a" * 17) + " = 1 }", 1),
        ('x = "' + "a." * 40 + '"', None),
        ("x = '''\n" + "a." * 40 + "\n'''\n# " + "a." * 40, None),
        ("x = [1.5, 2.5, 3.5]" * 20, None),
    ],
)
def test_a_dotted_key_has_so_many_parts_at_most(text: str, line: int | None) -> None:
    assert long_key(text) == line


def test_long_keys_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    text = "x = 1\n" + ".".join("a" * 20_000) + " = 1\n"
    assert refused(scenario(tmp_path, text)).endswith("odd.toml:2: a key of more than 16 parts")
    with pytest.raises(ProfileError, match=r"odd\.toml:2: a key of more than 16 parts"):
        load(str(tmp_path / "odd.toml"))


def test_a_number_of_thousands_of_digits_is_told_by_its_size(tmp_path: Path) -> None:
    text = refused(scenario(tmp_path, "seed = 0x" + "f" * 5000))
    assert "odd.toml:1: seed: a whole number of 20000 bits: must be less than" in text
    assert "4300" in refused(scenario(tmp_path, "seed = " + "9" * 5000))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = " + "[" * 2000 + "]" * 2000, "nested more than 16 levels deep"),
        ("x = " + "[" * 20 + "]" * 20, "nested more than 16 levels deep"),
        ("x = " + "9" * 5000, "4300"),
        ("# " + "x" * (256 << 10), "larger than 256 KiB"),
        ('["slirp/if.c"]\nif_start = { enter = 0x' + "f" * 5000 + "}", "number of 20000 bits"),
    ],
)
def test_a_cost_profile_has_the_limits_of_a_scenario(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(text)
    with pytest.raises(ProfileError, match=re.escape(said)):
        load(str(path))


def test_a_profile_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_bytes(b"\xff")
    with pytest.raises(ProfileError, match="not UTF-8 text"):
        load(str(tmp_path / "odd.toml"))


# Messages


def test_a_line_break_in_a_value_makes_no_second_message(tmp_path: Path) -> None:
    path = scenario(tmp_path, "qemu = [\"-netdev 'x\\ndesim: all is well',id=u\"]")
    done = desim("run", str(path))
    assert done.returncode == 2
    assert [line[:7] for line in done.stderr.splitlines()] == ["desim: "]
    assert "x\\ndesim: all is well" in done.stderr


def test_a_message_fits_a_screen() -> None:
    assert one_line("short") == "short"
    assert one_line("a\x1b[2Jb\nc") == "a\\x1b[2Jb\\nc"
    text = one_line("begin " + "x" * 100_000 + " end")
    assert text.startswith("begin x")
    assert text.endswith("x end")
    assert "(98510 characters)" in text
    assert LONGEST < len(text) < LONGEST + 40
