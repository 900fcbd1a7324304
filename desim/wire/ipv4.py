"""IPv4 (RFC 791): the header, its options as bytes, and its checksum."""

from __future__ import annotations

import struct

from desim.data import Data, field
from desim.wire.checksum import checksum, ones_sum
from desim.wire.errors import WireError

HEADER_LEN = 20
MAX_LEN = 65535
PROTO_ICMP = 1
PROTO_TCP = 6
PROTO_UDP = 17

_HEADER = struct.Struct("!BBHHHBBH4s4s")
_DF = 0x4000
_MF = 0x2000
_OFFSET = 0x1FFF


class Ipv4(Data):
    """One packet or fragment. ``offset`` is in bytes, a multiple of 8.

    ``sum_ok`` tells whether the header that was parsed had the right checksum;
    what is emitted always has. The reserved flag is not read and is sent as 0.
    """

    src: bytes
    dst: bytes
    protocol: int
    payload: bytes = b""
    ident: int = 0
    ttl: int = 64
    tos: int = 0
    df: bool = False
    mf: bool = False
    offset: int = 0
    options: bytes = b""
    sum_ok: bool = field(default=True, compare=False)

    @classmethod
    def parse(cls, data: bytes, *, quoted: bool = False) -> Ipv4:
        """Read a packet and cut off the padding behind it.

        ``quoted`` is for the start of a packet inside an ICMP error: its payload
        may be shorter than its length field says.
        """
        if len(data) < HEADER_LEN:
            raise WireError(f"IPv4: {len(data)} bytes; the header alone has {HEADER_LEN}")
        (first, tos, length, ident, fragment, ttl, protocol, _, src, dst) = _HEADER.unpack_from(
            data
        )
        header_len = (first & 0xF) * 4
        if first >> 4 != 4:
            raise WireError(f"IPv4: version {first >> 4}")
        if not HEADER_LEN <= header_len <= min(length, len(data)):
            raise WireError(
                f"IPv4: header length {header_len}; expected {HEADER_LEN} to the packet's "
                f"length ({length}, of which {len(data)} are here)"
            )
        if length > len(data) and not quoted:
            raise WireError(f"IPv4: length {length}, but only {len(data)} bytes are here")
        return cls(
            src,
            dst,
            protocol,
            data[header_len:length],
            ident,
            ttl,
            tos,
            bool(fragment & _DF),
            bool(fragment & _MF),
            (fragment & _OFFSET) * 8,
            data[HEADER_LEN:header_len],
            ones_sum(data[:header_len]) == 0xFFFF,
        )

    @property
    def fragment(self) -> bool:
        """Whether this is a part of a larger packet."""
        return self.mf or self.offset > 0

    def emit(self) -> bytes:
        """Header and payload, with length and checksum."""
        header_len = HEADER_LEN + len(self.options)
        length = header_len + len(self.payload)
        if len(self.src) != 4 or len(self.dst) != 4:
            raise WireError(f"IPv4: addresses have 4 bytes, not {self.src!r} and {self.dst!r}")
        if header_len % 4 or header_len > 60:
            raise WireError(
                f"IPv4: {len(self.options)} bytes of options; expected 0 to 40 in fours"
            )
        if length > MAX_LEN:
            raise WireError(f"IPv4: {length} bytes; the longest packet has {MAX_LEN}")
        if self.offset % 8 or not 0 <= self.offset <= _OFFSET * 8:
            raise WireError(f"IPv4: offset {self.offset}; expected a multiple of 8 up to 65528")
        fragment = self.offset >> 3 | (_DF if self.df else 0) | (_MF if self.mf else 0)
        try:
            head = _HEADER.pack(
                0x40 | header_len >> 2,
                self.tos,
                length,
                self.ident,
                fragment,
                self.ttl,
                self.protocol,
                0,
                self.src,
                self.dst,
            )
        except struct.error:
            raise WireError(
                f"IPv4: tos {self.tos}, ttl {self.ttl} and protocol {self.protocol} have 8 bits, "
                f"ident {self.ident} has 16"
            ) from None
        total = checksum(head + self.options)
        return b"".join(
            (head[:10], total.to_bytes(2, "big"), head[12:], self.options, self.payload)
        )
