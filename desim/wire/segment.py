"""The fast way to build the frames of a bulk transfer.

``segment_frame`` writes Ethernet, IPv4 and TCP headers with one ``struct`` and
sums them by arithmetic on the fields, so the payload is the only thing that is
read, once. The Frame carries its ``Segment``: the receiver neither parses nor
sums it again. ``build_segment`` takes the fields one by one.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from desim.wire.checksum import remainder
from desim.wire.errors import WireError
from desim.wire.ethernet import ETH_P_IP
from desim.wire.frame import Frame
from desim.wire.ipv4 import PROTO_TCP
from desim.wire.parsed import HEADERS, Segment, parse_segment
from desim.wire.tcp import MAX_OPTIONS

__all__ = ["Segment", "build_segment", "parse_segment", "segment_frame"]

_from_bytes = int.from_bytes


def build_segment(
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
    payload: bytes = b"",
    *,
    ident: int,
    ttl: int,
    tos: int,
    df: bool,
    urgent: int = 0,
    options: bytes = b"",
) -> Frame:
    """A frame with one TCP segment in it, both checksums right; it is not padded."""
    return segment_frame(
        Segment(
            dst_mac,
            src_mac,
            src,
            dst,
            sport,
            dport,
            seq,
            ack,
            flags,
            window,
            urgent,
            options,
            payload,
            ident,
            ttl,
            tos,
            df,
            b"",
            True,
        )
    )


def segment_frame(segment: Segment) -> Frame:
    """The frame of a segment that has none yet, both checksums right; it is not padded.

    It carries ``segment``, which from now on is shared.
    """
    dst_mac, src_mac, src, dst = segment.dst_mac, segment.src_mac, segment.src, segment.dst
    options, payload, flags = segment.options, segment.payload, segment.flags
    options_len = len(options) if options else 0
    if options_len & 3 or options_len > MAX_OPTIONS or flags & ~0xFF:
        raise WireError(
            f"TCP: {options_len} bytes of options, flags {flags:#x}; "
            "expected 0 to 40 bytes in fours, and 8 bits"
        )
    tos, ident, ttl = segment.tos, segment.ident, segment.ttl
    sport, dport, seq, ack = segment.sport, segment.dport, segment.seq, segment.ack
    window, urgent = segment.window, segment.urgent
    tcp_len = 20 + options_len + len(payload)
    length = 20 + tcp_len
    offset_flags = 0x5000 + (options_len << 10) | flags
    fragment = 0x4000 if segment.df else 0
    addresses = _addresses(dst_mac, src_mac, src, dst)
    # 0x4500 and ttl << 8 | protocol are header words; a sum may hold 32-bit fields
    # unsplit, and -n % 0xFFFF is its checksum (see checksum.py).
    ip_sum = 0x4500 + tos + length + ident + fragment + (ttl << 8) + PROTO_TCP + addresses
    body = options + payload if options_len else payload
    body_sum = 0
    if body:
        body_sum = remainder(_from_bytes(body, "big"))
        if tcp_len & 1:
            body_sum <<= 8
    tcp_sum = (
        body_sum
        + addresses
        + PROTO_TCP
        + tcp_len
        + sport
        + dport
        + seq
        + ack
        + offset_flags
        + window
        + urgent
    )
    try:
        raw = (
            HEADERS.pack(
                dst_mac,
                src_mac,
                ETH_P_IP,
                0x45,
                tos,
                length,
                ident,
                fragment,
                ttl,
                PROTO_TCP,
                -ip_sum % 0xFFFF,
                src,
                dst,
                sport,
                dport,
                seq,
                ack,
                offset_flags,
                window,
                -tcp_sum % 0xFFFF,
                urgent,
            )
            + body
        )
    except struct.error as error:
        raise WireError(f"TCP segment of {length} bytes: {error}") from None
    segment._raw = raw
    segment.sums = True
    frame = Frame(raw)
    frame.known = segment
    return frame


@lru_cache(maxsize=1024)
def _addresses(dst_mac: bytes, src_mac: bytes, src: bytes, dst: bytes) -> int:
    """The sum of the IP addresses, when all four have been found to be as long as they should.

    NOTE: kept, because all segments of a connection have the same (6 calls a segment).
    """
    if len(src) != 4 or len(dst) != 4 or len(dst_mac) != 6 or len(src_mac) != 6:
        raise WireError(
            f"TCP: addresses {dst_mac!r}, {src_mac!r}, {src!r}, {dst!r}; expected "
            "6, 6, 4 and 4 bytes"
        )
    return _from_bytes(src, "big") + _from_bytes(dst, "big")
