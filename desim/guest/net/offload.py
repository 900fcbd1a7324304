"""What the kernel does itself for a device that cannot (net/core/dev.c, net/core/skbuff.c).

Models: ``validate_xmit_skb``, ``skb_gso_segment`` for TCP over IPv4 (tcp_gso_segment,
inet_gso_segment) and ``skb_checksum_help`` of Linux 6.1.

Theory of operation
-------------------
The stack always leaves the checksum to the device and lets TCP build packets larger than
a segment. Right in front of a driver whose device can do neither, such a packet becomes
segments: each has the headers, with its own length, identification, sequence number and
checksums; FIN and PSH are the last one's, CWR the first one's. The last segment carries
the packet's claim on its socket's memory.

Not modelled: other protocols, IPv6, fraglists.
"""

from __future__ import annotations

from desim.guest.skb import CHECKSUM_NONE, CHECKSUM_PARTIAL, NETWORK, TRANSPORT, Skb
from desim.stages import GUEST, mark, stages
from desim.wire.checksum import checksum, pseudo_sum

_FIN_PSH, _CWR = 0x09, 0x80
_TCP = 6


class Offload:
    """The offloads in software."""

    STAGES = stages(
        GUEST,
        skb_gso_segment=mark("__skb_gso_segment", file="net/core/gro.c", size="skb"),
        skb_checksum_help=mark("skb_checksum_help", file="net/core/dev.c", size="skb"),
    )

    def validate_xmit_skb(self, skb: Skb) -> list[Skb]:
        """``skb`` as packets that any device can send."""
        if skb.gso_size:
            segments = self.skb_gso_segment(skb)
        else:
            segments = [skb]
        for segment in segments:
            if segment.ip_summed == CHECKSUM_PARTIAL:
                self.skb_checksum_help(segment)
        return segments

    def skb_gso_segment(self, skb: Skb) -> list[Skb]:
        """Cut a TCP packet into segments of ``gso_size`` bytes."""
        ip, tcp = NETWORK, TRANSPORT
        head_len = tcp + (skb.head[tcp + 12] >> 4) * 4
        head, size = skb.head[:head_len], skb.gso_size
        data = b"".join((skb.head[head_len:], *skb.frags))
        ident = int.from_bytes(head[ip + 4 : ip + 6], "big")
        seq = int.from_bytes(head[tcp + 4 : tcp + 8], "big")
        flags = head[tcp + 13]
        segments = []
        for number, start in enumerate(range(0, len(data), size)):
            chunk = data[start : start + size]
            last = start + size >= len(data)
            mine = bytearray(head)
            tcp_len = head_len - tcp + len(chunk)
            mine[ip + 2 : ip + 4] = (tcp - ip + tcp_len).to_bytes(2, "big")
            mine[ip + 4 : ip + 6] = (ident + number & 0xFFFF).to_bytes(2, "big")
            mine[ip + 10 : ip + 12] = b"\0\0"
            mine[ip + 10 : ip + 12] = checksum(mine[ip:tcp]).to_bytes(2, "big")
            mine[tcp + 4 : tcp + 8] = (seq + start & 0xFFFFFFFF).to_bytes(4, "big")
            mine[tcp + 13] = flags & ~(0 if last else _FIN_PSH) & ~(_CWR if number else 0)
            source, target = head[ip + 12 : ip + 16], head[ip + 16 : ip + 20]
            claim = pseudo_sum(source, target, _TCP, tcp_len) % 0xFFFF
            mine[tcp + 16 : tcp + 18] = claim.to_bytes(2, "big")
            segment = Skb(bytes(mine))
            segment.frags = [chunk]
            segment.protocol = skb.protocol
            segment.ip_summed = CHECKSUM_PARTIAL
            segment.csum_start, segment.csum_offset = tcp, 16
            segments.append(segment)
        segments[-1].destructor, skb.destructor = skb.destructor, None
        segments[-1].slabs, skb.slabs = skb.slabs, ()
        return segments

    def skb_checksum_help(self, skb: Skb) -> None:
        """Sum what the stack has left to the device; a sum of 0 is stored as 0xFFFF."""
        start, place = skb.csum_start, skb.csum_start + skb.csum_offset
        total = checksum(b"".join((skb.head[start:], *skb.frags))) or 0xFFFF
        skb.head = skb.head[:place] + total.to_bytes(2, "big") + skb.head[place + 2 :]
        skb.ip_summed = CHECKSUM_NONE
