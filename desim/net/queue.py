"""The queue in front of every net client (net/queue.c).

Theory of operation
-------------------
A packet that is sent is either delivered on the spot, in the sender's own call,
or, when the receiver cannot take it (or is in the middle of taking another one),
appended here. Nothing ever leaves the queue by itself: the receiver says that it
can receive again (``flush``), or a packet sent later gets through and takes the
older ones with it.

Two traps, both real:

* ``flush`` does not ask ``can_receive`` again. It pushes until the receiver
  answers 0; an answer below 0 counts as done, so what does not fit any more is lost.
* Only the *sender's* way of sending limits the queue: without a callback for
  "sent" (slirp, hub and card have none) packets beyond ``MAXLEN`` are dropped. With one (sockets
  have one, and stop reading) they wait, however many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from desim.data import Protocol
from desim.net import reasons
from desim.ports import Ledger
from desim.reasons import Reason
from desim.stages import QEMU, mark, stages
from desim.wire.frame import Frame

MAXLEN = 10_000
"""``nq_maxlen``: packets that a queue holds."""


class QueueOwner(Protocol):
    """Whose queue it is: a client, or a filter that keeps packets."""

    @property
    def name(self) -> str:
        """What the ledger calls the place."""

    @property
    def ledger(self) -> Ledger:
        """Is told of what waits here and of what is dropped."""

    def blocked_by(self) -> Reason:
        """Why a packet has to wait here."""


class QueueSender(Protocol):
    """Who sends a packet into a queue."""

    def can_send(self) -> bool:
        """Whether its peer takes packets now (``qemu_can_send_packet``)."""


Sender = TypeVar("Sender", bound=QueueSender)
Sent = Callable[[int], None]
"""Told of a packet that had to wait and has left, with the receiver's answer."""


class NetQueue(Generic[Sender]):
    """The packets on their way to ``owner``, each with its sender.

    They leave by ``deliver``, which takes a sender and its packet and answers > 0 for
    taken, 0 for not now, < 0 for lost.
    """

    STAGES = stages(
        QEMU,
        send=mark("qemu_net_queue_send", file="net/queue.c", size="frame.raw"),
        send_iov=mark("qemu_net_queue_send_iov", file="net/queue.c", size="frame.raw"),
        deliver=mark("qemu_net_queue_deliver", file="net/queue.c", size="frame.raw"),
        deliver_iov=mark("qemu_net_queue_deliver_iov", file="net/queue.c", size="frame.raw"),
        flush=mark("qemu_net_queue_flush", file="net/queue.c"),
    )

    __slots__ = ("_deliver", "delivering", "owner", "packets")

    def __init__(self, owner: QueueOwner, deliver: Callable[[Sender, Frame], int]) -> None:
        self.owner = owner
        self._deliver = deliver
        self.packets: deque[tuple[Sender, Frame, Sent | None]] = deque()
        self.delivering = False

    def __len__(self) -> int:
        return len(self.packets)

    def send(self, sender: Sender, frame: Frame, sent: Sent | None = None) -> int:
        """Deliver or append: ``frame``'s size, the receiver's answer below 0, or 0 (queued)."""
        if self.delivering or not sender.can_send():
            self.append(sender, frame, sent)
            return 0
        answer = self.deliver(sender, frame)
        if answer == 0:
            self.append(sender, frame, sent)
        elif self.packets:
            self.flush()
        return answer

    def send_iov(self, sender: Sender, frame: Frame) -> int:
        """As ``send``, for a sender that has its packet in pieces."""
        if self.delivering or not sender.can_send():
            self.append(sender, frame)
            return 0
        answer = self.deliver_iov(sender, frame)
        if answer == 0:
            self.append(sender, frame)
        elif self.packets:
            self.flush()
        return answer

    def receive(self, sender: Sender, frame: Frame) -> int:
        """A packet that its own sender gets back (``qemu_net_queue_receive``): never queued."""
        return 0 if self.delivering else self.deliver(sender, frame)

    def deliver(self, sender: Sender, frame: Frame) -> int:
        """Hand one packet to the owner, with nested sends kept out."""
        self.delivering = True
        answer = self._deliver(sender, frame)
        self.delivering = False
        return answer

    def deliver_iov(self, sender: Sender, frame: Frame) -> int:
        """As ``deliver``, for a packet in pieces."""
        self.delivering = True
        answer = self._deliver(sender, frame)
        self.delivering = False
        return answer

    def append(self, sender: Sender, frame: Frame, sent: Sent | None = None) -> None:
        """Keep a packet, or drop it silently when the queue is full and nobody is to be told."""
        ledger = self.owner.ledger
        if len(self.packets) >= MAXLEN and sent is None:
            ledger.lost(frame, self.owner.name, reasons.QUEUE_FULL.of(limit=MAXLEN))
            return
        self.packets.append((sender, frame, sent))
        ledger.held(frame, self.owner.name, self.owner.blocked_by())

    def flush(self) -> bool:
        """Push everything to the owner; False if it said "not now" (0) on the way."""
        if self.delivering:
            return False
        while self.packets:
            sender, frame, sent = self.packets.popleft()
            answer = self.deliver(sender, frame)
            if answer == 0:
                self.packets.appendleft((sender, frame, sent))
                return False
            if sent is not None:
                sent(answer)
        return True

    def purge(self, sender: Sender | None, why: Reason) -> None:
        """Drop what ``sender`` has waiting here."""
        kept: deque[tuple[Sender, Frame, Sent | None]] = deque()
        told: list[Sent] = []
        for entry in self.packets:
            if entry[0] is sender:
                self.owner.ledger.lost(entry[1], self.owner.name, why)
                if entry[2] is not None:
                    told.append(entry[2])
            else:
                kept.append(entry)
        self.packets = kept
        for sent in told:
            sent(0)
