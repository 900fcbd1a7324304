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
    what follows. Together they are what an ICMP error quotes. ``hlen`` is how long the
    protocol is told that the header is: of a reassembled datagram, whose header is that of
    the first fragment, the length of the header of the fragment that arrived last.
    """

    __slots__ = ("behind", "dst", "frame", "header", "hlen", "payload", "src", "tos", "ttl")

    def __init__(
        self,
        frame: Frame,
        header: bytes,
        src: bytes,
        dst: bytes,
        tos: int,
        ttl: int,
        payload: bytes,
        hlen: int | None = None,
    ) -> None:
        self.frame = frame
        self.header = header
        self.hlen = len(header) if hlen is None else hlen
        self.src = src
        self.dst = dst
        self.tos = tos
        self.ttl = ttl
        self.payload = payload
        self.behind = b""
        """What slirp's buffer holds beyond the length in the header: of fragments that make
        more than 65,535 bytes, or whose headers differ in length."""

    def strip_options(self) -> None:
        """Forget the options of an IPv4 header (``ip_stripoptions``); its checksum stays.

        slirp does so if it was told of options. If it was not and there are some, it takes
        them for the beginning of the payload.
        """
        if len(self.header) > 20 and len(self.src) == 4:
            if self.hlen > 20:
                self.header = b"\x45" + self.header[1:20]
            else:
                data = b"".join((self.header[20:], self.payload, self.behind))
                size = len(self.payload)
                self.header, self.payload, self.behind = self.header[:20], data[:size], data[size:]
        self.hlen = len(self.header)

    @property
    def message(self) -> bytes:
        """The payload from where it is told to begin."""
        if self.hlen == len(self.header):
            return self.payload
        whole = self.header + self.payload + self.behind
        return whole[self.hlen : self.hlen + len(self.payload)]

    @property
    def wire(self) -> bytes:
        """The whole datagram, with a length field that fits it."""
        header = self.header
        length = (self.hlen + len(self.payload)) & 0xFFFF
        whole = header[:2] + length.to_bytes(2, "big") + header[4:] + self.payload + self.behind
        return whole[: self.hlen + len(self.payload)]


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
