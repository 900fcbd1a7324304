"""What a plain TCP frame says, read once and kept beside its bytes.

Bulk transfers are Ethernet + IPv4 without options + TCP, unfragmented. Those
headers have fixed places, so one ``struct`` reads them all; anything else goes
through the layers (``Ethernet``, ``Ipv4``, ``Tcp``).
"""

from __future__ import annotations

import struct

from desim.wire.checksum import remainder
from desim.wire.ethernet import ETH_P_IP
from desim.wire.ipv4 import PROTO_TCP
from desim.wire.tcp import TcpOptions

HEADERS_LEN = 54
"""Ethernet 14, IPv4 20, TCP 20."""

HEADERS = struct.Struct("!6s6sHBBHHHBBH4s4sHHIIHHHH")

_DF = 0x4000

_from_bytes = int.from_bytes


class Segment:
    """Every field of one TCP segment and of the headers it travels in.

    ``options`` are the TCP options as they are, ``mss`` the one that every SYN
    carries (None without). Shared by all who hold the frame: do not change it.
    """

    __slots__ = (
        "_raw",
        "ack",
        "df",
        "dport",
        "dst",
        "dst_mac",
        "flags",
        "ident",
        "mss",
        "options",
        "payload",
        "seq",
        "sport",
        "src",
        "src_mac",
        "sums",
        "tos",
        "ttl",
        "urgent",
        "window",
    )

    sums: bool | None
    """What ``sums_ok`` has found; None while nobody has asked. NOTE: as ``known`` of a Frame."""

    def __init__(
        self,
        dst_mac: bytes,
        src_mac: bytes,
        src: bytes,
        dst: bytes,
        sport: int,
        dport: int,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        urgent: int,
        options: bytes,
        payload: bytes,
        ident: int,
        ttl: int,
        tos: int,
        df: bool,
        raw: bytes,
        sums_ok: bool | None,
    ) -> None:
        self.dst_mac = dst_mac
        self.src_mac = src_mac
        self.src = src
        self.dst = dst
        self.sport = sport
        self.dport = dport
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.window = window
        self.urgent = urgent
        self.options = options
        self.payload = payload
        self.ident = ident
        self.ttl = ttl
        self.tos = tos
        self.df = df
        self.mss = TcpOptions.parse(options).mss if options else None
        self._raw = raw
        self.sums = sums_ok

    @property
    def sums_ok(self) -> bool:
        """Whether the checksums of both the IPv4 header and the segment are right."""
        known = self.sums
        if known is None:
            known = self.sums = self._sum()
        return known

    def _sum(self) -> bool:
        raw = self._raw
        if _from_bytes(raw[14:34], "big") % 0xFFFF:
            return False
        length = 20 + len(self.options) + len(self.payload)
        # The addresses (bytes 26 to 34) are the pseudo header's, and lie before the segment.
        total = remainder(_from_bytes(raw[26 : 34 + length], "big"))
        if length & 1:
            total <<= 8
        return (total + PROTO_TCP + length) % 0xFFFF == 0

    def __repr__(self) -> str:
        names = [name for name in self.__slots__ if name not in ("_raw", "sums")]
        return f"Segment({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def parse_segment(raw: bytes) -> Segment | None:
    """Read ``raw`` if it is unfragmented TCP over IPv4 without IP options; else None."""
    if len(raw) < HEADERS_LEN:
        return None
    (
        dst_mac,
        src_mac,
        ethertype,
        version_ihl,
        tos,
        length,
        ident,
        fragment,
        ttl,
        protocol,
        _,
        src,
        dst,
        sport,
        dport,
        seq,
        ack,
        offset_flags,
        window,
        _,
        urgent,
    ) = HEADERS.unpack_from(raw)
    if ethertype != ETH_P_IP or version_ihl != 0x45 or protocol != PROTO_TCP:
        return None
    if fragment & ~_DF:
        return None
    end = 14 + length
    start = 34 + (offset_flags >> 12 << 2)
    if not HEADERS_LEN <= start <= end <= len(raw):
        return None
    return Segment(
        dst_mac,
        src_mac,
        src,
        dst,
        sport,
        dport,
        seq,
        ack,
        offset_flags & 0xFF,
        window,
        urgent,
        raw[HEADERS_LEN:start],
        raw[start:end],
        ident,
        ttl,
        tos,
        fragment != 0,
        raw,
        None,
    )
