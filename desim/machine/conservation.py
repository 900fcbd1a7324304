"""No frame is lost silently: what one end of the wire sent the other got, or somebody said why not.

Theory of operation
-------------------
The capture points (slirp's, the card's, those of sockets and injectors) are the ends of the wire;
between two of them stand the net layer's queues and perhaps a hub. A frame that passes one end is
*under way* until it passes the other or a ledger entry says where it ended and why.
One that arrives without having been sent, or twice, is found at once. When the run is
over, what is under way must be what waits in the queues, frame by frame; if somebody
holds the big lock then, one more frame may be in flight there.

A frame goes one way only, to one end. What a hub of more than two ports or a
filter makes, a copy or a changed frame, is a frame of its own, under way from there on;
what a filter keeps waits as in a queue.
"""

from __future__ import annotations

from collections.abc import Iterable

from desim.errors import ConservationError
from desim.wire.frame import Frame


class UnderWay:
    """The frames between the two ends of the wire, by number."""

    __slots__ = ("frames",)

    def __init__(self) -> None:
        self.frames: dict[int, Frame] = {}

    def sent(self, frame: Frame) -> None:
        """``frame`` has passed the end it comes from."""
        if frame.number in self.frames:
            raise ConservationError(f"sent twice: {_name(frame)}")
        self.frames[frame.number] = frame

    def arrived(self, frame: Frame) -> None:
        """``frame`` is about to pass the end it goes to."""
        if self.frames.pop(frame.number, None) is None:
            raise ConservationError(f"delivered, but not under way: {_name(frame)}")

    def refused(self, frame: Frame) -> None:
        """It was not taken, and goes back into the queue in front of that end."""
        self.frames[frame.number] = frame

    def lost(self, frame: Frame) -> None:
        """It ended, before the other end (and is forgotten) or behind it."""
        self.frames.pop(frame.number, None)

    def check(self, queued: Iterable[Frame], *, in_hand: int) -> None:
        """Raise ``ConservationError`` unless all that is under way is in ``queued``.

        ``in_hand`` is how many may be carrying a frame at this moment.
        """
        waiting = {frame.number for frame in queued}
        missing = [frame for number, frame in self.frames.items() if number not in waiting]
        if len(missing) > in_hand:
            names = "; ".join(map(_name, missing))
            raise ConservationError(f"neither delivered nor lost nor queued: {names}")
        if unknown := sorted(waiting.difference(self.frames)):
            raise ConservationError(f"queued, but delivered or lost already: packets {unknown}")


def _name(frame: Frame) -> str:
    from desim.wire.describe import describe  # no run without a mistake in desim needs it

    return f"packet {frame.number} ({describe(frame.raw)})"
