"""The output queues towards the guest (slirp/if.c).

Theory of operation
-------------------
Frames wait in sessions: runs of frames of one socket. Sessions whose TOS asks for
low delay stand in ``fastq``, all others in ``batchq``. ``if_output`` appends and
calls ``if_start`` at once, which sends: all of ``fastq`` in order, then one frame
of each session of ``batchq``, so that no bulk transfer starves another. As each
frame is sent at once, more than one waits only while ARP or NDP has no answer.

* A frame whose receiver's MAC is unknown stays where it is, and is dropped by the
  first run after its second has passed.
* A session that queues 6 frames without a pause, 3 of which went out already, is
  greedy: it is put in front of ``batchq``.
* ``next_m`` (QEMU 2.8): the walk over ``batchq`` goes on where the last one stopped. Once
  it is past the end, frames of earlier sessions that waited stay there for good, and what
  joins their sessions stays with them: only a new session is looked at.
* The last session of ``fastq`` gets only one frame per run; the walk has left the
  fast queue by then (libslirp).
* The queues have no limit. ``IF_THRESH`` exists in slirp without effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.slirp.datagram import Mbuf
from desim.slirp.socket import IPTOS_LOWDELAY, Socket
from desim.stages import QEMU, mark, stages

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

GREEDY_QUEUED = 6
GREEDY_SENT = 3


class Session:
    """Frames of one socket, oldest first; never empty while it stands in a queue."""

    __slots__ = ("packets", "so")

    def __init__(self, so: Socket | None, *packets: Mbuf) -> None:
        self.so = so
        self.packets = [*packets]


def _after(queue: list[Session], session: Session) -> Session | None:
    """The session behind ``session``."""
    at = queue.index(session) + 1
    return queue[at] if at < len(queue) else None


class Interface:
    """``if_fastq``, ``if_batchq`` and the walk over them."""

    STAGES = stages(
        QEMU,
        if_output=mark("if_output", file="slirp/if.c"),
        if_start=mark("if_start", file="slirp/if.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp
        self.fastq: list[Session] = []
        self.batchq: list[Session] = []
        self.next_m: Session | None = None
        """Where the next run starts in ``batchq`` (``Version.next_m``)."""
        self._next_m = slirp.version.next_m
        self.if_start_busy = False
        self._lone = Session(None)
        """Of a packet that is sent at once, as most are."""

    def queued(self) -> int:
        """How many frames wait."""
        return sum(len(session.packets) for session in self.fastq + self.batchq)

    def if_output(self, so: Socket | None, ifm: Mbuf) -> None:
        """Queue one packet of ``so`` (None: of nobody) and send what can be sent."""
        batchq = self.batchq
        if batchq or self.fastq or self._next_m or (so and so.so_iptos & IPTOS_LOWDELAY):
            session = self._enqueue(so, ifm)
        else:
            # NOTE: nothing waits: what ``_enqueue`` does then, without that call, and with the
            # session of the last time, which stands in no queue.
            session = self._lone
            session.so = so
            session.packets.append(ifm)
            batchq.append(session)
        if so is not None:
            so.so_queued += 1
            so.so_nqueued += 1
            if so.so_nqueued >= GREEDY_QUEUED and so.so_nqueued - so.so_queued >= GREEDY_SENT:
                self._downgrade(session)
        self.if_start()

    def _enqueue(self, so: Socket | None, ifm: Mbuf) -> Session:
        batchq = self.batchq
        if batchq and (so is not None or self.slirp.version.merge_anonymous):
            for session in reversed(batchq):
                if session.so is so:
                    session.packets.append(ifm)
                    return session
        new = Session(so, ifm)
        if so is not None and so.so_iptos & IPTOS_LOWDELAY:
            if self.fastq and self.fastq[-1].so is so:
                session = self.fastq[-1]
                session.packets.append(ifm)
                return session
            self.fastq.append(new)
        else:
            batchq.append(new)
            if self.slirp.version.next_m and self.next_m is None:
                self.next_m = new
        return new

    def _downgrade(self, session: Session) -> None:
        queue = self.batchq if session in self.batchq else self.fastq
        queue.remove(session)
        self.batchq.insert(0, session)

    def forget(self, so: Socket) -> None:
        """``so`` is about to go; its frames belong to nobody from now on (``soqfree``)."""
        for session in self.fastq + self.batchq:
            if session.so is so:
                session.so = None

    def if_start(self) -> None:
        """Send what the order and the neighbours' addresses allow."""
        if self.if_start_busy or not (self.fastq or self.batchq):
            return
        self.if_start_busy = True
        batchq = self.batchq
        if self._next_m:
            self._walk_from_next_m(self.slirp.clock.now())
        elif self.fastq or batchq[0] is not batchq[-1] or batchq[0].packets[0].resolution_requested:
            self._walk(self.slirp.clock.now())
        else:
            # NOTE: one session, whose first packet cannot have expired: the walk without its
            # calls (3 a frame).
            self._send_first(batchq, batchq[0], 0)
        self.if_start_busy = False

    def _walk(self, now: int) -> None:
        fastq, batchq = self.fastq, self.batchq
        if fastq:
            sessions = list(fastq)
            for session in sessions:
                # The walk counts as being in batchq once it is at fastq's last session.
                greedy = session is not sessions[-1]
                while self._send_first(fastq, session, now) and greedy and session.packets:
                    pass
        for session in list(batchq):
            self._send_first(batchq, session, now)

    def _walk_from_next_m(self, now: int) -> None:
        """The older walk: all of fastq, then batchq from ``next_m`` to its end.

        ``next_m`` moves on only when its frame was sent; nothing before it is looked at.
        """
        queue = self.fastq if self.fastq else self.batchq
        session = self.fastq[0] if self.fastq else self.next_m
        while session is not None:
            next_queue = queue
            behind = following = _after(queue, session)
            if following is None and queue is self.fastq:
                next_queue, following = self.batchq, self.next_m
            if self._send_first(queue, session, now):
                if session is self.next_m:
                    self.next_m = behind
                if session.packets:
                    if queue is self.fastq:
                        next_queue, following = queue, session
                    elif self.next_m is None:
                        self.next_m = following = session
            queue, session = next_queue, following

    def _send_first(self, queue: list[Session], session: Session, now: int) -> bool:
        """Send or drop the first packet of ``session``; False if it must wait."""
        ifm = session.packets[0]
        if ifm.expiration_date < now:
            self.slirp.expired(ifm)
        elif not self.slirp.if_encap(ifm):
            return False
        del session.packets[0]
        if not session.packets:
            if queue[0] is session:
                del queue[0]
            else:
                queue.remove(session)
        so = session.so
        if so is not None:
            so.so_queued -= 1
            if so.so_queued == 0:
                so.so_nqueued = 0
        return True
