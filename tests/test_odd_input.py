"""Odd names, texts and values are mistakes with one message each, never a traceback."""

from __future__ import annotations

import io
import os
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import desim

from desim.cli._screen import LONGEST, one_line
from desim.conform.archives import FREE_BYTES, MAX_SIZE, members
from desim.costs.profile import load
from desim.disk import kind_of, look, write_whole
from desim.errors import ProfileError, RecordingError, ScenarioError, UserError
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


def test_a_file_is_written_as_a_whole_or_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "profile.toml"
    write_whole(path, "one")
    (tmp_path / "link.toml").symlink_to(path)
    write_whole(tmp_path / "link.toml", "two")
    assert (tmp_path / "link.toml").is_symlink()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, "three")
    assert path.read_text() == "two"
    assert len(list(tmp_path.iterdir())) == 2


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


# Archives


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(f"{name}.json", data)
    return path


def tarred(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w:xz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{name}.json")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def flagged(path: Path, *, encrypted: bool = False, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip archive whose only member says so of itself, in both of its headers."""
    raw = bytearray(zipped(path, one=b"{}").read_bytes())
    for signature, flags, kind in ((b"PK\x03\x04", 6, 8), (b"PK\x01\x02", 8, 10)):
        at = raw.index(signature)
        raw[at + flags] |= encrypted
        raw[at + kind] = method
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("make", [zipped, tarred])
def test_the_files_of_an_archive_come_in_its_order(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    name = "a.zip" if make is zipped else "a.tar.xz"
    archive = make(tmp_path / name, b=b"1", a=b"2", c=b"3")
    found = members(archive, lambda name: name != "a.json")
    assert list(found) == [("b.json", b"1"), ("c.json", b"3")]


@pytest.mark.parametrize(("encrypted", "method"), [(True, zipfile.ZIP_DEFLATED), (False, 9)])
@pytest.mark.parametrize(
    "words", [["conform", "e1000"], ["conform", "slirp"], ["lint-driver"]], ids=" ".join
)
def test_a_zip_that_cannot_be_read_is_named(
    words: list[str], encrypted: bool, method: int, tmp_path: Path
) -> None:
    archive = flagged(tmp_path / "odd.zip", encrypted=encrypted, method=method)
    done = desim(*words, str(archive))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "odd.zip: one.json: " in done.stdout + done.stderr


@pytest.mark.parametrize("make", [zipped, tarred])
def test_an_archive_is_read_no_further_than_its_size_allows(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    name = "a.zip" if make is zipped else "a.tar.xz"
    full = bytes(MAX_SIZE // 8)
    archive = make(tmp_path / name, a=full, b=full, c=full)
    read = members(archive, lambda name: True)
    with pytest.raises(RecordingError, match=f"{name}: more than {FREE_BYTES} bytes unpacked"):
        list(read)


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    whole = tarred(tmp_path / "whole.tar.xz", a=os.urandom(5000)).read_bytes()
    (tmp_path / "cut.tar.xz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordingError, match=r"cut\.tar\.xz: "):
        list(members(tmp_path / "cut.tar.xz", lambda name: True))
