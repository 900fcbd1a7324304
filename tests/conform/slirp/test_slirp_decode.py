"""A difference as people see it: what led to it, field beside field, byte beside byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from alterations import ARCHIVES, recordings, version_of
from hypothesis import given
from hypothesis import strategies as st

from desim.conform.slirp.decode import ROWS_MAX, side_by_side
from desim.conform.slirp.recordings import frame_bytes, read_recordings
from desim.conform.slirp.replay import replay
from desim.errors import DifferenceError, RecordingError

FRAMES = [
    frame_bytes(event)
    for archive in ARCHIVES
    for _, recording in recordings(archive)
    for step in recording["steps"][:12]
    for event in step["out"]
    if event["ev"] == "frame"
][::7]


def marked(shown: str) -> list[str]:
    return [line for line in shown.splitlines() if line.startswith("!")]


def difference(archive: str, kind: str, alter: Any, *, at_least: int = 1) -> str:
    """What is said when the first step with enough events of ``kind`` is altered."""
    for _, recording in recordings(archive):
        for step in recording["steps"]:
            events = [event for event in step["out"] if event["ev"] == kind]
            if len(events) >= at_least:
                alter(step["out"], events)
                with pytest.raises(DifferenceError) as found:
                    replay(recording, version_of(archive))
                return str(found.value)
    raise AssertionError(f"{archive} has no such step")


@given(raw=st.sampled_from(FRAMES), data=st.data())
def test_whatever_byte_differs_is_marked(raw: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(raw) - 1))
    other = raw[:at] + bytes((raw[at] ^ data.draw(st.integers(1, 255)),)) + raw[at + 1 :]
    assert marked(side_by_side(raw, other))
    assert not marked(side_by_side(raw, raw))


@given(raw=st.sampled_from(FRAMES), cut=st.integers(0, 200))
def test_what_is_cut_off_is_marked(raw: bytes, cut: int) -> None:
    if cut < len(raw):
        assert marked(side_by_side(raw, raw[:cut]))
        assert marked(side_by_side(raw[:cut], raw))


@given(left=st.binary(max_size=200), right=st.binary(max_size=200))
def test_any_two_frames_can_be_shown(left: bytes, right: bytes) -> None:
    for kind in (b"\x08\0", b"\x08\6", b"\x86\xdd"):
        one, two = bytes(12) + kind + left, bytes(12) + kind + right
        assert bool(marked(side_by_side(one, two))) == (left != right)


def test_a_field_that_only_one_side_has_moves_no_other() -> None:
    raw = next(raw for raw in FRAMES if raw[12:14] == b"\x08\0" and raw[23] == 6 and raw[47] == 2)
    options = raw[:46] + b"\x50" + raw[47:54] + raw[58:]
    assert [line.split()[1] for line in marked(side_by_side(raw, options))] == [
        "tcp.hlen",
        "tcp.options",
    ]


def test_of_long_data_the_rows_that_differ_are_shown() -> None:
    raw = bytes(12) + b"\x12\x34" + bytes(1400)
    shown = side_by_side(raw, raw[:1300] + b"x" + raw[1301:])
    assert [line.split()[1] for line in marked(shown)] == ["data.0500"]
    assert "87 rows alike" in shown
    shown = side_by_side(raw, raw[:14] + b"x" * 1400)
    assert len(marked(shown)) == ROWS_MAX + 1
    assert "76 more rows differ" in shown


def test_dhcp_is_shown_option_by_option() -> None:
    raw = next(raw for raw in FRAMES if raw[34:38] == b"\0\x43\0\x44")
    (line,) = marked(side_by_side(raw, raw[:285] + b"\x33" + raw[286:]))
    assert line.split() == ["!", "dhcp.option1", "54:", "0a000202", "|", "51:", "0a000202"]


def test_the_stimulus_is_told() -> None:
    said = difference("v470-arp", "frame", lambda out, events: out.remove(events[0]))
    assert "(guest_frame at 1000000000 ns: ARP, Request who-has 10.0.2.2 tell 10.0.2.15)" in said
    assert "frame 0 of the step was not expected" in said
    assert "expected: no frame" in said


def test_the_frames_around_are_listed() -> None:
    def swap(out: list[Any], events: list[Any]) -> None:
        first, second = out.index(events[0]), out.index(events[1])
        out[first], out[second] = out[second], out[first]

    said = difference("v470-tcp_hostfwd", "frame", swap, at_least=2)
    assert said.count("frames expected: ") == said.count("frames got: ") == 1
    assert said.count("\n!    0 at ") == 2


def test_a_frame_at_another_time_says_both_times() -> None:
    said = difference("v470-arp", "frame", lambda out, events: events[0].update(t=7))
    assert "frame 0 of the step came at 1000000000 ns, expected at 7 ns" in said


def test_an_event_of_a_program_is_told_in_words() -> None:
    said = difference("v470-tcp_hostfwd", "host_eof", lambda _, e: e[0].update(ev="host_reset"))
    assert " saw host_eof at " in said
    assert ", expected host_reset at " in said


def test_data_that_differs_is_shown() -> None:
    def alter(out: list[Any], events: list[Any]) -> None:
        events[0]["pattern"][0] += 1

    said = difference("v470-guestfwd", "gfwd_data", alter)
    assert "gfwd_data of 10.0.2.100 port 1234: other data from byte 0 of the step on: got" in said


def test_a_datagram_is_told_in_words() -> None:
    said = difference("v470-udp", "udp", lambda out, events: events[0].update(ttl=5))
    assert "datagram 0 of the step: got t 1000000000, sock u, source port-1, ttl 63" in said
    assert ", expected t 1000000000, sock u, source port-1, ttl 5" in said


def test_a_wake_that_is_missing_says_which() -> None:
    _, recording = next(recordings("v470-mix"))
    first = recording["wakes"].pop(0)
    with pytest.raises(DifferenceError, match=rf"after \d+ steps: .* number 0 is at {first[0]} ns"):
        replay(recording, version_of("v470-mix"))


def test_a_recording_with_a_mask_is_refused(tmp_path: Path) -> None:
    _, recording = next(recordings("v470-mix"))
    path = tmp_path / "masked.json"
    path.write_text(json.dumps({**recording, "mask": ["t"]}))
    with pytest.raises(RecordingError, match=r"masked\.json: 'mask' names fields to ignore"):
        list(read_recordings(path))
