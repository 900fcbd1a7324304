"""Packet filters on a netdev (net/filter.c, and where net/net.c asks them).

Theory of operation
-------------------
A filter hangs on a backend: the user network, or a port of a hub; never on a card. Its
``queue`` says what it sees, from that netdev's own point of view: ``tx`` is what it
sends, ``rx`` what is sent to it. A packet meets, inside the sender's call,

    the sender's filters, first to last (tx),
    the receiver's filters, last to first (rx),
    the receiver's queue.

A filter answers 0 to let it pass. Any other answer ends the send with it: the filter
has kept the packet, or dropped it. What it kept goes on with ``pass_to_next``, when the
filter likes.

Three traps, all real:

* The sender of a packet that was kept is told that it was sent, so nobody waits for a
  receiver that is not ready.
* A packet that was kept goes on through the rest of *its own* netdev's filters and then
  straight to the receiver's queue: the filters of the other end never see it.
* A filter sees a packet before anybody asks whether the receiver can take it, and
  once only: what waits in the receiver's queue has met its filters.

Not modelled: several queues, vhost and virtio headers (nothing here has them); the
filters of COLO (``filter-mirror``, ``-redirector``, ``-rewriter``, ``colo-compare``) and
``filter-replay``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from desim.data import NamedTuple
from desim.net.client import Direction, NetClientState
from desim.stages import QEMU, mark, stages
from desim.wire.frame import Frame

Queue = Literal["all", "rx", "tx"]


class Place(NamedTuple):
    """Where a filter hangs and which packets it sees; ``name`` is the object's id."""

    netdev: NetClientState
    name: str
    queue: Queue = "all"
    on: bool = True


class NetFilterState:
    """A filter on ``netdev`` that lets everything pass; others answer for themselves.

    A new one is nowhere until ``complete`` puts it among its netdev's filters.
    """

    STAGES = stages(
        QEMU,
        receive=mark("qemu_netfilter_receive", file="net/filter.c", size="frame.raw"),
        pass_to_next=mark("qemu_netfilter_pass_to_next", file="net/filter.c", size="frame.raw"),
    )

    __slots__ = ("direction", "ledger", "name", "netdev", "on")

    kind = "netfilter"

    def __init__(self, place: Place) -> None:
        self.netdev = place.netdev
        self.ledger = place.netdev.ledger
        self.name = place.name
        self.direction = place.queue
        self.on = place.on

    def complete(
        self, position: NetFilterState | Literal["head", "tail"] = "tail", *, before: bool = False
    ) -> None:
        """Take a place among the netdev's filters (``netfilter_complete``): at an end, or
        behind (or ``before``) another one there; ``ValueError`` if that is not there."""
        filters = self.netdev.filters
        if position == "tail":
            filters.append(self)
        elif position == "head":
            filters.insert(0, self)
        elif position in filters:
            filters.insert(filters.index(position) + (not before), self)
        else:
            raise ValueError(f"filter '{position.name}' belongs to a different netdev")

    def set_status(self, on: bool) -> None:
        """The monitor's ``qom-set ID status on|off`` (``netfilter_set_status``)."""
        if on != self.on:
            self.on = on
            self.status_changed()

    def status_changed(self) -> None:
        """``on`` is another than it was."""

    def receive(self, direction: Direction, sender: NetClientState, frame: Frame) -> int:
        """A packet of ``sender`` goes by: 0 lets it pass, else it ends here with that answer."""
        if not self.on or self.direction not in ("all", direction):
            return 0
        return self.receive_iov(sender, frame)

    def receive_iov(self, sender: NetClientState, frame: Frame) -> int:
        """What this filter does with a packet that is for it."""
        return 0

    def pass_to_next(self, sender: NetClientState, frame: Frame) -> int:
        """Let a packet of ``sender`` that was kept go on behind this filter; never 0."""
        netdev = self.netdev
        receiver = sender.peer
        assert receiver is not None, "a filter only sees what is on its way to a peer"
        direction: Direction
        if self.direction == "all":
            direction = "tx" if sender is netdev else "rx"
        else:
            direction = self.direction
        place = netdev.filters.index(self)
        if direction == "tx":
            behind = netdev.filters[place + 1 :]
        else:
            behind = netdev.filters[:place][::-1]
        for following in behind:
            answer = following.receive(direction, sender, frame)
            if answer:
                return answer
        receiver.incoming_queue.send_iov(sender, frame)
        return len(frame.raw)

    def held(self) -> Sequence[Frame]:
        """The packets that are kept here now."""
        return ()
