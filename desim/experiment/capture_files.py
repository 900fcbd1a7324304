"""Captures as pcapng files: a comment on each packet says what the trace knows of it.

The first line of a comment is ``frame N``, its number in the trace. Then, if the run has kept
what is needed for it: the function that passed it over the capture point, and what became of it
on its way, if more than to arrive: what it waited for, where it ended early and why, which frame
a filter made it from.

    frame 7
    span net_hub_port_receive at net/hub.c, on main since 5.000579120 s
    lost at f0: filter-loss
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from desim.engine.trace import Trace
from desim.events import FramePassed, Held, Lost, Made
from desim.experiment.walk import places
from desim.machine.capture import Capture
from desim.machine.vm import is_card
from desim.wire.pcapng import INBOUND, OUTBOUND, PcapngWriter

PACKETS = 256
"""How many of a capture are written at once."""
FATES = 12
"""How many of these a comment tells: a block of the file has no room for any number."""


def pcapng(
    point: str, packets: Capture, trace: Trace | None, *, spans: bool = True
) -> Iterator[bytes]:
    """The file of a capture point, in pieces.

    ``trace`` None: nothing is known but the packets; ``spans``: whether it has all stages.
    """
    writer = PcapngWriter()
    interface = writer.interface(point)
    comments = _Comments(trace, point if spans else None)
    for count, (time, to_guest, number, raw) in enumerate(packets.appended()):
        if count % PACKETS == PACKETS - 1:
            yield writer.take()
        direction = OUTBOUND if to_guest != is_card(point) else INBOUND
        writer.packet(interface, time, raw, direction, comments.of(number))
    yield writer.take()


class _Comments:
    """What to say of the packets of one capture point, which are asked for in their order."""

    def __init__(self, trace: Trace | None, point: str | None) -> None:
        self._fates: dict[int, list[str]] = {}
        self._spans: dict[int, str] = {}
        """Of packets that are still to come: threads take turns at one instant."""
        self._coming: Iterator[tuple[int, str]] = iter(())
        if trace is not None:
            self._fates = _fates(trace)
        if trace is not None and point is not None:
            self._coming = _spans(trace, point)

    def of(self, number: int) -> str:
        """The comment on the frame of that number."""
        span = self._spans.pop(number, None)
        if span is None:
            for passed, text in self._coming:
                if passed == number:
                    span = text
                    break
                self._spans[passed] = text
        fates = self._fates.get(number, [])
        lines = [f"frame {number}", *([span] if span else []), *fates[:FATES]]
        if len(fates) > FATES:
            lines.append(f"and {len(fates) - FATES} more such things")
        return "\n".join(lines)


def _spans(trace: Trace, point: str) -> Iterator[tuple[int, str]]:
    for event, place in places(trace, FramePassed.kind):
        passed = FramePassed(*event[3:])
        if passed.point == point:
            since = f"{place.begin_ns // 10**9}.{place.begin_ns % 10**9:09d} s"
            where = f"{place.function} at {place.file}, on {place.thread} since {since}"
            yield passed.frame, f"span {where}" if place.function else f"on {place.thread}"


def _fates(trace: Trace) -> dict[int, list[str]]:
    """What befell each frame that did not simply arrive, in order of time."""
    told: list[tuple[int, int, str]] = []
    for held in trace.happened(Held):
        told.append((held.time, held.event.frame, f"waits at {_said(held.event)}"))
    for made in trace.happened(Made):
        text = f"made from frame {made.event.of} at {_said(made.event)}"
        told.append((made.time, made.event.frame, text))
    for lost in trace.happened(Lost):
        told.append((lost.time, lost.event.frame, f"lost at {_said(lost.event)}"))
    fates: dict[int, list[str]] = {}
    for _, frame, text in sorted(told, key=lambda one: one[0]):
        fates.setdefault(frame, []).append(text)
    return fates


def _said(event: Any) -> str:
    return f"{event.where}: {event.why}"
