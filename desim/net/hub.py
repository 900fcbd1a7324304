"""The hub that old spellings put between card and slirp (net/hub.c).

Theory of operation
-------------------
It repeats each packet to all ports but the one it came from, visiting them
newest first. It learns nothing, filters nothing and has no link state. A port
can receive if at least one *other* port's peer can; one that cannot queues its
copy at its own client. So a packet waits in one of two places: at the sender's
port while nobody can take it, or else at each receiver that could not.

With more than two ports the packet itself goes to the card, or where there is none among the
others to the oldest of them, and each further one gets a copy, which is a frame of its own.
"""

from __future__ import annotations

from desim.net import reasons
from desim.net.client import Net, NetClientState
from desim.ports import CopyLedger
from desim.reasons import Reason
from desim.stages import QEMU, mark, stages
from desim.wire.frame import Frame


class NetHub:
    """One hub; ``hub0port1`` is the second port of hub 0.

    ``ledger`` is told of copies; only a hub with more than two ports makes any.
    """

    def __init__(self, net: Net, hub_id: int = 0, *, ledger: CopyLedger | None = None) -> None:
        self.net = net
        self.id = hub_id
        self.ledger = ledger
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
            "net_hub_port_receive_iov", "net_hub_receive_iov", file="net/hub.c", size="frame.raw"
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
        ports = self.hub.ports
        if len(ports) > 2:
            return self._repeat(frame)
        for port in ports:
            if port is not self:
                port.client.sendv(frame)
        return len(frame.raw)

    def _repeat(self, frame: Frame) -> int:
        """To one of the others the frame itself, to the rest a copy."""
        ledger = self.hub.ledger
        others = [port for port in self.hub.ports if port is not self]
        cards = [port for port in others if port.client.peer and port.client.peer.is_nic]
        itself = cards[0] if cards else others[-1]
        for port in others:
            each = frame
            if port is not itself:
                each = Frame(frame.raw)
                if ledger is not None:
                    ledger.made(each, frame, self.client.name, reasons.HUB_COPY)
            port.client.sendv(each)
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
