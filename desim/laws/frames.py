"""Laws about what becomes of each frame."""

from __future__ import annotations

from collections.abc import Iterator

from desim.events import Lost, Made
from desim.laws.law import Broken, Run, stated
from desim.wire.frame import MIN_FRAME

ENDS = ("slirp", "nic")
"""The two capture points: the ends of the wire."""


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
    at = {name: _passed(run, name) for name in ENDS if name in run.packets}
    if len(at) < len(ENDS):
        return
    made = {one.event.frame: one.time for one in run.trace.happened(Made)}
    lost = {one.event.frame for one in run.trace.happened(Lost)}
    under_way = 0
    for name, other in (ENDS, ENDS[::-1]):
        for number, (time, _, entered) in at[name].items():
            if entered:
                under_way += number not in at[other] and number not in lost
            elif number not in at[other] and number not in made:
                yield Broken(f"frame {number} arrives at {name}, and nobody sent or made it", time)
    under_way += sum(
        number not in lost and not any(number in at[name] for name in ENDS) for number in made
    )
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
    at = {name: _passed(run, name) for name in ENDS if name in run.packets}
    if len(at) < len(ENDS):
        return
    for name, other in (ENDS, ENDS[::-1]):
        for number, (time, raw, entered) in at[name].items():
            if entered or number not in at[other]:
                continue
            sent_ns, sent, _ = at[other][number]
            if time < sent_ns:
                yield Broken(f"frame {number} arrives at {name} before it was sent", time)
            if raw.ljust(MIN_FRAME, b"\0") != sent.ljust(MIN_FRAME, b"\0"):
                yield Broken(f"frame {number} has other bytes at {name} than at {other}", time)
        seen: set[int] = set()
        for time, _, frame in run.packets[name]:
            if frame.number in seen:
                yield Broken(f"frame {frame.number} passes {name} twice", time)
            seen.add(frame.number)


def _passed(run: Run, point: str) -> dict[int, tuple[int, bytes, bool]]:
    """What passed a capture point, by number: when, the bytes, whether it entered the wire."""
    sends_to_guest = point == "slirp"
    return {
        frame.number: (time, frame.raw, to_guest == sends_to_guest)
        for time, to_guest, frame in run.packets[point]
    }
