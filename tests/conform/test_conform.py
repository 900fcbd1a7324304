"""``desim conform``: what it says, in what order, and that bad input is named."""

from __future__ import annotations

import copy
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desim.cli import main
from desim.conform.e1000.recordings import read_recordings
from desim.conform.e1000.replay import Replay
from desim.conform.e1000.suite import CardSuite
from desim.conform.e1000.user import user_net
from desim.conform.slirp.recordings import read_recordings as read_slirp
from desim.conform.slirp.suite import SlirpSuite
from desim.conform.suite import Outcome, conform
from desim.errors import RecordingError

VECTORS = Path(__file__).parent.parent / "vectors"
CARD = VECTORS / "e1000"
SLIRP = VECTORS / "slirp"

USER = [vector for _, vector in read_recordings(CARD / "user.tar.xz")]
RESET = next(read_recordings(CARD / "reset.tar.xz"))[1]
MIX = next(read_recordings(CARD / "mix.tar.xz"))[1]


def altered_icr(vector: dict[str, Any]) -> dict[str, Any]:
    """RXT0 of the first ICR read the other way round."""
    vector = copy.deepcopy(vector)
    op = next(op for op in vector["ops"] if op["op"] == "r" and op["reg"] == 0xC0)
    op["val"] ^= 0x80
    return vector


def folder_of(where: Path, *vectors: dict[str, Any]) -> Path:
    where.mkdir()
    for n, vector in enumerate(vectors):
        (where / f"{n}.json").write_text(json.dumps(vector))
    return where


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[str], str]:
    code = main(["conform", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out.splitlines(), printed.err


# The family with the user-mode network


@pytest.mark.parametrize("vector", USER, ids=lambda vector: vector["name"])
def test_an_altered_answer_of_the_user_network_is_found(vector: dict[str, Any]) -> None:
    for n, frame in enumerate(vector["user_tx"]):
        for key, value in (("t_us", frame["t_us"] + 1), ("data", "00" + frame["data"][2:])):
            altered = copy.deepcopy(vector)
            altered["user_tx"][n][key] = value
            if altered != vector:
                found = Replay(altered).run()
                assert found is not None, f"user_tx[{n}].{key}"


def test_options_of_the_user_network_are_qemus() -> None:
    config = user_net("net=10.1.0.0/16,restrict=on,hostname=x")
    assert config.net == bytes((10, 1, 0, 0))
    assert config.restrict
    assert config.hostname == "x"
    assert not config.ipv6


@pytest.mark.parametrize("options", ["turbo=on", "tftp=/etc", "net=nonsense"])
def test_options_that_cannot_be_had_are_refused(options: str) -> None:
    with pytest.raises(RecordingError, match=r"net\.user: "):
        user_net(options)


# What is printed


def test_all_passed_is_one_line_and_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "e1000", CARD / "user.tar.xz") == (0, [f"{len(USER)} passed, 0 failed"], "")


def test_a_difference_is_one_line_that_names_and_decodes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "some", MIX, altered_icr(MIX))
    code, lines, _ = run(capsys, "e1000", folder)
    assert code == 1
    assert len(lines) == 2
    assert lines[-1] == "1 passed, 1 failed"
    assert lines[0].startswith(f"{folder / '1.json'}: op ")
    assert "read of ICR: expected 0x" in lines[0]
    assert "differing bits: RXT0" in lines[0]


@pytest.mark.slow
def test_any_number_of_processes_prints_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "some", *(altered_icr(MIX) if n % 3 else MIX for n in range(9)))
    (folder / "4.json").write_text("{")
    (folder / "90.json").write_text(json.dumps(RESET))
    one = run(capsys, "e1000", folder)
    assert one[1][-1] == "4 passed, 5 failed"
    assert run(capsys, "e1000", folder, "-j", 2) == one
    assert run(capsys, "e1000", folder, "--jobs", 3) == one


