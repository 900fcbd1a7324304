"""Which part of a run a picture of instants shows: a burst of frames, or what somebody asks for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from desim.data import NamedTuple

QUIET_NS = 20 * 10**6
"""A time without a frame that ends a burst."""
SHOWN = 10
"""Rises of the interrupt pin that are seen at first."""
DRAWN = 256
"""Frames of it that are drawn, so that there is something to move to."""
AROUND = 20
"""A part of 1/20 of the time is shown on both sides."""


class Window(NamedTuple):
    """A stretch of a run: what is drawn, and what of it is seen at first (ns since power-on)."""

    begin: int
    end: int
    seen_begin: int
    seen_end: int
    more: int
    """Frames of the burst, or of what was asked for, that are not drawn."""

    def has(self, begin: int, end: int) -> bool:
        """Whether any of the time from ``begin`` to ``end`` is drawn."""
        return end >= self.begin and begin <= self.end

    def sees(self, begin: int, end: int) -> bool:
        """Whether any of it is seen at first."""
        return end >= self.seen_begin and begin <= self.seen_end


def asked(frames: Sequence[int], begin: int, end: int) -> Window:
    """The window that somebody wants to see; ``frames`` are the instants of all frames."""
    inside = [time for time in frames if begin <= time <= end]
    if len(inside) > DRAWN:
        end = inside[DRAWN - 1]
    return Window(begin, end, begin, end, max(len(inside) - DRAWN, 0))


def busiest(frames: Sequence[int], rises: Sequence[int], booted_ns: int) -> Window | None:
    """The burst with the most frames behind the boot, or of all, if there is none behind it.

    ``frames`` are the instants of all frames at the card, ``rises`` those at which the interrupt
    pin rose, in order; None without any frame.
    """
    bursts = _bursts([time for time in frames if time >= booted_ns] or frames)
    if not bursts:
        return None
    burst = max(bursts, key=len)
    drawn = burst[:DRAWN]
    first = bisect_left(rises, burst[0])
    last = rises[first + SHOWN] if first + SHOWN < len(rises) else drawn[-1]
    seen_end = min(last, drawn[-1])
    margin = max((seen_end - burst[0]) // AROUND, 1000)
    begin, end = max(burst[0] - margin, 0), drawn[-1] + margin
    return Window(begin, end, begin, seen_end + margin, len(burst) - len(drawn))


def _bursts(times: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for time in times:
        if found and time - found[-1][-1] <= QUIET_NS:
            found[-1].append(time)
        else:
            found.append([time])
    return found
