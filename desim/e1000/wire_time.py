"""The wire's own time: one direction of a full-duplex gigabit link (IEEE 802.3).

A byte takes 8 ns. A frame is preceded by 8 bytes of preamble and followed by its FCS (4
bytes) and a gap of 12 bytes, in which the next one cannot begin. So a minimum frame
occupies 672 ns and one of 1514 bytes 12,304 ns; the receiver has it a gap earlier.

Not modelled: other rates (STATUS.SPEED of this card always says 1000), cable length,
half duplex, carrier extension, bit errors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from desim.ports import Clock
from desim.wire.frame import FCS_LEN, MIN_FRAME, Frame

# IEEE 802.3: a gigabit is 8 ns a byte; 3.2.1 and 3.2.2 (preamble and start of frame);
# 4.4.2 (interPacketGap, 96 bits).
BYTE_NS = 8
PREAMBLE_LEN = 8
GAP_LEN = 12


def frame_ns(size: int) -> int:
    """How long a frame of ``size`` bytes (without FCS) is on the wire, without the gap."""
    return (PREAMBLE_LEN + max(size, MIN_FRAME) + FCS_LEN) * BYTE_NS


class Line:
    """Carries frames one after the other; ``deliver`` gets each when its last bit is there.

    ``waiting`` counts the bytes of all frames that have not been delivered.
    """

    __slots__ = ("_clock", "_deliver", "_free_at", "_timer", "frames", "waiting")

    def __init__(self, *, clock: Clock, name: str, deliver: Callable[[Frame], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._timer = clock.timer(name, self._end)
        self._free_at = 0
        self.frames: deque[Frame] = deque()
        self.waiting = 0

    def send(self, frame: Frame) -> None:
        """Put ``frame`` on the wire, behind those that are there."""
        self.frames.append(frame)
        self.waiting += len(frame.raw)
        if len(self.frames) == 1:
            self._begin()

    def clear(self) -> list[Frame]:
        """Take everything off the wire: what was on it."""
        frames = list(self.frames)
        self.frames.clear()
        self.waiting = 0
        self._timer.cancel()
        return frames

    def _begin(self) -> None:
        end = max(self._clock.now(), self._free_at) + frame_ns(len(self.frames[0].raw))
        self._free_at = end + GAP_LEN * BYTE_NS
        self._timer.arm(end)

    def _end(self) -> None:
        frame = self.frames.popleft()
        self.waiting -= len(frame.raw)
        if self.frames:
            self._begin()
        self._deliver(frame)
