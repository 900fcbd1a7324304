"""ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2, RFC 1191 for the MTU)."""

from __future__ import annotations

import struct

from desim.data import Data, field
from desim.wire.checksum import checksum, ones_sum
from desim.wire.errors import WireError

HEADER_LEN = 8

ICMP_ECHOREPLY = 0
ICMP_DEST_UNREACH = 3
ICMP_REDIRECT = 5
ICMP_ECHO = 8
ICMP_TIME_EXCEEDED = 11
ICMP_PARAMETERPROB = 12

# Codes of ICMP_DEST_UNREACH.
ICMP_NET_UNREACH = 0
ICMP_HOST_UNREACH = 1
ICMP_PROT_UNREACH = 2
ICMP_PORT_UNREACH = 3
ICMP_FRAG_NEEDED = 4
ICMP_PKT_FILTERED = 13

# Codes of ICMP_TIME_EXCEEDED.
ICMP_EXC_TTL = 0
ICMP_EXC_FRAGTIME = 1

_HEADER = struct.Struct("!BBHI")


class Icmp(Data):
    """One message. ``rest`` is the second word of the header, which depends on the type."""

    type: int
    code: int
    rest: int = 0
    payload: bytes = b""
    sum_ok: bool = field(default=True, compare=False)

    @classmethod
    def echo(cls, ident: int, sequence: int, data: bytes = b"", *, reply: bool = False) -> Icmp:
        """An echo request, or the reply to one."""
        return cls(ICMP_ECHOREPLY if reply else ICMP_ECHO, 0, ident << 16 | sequence, data)

    @classmethod
    def parse(cls, data: bytes) -> Icmp:
        """Read the payload of an IPv4 packet."""
        if len(data) < HEADER_LEN:
            raise WireError(f"ICMP: {len(data)} bytes; the header alone has {HEADER_LEN}")
        kind, code, _, rest = _HEADER.unpack_from(data)
        return cls(kind, code, rest, data[HEADER_LEN:], ones_sum(data) == 0xFFFF)

    @property
    def ident(self) -> int:
        """The identifier of an echo message."""
        return self.rest >> 16

    @property
    def sequence(self) -> int:
        """The sequence number of an echo message."""
        return self.rest & 0xFFFF

    @property
    def mtu(self) -> int:
        """The next hop's MTU in "fragmentation needed"; 0 where the router does not say."""
        return self.rest & 0xFFFF

    def emit(self) -> bytes:
        """Header and payload, with its checksum."""
        try:
            head = _HEADER.pack(self.type, self.code, 0, self.rest)
        except struct.error:
            raise WireError(f"ICMP: type and code have 8 bits, rest has 32: {self!r}") from None
        total = checksum(head + self.payload)
        return b"".join((head[:2], total.to_bytes(2, "big"), head[4:], self.payload))
