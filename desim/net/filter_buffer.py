"""``filter-buffer``: packets wait and go on together, once per interval (net/filter-buffer.c).

Theory of operation
-------------------
Everything it sees is kept in a queue of its own, up to that queue's limit. A timer on
the virtual clock, in whole microseconds, empties it: the first time one interval after
the filter was made, then one interval after each time it fired. It runs also while the
queue is empty, and with ``status=off`` from the start. Switching the filter off later
stops the timer and lets go of what there is; switching it on starts the timer anew.

The whole queue goes on at once, in the order of arrival, both directions mixed. Each
packet ends with the receiver or in the receiver's queue, so none is left behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desim.net import reasons
from desim.net.filter import NetFilterState, Place
from desim.net.queue import NetQueue
from desim.ports import Clock
from desim.reasons import Reason
from desim.stages import QEMU, Build, bare, mark, stages
from desim.wire.frame import Frame

if TYPE_CHECKING:
    from desim.net.client import NetClientState

US = 1_000


class FilterBuffer(NetFilterState):
    """``-object filter-buffer``; ``interval_us`` is positive."""

    STAGES = stages(
        QEMU,
        receive_iov=mark("filter_buffer_receive_iov", file="net/filter-buffer.c", size="frame.raw"),
        release=mark("filter_buffer_release_timer", file="net/filter-buffer.c"),
        flush=mark("filter_buffer_flush", file="net/filter-buffer.c"),
    )

    __slots__ = ("_clock", "_release_timer", "incoming_queue", "interval_us")

    kind = "filter-buffer"

    def __init__(
        self, place: Place, *, interval_us: int, clock: Clock, build: Build = bare
    ) -> None:
        super().__init__(place)
        self.interval_us = interval_us
        self.incoming_queue = build(NetQueue)(self, self.pass_to_next)
        self._clock = clock
        self._release_timer = clock.timer(f"{self.kind} {self.name}", self.release, periodic=True)
        self._arm()

    def _arm(self) -> None:
        self._release_timer.arm((self._clock.now() // US + self.interval_us) * US)

    def receive_iov(self, sender: NetClientState, frame: Frame) -> int:
        """Keep it."""
        self.incoming_queue.append(sender, frame)
        return len(frame.raw)

    def release(self) -> None:
        """The interval is over."""
        self.flush()
        self._arm()

    def flush(self) -> None:
        """Let everything go; what cannot go, of the netdev's own packets, is dropped."""
        if not self.incoming_queue.flush():
            self.incoming_queue.purge(self.netdev, reasons.PURGED_BY_BUFFER)

    def status_changed(self) -> None:
        """On, the interval begins anew; off, what there is goes on."""
        if self.on:
            self._arm()
        else:
            self._release_timer.cancel()
            self.flush()

    def blocked_by(self) -> Reason:
        """Why a packet waits in this filter's queue: it always does."""
        return reasons.FILTER_BUFFER

    def held(self) -> Sequence[Frame]:
        """What waits for the end of the interval."""
        return [frame for _, frame, _ in self.incoming_queue.packets]
