"""Where results may go, and that nothing else is ever touched."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from desim.errors import UserError
from desim.experiment.output import MARK, _check_name, prepare, write
from desim.spool import Log
from desim.userland.files import MAX_PARTS, normalise


@dataclass
class Result:
    summary: dict[str, Any] = field(default_factory=lambda: {"ended": "all programs ended"})
    files: dict[str, bytes] = field(default_factory=lambda: {"guest/hello.txt": b"Hello\n"})
    captures: dict[str, bytes] = field(default_factory=lambda: {"capture-nic.pcapng": b"\n\r\r\n"})
    captured: bool = True
    traced: bool = True

    @property
    def written(self) -> dict[str, Log]:
        return {name: Log.of(data) for name, data in self.files.items()}

    @property
    def capture_files(self) -> dict[str, list[bytes]]:
        return {name: [data[:2], data[2:]] for name, data in self.captures.items()}

    @property
    def trace_text(self) -> Iterator[bytes]:
        yield b'{"t": 0}\n'
        yield b'{"t": 1}\n'


def test_what_was_not_kept_is_not_written(tmp_path: Path) -> None:
    write(Result(captured=False, traced=False), tmp_path / "out")
    assert sorted(tree(tmp_path / "out")) == [".desim", "guest/hello.txt", "summary.json"]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_new_folder_gets_everything_and_the_mark(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    write(Result(), out)
    found = tree(out)
    assert set(found) == {
        MARK,
        "capture-nic.pcapng",
        "guest/hello.txt",
        "summary.json",
        "trace.jsonl",
    }
    assert found["guest/hello.txt"] == b"Hello\n"
    assert found["trace.jsonl"] == b'{"t": 0}\n{"t": 1}\n'
    assert json.loads(found["summary.json"]) == {"ended": "all programs ended"}


def test_an_empty_folder_is_as_good_as_a_new_one(tmp_path: Path) -> None:
    write(Result(), tmp_path)
    assert (tmp_path / "summary.json").is_file()


def test_an_earlier_run_is_replaced_only_with_force(tmp_path: Path) -> None:
    write(Result(files={"guest/old": b""}), tmp_path)
    with pytest.raises(UserError, match="--force"):
        write(Result(), tmp_path)
    assert "guest/old" in tree(tmp_path)
    write(Result(), tmp_path, force=True)
    assert "guest/old" not in tree(tmp_path)
    assert "guest/hello.txt" in tree(tmp_path)


def test_files_of_others_are_never_replaced_even_with_force(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="not desim's"):
        write(Result(), tmp_path, force=True)
    assert tree(tmp_path) == {"thesis.tex": b"x"}


def test_a_mark_that_is_a_link_is_no_mark(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "mark").write_text("")
    (out / MARK).symlink_to(tmp_path / "mark")
    with pytest.raises(UserError, match="not desim's"):
        write(Result(), out, force=True)


def test_a_link_as_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with pytest.raises(UserError, match="is a link"):
        write(Result(), tmp_path / "out")
    assert tree(tmp_path / "real") == {}


def test_a_file_as_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(UserError, match="not a folder"):
        prepare(tmp_path / "out")
    with pytest.raises(UserError, match="out"):
        prepare(tmp_path / "out" / "below")


def test_links_inside_an_earlier_run_are_removed_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("x")
    out = tmp_path / "out"
    write(Result(files={}), out)
    (out / "guest").symlink_to(outside)
    (out / "trace.jsonl").unlink()
    (out / "trace.jsonl").symlink_to(outside / "keep")
    write(Result(), out, force=True)
    assert tree(outside) == {"keep": b"x"}
    assert not (out / "guest").is_symlink()
    assert (out / "guest" / "hello.txt").read_bytes() == b"Hello\n"


@pytest.mark.parametrize(
    "name",
    [
        "/etc/x",
        "../x",
        "guest/../../x",
        "guest//x",
        "guest/./x",
        "",
        "guest/" + "n" * 256,
        "guest/a\0b",
        "a/" * 40 + "x",
    ],
)
def test_a_name_that_leads_out_stops_everything_before_a_file_is_made(
    tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="not a name"):
        write(Result(files={name: b"x"}), out)
    assert not out.exists()


def test_a_name_that_is_both_file_and_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Not a directory: a"):
        write(Result(files={"guest/a": b"", "guest/a/b": b""}), tmp_path)


def test_nothing_is_executable(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        write(Result(), tmp_path)
    finally:
        os.umask(previous)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) & 0o111 == 0


def test_a_summary_holds_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write(Result(summary={"rate": float("nan")}), tmp_path)


@dataclass
class Stopped(Result):
    """Results whose trace cannot be had: ``end`` happens on the way."""

    end: Callable[[], None] = lambda: None

    @property
    def trace_text(self) -> Iterator[bytes]:
        yield b"{}"
        self.end()


def interrupted() -> None:
    raise KeyboardInterrupt


def test_a_folder_is_whole_or_not_there_when_writing_is_interrupted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        write(Stopped(end=interrupted), out)
    assert list(tmp_path.iterdir()) == []
    write(Result(), out)
    before = tree(out)
    with pytest.raises(KeyboardInterrupt):
        write(Stopped(files={}, end=interrupted), out, force=True)
    assert tree(out) == before
    assert list(tmp_path.iterdir()) == [out]


class StoppedInACapture(Result):
    """Results of which one file breaks off in the middle."""

    @property
    def capture_files(self) -> dict[str, Iterator[bytes]]:  # type: ignore[override]  # read once
        def pieces() -> Iterator[bytes]:
            yield b"\n\r\r\n"
            raise KeyboardInterrupt

        return {"capture-nic.pcapng": pieces()}


def test_a_file_that_breaks_off_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(StoppedInACapture(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_run_left_is_not_the_folder_and_the_next_removes_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(Result(), out)
    before = tree(out)
    process = multiprocessing.get_context("fork").Process(
        target=write, args=(Stopped(files={}, end=killed), out), kwargs={"force": True}
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert tree(out) == before
    assert len(list(tmp_path.iterdir())) == 2
    write(Result(files={}), out, force=True)
    assert list(tmp_path.iterdir()) == [out]
    assert "guest/hello.txt" not in tree(out)


def test_the_folder_is_back_if_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write(Result(), out)
    before = tree(out)
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name.endswith("part"):
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        write(Result(files={}), out, force=True)
    assert tree(out) == before


def test_an_empty_mark_is_no_mark(tmp_path: Path) -> None:
    (tmp_path / MARK).write_text("")
    with pytest.raises(UserError, match="not desim's"):
        write(Result(), tmp_path, force=True)


def test_the_mark_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write(Result(), out)
    removed: list[str] = []
    real = os.unlink

    def unlink(path: str | Path, **rest: Any) -> None:
        removed.append(Path(path).name)
        real(path, **rest)

    monkeypatch.setattr(os, "unlink", unlink)
    write(Result(), out, force=True)
    assert len(removed) > 3
    assert removed[-1] == MARK


def test_a_full_disk_is_said_with_the_files_name(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"No space left on device: trace\.jsonl"):
        write(Stopped(end=full), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_current_folder_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is the current folder"):
        prepare(Path())


def test_no_program_writes_what_could_not_be_written_out() -> None:
    deep = "/".join("d" * MAX_PARTS)
    assert normalise(deep) == deep
    _check_name(f"guest/{deep}")
    with pytest.raises(ValueError, match="in 31 folders; at most 30"):
        normalise(f"d/{deep}")
    with pytest.raises(UserError, match="not a name"):
        _check_name(f"guest/d/{deep}")
