"""``filter-dump``: what it sees goes into a capture, and on (net/dump.c).

QEMU writes a classic pcap file with stamps in whole microseconds of the virtual clock,
counted from the date at which the machine was started. A packet longer than ``maxlen``
is cut. Here the machine's date is the beginning of time (1970), so that two runs write
the same file; the packets are kept, and whoever runs the machine writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.kernel.stages import stage
from desim.net.filter import NetFilterState, Place
from desim.ports import Clock
from desim.wire.frame import Frame
from desim.wire.pcap import pcap

if TYPE_CHECKING:
    from desim.net.client import NetClientState


class FilterDump(NetFilterState):
    """``-object filter-dump``; ``packets`` are times in ns and whole frames."""

    __slots__ = ("_clock", "maxlen", "packets")

    kind = "filter-dump"

    def __init__(self, place: Place, *, maxlen: int = 65536, clock: Clock) -> None:
        super().__init__(place)
        self.maxlen = maxlen
        self.packets: list[tuple[int, bytes]] = []
        self._clock = clock

    @stage("filter_dump_receive_iov", "dump_receive_iov", file="net/dump.c", size="frame")
    def receive_iov(self, sender: NetClientState, frame: Frame) -> int:
        """Note it and let it pass."""
        self.packets.append((self._clock.now(), frame.raw))
        return 0

    def to_bytes(self, before_ns: int) -> bytes:
        """The file, with what passed before the instant."""
        return pcap((p for p in self.packets if p[0] < before_ns), snap_len=self.maxlen)
