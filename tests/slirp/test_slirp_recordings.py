"""Recordings of the real libslirp 4.7.0 and of QEMU 2.8's slirp, replayed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desim.slirp.recordings import RecordingError, frame_bytes, pattern, read_recordings
from desim.slirp.replay import DifferenceError, Replay, replay
from desim.slirp.version import VERSION_2_8, VERSION_4_7, Version

VECTORS = Path(__file__).parent.parent / "vectors" / "slirp"
VERSIONS = {"v470": VERSION_4_7, "nov2016": VERSION_2_8}
NOT_BUILT: tuple[str, ...] = ()
"""Archives whose family the stack does not model yet. This list only ever shrinks."""

ARCHIVES = sorted(path.name.removesuffix(".tar.xz") for path in VECTORS.glob("*.tar.xz"))


def recordings(archive: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return read_recordings(VECTORS / f"{archive}.tar.xz")


def version_of(archive: str) -> Version:
    return VERSIONS[archive.split("-")[0]]


def test_every_family_of_both_versions_is_there() -> None:
    assert len(ARCHIVES) == 26
    assert set(NOT_BUILT) <= set(ARCHIVES)


@pytest.mark.parametrize("archive", [name for name in ARCHIVES if name not in NOT_BUILT])
def test_the_stack_does_what_was_recorded(archive: str) -> None:
    failed = []
    for name, recording in recordings(archive):
        try:
            replay(recording, version_of(archive))
        except DifferenceError as difference:
            failed.append(f"{name}: {difference}")
    assert not failed, "\n\n".join(failed)


def facts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all recorded results below ``value``."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from facts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from facts(item, (*path, index))
    else:
        yield path


def altered(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str) and value:
        last = value[-1]
        return value[:-1] + ("0" if last != "0" else "1")
    return "altered"


def results(recording: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What the real stack did, as opposed to what was done to it."""
    steps = recording["steps"]
    paths = [
        (*head, *path)
        for index, step in enumerate(steps)
        for key in ("out", "result")
        if key in step
        for head in [("steps", index, key)]
        for path in facts(step[key])
    ]
    for index, (_, _, count) in enumerate(recording["wakes"]):
        # One wake alone has no period.
        paths += [("wakes", index, item) for item in (0, 1, 2) if item != 1 or count > 1]
    return [path for path in paths if not _is_comment(recording, path)]


def _is_comment(recording: dict[str, Any], path: tuple[Any, ...]) -> bool:
    """Diagnostics of the stack are recorded but carry no meaning."""
    value: Any = recording
    for key in path[:-1]:
        value = value[key]
        if isinstance(value, dict) and value.get("ev") == "guest_error":
            return True
    return False


def is_noticed(recording: dict[str, Any], archive: str) -> bool:
    """Whether replaying finds ``recording`` wrong (or not a recording any more)."""
    try:
        replay(recording, version_of(archive))
    except (DifferenceError, ValueError, KeyError):
        return True
    return False


@pytest.mark.parametrize("archive", ["v470-tcp_hostfwd", "v470-udp", "v470-dhcp", "v470-guestfwd"])
def test_altering_any_recorded_fact_is_noticed(archive: str) -> None:
    draw = random.Random(archive)
    for name, recording in recordings(archive):
        paths = results(recording)
        for path in draw.sample(paths, min(3, len(paths))):
            changed = copy.deepcopy(recording)
            place: Any = changed
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = altered(place[path[-1]])
            assert is_noticed(changed, archive), f"{name}: {path} was altered, and nobody noticed"


def test_a_difference_is_shown_header_by_header() -> None:
    name, recording = next(recordings("v470-tcp_hostfwd"))
    for step in recording["steps"]:
        for event in step["out"]:
            if event["ev"] == "frame" and event["hex"][24:28] == "0800":
                event["hex"] = event["hex"][:44] + "3f" + event["hex"][46:]
                with pytest.raises(DifferenceError, match=r"! ip\.ttl +63 +\| ip\.ttl +64"):
                    replay(recording)
                return
    pytest.fail(f"{name} has no frame to alter")


def test_the_same_recording_twice_gives_the_same_stack() -> None:
    _, recording = next(recordings("v470-mix"))
    first, second = Replay(recording), Replay(recording)
    first.run()
    second.run()
    assert first.slirp.connections() == second.slirp.connections()
    assert first.wakes == second.wakes


def test_the_pattern_is_the_one_of_the_format_page() -> None:
    def byte(seed: int, i: int) -> int:
        return (31 * i + 17 * (i >> 8) + 7 * (i >> 16) + 101 * seed) & 255

    assert pattern(3, 250, 20) == bytes(byte(3, i) for i in range(250, 270))
    assert pattern(1, 65530, 12) == bytes(byte(1, i) for i in range(65530, 65542))
    assert pattern(0, 7, 0) == b""
    assert frame_bytes({"hex": "aabb", "tail": [3, 250, 1]}) == b"\xaa\xbb" + pattern(3, 250, 1)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "slirp-vector/2"}'])
def test_what_is_no_recording_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(RecordingError, match=r"broken\.json"):
        list(read_recordings(path))


def test_a_folder_of_recordings_is_read_in_order(tmp_path: Path) -> None:
    _, recording = next(recordings("v470-arp"))
    for stem in ("b", "a"):
        (tmp_path / f"{stem}.json").write_text(json.dumps(recording))
    assert [found for found, _ in read_recordings(tmp_path)] == ["a.json", "b.json"]
