"""QEMU's glue between its net layer and slirp (net/slirp.c).

On the way to the card, QEMU 6.0 and later fill a frame up to 60 bytes; slirp itself
does not, and neither does QEMU 2.8.
"""

from __future__ import annotations

from desim.ports import NetPort
from desim.reasons import Reason
from desim.slirp.slirp import Slirp
from desim.stages import QEMU, mark, stages
from desim.wire.frame import Frame


class SlirpState:
    """The net client called ``user``: NetClient for the net layer, NetPort for slirp.

    Both ends are given after construction, because each needs this one: ``slirp`` and
    ``nc``, its own client in the net layer.
    """

    STAGES = stages(
        QEMU,
        send=mark("slirp_output", file="net/slirp.c", size="frame"),
        receive=mark("net_slirp_receive", file="net/slirp.c", size="frame"),
    )

    def __init__(self, *, pads: bool = True) -> None:
        self.slirp: Slirp
        self.nc: NetPort
        self.pads = pads
        """Whether short frames are filled up (``net_peer_needs_padding``)."""

    def send(self, frame: Frame) -> int:
        """A frame for the guest; what the net layer says of it is not looked at."""
        return self.nc.send(frame.padded() if self.pads else frame)

    def flush(self) -> None:
        """slirp always takes frames, so none ever waits for it."""
        self.nc.flush()

    def loopback(self, frame: Frame) -> int:
        """slirp never loops a frame back, so nobody asks for this."""
        return self.nc.loopback(frame)

    def can_receive(self) -> bool:
        """Always."""
        return True

    def blocked_by(self) -> Reason | None:
        """Nothing ever."""
        return None

    def receive(self, frame: Frame) -> int:
        """A frame from the guest."""
        self.slirp.slirp_input(frame)
        return len(frame.raw)

    def set_link(self, up: bool) -> None:
        """slirp does not look at its link; the net layer drops what must not pass."""
