"""What lies in a temporary file is what lay in memory; and the file is nobody's after us."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import tempfile
from array import array
from itertools import takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim import spool as room
from desim.errors import UserError
from desim.spool import Batches, Blobs, Column, Log, Spool


def small(bound: int) -> Spool:
    """One with blocks of 16 bytes, of which ``bound`` bytes stay in memory."""
    made = Spool(bound)
    made.block = 16
    return made


BOUNDS = st.sampled_from([0, 16, 64, 1 << 20])
STEPS = st.lists(st.one_of(st.binary(max_size=50), st.integers(0, 200)), max_size=20)


@given(BOUNDS, STEPS, st.integers(0, 300), st.integers(0, 300))
def test_a_log_is_bytes_that_grow_and_are_cut(
    bound: int, steps: list[bytes | int], at: int, size: int
) -> None:
    spool = small(bound)
    log, model = Log(spool), b""
    for step in steps:
        if isinstance(step, bytes):
            log.append(step)
            model += step
        else:
            log.cut(step)
            model = model[:step]
        assert log.size == len(model)
    assert log.whole() == model
    assert log.read(at, size) == model[at : at + size]
    assert log.read(at, -size) == b""
    assert b"".join(log.pieces(at, at + size)) == model[at : at + size]
    assert max((len(piece) for piece in log.pieces()), default=0) <= 16
    del log
    assert spool.room == bound, "a log that is gone takes no room"


@given(BOUNDS, st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=6))
def test_logs_share_a_spool_and_what_one_gives_back_another_gets(
    bound: int, contents: list[bytes]
) -> None:
    spool = small(bound)
    logs = [Log(spool) for _ in contents]
    for turn in range(6):
        for log, content in zip(logs, contents, strict=True):
            log.append(content)
        if turn == 2:
            logs[0].cut(0)
    assert logs[0].whole() == contents[0] * 3
    assert [log.whole() for log in logs[1:]] == [content * 6 for content in contents[1:]]


@given(BOUNDS, st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9), max_size=9))
def test_a_column_is_an_array(bound: int, parts: list[list[int]]) -> None:
    column, model = Column(small(bound), "q"), array("q")
    for part in parts:
        column.extend(part)
        model.extend(part)
    assert list(column) == list(model)
    assert len(column) == len(model)
    assert [column[n] for n in range(-len(model), len(model))] == [*model, *model]
    assert column[1:7] == model[1:7]
    assert b"".join(chunk.tobytes() for chunk in column.chunks(2)) == model[2:].tobytes()
    assert [column.count(n) for n in model] == [model.count(n) for n in model]
    assert all(list(column.places(n)) == [p for p, m in enumerate(model) if m == n] for n in model)
    with pytest.raises(IndexError):
        column[len(model)]
    half = len(model) // 2
    column.cut(half)
    column.extend([5])
    assert list(column) == [*model[:half], 5]
    assert column[half] == 5


@given(BOUNDS, st.lists(st.lists(st.tuples(st.integers(), st.text()), max_size=9), max_size=9))
def test_batches_are_a_list(bound: int, parts: list[list[tuple[int, str]]]) -> None:
    batches: Batches[tuple[int, str]] = Batches(small(bound), size=3)
    model: list[tuple[int, str]] = []
    for part in parts:
        batches.extend(part)
        model += part
    assert list(batches) == model
    assert [batches[n] for n in range(-len(model), len(model))] == [*model, *model]
    assert batches[1:7] == model[1:7]
    with pytest.raises(IndexError):
        batches[len(model)]
    half = len(model) // 2
    batches.cut(half)
    for _ in range(5):
        batches.append((1, "x"))
    assert list(batches) == [*model[:half], *[(1, "x")] * 5]
    assert batches[half - 1 : half + 1] == list(batches)[half - 1 : half + 1]


@given(st.binary(max_size=60), st.binary(max_size=60), BOUNDS)
def test_logs_are_equal_if_their_bytes_are_and_copies_are_alike(
    one: bytes, other: bytes, bound: int
) -> None:
    log, second = Log(small(bound)), Log.of(other)
    log.append(one)
    pairs = zip(one, other, strict=False)
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    assert log.difference(second) == (None if one == other else shared)
    assert (log == second) == (one == other)
    assert pickle.loads(pickle.dumps(log)) == log
    assert copy.deepcopy([log])[0] is log


def test_blobs_are_the_bytes_of_their_logs() -> None:
    blobs = Blobs({"a": Log.of(b"one"), "b": Log.of(b"")})
    assert blobs == {"a": b"one", "b": b""}
    assert blobs["a"] == b"one"


def test_nothing_is_opened_before_the_bound_and_the_file_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    spool = small(32)
    log = Log(spool)
    log.append(bytes(47))
    assert len(os.listdir("/proc/self/fd")) == before
    log.append(b"x")
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert list(tmp_path.iterdir()) == []
    del log, spool
    assert len(os.listdir("/proc/self/fd")) == before


def test_room_in_the_file_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = small(0)
    places = [spool.keep(bytes(16)) for _ in range(3)]
    spool.give_back(places[1])
    assert spool.keep(bytes(16)) == places[1]
    assert spool.keep(bytes(16)) not in places


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_message_that_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(UserError) as caught:
        Log(small(0)).append(bytes(16))
    (message,) = caught.value.messages
    assert message.startswith(f"{tmp_path}: No space left on device; ")
    assert message.endswith("make room, or name another folder in TMPDIR")


def test_no_temporary_folder_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    with pytest.raises(UserError, match="/nowhere/at/all: No such file or directory"):
        Log(small(0)).append(bytes(16))


def test_what_is_written_in_pieces_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: whole(fd, data[:5], at))
    log = Log(small(0))
    log.append(bytes(range(40)))
    assert log.whole() == bytes(range(40))


def test_the_bound_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BOUND", 64)
    spool = Spool()
    assert spool.room == 64
