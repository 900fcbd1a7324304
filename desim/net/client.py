"""Net clients and what they send each other (net/net.c).

Theory of operation
-------------------
A client is one end of a link: it has exactly one peer, a queue of packets that
are on their way to it, and a handler, the model behind it (card, slirp, hub
port). Everything here happens inside the sender's call, at one virtual instant.

A packet that is sent passes, in this order,

    the sender's link (down, or no peer: lost, and reported as sent),
    the filters of both ends (filter.py),
    the receiver's queue (queue.py), which asks ``can_send`` and delivers, or keeps it,
    the receiver's link (down: lost, and reported as taken), and its handler.

So three separate gates hold a packet back or let it end: ``link_down``;
``receive_disabled``, which is set when a handler answers 0 and stays until it
flushes; and the handler's own ``can_receive``.

What waits leaves when the receiver flushes. If its peer is a port of a hub, the queues
of that hub's other ports are pushed first, then its own: a newer packet that waited
there can come before an older one that waits here.

Not modelled: vhost, multiqueue, announce, raw packets (virtio headers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from desim.data import Protocol
from desim.net import reasons
from desim.net.queue import NetQueue
from desim.ports import Ledger, MainLoop, NetClient
from desim.reasons import Reason
from desim.stages import QEMU, Build, bare, mark, stages
from desim.wire.frame import Frame

NET_BUFSIZE = 4096 + 65536
"""Bytes; a longer packet sent in pieces disappears (``qemu_sendv_packet_async``)."""

Direction = Literal["tx", "rx"]
"""Whether a filter's netdev sends a packet or is sent it."""


class NetFilter(Protocol):
    """What a client asks of the filters that hang on it (filter.py has them)."""

    def receive(self, direction: Direction, sender: NetClientState, frame: Frame) -> int:
        """A packet of ``sender`` goes by: 0 lets it pass, else it ends here with that answer."""

    def held(self) -> Sequence[Frame]:
        """The packets that it keeps and that will go on by themselves."""


class Net:
    """All clients of one machine, in order of creation (``net_clients``)."""

    def __init__(self, *, loop: MainLoop, ledger: Ledger, build: Build = bare) -> None:
        self.loop = loop
        self.ledger = ledger
        self.build = build
        self.clients: list[NetClientState] = []
        self.running = True

    def client(
        self, name: str, *, is_nic: bool = False, made: type[NetClientState] | None = None
    ) -> NetClientState:
        """A new client; give it its ``handler`` and a peer before anything is sent.

        Raises ``ValueError`` if the name is taken.
        """
        for other in self.clients:
            if other.name == name:
                raise ValueError(f"there is a net client called {name!r} already")
        client = self.build(made or NetClientState)(self, name, is_nic=is_nic)
        self.clients.append(client)
        return client

    def find(self, name: str) -> NetClientState:
        """The client called ``name``; raises ``KeyError``."""
        for client in self.clients:
            if client.name == name:
                return client
        raise KeyError(name)

    def set_link(self, name: str, up: bool) -> None:
        """The monitor's ``set_link`` (``qmp_set_link``): raises ``KeyError``.

        The peer follows only if it is a card; behind a hub nothing propagates.
        """
        client = self.find(name)
        client.link_down = not up
        client.handler.set_link(up)
        peer = client.peer
        if peer is not None and peer.is_nic:
            peer.link_down = not up
            peer.handler.set_link(up)

    def stop(self) -> None:
        """The machine stops (``net_vm_change_state_handler``): push all queues, drop the rest."""
        self.running = False
        for client in self.clients:
            client.flush_or_purge(purge=True)

    def resume(self) -> None:
        """The machine goes on: whoever can receive gets what waits for it."""
        self.running = True
        for client in self.clients:
            if client.peer is not None and client.can_send():
                client.peer.flush()

    def queued(self) -> Iterator[Frame]:
        """The packets that wait in any queue, or that a filter keeps."""
        for client in self.clients:
            for _, frame, _ in client.incoming_queue.packets:
                yield frame
            for nf in client.filters:
                yield from nf.held()

    def filters_keep_nothing(self) -> bool:
        """Whether no filter has a packet that will go on by itself."""
        return not any(nf.held() for client in self.clients for nf in client.filters)


