"""UDP (RFC 768; over IPv6 RFC 8200 section 8.1)."""

from __future__ import annotations

import struct

from desim.data import Data, field
from desim.wire.checksum import checksum, ones_sum, pseudo_sum
from desim.wire.errors import WireError
from desim.wire.ipv4 import PROTO_UDP

HEADER_LEN = 8

_HEADER = struct.Struct("!HHHH")


class Udp(Data):
    """One datagram.

    ``sum_ok`` is False only after ``parse`` with addresses that the checksum does
    not agree with. Over IPv4 a checksum of 0 means that the sender made none.
    """

    sport: int
    dport: int
    payload: bytes = b""
    sum_ok: bool = field(default=True, compare=False)

    @classmethod
    def parse(cls, data: bytes, src: bytes | None = None, dst: bytes | None = None) -> Udp:
        """Read the payload of an IP packet; with its addresses also verify the checksum."""
        if len(data) < HEADER_LEN:
            raise WireError(f"UDP: {len(data)} bytes; the header alone has {HEADER_LEN}")
        sport, dport, length, stored = _HEADER.unpack_from(data)
        if not HEADER_LEN <= length <= len(data):
            raise WireError(f"UDP: length {length}; expected {HEADER_LEN} to {len(data)}")
        sum_ok = True
        if src is not None and dst is not None:
            if stored:
                pseudo = pseudo_sum(src, dst, PROTO_UDP, length)
                sum_ok = checksum(data[:length], pseudo) == 0
            else:
                sum_ok = len(src) == 4
        return cls(sport, dport, data[HEADER_LEN:length], sum_ok)

    def emit(self, src: bytes, dst: bytes) -> bytes:
        """Header and payload, with length and checksum (0xFFFF where it comes out as 0)."""
        length = HEADER_LEN + len(self.payload)
        if length > 0xFFFF:
            raise WireError(f"UDP: {len(self.payload)} bytes of payload; expected at most 65527")
        pseudo = pseudo_sum(src, dst, PROTO_UDP, length)
        try:
            # The sum of the header, taken from its fields: the length counts in both headers.
            total = pseudo + self.sport + self.dport + length + ones_sum(self.payload)
            return _HEADER.pack(self.sport, self.dport, length, -total % 0xFFFF or 0xFFFF) + (
                self.payload
            )
        except struct.error:
            raise WireError(f"UDP: ports {self.sport} and {self.dport} have 16 bits") from None
