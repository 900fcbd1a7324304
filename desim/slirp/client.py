"""QEMU's glue between its net layer and slirp (net/slirp.c).

On the way to the card, QEMU 6.0 and later fill a frame up to 60 bytes; slirp itself
does not, and neither does QEMU 2.8.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.devices import UserNet
from desim.errors import UserError
from desim.ports import Clock, HostSockets, Ledger, MainLoop, NetPort
from desim.reasons import Reason
from desim.slirp.slirp import Slirp
from desim.slirp.version import VERSIONS
from desim.stages import QEMU, Build, bare, mark, stages
from desim.wire.addresses import ip_text
from desim.wire.frame import MIN_FRAME, Frame


class SlirpState:
    """The net client called ``user``: NetClient for the net layer, NetPort for slirp.

    ``nc`` is its own end in the net layer; ``slirp`` is set when there is one, which needs this.
    """

    slirp: Slirp

    STAGES = stages(
        QEMU,
        send=mark("slirp_output", file="net/slirp.c", size="frame.raw"),
        receive=mark("net_slirp_receive", file="net/slirp.c", size="frame.raw"),
    )

    def __init__(self, nc: NetPort, *, pads: bool) -> None:
        self.nc = nc
        self.pads = pads
        """Whether short frames are filled up (``net_peer_needs_padding``)."""

    def send(self, frame: Frame) -> int:
        """A frame for the guest; what the net layer says of it is not looked at."""
        return self.nc.send(frame.padded() if self.pads and len(frame.raw) < MIN_FRAME else frame)

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


def net_slirp_init(
    user: UserNet,
    *,
    nc: NetPort,
    clock: Clock,
    sockets: HostSockets,
    loop: MainLoop,
    ledger: Ledger,
    ra_interval_ms: Callable[[], int] | None = None,
    build: Build = bare,
) -> SlirpState:
    """``-netdev user`` with all its rules, behind its client; ``nc`` is that client's own end.

    The rest is what ``Slirp`` needs. Raises ``UserError`` for a port that the host does not give.
    """
    state = build(SlirpState)(nc, pads=VERSIONS[user.version].pads)
    state.slirp = slirp = build(Slirp)(
        clock=clock,
        net=state,
        sockets=sockets,
        loop=loop,
        ledger=ledger,
        config=user,
        ra_interval_ms=ra_interval_ms,
        build=build,
    )
    # The last rule given is set up first (net_init_slirp_configs).
    for rule in reversed(user.hostfwd):
        try:
            slirp.add_hostfwd(rule)
        except OSError as error:
            where = rule.written or f"{rule.proto}:{ip_text(rule.host_addr)}:{rule.host_port}"
            option = rule.option or f"-netdev user,id={user.id},hostfwd={where}"
            raise UserError(
                f"{option}: Could not set up host forwarding rule '{where}' ({error.strerror})"
            ) from None
    for guest_rule in reversed(user.guestfwd):
        free = slirp.add_guestfwd(guest_rule)
        assert free, f"{guest_rule}: whoever reads options checks that its address is free"
    return state
