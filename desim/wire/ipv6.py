"""IPv6 (RFC 8200 section 3): the fixed header. Extension headers stay in the payload."""

from __future__ import annotations

import struct

from desim.data import Data
from desim.wire.errors import WireError

HEADER_LEN = 40
NEXT_HOP_BY_HOP = 0
NEXT_ICMPV6 = 58

_HEADER = struct.Struct("!IHBB16s16s")


class Ipv6(Data):
    """One packet."""

    src: bytes
    dst: bytes
    next_header: int
    payload: bytes = b""
    hop_limit: int = 64
    traffic_class: int = 0
    flow_label: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Ipv6:
        """Read a packet and cut off the padding behind it."""
        if len(data) < HEADER_LEN:
            raise WireError(f"IPv6: {len(data)} bytes; the header alone has {HEADER_LEN}")
        first, length, next_header, hop_limit, src, dst = _HEADER.unpack_from(data)
        if first >> 28 != 6:
            raise WireError(f"IPv6: version {first >> 28}")
        if HEADER_LEN + length > len(data):
            raise WireError(
                f"IPv6: payload of {length} bytes, but only {len(data) - HEADER_LEN} are here"
            )
        return cls(
            src,
            dst,
            next_header,
            data[HEADER_LEN : HEADER_LEN + length],
            hop_limit,
            first >> 20 & 0xFF,
            first & 0xFFFFF,
        )

    def emit(self) -> bytes:
        """Header and payload, with its length."""
        if len(self.src) != 16 or len(self.dst) != 16:
            raise WireError(f"IPv6: addresses have 16 bytes, not {self.src!r} and {self.dst!r}")
        if not 0 <= self.traffic_class <= 0xFF or not 0 <= self.flow_label <= 0xFFFFF:
            raise WireError(
                f"IPv6: traffic class {self.traffic_class} has 8 bits, "
                f"flow label {self.flow_label} has 20"
            )
        first = 6 << 28 | self.traffic_class << 20 | self.flow_label
        try:
            return (
                _HEADER.pack(
                    first, len(self.payload), self.next_header, self.hop_limit, self.src, self.dst
                )
                + self.payload
            )
        except struct.error:
            raise WireError(
                f"IPv6: next header {self.next_header} and hop limit {self.hop_limit} have 8 bits, "
                f"the payload ({len(self.payload)} bytes) at most 65535 bytes"
            ) from None
