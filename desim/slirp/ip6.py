"""IPv6: what is checked and what is sent (slirp/ip6_input.c, slirp/ip6_output.c, RFC 8200).

A packet longer than the MTU is answered with Packet Too Big, one with hop limit 0
with Time Exceeded. Extension headers are not known, fragments neither: such a packet
has no protocol that slirp serves, and ends. What follows a packet in its frame is not
cut off. Everything that slirp sends has hop limit 255.

Not modelled: bytes behind a TCP segment in its frame, which the real slirp hands to the
host as if they were data.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from desim.slirp import reasons
from desim.slirp.datagram import Datagram, Mbuf
from desim.slirp.icmp6 import ICMP6_TIMXCEED, ICMP6_TOOBIG, IPPROTO_ICMPV6
from desim.slirp.ip import IPPROTO_TCP, IPPROTO_UDP
from desim.slirp.socket import Socket
from desim.stages import QEMU, mark, stages
from desim.wire.checksum import checksum, pseudo_sum
from desim.wire.frame import Frame
from desim.wire.ipv6 import NEXT_HOP_BY_HOP
from desim.wire.segment import Segment

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

IP6_HLEN = 40

IP6_HOP_LIMIT = 255

_HEADER = struct.Struct("!IHBB16s16s")
_TCP = struct.Struct("!HHIIHHHH")


class Ip6:
    """The IPv6 layer."""

    STAGES = stages(
        QEMU,
        ip6_input=mark("ip6_input", file="slirp/ip6_input.c", size="frame.raw"),
        ip6_output=mark("ip6_output", file="slirp/ip6_output.c", size="payload"),
        ip_output_tcp=mark("ip6_output", file="slirp/ip6_output.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp

    def ip6_input(self, frame: Frame) -> None:
        """A frame of type 0x86dd from the guest."""
        slirp = self.slirp
        packet = frame.raw[14:]
        if not slirp.config.ipv6 or len(packet) < IP6_HLEN or packet[0] >> 4 != 6:
            slirp.drop(frame, reasons.IP6_REFUSED)
            return
        _, length, protocol, hop_limit, src, dst = _HEADER.unpack_from(packet)
        datagram = Datagram(frame, packet[:IP6_HLEN], src, dst, 0, hop_limit, packet[IP6_HLEN:])
        room = slirp.config.if_mtu - (IP6_HLEN if slirp.version.ip6_checks else 0)
        if length > room:
            slirp.icmp6.icmp6_send_error(datagram, ICMP6_TOOBIG, 0)
            slirp.drop(frame, reasons.IP6_TOO_BIG)
            return
        if slirp.version.ip6_checks and len(packet) < length + IP6_HLEN:
            slirp.drop(frame, reasons.IP6_CUT_SHORT)
            return
        if hop_limit == 0:
            slirp.icmp6.icmp6_send_error(datagram, ICMP6_TIMXCEED, 0)
            slirp.drop(frame, reasons.HOP_LIMIT_0)
            return
        if protocol == IPPROTO_TCP:
            datagram.payload = datagram.payload[:length]
            slirp.tcp_input.tcp_input_datagram(datagram)
        elif protocol == IPPROTO_UDP:
            slirp.udp6.udp6_input(datagram, length)
        elif protocol == IPPROTO_ICMPV6:
            slirp.icmp6.icmp6_input(datagram, length)
        else:
            slirp.drop(
                frame,
                reasons.IP6_HOP_BY_HOP
                if protocol == NEXT_HOP_BY_HOP
                else reasons.IP6_NEXT_HEADER.of(protocol=str(protocol)),
            )

    def ip6_output(
        self,
        so: Socket | None,
        src: bytes,
        dst: bytes,
        protocol: int,
        payload: bytes,
    ) -> None:
        """Send ``payload`` to the guest."""
        self.slirp.interface.if_output(so, self.packet(src, dst, protocol, payload))

    @staticmethod
    def packet(
        src: bytes,
        dst: bytes,
        protocol: int,
        payload: bytes,
        length: int | None = None,
    ) -> Mbuf:
        """A packet with its header, which may say a ``length`` that is wrong."""
        if length is None:
            length = len(payload) & 0xFFFF
        header = _HEADER.pack(6 << 28, length, protocol, IP6_HOP_LIMIT, src, dst)
        return Mbuf(dst, header + payload)

    def ip_output_tcp(self, so: Socket | None, tcp: Segment, claimed: int | None = None) -> None:
        """Send a segment; ``claimed`` is the wrong length to be put in its header, if any."""
        offset_flags = 0x5000 + (len(tcp.options) << 10) | tcp.flags
        body = tcp.options + tcp.payload
        ports = (tcp.sport, tcp.dport, tcp.seq, tcp.ack, offset_flags, tcp.window)
        head = _TCP.pack(*ports, 0, tcp.urgent)
        pseudo = pseudo_sum(tcp.src, tcp.dst, IPPROTO_TCP, len(head) + len(body))
        segment = _TCP.pack(*ports, checksum(head + body, pseudo), tcp.urgent) + body
        if claimed is not None:
            claimed = int.from_bytes(claimed.to_bytes(2, "little"), "big")
        packet = self.packet(tcp.src, tcp.dst, IPPROTO_TCP, segment, claimed)
        self.slirp.interface.if_output(so, packet)
