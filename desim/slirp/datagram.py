"""An IP datagram on its way in, and a packet on its way out (slirp's two uses of an mbuf)."""

from __future__ import annotations

import struct

from desim.wire.checksum import checksum, pseudo_sum
from desim.wire.frame import Frame
from desim.wire.ipv4 import PROTO_TCP
from desim.wire.segment import Segment

NEVER = (1 << 64) - 1

_TCP = struct.Struct("!HHIIBBHHH")


class Datagram:
    """What the guest sent, checked and reassembled.

    ``header`` is the IP header with its options as it is on the wire, ``payload``
    what follows. Together they are what an ICMP error quotes.
    """

    __slots__ = ("behind", "dst", "frame", "header", "payload", "src", "tos", "ttl")

    def __init__(
        self,
        frame: Frame,
        header: bytes,
        src: bytes,
        dst: bytes,
        tos: int,
        ttl: int,
        payload: bytes,
    ) -> None:
        self.frame = frame
        self.header = header
        self.src = src
        self.dst = dst
        self.tos = tos
        self.ttl = ttl
        self.payload = payload
        self.behind = b""
        """What slirp's buffer holds beyond the length in the header: fragments whose headers
        differ in length, or that make more than 65,535 bytes."""

    def strip_options(self) -> None:
        """Forget the options of an IPv4 header (``ip_stripoptions``); its checksum stays."""
        if len(self.src) == 4 and len(self.header) > 20:
            self.header = b"\x45" + self.header[1:20]

    @property
    def wire(self) -> bytes:
        """The whole datagram, with a length field that fits it."""
        header = self.header
        length = (len(header) + len(self.payload)) & 0xFFFF
        return header[:2] + length.to_bytes(2, "big") + header[4:] + self.payload


def tcp_segment(datagram: Datagram) -> Segment | None:
    """The TCP segment in ``datagram``; None if its lengths or its checksum are wrong."""
    payload = datagram.payload
    length = len(payload)
    pseudo = pseudo_sum(datagram.src, datagram.dst, PROTO_TCP, length)
    if length < _TCP.size or checksum(payload, pseudo):
        return None
    sport, dport, seq, ack, offset, flags, window, _, urgent = _TCP.unpack_from(payload)
    start = offset >> 4 << 2
    if not _TCP.size <= start <= length:
        return None
    return Segment(
        dst_mac=b"",
        src_mac=b"",
        src=datagram.src,
        dst=datagram.dst,
        sport=sport,
        dport=dport,
        seq=seq,
        ack=ack,
        flags=flags,
        window=window,
        urgent=urgent,
        options=payload[_TCP.size : start],
        payload=payload[start:],
        ident=0,
        ttl=datagram.ttl,
        tos=datagram.tos,
        df=False,
        raw=b"",
        sums_ok=True,
    )


class Mbuf:
    """An IP packet in an output queue: its bytes in ``ip``, or a segment without a frame yet.

    A plain segment over IPv4 becomes bytes only when its receiver's MAC is known.
    """

    __slots__ = ("dst", "expiration_date", "ip", "resolution_requested", "tcp")

    def __init__(self, dst: bytes, ip: bytes, tcp: Segment | None = None) -> None:
        self.dst = dst
        self.ip = ip
        self.tcp = tcp
        self.resolution_requested = False
        self.expiration_date = NEVER
