"""What a recording says, held against what our stack did.

The rules are those of tests/vectors/slirp/README.md. Frames are compared byte for byte,
with their times, in their order. What a host program saw is compared program by program
(a connection, a ``guestfwd`` rule): each event, its time and its place in that program's
own order; the stream's bytes, and how many of them came when. Datagrams are compared one
by one. No meaning have: how a stream is cut into events, the order at one instant between
programs and between a program and the wire, and the stack's diagnostics (``guest_error``).

The first difference is shown decoded, beside what was expected, and with what led to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from desim.conform.slirp.decode import side_by_side
from desim.conform.slirp.recordings import data_matches, frame_bytes
from desim.errors import DifferenceError, RecordingError
from desim.wire.describe import describe

Event = dict[str, Any]
Happening = tuple[int, str, int, str | None]
"""Time, kind of event, how many bytes, on which listener."""

STREAMS = {"host_data": ("conn",), "gfwd_data": ("addr", "port")}
"""Events that carry a part of a stream, and the fields that name the stream."""
ENDS = ("accept", "host_connected", "host_refused", "host_eof", "host_reset")
"""Events without data, of the program that ``conn`` names."""
KNOWN = {"frame", "udp", "guest_error", *STREAMS, *ENDS}

SEQUENCE_MAX = 12
"""Frames of a step that are listed around the one that differs."""


def compare_events(expected: list[Event], got: list[Event]) -> None:
    """Raises ``DifferenceError`` where the events of one step are not those recorded."""
    for event in expected:
        if event["ev"] not in KNOWN:
            raise RecordingError(f"unknown event {event['ev']!r}")
    _compare_frames(_of(expected, "frame"), _of(got, "frame"))
    _compare_datagrams(_of(expected, "udp"), _of(got, "udp"))
    wanted, found = _by_program(expected), _by_program(got)
    for program in sorted({*wanted, *found}):
        _compare_program(program, wanted.get(program, []), found.get(program, []))


def compare_result(expected: object, got: object) -> None:
    """Raises ``DifferenceError`` if an operation's result is another."""
    if got != expected:
        raise DifferenceError(f"result {_told(got)}, expected {_told(expected)}")


def compare_end(expected: dict[str, Any], wakes: list[int], unsettled: int) -> None:
    """Raises ``DifferenceError`` if the poll loop woke or spun at other times than recorded."""
    # Not a list: a few digits can name more wakes than there is memory.
    recorded = _expand(expected["wakes"])
    for number, (want, have) in enumerate(zip_longest(recorded, wakes)):
        if want != have:
            raise DifferenceError(
                f"the loop's wake number {number} {_is_at(have)}, expected {_at(want)}"
            )
    if unsettled != expected["unsettled"]:
        raise DifferenceError(f"spun {unsettled} times, expected {expected['unsettled']} times")


def _of(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["ev"] == kind]


def _expand(runs: list[list[int]]) -> Iterator[int]:
    for first, period, count in runs:
        for index in range(count):
            yield first + index * period


# -- frames ------------------------------------------------------------------------------


def _compare_frames(expected: list[Event], got: list[Event]) -> None:
    for number, (want, have) in enumerate(zip_longest(expected, got)):
        raw = frame_bytes(want) if want else None
        if want and have and raw == have["raw"] and want["t"] == have["t"]:
            continue
        if want is None:
            what = f"was not expected; it came {_at(have and have['t'])}"
        elif have is None:
            what = f"is missing; it was expected {_at(want['t'])}"
        elif raw == have["raw"]:
            what = f"came {_at(have['t'])}, expected {_at(want['t'])}"
        else:
            what = "differs"
            if want["t"] != have["t"]:
                what += f", and came {_at(have['t'])}, expected {_at(want['t'])}"
        shown = side_by_side(raw, have["raw"] if have else None)
        if max(len(expected), len(got)) > 1:
            shown += f"\n{_sequence(number, expected, got)}"
        raise DifferenceError(f"frame {number} of the step {what}\n{shown}")


