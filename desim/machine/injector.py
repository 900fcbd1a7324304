"""The injector: a client of the net layer that has no guest, and sends what a scenario says.

It is desim's own. It stands at one more port of the hub, or is the peer of a card that has none.
Its frames leave in the main loop, as those of a netdev whose other end has sent them; what is
due at one instant goes in one pass, in the order of the scenario. It takes whatever it is sent,
and the capture point in front of it (``inject``) keeps and counts that.
"""

from __future__ import annotations

from collections.abc import Sequence

from desim.config import Train
from desim.ports import Clock, NetClient, NetPort
from desim.reasons import Reason
from desim.stages import QEMU, mark, stages
from desim.wire.frame import Frame


class Injector(NetClient):
    """``pending`` frames have not been sent yet."""

    STAGES = stages(QEMU, send=mark("inject", file="desim"))

    def __init__(self, trains: Sequence[Train], *, port: NetPort, clock: Clock) -> None:
        frames = [(train.at_ns + later, raw) for train in trains for later, raw in train.frames]
        # Sorting keeps the order of the scenario at one instant.
        self._frames = sorted(frames, key=lambda frame: frame[0])
        self._port = port
        self._clock = clock
        self._sent = 0
        self._timer = clock.timer("inject", self.send)
        self._arm()

    @property
    def pending(self) -> int:
        """How many frames are still to be sent."""
        return len(self._frames) - self._sent

    def _arm(self) -> None:
        if self._sent < len(self._frames):
            self._timer.arm(self._frames[self._sent][0])

    def send(self) -> None:
        """Send what is due."""
        now = self._clock.now()
        frames = self._frames
        while self._sent < len(frames) and frames[self._sent][0] <= now:
            self._sent += 1
            self._port.send(Frame(frames[self._sent - 1][1]))
        self._arm()

    def can_receive(self) -> bool:
        return True

    def blocked_by(self) -> Reason | None:
        return None

    def receive(self, frame: Frame) -> int:
        return max(len(frame.raw), 1)

    def set_link(self, up: bool) -> None:
        """It has no link state of its own."""
