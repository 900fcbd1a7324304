"""Datagrams and echo messages as frames carry them: whose bytes a frame has."""

from __future__ import annotations

from zlib import crc32

from desim.data import Data
from desim.wire.errors import WireError
from desim.wire.ethernet import ETH_P_IP
from desim.wire.icmp import ICMP_ECHO, ICMP_ECHOREPLY, Icmp
from desim.wire.ipv4 import PROTO_ICMP, PROTO_UDP, Ipv4
from desim.wire.udp import Udp

FRAGMENTED = 64
"""How many datagrams may be incomplete at a time."""


class Datagram(Data):
    """One that a frame has made whole."""

    protocol: int
    measure: tuple[int, int]
    """How many bytes a program gives or gets, and their CRC-32."""
    src: bytes
    sport: int
    dst: bytes
    dport: int
    text: bytes
    echo: tuple[int, int, bool] | None = None
    """Of an echo message: identifier, sequence number, whether it is the reply."""
    wrong: bool = False
    """Whether a checksum is wrong."""


class Reassembly:
    """Reads frames in their order; fragments wait for the others."""

    def __init__(self) -> None:
        self._parts: dict[tuple[bytes, bytes, int, int], dict[int, Ipv4]] = {}

    def datagram(self, raw: bytes) -> Datagram | None:
        """The UDP datagram or echo message that this frame makes whole; None without one."""
        if int.from_bytes(raw[12:14], "big") != ETH_P_IP or raw[23:24] not in (b"\x01", b"\x11"):
            return None
        try:
            packet = Ipv4.parse(raw[14:])
            if packet.mf or packet.offset:
                whole = self._whole(packet)
                if whole is None:
                    return None
                packet = whole
            return _read(packet)
        except WireError:
            return None

    def _whole(self, packet: Ipv4) -> Ipv4 | None:
        key = packet.src, packet.dst, packet.protocol, packet.ident
        parts = self._parts.setdefault(key, {})
        parts[packet.offset] = packet
        end = 0
        while (part := parts.get(end)) is not None:
            end += len(part.payload)
            if not part.mf:
                del self._parts[key]
                payload = b"".join(parts[at].payload for at in sorted(parts) if at < end)
                return Ipv4(packet.src, packet.dst, packet.protocol, payload, packet.ident)
            if not part.payload:
                break
        if len(self._parts) > FRAGMENTED:
            del self._parts[next(iter(self._parts))]
        return None


def _read(packet: Ipv4) -> Datagram | None:
    if packet.protocol == PROTO_UDP:
        udp = Udp.parse(packet.payload, packet.src, packet.dst)
        return Datagram(
            PROTO_UDP,
            (len(udp.payload), crc32(udp.payload)),
            packet.src,
            udp.sport,
            packet.dst,
            udp.dport,
            udp.payload,
            wrong=not udp.sum_ok,
        )
    if packet.protocol != PROTO_ICMP:
        return None
    icmp = Icmp.parse(packet.payload)
    if icmp.type not in (ICMP_ECHO, ICMP_ECHOREPLY):
        return None
    echo = icmp.ident, icmp.sequence, icmp.type == ICMP_ECHOREPLY
    return Datagram(
        PROTO_ICMP,
        (len(packet.payload), crc32(packet.payload)),
        packet.src,
        0,
        packet.dst,
        0,
        icmp.payload,
        echo,
        not icmp.sum_ok,
    )