def _sequence(number: int, expected: list[Event], got: list[Event]) -> str:
    """The step's frames from a few before the one that differs, one line for each."""
    first = max(0, number - SEQUENCE_MAX // 3)
    lines = []
    for title, frames in (
        ("expected", [(e["t"], frame_bytes(e)) for e in expected]),
        ("got", [(e["t"], e["raw"]) for e in got]),
    ):
        lines.append(f"  frames {title}: {len(frames)}")
        for at in range(first, min(len(frames), first + SEQUENCE_MAX)):
            time, raw = frames[at]
            mark = "!" if at == number else " "
            lines.append(f"{mark} {at:>4} {_at(time)}: {describe(raw)}")
        if len(frames) > first + SEQUENCE_MAX:
            lines.append(f"       and {len(frames) - first - SEQUENCE_MAX} more")
    return "\n".join(lines)


# -- what the host's programs saw --------------------------------------------------------


def _compare_datagrams(expected: list[Event], got: list[Event]) -> None:
    for number, (want, have) in enumerate(zip_longest(expected, got)):
        if want and have and data_matches(want, have["data"]):
            if all(want[key] == have[key] for key in ("t", "sock", "source", "ttl")):
                continue
        raise DifferenceError(
            f"datagram {number} of the step: got {_told(have)}, expected {_told(want)}"
        )


def _by_program(events: list[Event]) -> dict[tuple[str, ...], list[Event]]:
    programs: dict[tuple[str, ...], list[Event]] = {}
    for event in events:
        kind = event["ev"]
        if kind in STREAMS:
            name = ("stream", *(str(event[field]) for field in STREAMS[kind]))
        elif kind in ENDS:
            name = ("stream", str(event["conn"]))
        else:
            continue
        programs.setdefault(name, []).append(event)
    return programs


def _compare_program(program: tuple[str, ...], expected: list[Event], got: list[Event]) -> None:
    name = " port ".join(program[1:])
    data = b"".join(event["data"] for event in got if event["ev"] in STREAMS)
    at = 0
    for event in expected:
        if event["ev"] in STREAMS:
            if not data_matches(event, data[at : at + event["len"]]):
                have = data[at : at + event["len"]]
                raise DifferenceError(
                    f"{event['ev']} of {name}: other data from byte {at} of the step on: "
                    f"got {_bytes(have)}, expected {_told(event)}"
                )
            at += event["len"]
    if at != len(data):
        raise DifferenceError(f"{name} got {len(data)} bytes in the step, expected {at}")
    for part, other in zip_longest(_story(expected), _story(got)):
        if part != other:
            raise DifferenceError(f"{name} saw {_happening(other)}, expected {_happening(part)}")


def _story(events: list[Event]) -> list[Happening]:
    """What happened to one program, however its stream is cut: time, what, how much or who."""
    story: list[Happening] = []
    for event in events:
        time, kind = event["t"], event["ev"]
        if kind in STREAMS:
            size = event["len"] if "len" in event else len(event["data"])
            if story and story[-1][:2] == (time, kind):
                size += story.pop()[2]
            story.append((time, kind, size, None))
        else:
            story.append((time, kind, 0, event.get("listener")))
    return story


# -- words -------------------------------------------------------------------------------


def _at(time: object) -> str:
    return "never" if time is None else f"at {time} ns"


def _is_at(time: object) -> str:
    return "is missing" if time is None else f"is at {time} ns"


def _happening(part: Happening | None) -> str:
    if part is None:
        return "nothing more"
    time, kind, size, listener = part
    if kind in STREAMS:
        return f"{kind} ({size} bytes) {_at(time)}"
    return f"{kind}{f' on {listener}' if listener else ''} {_at(time)}"


def _told(value: object) -> str:
    """A recorded value, or an event of ours, in few words."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return ", ".join(
            f"{key} {_bytes(item) if isinstance(item, bytes) else item}"
            for key, item in value.items()
            if key != "ev"
        )
    return repr(value)


def _bytes(data: bytes) -> str:
    shown = data[:64].hex() or "none"
    return f"{shown}... ({len(data)} bytes)" if len(data) > 64 else shown
