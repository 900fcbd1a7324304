"""Classic pcap files, as QEMU's ``filter-dump`` writes them (net/dump.c).

From "PCAP Capture File Format" (IETF draft): version 2.4, stamps in microseconds,
Ethernet, little-endian as on every PC. A packet longer than the snap length is cut;
its record keeps its length on the wire. ``desim.wire.pcapng.read`` reads such files.

Not modelled: other byte orders and link types, stamps in nanoseconds.
"""

from __future__ import annotations

import struct

from desim.wire.pcapng import LINKTYPE_ETHERNET

MAGIC = 0xA1B2C3D4
_HEADER = struct.Struct("<IHHiIII")
_RECORD = struct.Struct("<IIII")
_US_PER_S = 1_000_000
_NS_PER_US = 1_000


def pcap_header(snap_len: int) -> bytes:
    """What a file begins with."""
    return _HEADER.pack(MAGIC, 2, 4, 0, 0, snap_len, LINKTYPE_ETHERNET)


def pcap_record(time_ns: int, raw: bytes, snap_len: int) -> bytes:
    """One frame; of its time whole microseconds are kept, of its bytes ``snap_len``."""
    seconds, us = divmod(time_ns // _NS_PER_US, _US_PER_S)
    kept = raw[:snap_len]
    return _RECORD.pack(seconds, us, len(kept), len(raw)) + kept
