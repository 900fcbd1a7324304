"""Laws about what becomes of each frame."""

from __future__ import annotations

from collections.abc import Iterator

from desim.events import Lost, Made
from desim.laws.judged import once
from desim.laws.law import Broken, Run, stated
from desim.machine.vm import ENDS, is_card
from desim.wire.frame import MIN_FRAME


@stated(
    test="desim/machine/conservation.py (in every run), tests/laws/test_laws_broken.py",
    recording="tests/vectors/e1000 (rx, hub)",
)
def every_frame_is_accounted_for(run: Run) -> Iterator[Broken | str]:
    """Every frame that entered the wire is delivered, or counted with a place and a reason.

    Or it waits in a queue when the run ends. The machine itself holds this frame by frame while
    it runs; here the captures, the ledger's events and the summary's counts are held against
    each other.
    """
    if len(run.packets) < len(ENDS):
        return
    made = {one.event.frame for one in run.trace.happened(Made)}
    lost = {one.event.frame for one in run.trace.happened(Lost)}
    entered, arrived = once(run, _passages)
    for number, (time, point, _) in arrived.items():
        if number not in entered and number not in made:
            yield Broken(f"frame {number} arrives at {point}, and nobody sent or made it", time)
    begun = made.union(entered)
    under_way = sum(number not in arrived and number not in lost for number in begun)
    queued = run.frame_counts["queued"]
    if under_way != queued:
        yield (
            f"{under_way} frames are neither delivered nor lost by the captures, and {queued} by "
            "the counts"
        )


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="tests/vectors/e1000 (hub)",
)
def a_frame_arrives_as_it_was_sent(run: Run) -> Iterator[Broken]:
    """A frame arrives once, not before it was sent, with the bytes that it was sent with.

    Zeros may be added up to 60 bytes. A filter that changes or copies a frame makes a new one.
    """
    if len(run.packets) < len(ENDS):
        return
    entered, arrived = once(run, _passages)
    for number, (time, point, raw) in arrived.items():
        if number not in entered:
            continue
        sent_ns, sender, sent = entered[number]
        if time < sent_ns:
            yield Broken(f"frame {number} arrives at {point} before it was sent", time)
        if raw.ljust(MIN_FRAME, b"\0") != sent.ljust(MIN_FRAME, b"\0"):
            yield Broken(f"frame {number} has other bytes at {point} than at {sender}", time)
    for point, packets in run.packets.items():
        seen: set[int] = set()
        for time, _, frame in packets:
            if frame.number in seen:
                yield Broken(f"frame {frame.number} passes {point} twice", time)
            seen.add(frame.number)


Passage = tuple[int, str, bytes]
"""When a frame passed which point, with which bytes."""


def _passages(run: Run) -> tuple[dict[int, Passage], dict[int, Passage]]:
    """Where frames entered a wire, and where they left it, by number."""
    entered: dict[int, Passage] = {}
    arrived: dict[int, Passage] = {}
    for point, packets in run.packets.items():
        for time, to_guest, frame in packets:
            way = entered if to_guest != is_card(point) else arrived
            way[frame.number] = time, point, frame.raw
    return entered, arrived
