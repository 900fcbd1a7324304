"""ICMPv6 (RFC 4443 section 2.1): type, code, checksum, and a body that depends on the type."""

from __future__ import annotations

from desim.data import Data, field
from desim.wire.checksum import checksum, pseudo_sum
from desim.wire.errors import WireError
from desim.wire.ipv6 import NEXT_ICMPV6

HEADER_LEN = 4

ICMPV6_DEST_UNREACH = 1
ICMPV6_PKT_TOOBIG = 2
ICMPV6_ECHO_REQUEST = 128
ICMPV6_ECHO_REPLY = 129
NDISC_ROUTER_SOLICITATION = 133
NDISC_ROUTER_ADVERTISEMENT = 134
NDISC_NEIGHBOUR_SOLICITATION = 135
NDISC_NEIGHBOUR_ADVERTISEMENT = 136
ICMPV6_MLD2_REPORT = 143


class Icmpv6(Data):
    """One message; ``body`` is everything behind the checksum.

    ``sum_ok`` is False only after ``parse`` with addresses that the checksum does
    not agree with.
    """

    type: int
    code: int
    body: bytes = b""
    sum_ok: bool = field(default=True, compare=False)

    @classmethod
    def parse(cls, data: bytes, src: bytes | None = None, dst: bytes | None = None) -> Icmpv6:
        """Read the payload of an IPv6 packet; with its addresses also verify the checksum."""
        if len(data) < HEADER_LEN:
            raise WireError(f"ICMPv6: {len(data)} bytes; the header alone has {HEADER_LEN}")
        sum_ok = True
        if src is not None and dst is not None:
            sum_ok = checksum(data, pseudo_sum(src, dst, NEXT_ICMPV6, len(data))) == 0
        return cls(data[0], data[1], data[HEADER_LEN:], sum_ok)

    def emit(self, src: bytes, dst: bytes) -> bytes:
        """Header and body, with the checksum."""
        if not 0 <= self.type <= 255 or not 0 <= self.code <= 255:
            raise WireError(f"ICMPv6: type {self.type} and code {self.code} have 8 bits")
        kind = bytes((self.type, self.code))
        pseudo = pseudo_sum(src, dst, NEXT_ICMPV6, HEADER_LEN + len(self.body))
        total = checksum(kind + b"\0\0" + self.body, pseudo)
        return b"".join((kind, total.to_bytes(2, "big"), self.body))
