"""``filter-dump``: what it sees goes into a pcap file, and on (net/dump.c).

The file begins with its header as soon as the filter is there. Stamps are whole
microseconds of the virtual clock, counted from the date at which the machine was
started: here that date is the beginning of time (1970), so that two runs write the
same file. A packet longer than ``maxlen`` is cut. When a write fails, the dump stops
and the packets go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from desim.net.filter import NetFilterState, Place
from desim.ports import Clock
from desim.stages import QEMU, mark, stages
from desim.wire.frame import Frame
from desim.wire.pcap import pcap_header, pcap_record

if TYPE_CHECKING:
    from desim.net.client import NetClientState


class FilterDump(NetFilterState):
    """``-object filter-dump``; ``write`` appends to its file, or raises ``OSError``."""

    STAGES = stages(
        QEMU,
        receive_iov=mark(
            "filter_dump_receive_iov", "dump_receive_iov", file="net/dump.c", size="frame.raw"
        ),
    )

    __slots__ = ("_clock", "_maxlen", "_stopped", "_write")

    kind = "filter-dump"

    def __init__(
        self, place: Place, *, maxlen: int = 65536, write: Callable[[bytes], object], clock: Clock
    ) -> None:
        super().__init__(place)
        self._maxlen = maxlen
        self._write = write
        self._clock = clock
        self._stopped = False
        self._append(pcap_header(maxlen))

    def _append(self, data: bytes) -> None:
        try:
            self._write(data)
        except OSError:
            self._stopped = True

    def receive_iov(self, sender: NetClientState, frame: Frame) -> int:
        """Note it and let it pass."""
        if not self._stopped:
            self._append(pcap_record(self._clock.now(), frame.raw, self._maxlen))
        return 0
