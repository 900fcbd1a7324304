"""What became of a run's frames, counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from desim.engine.trace import Trace
from desim.events import Held, Lost, Made
from desim.machine.ports import Captured
from desim.reasons import Reason, together
from desim.stages import Landmark


def frame_counts(trace: Trace, captures: Mapping[str, Sequence[Captured]]) -> dict[str, Any]:
    """Frames at each capture point; lost, held, made ones by place and reason; those queued."""
    points = {}
    under_way: set[int] = set()
    for point, packets in sorted(captures.items()):
        to_guest = sum(packet.to_guest for packet in packets)
        points[point] = {"to_guest": to_guest, "from_guest": len(packets) - to_guest}
        under_way ^= {packet.frame.number for packet in packets}
    under_way ^= {made.event.frame for made in trace.events(Made)}
    under_way -= {lost.event.frame for lost in trace.events(Lost)}
    vcpu = trace.threads["vcpu"].codes
    return {
        "points": points,
        "lost": reason_counts(trace, Lost),
        "held": reason_counts(trace, Held),
        "made": reason_counts(trace, Made),
        "queued": len(under_way),
        "interrupts": sum(map(vcpu.count, trace.codes.entries(Landmark.INTERRUPT))),
    }


def reason_counts(trace: Trace, kind: type[Lost | Held | Made]) -> list[dict[str, Any]]:
    """How many frames were lost, held or made, where and why, in alphabetical order.

    Reasons that differ in numbers only are counted together, and the numbers given as a range.
    """
    found: dict[tuple[str, Any], list[Reason]] = {}
    for _, _, _, event in trace.events(kind):
        found.setdefault((event.where, event.why.group), []).append(event.why)
    rows = [(where, together(whys), whys) for (where, _), whys in found.items()]
    return [
        {"where": where, "why": why, "code": whys[0].code, "frames": len(whys)}
        for where, why, whys in sorted(rows, key=lambda row: row[:2])
    ]
