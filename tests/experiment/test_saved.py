"""A run's folder read again: the same trace, the same frames, the same fingerprint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from runs import shipped_run

from desim.errors import UserError
from desim.experiment import output
from desim.experiment.saved import Saved
from desim.experiment.trace_lines import lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "out"
    output.write(shipped_run("hello"), path)
    return path


@pytest.mark.parametrize("name", ["hello", pytest.param("services", marks=pytest.mark.slow)])
def test_a_folder_holds_all_that_the_run_has_recorded(name: str, tmp_path: Path) -> None:
    run = shipped_run(name)
    output.write(run, tmp_path / "out")
    saved = Saved(tmp_path / "out")
    assert saved.fingerprint == run.fingerprint
    assert b"".join(lines(saved.trace)) == b"".join(run.trace_text)
    for point, packets in run.packets.items():
        assert list(saved.packets[point].appended()) == list(packets.appended())
    assert saved.journey == run.journey
    assert saved.end_ns == run.end_ns


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("guest/hello.txt", b"Geust", b"Guest"),
        ("capture-nic.pcapng", b"Geust", b"Guest"),
        (
            "trace.jsonl",
            b'"depth": 9, "stage": "slirp_output"',
            b'"depth": 9, "stage": "if_output"',
        ),
    ],
)
def test_who_changes_a_byte_changes_the_fingerprint(
    folder: Path, tmp_path: Path, name: str, old: bytes, new: bytes
) -> None:
    shutil.copytree(folder, tmp_path / "out")
    path = tmp_path / "out" / name
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    assert Saved(tmp_path / "out").fingerprint != shipped_run("hello").fingerprint


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not a line of a trace"),
        (b"[" * 30_000, "not a line of a trace"),
        (b'{"thread": "vcpu"' + b" " * 70_000 + b"}", "a line of more than 65536 bytes"),
        (
            b'{"thread": "x", "begin": -1, "end": 2, "depth": 0, "wait": "p"}',
            "-1 is no whole number",
        ),
        (b'{"thread": "x", "begin": 1, "end": 2, "depth": 4, "wait": "p"}', "depth 4 where 0"),
        (
            b'{"thread": "vcpu", "begin": 1, "end": 2, "depth": 0, "wait": "p"}',
            "vcpu a second time",
        ),
        (b'{"thread": "x", "at": 1, "position": 0, "event": "gone"}', "event 'gone'"),
        (b'{"thread": "x", "at": 1, "position": 0, "event": "dma"}', "no 'frame'"),
    ],
)
def test_a_trace_that_is_none_is_told_with_its_line(
    folder: Path, tmp_path: Path, line: bytes, said: str
) -> None:
    shutil.copytree(folder, tmp_path / "out")
    path = tmp_path / "out" / "trace.jsonl"
    count = path.read_bytes().count(b"\n")
    with path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(UserError, match=rf"trace.jsonl:{count + 1}: .*{said}"):
        assert Saved(tmp_path / "out").trace


def test_what_is_no_run_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the folder of a run"):
        Saved(tmp_path)
    shutil.copytree(folder, tmp_path / "out")
    (tmp_path / "out" / "trace.jsonl").unlink()
    with pytest.raises(UserError, match="holds no trace"):
        assert Saved(tmp_path / "out").trace
    (tmp_path / "out" / "trace.jsonl").symlink_to(folder / "trace.jsonl")
    with pytest.raises(UserError, match=r"trace\.jsonl"):
        assert Saved(tmp_path / "out").trace
    capture = tmp_path / "out" / "capture-nic.pcapng"
    capture.write_bytes(capture.read_bytes().replace(b"frame ", b"Frame "))
    with pytest.raises(UserError, match="has no number of a frame"):
        assert Saved(tmp_path / "out").packets
    (tmp_path / "out" / "summary.json").write_text('{"format": "desim-summary/9"}')
    with pytest.raises(UserError, match="format 'desim-summary/9'"):
        Saved(tmp_path / "out")