class NetClientState:
    """One end of a link; also the ``NetPort`` of the model behind it.

    ``hub_port`` is set for the ports of a hub: a flush by its peer goes to the
    other ports of that hub first.
    """

    STAGES = stages(
        QEMU,
        send=mark(
            "qemu_send_packet",
            "qemu_send_packet_async",
            "qemu_send_packet_async_with_flags",
            file="net/net.c",
            size="frame.raw",
        ),
        sendv=mark(
            "qemu_sendv_packet", "qemu_sendv_packet_async", file="net/net.c", size="frame.raw"
        ),
        filter_receive=mark("filter_receive", file="net/net.c", size="frame.raw"),
        filter_receive_iov=mark("filter_receive_iov", file="net/net.c", size="frame.raw"),
        deliver=mark("qemu_deliver_packet_iov", file="net/net.c", size="frame.raw"),
        flush=mark("qemu_flush_queued_packets", file="net/net.c"),
    )

    __slots__ = (
        "filters",
        "handler",
        "hub_flush",
        "incoming_queue",
        "is_nic",
        "ledger",
        "link_down",
        "name",
        "net",
        "peer",
        "receive_disabled",
    )

    def __init__(self, net: Net, name: str, *, is_nic: bool = False) -> None:
        self.net = net
        self.ledger = net.ledger
        self.name = name
        self.is_nic = is_nic
        self.handler: NetClient
        self.peer: NetClientState | None = None
        self.link_down = False
        self.receive_disabled = False
        self.hub_flush: Callable[[], bool] | None = None
        self.filters: list[NetFilter] = []
        self.incoming_queue = net.build(NetQueue)(self, self.deliver)

    def connect(self, peer: NetClientState) -> None:
        """Make this client and ``peer`` the two ends of one link."""
        assert self.peer is None, f"{self.name} has a peer already"
        assert peer.peer is None, f"{peer.name} has a peer already"
        self.peer = peer
        peer.peer = self

    def send(self, frame: Frame) -> int:
        """Send one packet to the peer; its size also when it is lost for want of a link."""
        peer = self.peer
        if self.link_down or peer is None:
            self.ledger.lost(frame, self.name, reasons.NO_LINK)
            return len(frame.raw)
        if self.filters or peer.filters:
            answer = self.filter_receive("tx", self, frame) or peer.filter_receive(
                "rx", self, frame
            )
            if answer:
                return answer
        return peer.incoming_queue.send(self, frame)

    def sendv(self, frame: Frame) -> int:
        """As ``send``, for a packet in pieces; one beyond ``NET_BUFSIZE`` disappears."""
        peer = self.peer
        if len(frame.raw) > NET_BUFSIZE:
            self.ledger.lost(frame, self.name, reasons.BEYOND_BUFFER.of(limit=NET_BUFSIZE))
            return len(frame.raw)
        if self.link_down or peer is None:
            self.ledger.lost(frame, self.name, reasons.NO_LINK)
            return len(frame.raw)
        if self.filters or peer.filters:
            answer = self.filter_receive_iov("tx", self, frame) or peer.filter_receive_iov(
                "rx", self, frame
            )
            if answer:
                return answer
        return peer.incoming_queue.send_iov(self, frame)

    def filter_receive(self, direction: Direction, sender: NetClientState, frame: Frame) -> int:
        """As ``filter_receive_iov``, for a packet that is in one piece."""
        return self.filter_receive_iov(direction, sender, frame)

    def filter_receive_iov(self, direction: Direction, sender: NetClientState, frame: Frame) -> int:
        """Show a packet to this client's filters: 0, or the answer of the one that ended it."""
        # A filter may let go of other packets on the way, but none comes or goes.
        for nf in self.filters if direction == "tx" else reversed(self.filters):
            answer = nf.receive(direction, sender, frame)
            if answer:
                return answer
        return 0

    def loopback(self, frame: Frame) -> int:
        """The sender's own packet comes back to it (``qemu_receive_packet``)."""
        if not self.handler.can_receive():
            return 0
        return self.incoming_queue.receive(self, frame)

    def can_send(self) -> bool:
        """Whether the peer would take a packet now (``qemu_can_send_packet``)."""
        if not self.net.running:
            return False
        peer = self.peer
        return peer is None or (not peer.receive_disabled and peer.handler.can_receive())

    def blocked_by(self) -> Reason:
        """Why a packet for this client has to wait."""
        if not self.net.running:
            return reasons.MACHINE_STOPPED
        if self.incoming_queue.delivering:
            return reasons.NESTED
        return self.handler.blocked_by() or reasons.NOT_NOW

    def deliver(self, sender: NetClientState, frame: Frame) -> int:
        """Hand a packet to the handler; remember a "not now" until it flushes."""
        if self.link_down:
            self.ledger.lost(frame, self.name, reasons.LINK_DOWN)
            return len(frame.raw)
        if self.receive_disabled:
            return 0
        answer = self.handler.receive(frame)
        if answer == 0:
            self.receive_disabled = True
        return answer

    def flush(self) -> None:
        """The handler can receive again: push what waits for it, other hub ports first."""
        self.flush_or_purge(purge=False)

    def flush_or_purge(self, *, purge: bool) -> None:
        """``qemu_flush_or_purge_queued_packets``: on "not now", purge what the peer has here."""
        self.receive_disabled = False
        peer = self.peer
        if peer is not None and peer.hub_flush is not None and peer.hub_flush():
            self.net.loop.notify()
        if self.incoming_queue.flush():
            # The sender may have stopped watching its descriptors; let it look again.
            self.net.loop.notify()
        elif purge:
            self.incoming_queue.purge(peer, reasons.PURGED_BY_STOP)
