"""The hub that old spellings put between card and slirp (net/hub.c).

Theory of operation
-------------------
It repeats each packet to all ports but the one it came from, visiting them
newest first. It learns nothing, filters nothing and has no link state. A port
can receive if at least one *other* port's peer can; one that cannot queues its
copy at its own client. So a packet waits in one of two places: at the sender's
port while nobody can take it, or else at each receiver that could not.
"""

from __future__ import annotations

from desim.net.client import Net, NetClientState
from desim.reasons import Reason
from desim.stages import QEMU, mark, stages
from desim.wire.frame import Frame


class NetHub:
    """One hub; ``hub0port1`` is the second port of hub 0."""

    def __init__(self, net: Net, hub_id: int = 0) -> None:
        self.net = net
        self.id = hub_id
        self.ports: list[NetHubPort] = []  # newest first, as QLIST_INSERT_HEAD leaves them

    def add_port(self, peer: NetClientState | None = None, name: str | None = None) -> NetHubPort:
        """A new port, linked to ``peer`` if one is given."""
        client = self.net.client(name or f"hub{self.id}port{len(self.ports)}")
        port = self.net.build(NetHubPort)(self, client)
        self.ports.insert(0, port)
        if peer is not None:
            client.connect(peer)
        return port


class NetHubPort:
    """One port of the hub: the handler behind its net client."""

    STAGES = stages(
        QEMU,
        receive=mark(
            "net_hub_port_receive_iov", "net_hub_receive_iov", file="net/hub.c", size="frame"
        ),
        flush_others=mark("net_hub_flush", file="net/hub.c"),
    )

    __slots__ = ("client", "hub")

    def __init__(self, hub: NetHub, client: NetClientState) -> None:
        self.hub = hub
        self.client = client
        client.handler = self
        client.hub_flush = self.flush_others

    def can_receive(self) -> bool:
        """Whether any other port could pass a packet on (``net_hub_port_can_receive``)."""
        return any(port is not self and port.client.can_send() for port in self.hub.ports)

    def blocked_by(self) -> Reason | None:
        """What keeps the first of the other ports from passing a packet on."""
        for port in self.hub.ports:
            peer = port.client.peer
            if port is not self and peer is not None and not port.client.can_send():
                return peer.blocked_by()
        return None

    def receive(self, frame: Frame) -> int:
        """Repeat ``frame`` to all other ports; always taken."""
        for port in self.hub.ports:
            if port is not self:
                port.client.sendv(frame)
        return len(frame.raw)

    def set_link(self, up: bool) -> None:
        """A hub port has no link state of its own."""

    def flush_others(self) -> bool:
        """Push what waits at the other ports (``net_hub_flush``): whether any queue emptied."""
        flushed = False
        for port in self.hub.ports:
            if port is not self:
                # Every queue is tried, also after one that emptied.
                flushed = port.client.incoming_queue.flush() or flushed
        return flushed
