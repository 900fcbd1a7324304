"""Neighbour discovery (RFC 4861 section 4): what its ICMPv6 messages say, and their options.

Kept of the options: link-layer addresses, prefixes, the nonce (RFC 7527). The others are
stepped over, as RFC 4861 section 4.6 asks.
"""

from __future__ import annotations

import struct

from desim.data import Data, field
from desim.wire.errors import WireError
from desim.wire.icmpv6 import (
    NDISC_NEIGHBOUR_ADVERTISEMENT,
    NDISC_NEIGHBOUR_SOLICITATION,
    NDISC_ROUTER_SOLICITATION,
    Icmpv6,
)

ND_OPT_SOURCE_LL_ADDR = 1
ND_OPT_TARGET_LL_ADDR = 2
ND_OPT_PREFIX_INFO = 3
ND_OPT_NONCE = 14

NA_ROUTER = 0x80
NA_SOLICITED = 0x40
NA_OVERRIDE = 0x20

INFINITY_LIFE_TIME = 0xFFFFFFFF

_PREFIX = struct.Struct("!BBIII16s")
_RA = struct.Struct("!BBHII")


class PrefixInfo(Data):
    """A prefix of the link; ``INFINITY_LIFE_TIME`` is for ever."""

    prefix: bytes
    prefix_len: int
    on_link: bool
    autonomous: bool
    valid_s: int
    preferred_s: int


class NdOptions(Data):
    """The options of a message; of those that may be there once, the first counts."""

    source_lladdr: bytes | None = None
    target_lladdr: bytes | None = None
    nonce: bytes | None = None
    prefixes: list[PrefixInfo] = field(default_factory=list)

    @classmethod
    def parse(cls, data: bytes) -> NdOptions:
        """Read them all; a length of 0 or beyond the end is an error."""
        found = cls()
        while data:
            size = data[1] * 8 if len(data) > 1 else 0
            if not 0 < size <= len(data):
                raise WireError(f"neighbour discovery: option of {size} in {len(data)} bytes")
            found._take(data[0], data[2:size])
            data = data[size:]
        return found

    def _take(self, kind: int, value: bytes) -> None:
        if kind == ND_OPT_SOURCE_LL_ADDR and self.source_lladdr is None:
            self.source_lladdr = value[:6]
        elif kind == ND_OPT_TARGET_LL_ADDR and self.target_lladdr is None:
            self.target_lladdr = value[:6]
        elif kind == ND_OPT_NONCE and self.nonce is None:
            self.nonce = value
        elif kind == ND_OPT_PREFIX_INFO and len(value) == _PREFIX.size:
            length, flags, valid, preferred, _, prefix = _PREFIX.unpack(value)
            self.prefixes.append(
                PrefixInfo(prefix, length, bool(flags & 0x80), bool(flags & 0x40), valid, preferred)
            )


def _option(kind: int, value: bytes | None) -> bytes:
    return b"" if value is None else bytes((kind, (len(value) + 9) // 8)) + value


def router_solicitation(lladdr: bytes) -> Icmpv6:
    """Is there a router? (section 4.1)"""
    return Icmpv6(NDISC_ROUTER_SOLICITATION, 0, bytes(4) + _option(ND_OPT_SOURCE_LL_ADDR, lladdr))


def neighbour_solicitation(
    target: bytes, *, lladdr: bytes | None = None, nonce: bytes | None = None
) -> Icmpv6:
    """Who has ``target``? (section 4.3)"""
    options = _option(ND_OPT_SOURCE_LL_ADDR, lladdr) + _option(ND_OPT_NONCE, nonce)
    return Icmpv6(NDISC_NEIGHBOUR_SOLICITATION, 0, bytes(4) + target + options)


def neighbour_advertisement(target: bytes, flags: int, *, lladdr: bytes | None = None) -> Icmpv6:
    """``target`` is here (section 4.4); ``flags`` are of ``NA_``."""
    body = bytes((flags, 0, 0, 0)) + target + _option(ND_OPT_TARGET_LL_ADDR, lladdr)
    return Icmpv6(NDISC_NEIGHBOUR_ADVERTISEMENT, 0, body)


class Neighbour(Data):
    """A neighbour solicitation or advertisement; ``flags`` of an advertisement."""

    target: bytes
    flags: int
    options: NdOptions

    @classmethod
    def parse(cls, body: bytes) -> Neighbour:
        """Read the body of the message."""
        if len(body) < 20:
            raise WireError(f"neighbour discovery: {len(body)} bytes; a target needs 20")
        return cls(body[4:20], body[0], NdOptions.parse(body[20:]))


class RouterAdvertisement(Data):
    """What a router says of itself and of the link (section 4.2); 0: it does not say."""

    hop_limit: int
    flags: int
    lifetime_s: int
    reachable_ms: int
    retrans_ms: int
    options: NdOptions

    @classmethod
    def parse(cls, body: bytes) -> RouterAdvertisement:
        """Read the body of the message."""
        if len(body) < _RA.size:
            raise WireError(f"router advertisement: {len(body)} bytes, not {_RA.size} and options")
        hop_limit, flags, lifetime_s, reachable_ms, retrans_ms = _RA.unpack_from(body)
        options = NdOptions.parse(body[_RA.size :])
        return cls(hop_limit, flags, lifetime_s, reachable_ms, retrans_ms, options)
