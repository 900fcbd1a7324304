"""Classic pcap files, as QEMU's ``filter-dump`` writes them (net/dump.c).

From "PCAP Capture File Format" (IETF draft): version 2.4, stamps in microseconds,
Ethernet, little-endian as on every PC. A packet longer than the snap length is cut;
its header keeps its length on the wire. ``desim.wire.pcapng.read`` reads them back.

Not modelled: other byte orders and link types, stamps in nanoseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from desim.wire.pcapng import LINKTYPE_ETHERNET

MAGIC = 0xA1B2C3D4
_HEADER = struct.Struct("<IHHiIII")
_RECORD = struct.Struct("<IIII")
_US_PER_S = 1_000_000
_NS_PER_US = 1_000


def pcap(packets: Iterable[tuple[int, bytes]], *, snap_len: int) -> bytes:
    """A whole file: ``packets`` are times in ns, of which whole microseconds stay, and frames."""
    pieces = [_HEADER.pack(MAGIC, 2, 4, 0, 0, snap_len, LINKTYPE_ETHERNET)]
    for time_ns, raw in packets:
        seconds, us = divmod(time_ns // _NS_PER_US, _US_PER_S)
        kept = raw[:snap_len]
        pieces += (_RECORD.pack(seconds, us, len(kept), len(raw)), kept)
    return b"".join(pieces)
