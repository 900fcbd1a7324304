"""Recordings of the real libslirp 4.7.0 and of QEMU 2.8's slirp, replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from alterations import ARCHIVES, recordings, version_of

from desim.conform.slirp.recordings import frame_bytes, pattern, read_recordings
from desim.conform.slirp.replay import Replay, replay
from desim.errors import DifferenceError, RecordingError


def test_every_family_of_both_versions_is_there() -> None:
    assert len(ARCHIVES) == 27


@pytest.mark.slow
@pytest.mark.parametrize("archive", ARCHIVES)
def test_the_stack_does_what_was_recorded(archive: str) -> None:
    failed = []
    for name, recording in recordings(archive):
        try:
            replay(recording, version_of(archive))
        except DifferenceError as difference:
            failed.append(f"{name}: {difference}")
    assert not failed, "\n\n".join(failed)


FOUND = Path(__file__).parents[2] / "vectors" / "slirp" / "found"


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.json")), ids=lambda path: path.stem)
def test_what_once_differed_does_not_differ_any_more(path: Path) -> None:
    (recording,) = [recording for _, recording in read_recordings(path)]
    replay(recording)


def test_a_difference_is_shown_header_by_header() -> None:
    name, recording = next(recordings("v470-tcp_hostfwd"))
    for step in recording["steps"]:
        for event in step["out"]:
            if event["ev"] == "frame" and event["hex"][24:28] == "0800":
                event["hex"] = event["hex"][:44] + "3f" + event["hex"][46:]
                with pytest.raises(DifferenceError, match=r"! ip\.ttl +63 +\| 64"):
                    replay(recording)
                return
    pytest.fail(f"{name} has no frame to alter")


def test_wakes_beyond_all_memory_are_a_difference_at_the_first_of_them() -> None:
    _, recording = next(recordings("v470-arp"))
    recording["wakes"] = [[7, 1, 1 << 60]]
    with pytest.raises(DifferenceError, match="wake number 0 is missing, expected at 7 ns"):
        replay(recording)


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


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("enable_emu", True, "config: unknown setting 'enable_emu'"),
        ("ra_interval_ms", 0, "config: ra_interval_ms 0; expected 1 or more, or null"),
        (
            "hostfwd",
            [{"proto": "sctp", "host": ["127.0.0.1", 22], "guest": ["10.0.2.15", 22]}],
            "hostfwd of protocol 'sctp'; expected tcp or udp",
        ),
        (
            "guestfwd",
            [{"addr": "10.0.2.100", "port": 1, "kind": "chardev"}],
            "guestfwd of kind 'chardev'; expected callback, unix or exec",
        ),
        (
            "guestfwd",
            [{"addr": "10.0.2.100", "port": 1, "kind": "exec", "cmd": "perl -v"}],
            "guestfwd command 'perl -v': column 1: no program 'perl'.*",
        ),
        (
            "guestfwd",
            [{"addr": "10.0.2.100", "port": 1, "kind": "exec", "cmd": "echo a | cat"}],
            r"guestfwd command 'echo a \| cat': column 1: it is started without a shell.*",
        ),
    ],
)
def test_what_the_replay_would_not_act_on_is_refused(
    setting: str, value: object, message: str
) -> None:
    _, recording = next(recordings("v470-arp"))
    recording["config"][setting] = value
    with pytest.raises(RecordingError, match=f"^{message}$"):
        replay(recording)


def test_time_does_not_go_back() -> None:
    _, recording = next(recordings("v470-arp"))
    start = recording["config"]["clock_start_ns"]
    recording["steps"] = [{"t": start, "do": {"op": "advance", "to": start - 1}, "out": []}]
    with pytest.raises(RecordingError, match=r"^step 0 \(advance .*\): virtual time goes back$"):
        replay(recording)


def test_a_folder_of_recordings_is_read_in_order(tmp_path: Path) -> None:
    _, recording = next(recordings("v470-arp"))
    for stem in ("b", "a"):
        (tmp_path / f"{stem}.json").write_text(json.dumps(recording))
    assert [found for found, _ in read_recordings(tmp_path)] == ["a.json", "b.json"]
