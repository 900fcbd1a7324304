"""UDP over IPv6 (slirp/udp6.c). The sessions are those of udp.py.

A restricted network lets nothing through here, DHCPv6 and TFTP included.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from desim.ports import Endpoint
from desim.slirp import reasons
from desim.slirp.datagram import Datagram
from desim.slirp.icmp6 import ICMP6_TIMXCEED, ICMP6_UNREACH, ICMP6_UNREACH_NO_ROUTE
from desim.slirp.ip import IPPROTO_UDP
from desim.slirp.socket import Socket
from desim.slirp.udp import TFTP_SERVER, UDP_HLEN
from desim.stages import QEMU, mark, stages
from desim.wire.checksum import checksum, pseudo_sum

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

DHCPV6_SERVER = 547
ALLDHCP_MULTICAST = b"\xff\x02" + bytes(11) + b"\x01\x00\x02"

_HEADER = struct.Struct("!HHHH")


class Udp6:
    """UDP over IPv6."""

    STAGES = stages(
        QEMU,
        udp6_input=mark("udp6_input", file="slirp/udp6.c"),
        udp6_output=mark("udp6_output", file="slirp/udp6.c", size="data"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp

    def udp6_input(self, datagram: Datagram, length: int) -> None:
        """A UDP datagram from the guest, of ``length`` bytes by its IPv6 header."""
        slirp = self.slirp
        config = slirp.config
        payload = datagram.payload
        src, dst = datagram.src, datagram.dst
        if config.restrict:
            slirp.drop(datagram.frame, reasons.RESTRICTED)
            return
        pseudo = pseudo_sum(src, dst, IPPROTO_UDP, length)
        if len(payload) < UDP_HLEN or checksum(payload[:length], pseudo):
            slirp.drop(datagram.frame, reasons.UDP6_REFUSED)
            return
        sport, dport, udp_length, _ = _HEADER.unpack_from(payload)
        if udp_length > length:
            slirp.drop(datagram.frame, reasons.UDP_TOO_LONG)
            return
        if udp_length != length:
            payload = datagram.payload = payload[: len(payload) - length + udp_length]
            header = datagram.header
            datagram.header = header[:4] + udp_length.to_bytes(2, "big") + header[6:]
        if dport == DHCPV6_SERVER and dst in (config.ipv6_host, ALLDHCP_MULTICAST):
            slirp.dhcpv6.dhcpv6_input(datagram, (src, sport))
            return
        if dport == TFTP_SERVER and dst == config.ipv6_host:
            slirp.tftp.tftp_input(datagram, sport, dport)
            return
        so = slirp.udp.session((src, sport))
        if so is None:
            slirp.drop(datagram.frame, reasons.NO_UDP_SOCKET)
            return
        so.so_ffamily = 6
        so.fhost = (dst, dport)
        hop_limit: int | None = None
        if slirp.version.udp_ttl:
            hop_limit = datagram.ttl - 1
            if hop_limit <= 0:
                slirp.icmp6.icmp6_send_error(datagram, ICMP6_TIMXCEED, 0)
                slirp.drop(datagram.frame, reasons.HOP_LIMIT_EXCEEDED)
                return
        if len(payload) < UDP_HLEN or not slirp.socket_io.sosendto(
            so, payload[UDP_HLEN:], hop_limit
        ):
            slirp.icmp6.icmp6_send_error(datagram, ICMP6_UNREACH, ICMP6_UNREACH_NO_ROUTE)
            slirp.drop(datagram.frame, reasons.HOST_CANNOT_SEND)
            return
        so.so_m = datagram

    def udp6_output(self, so: Socket | None, src: Endpoint, dst: Endpoint, data: bytes) -> None:
        """Send ``data`` to the guest's ``dst`` as if from ``src``."""
        length = UDP_HLEN + len(data) & 0xFFFF
        header = _HEADER.pack(src[1], dst[1], length, 0)
        total = checksum(header + data, pseudo_sum(src[0], dst[0], IPPROTO_UDP, length))
        header = header[:6] + (total or 0xFFFF).to_bytes(2, "big")
        self.slirp.ip6.ip6_output(so, src[0], dst[0], IPPROTO_UDP, header + data)