def test_json_is_one_object_with_the_parts_of_each_difference(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "some", MIX, altered_icr(MIX))
    assert main(["conform", "e1000", "--json", str(folder)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["passed"], found["failed"], found["unreadable"]) == (1, 1, 0)
    assert [record["result"] for record in found["recordings"]] == ["passed", "failed"]
    difference = found["recordings"][1]["difference"]
    assert difference["what"] == "read of ICR"
    assert difference["detail"] == "differing bits: RXT0"
    assert isinstance(difference["op"], int)
    assert isinstance(difference["t_ns"], int)


def test_slirps_recordings_pass_and_a_difference_is_decoded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    archives = [SLIRP / "v470-arp.tar.xz", SLIRP / "nov2016-arp.tar.xz"]
    code, lines, _ = run(capsys, "slirp", *archives)
    assert code == 0
    assert lines[-1].endswith(" passed, 0 failed")
    for _, vector in read_slirp(archives[0]):
        events = [e for step in vector["steps"] for e in step["out"] if e["ev"] == "frame"]
        if events:
            events[0]["hex"] = "000000000000" + events[0]["hex"][12:]
            break
    code, lines, _ = run(capsys, "slirp", folder_of(tmp_path / "some", vector))
    assert code == 1
    assert "frame 0 of the step differs" in lines[0]
    assert any(line.split()[:3] == ["!", "eth.dst", "00:00:00:00:00:00"] for line in lines)
    assert lines[-1] == "0 passed, 1 failed"


# What cannot be read


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[]", "no recordings in it"),
        ("a.json", b'{"format": "e1000-vector/2"}', "not a recording of the format"),
        ("a.tar.xz", b"\xfd7zXZ\x00garbage", "a.tar.xz"),
        ("a.tar.gz", b"", "a.tar.gz"),
        ("a.zip", b"PK", "a.zip"),
        ("a.txt", b"", "not a .json"),
    ],
)
def test_bad_input_is_named_and_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    code, lines, complaints = run(capsys, "e1000", tmp_path / name)
    assert code == 2
    assert lines == []
    assert str(tmp_path / name) in complaints
    assert complaint in complaints


@pytest.mark.parametrize("core", ["e1000", "slirp"])
def test_a_path_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str], core: str) -> None:
    code, _, complaints = run(capsys, core, "no/such/place")
    assert code == 2
    assert "no/such/place" in complaints


@pytest.mark.parametrize("words", [["conform", "e1000"], ["conform", "slirp"], ["lint-driver"]])
def test_a_pipe_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    assert main([*words, str(tmp_path / "pipe.json")]) == 2
    assert "pipe.json: not a regular file" in capsys.readouterr().err


def test_an_empty_folder_is_bad_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "e1000", tmp_path)[0] == 2


def test_the_rest_is_checked_beside_bad_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "some", RESET, {"format": "none"}, altered_icr(MIX))
    code, lines, complaints = run(capsys, "e1000", folder)
    assert code == 2
    assert lines[-1] == "1 passed, 1 failed"
    assert complaints.count("\n") == 1
    assert "1.json" in complaints


def test_a_truncated_archive_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    whole = (CARD / "reset.tar.xz").read_bytes()
    (tmp_path / "cut.tar.xz").write_bytes(whole[: len(whole) // 2])
    code, _, complaints = run(capsys, "e1000", tmp_path / "cut.tar.xz")
    assert code == 2
    assert "cut.tar.xz" in complaints


def test_a_recording_of_the_other_core_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "slirp", CARD / "reset.tar.xz")[0] == 2
    assert run(capsys, "e1000", SLIRP / "v470-arp.tar.xz")[0] == 2


def test_folders_files_and_archives_are_read_alike(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "deep", MIX)
    (folder / "manifest.json").write_text("[]")
    with tarfile.open(tmp_path / "deep" / "again.tar.xz", "w:xz") as archive:
        archive.add(folder / "0.json", "x/0.json")
    assert run(capsys, "e1000", tmp_path)[1] == ["2 passed, 0 failed"]


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything inside a recording."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from nodes(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value[:40]):
            yield from nodes(item, (*path, index))


SMALL = [
    min((vector for _, vector in read_recordings(CARD / f"{family}.tar.xz")), key=len_ops)
    for family in ("reset", "rx", "hub", "user", "intr", "mix")
    for len_ops in [lambda vector: len(vector["ops"])]
]
PLACES = [list(nodes(vector)) for vector in SMALL]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 300),
    st.just(1 << 63),
    st.just(1 << 70),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
    st.just(["A", "user"]),
    st.just(["A", "A"]),
    st.floats(allow_nan=True),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_junk_in_a_recording_escapes_as_an_exception(data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(SMALL) - 1))
    vector = copy.deepcopy(SMALL[which])
    *path, last = data.draw(st.sampled_from(PLACES[which]))
    inside: Any = vector
    for key in path:
        inside = inside[key]
    inside[last] = data.draw(JUNK)

    class One(CardSuite):
        def read(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
            yield "junk", vector

    for outcome in conform(One(), [Path("junk.json")]):
        assert isinstance(outcome, Outcome)


def test_junk_in_slirps_recordings_is_refused() -> None:
    _, vector = next(read_slirp(SLIRP / "v470-arp.tar.xz"))
    for key in list(vector["config"]):
        broken = copy.deepcopy(vector)
        del broken["config"][key]
        with pytest.raises(ValueError, match="a field is missing"):
            SlirpSuite().check("x", broken)
    with pytest.raises(ValueError, match="neither libslirp"):
        SlirpSuite().check("x", {**vector, "library": "other"})
