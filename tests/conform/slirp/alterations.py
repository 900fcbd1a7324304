"""Every fact of slirp's recordings, altered one by one: does the replay notice?

``nox -s alterations`` alters all of them, and counts by kind; the gate takes a sample
(test_slirp_alterations.py).

A fact is what the real stack did, as opposed to what was done to it: each byte of each
frame and of what the host's programs got, when it came, in what order, and that it came
at all and once; results of operations; when the poll loop woke, and how often it spun.
What carries no meaning (tests/vectors/slirp/README.md) is no fact: how a stream is cut
into events, the stack's diagnostics, the order at one instant between programs.

What our stack does depends on the stimuli alone. So it is run once for each recording,
and what it did is then compared with the recording in all its alterations; the gate's
sample replays whole altered recordings instead.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from desim.conform.slirp.compare import compare_end, compare_events, compare_result
from desim.conform.slirp.recordings import Recording, payload, read_recordings
from desim.conform.slirp.replay import Replay
from desim.errors import DifferenceError, RecordingError
from desim.slirp.version import VERSION_2_8, VERSION_4_7, Version

VECTORS = Path(__file__).parents[2] / "vectors" / "slirp"
VERSIONS = {"v470": VERSION_4_7, "nov2016": VERSION_2_8}
ARCHIVES = sorted(path.name.removesuffix(".tar.xz") for path in VECTORS.glob("*.tar.xz"))

Event = dict[str, Any]
STREAMS = ("host_data", "gfwd_data")
LATE = 1 << 40
"""Nanoseconds; later than anything in a recording."""


class Fact(NamedTuple):
    """One altered fact."""

    kind: str
    """Such facts are counted together."""
    key: str
    """Which part of a step (or of the recording, for the poll loop's) is altered."""
    value: Any
    """What it says now."""


def recordings(archive: str) -> Iterator[tuple[str, Recording]]:
    return read_recordings(VECTORS / f"{archive}.tar.xz")


def version_of(archive: str) -> Version:
    return VERSIONS[archive.split("-")[0]]


# -- what can be altered -----------------------------------------------------------------


def step_facts(step: dict[str, Any]) -> Iterator[Fact]:
    """All facts of one step, altered."""
    for kind, out in events_altered(step["out"]):
        yield Fact(kind, "out", out)
    if "result" in step:
        yield Fact("result missing", "result", None)
        for kind, result in value_altered("result", step["result"]):
            yield Fact(kind, "result", result)
    else:
        yield Fact("result added", "result", 0)
    yield Fact("step's time", "t", step["t"] + 1)


def end_facts(recording: Recording) -> Iterator[Fact]:
    """The facts of a recording that belong to no step."""
    wakes = recording["wakes"]
    for index, (first, period, count) in enumerate(wakes):
        changes = [("first", [first + 1, period, count]), ("count", [first, period, count + 1])]
        if count > 1:
            # One wake alone has no period.
            changes += [("period", [first, period + 1, count]), ("count", [first, period, 1])]
        for kind, run in changes:
            yield Fact(f"wakes: {kind}", "wakes", [*wakes[:index], run, *wakes[index + 1 :]])
        yield Fact("wakes: missing", "wakes", wakes[:index] + wakes[index + 1 :])
    for index in range(len(wakes) - 1):
        swapped = [*wakes[:index], wakes[index + 1], wakes[index], *wakes[index + 2 :]]
        yield Fact("wakes: order", "wakes", swapped)
    yield Fact("wakes: added", "wakes", [*wakes, [LATE, 0, 1]])
    yield Fact("spinning", "unsettled", recording["unsettled"] + 1)
    yield Fact("spinning", "unsettled", 0 if recording["unsettled"] else 1)
    stray = {"t": recording["config"]["clock_start_ns"], "ev": "frame", "hex": "00"}
    yield Fact("frame before the first step", "initial_out", [stray, *recording["initial_out"]])


def events_altered(events: list[Event]) -> Iterator[tuple[str, list[Event]]]:
    for index, event in enumerate(events):
        before, after = events[:index], events[index + 1 :]
        name = event["ev"]
        if name == "guest_error":
            continue
        for what, other in event_altered(event):
            yield f"{name}: {what}", [*before, other, *after]
        yield f"{name}: missing", before + after
        yield f"{name}: twice", [*before, event, event, *after]
        later = next((i for i, other in enumerate(after) if ordered(event, other)), None)
        if later is not None and is_order(event, after[later]):
            swapped = [*after[:later], event, *after[later + 1 :]]
            yield f"{name}: order", [*before, after[later], *swapped]
    at = events[-1]["t"] if events else 0
    yield "frame: added", [*events, {"t": at, "ev": "frame", "hex": "00"}]
    yield "host_eof: added", [*events, {"t": at, "ev": "host_eof", "conn": "nobody"}]


def ordered(event: Event, other: Event) -> bool:
    """Whether the order of the two carries meaning."""
    if event["ev"] in ("frame", "udp"):
        return bool(other["ev"] == event["ev"])
    return program(other) == program(event)


def program(event: Event) -> object:
    if event["ev"] == "gfwd_data":
        return (event["addr"], event["port"])
    return event.get("conn")


def is_order(event: Event, other: Event) -> bool:
    """Whether it makes a difference which of the two comes first."""
    if event == other:
        return False
    if event["ev"] in STREAMS and other["ev"] == event["ev"] and event["t"] == other["t"]:
        if "sha256" in event or "sha256" in other:
            return True
        first, second = payload(event), payload(other)
        return first + second != second + first
    return True


def event_altered(event: Event) -> Iterator[tuple[str, Event]]:
    """Everything that one event says, altered."""
    for key, value in event.items():
        if key == "ev":
            yield "kind", {**event, key: "udp" if value == "frame" else "guest_error"}
        elif key == "t":
            yield "time", {**event, key: value + 1}
            yield "time", {**event, key: value - 1}
        elif key == "hex":
            yield from bytes_altered(event)
        elif key in ("tail", "pattern"):
            if value[2]:
                # All bytes of a pattern change with any of the three.
                for at in range(3):
                    changed = [n + (i == at) for i, n in enumerate(value)]
                    yield f"{key}", {**event, key: changed}
                shorter = [*value[:2], value[2] - 1]
                yield f"{key}", {**event, key: shorter}
        elif key == "len":
            yield "length", {**event, key: value + 1}
            if value:
                yield "length", {**event, key: value - 1}
        else:
            for kind, other in value_altered(key, value):
                yield kind, {**event, key: other}


def bytes_altered(event: Event) -> Iterator[tuple[str, Event]]:
    """Each byte changed; the last one cut off; one more."""
    text = event["hex"]
    for at in range(0, len(text), 2):
        value = int(text[at : at + 2], 16) ^ 1 << (at // 2 % 8)
        yield "byte", {**event, "hex": f"{text[:at]}{value:02x}{text[at + 2 :]}"}
    extra = {"len": len(text) // 2 + 1} if "len" in event else {}
    yield "a byte more", {**event, "hex": text + "00", **extra}
    if text:
        fewer = {"len": len(text) // 2 - 1} if "len" in event else {}
        yield "a byte less", {**event, "hex": text[:-2], **fewer}


def value_altered(kind: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            for name, other in value_altered(f"{kind}.{key}", item):
                yield name, {**value, key: other}
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for name, other in value_altered(kind, item):
                yield name, [*value[:index], other, *value[index + 1 :]]
    elif isinstance(value, int):
        yield kind, value + 1
    else:
        yield kind, f"{value}0"


# -- whether it is noticed ---------------------------------------------------------------


class Played:
    """What our stack does in one recording, once for all comparisons."""

    def __init__(self, recording: Recording, version: Version) -> None:
        self.recording = recording
        play = Replay(recording, version)
        self.created = play.created
        self.steps = [(play.clock.now(), *play.step(step)) for step in recording["steps"]]
        self.wakes, self.unsettled = play.wakes, play.unsettled

    def step_differs(self, number: int, step: dict[str, Any]) -> bool:
        """Whether step ``number`` is not what ``step`` says."""
        at, result, events = self.steps[number]

        def check() -> None:
            if step["t"] != at:
                raise DifferenceError("another time")
            compare_events(step["out"], events)
            compare_result(step.get("result"), result)

        return fails(check)

    def end_differs(self, recording: Recording) -> bool:
        """Whether what belongs to no step is not what ``recording`` says."""

        def check() -> None:
            compare_events(recording["initial_out"], self.created)
            compare_end(recording, self.wakes, self.unsettled)

        return fails(check)


def fails(check: Callable[[], None]) -> bool:
    try:
        check()
    except (DifferenceError, RecordingError):
        return True
    except (KeyError, TypeError):
        # An altered kind of event lacks the fields of the new one; desim conform says
        # "a field is missing or wrong".
        return True
    return False


def all_altered(archive: str) -> Iterator[tuple[str, str, bool]]:
    """Recording, kind of fact and whether it was noticed, for all facts of an archive."""
    for name, recording in recordings(archive):
        played = Played(recording, version_of(archive))
        for number, step in enumerate(recording["steps"]):
            assert not played.step_differs(number, step)
            for fact in step_facts(step):
                noticed = played.step_differs(number, {**step, fact.key: fact.value})
                yield f"{name} step {number}", fact.kind, noticed
        for fact in end_facts(recording):
            noticed = played.end_differs({**recording, fact.key: fact.value})
            yield name, fact.kind, noticed


def main() -> int:
    """Alter everything and count."""
    start = time.monotonic()
    altered: Counter[str] = Counter()
    unnoticed: Counter[str] = Counter()
    for archive in sys.argv[1:] or ARCHIVES:
        for place, kind, noticed in all_altered(archive):
            altered[kind] += 1
            if not noticed:
                unnoticed[kind] += 1
                if unnoticed[kind] <= 3:
                    print(f"{place}: {kind}: altered, and nobody noticed")
    for kind, count in sorted(altered.items()):
        print(f"{count:>9} {kind}" + (f", {unnoticed[kind]} unnoticed" * (kind in unnoticed)))
    print(
        f"{altered.total()} facts altered one by one, {unnoticed.total()} unnoticed; "
        f"{time.monotonic() - start:.0f} s"
    )
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
