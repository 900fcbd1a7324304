"""IPv4: checks, reassembly and fragments (slirp/ip_input.c, slirp/ip_output.c, RFC 791).

A datagram from the guest is checked (version, lengths, header sum), what follows
it in the frame is cut off, and fragments are put together. A datagram to the guest
gets the next identification and is cut if it exceeds the MTU.

Fragments are kept by identification, addresses and protocol for 60 ticks of the
slow timer. Where they overlap, the bytes that came first win at the front of a new
fragment and lose at its end. The header of the whole is that of the fragment at
offset 0; how long the header is taken to be is up to the fragment that came last.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from desim.slirp import reasons
from desim.slirp.datagram import Datagram, Mbuf
from desim.slirp.socket import Socket
from desim.stages import QEMU, mark, stages
from desim.wire.checksum import checksum, ones_sum
from desim.wire.frame import Frame
from desim.wire.segment import Segment, segment_frame

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

IPDEFTTL = 64
MAXTTL = 255
IPFRAGTTL = 60
"""Ticks that fragments wait for the rest."""

IP_DF = 0x4000
IP_MF = 0x2000
IP_OFFMASK = 0x1FFF

IPPROTO_ICMP = 1
IPPROTO_TCP = 6
IPPROTO_UDP = 17

ICMP_TIMXCEED = 11

_HEADER = struct.Struct("!BBHHHBBH4s4s")


class _Fragment:
    """Bytes ``offset`` to ``offset + len(data)`` of a datagram."""

    __slots__ = ("data", "frame", "header", "more", "offset")

    def __init__(self, frame: Frame, header: bytes, offset: int, data: bytes, more: bool) -> None:
        self.frame = frame
        self.header = header
        self.offset = offset
        self.data = data
        self.more = more

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


class _Ipq:
    """The fragments of one datagram so far, by offset."""

    __slots__ = ("fragments", "ttl")

    def __init__(self) -> None:
        self.ttl = IPFRAGTTL
        self.fragments: list[_Fragment] = []


class Ip:
    """The IPv4 layer."""

    STAGES = stages(
        QEMU,
        ip_input=mark("ip_input", file="slirp/ip_input.c", size="frame.raw"),
        ip_reass=mark("ip_reass", file="slirp/ip_input.c"),
        ip_slowtimo=mark("ip_slowtimo", file="slirp/ip_input.c"),
        ip_output_tcp=mark("ip_output", file="slirp/ip_output.c"),
        ip_output=mark("ip_output", file="slirp/ip_output.c", size="payload"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp
        self.ip_id = 0
        self.ipq: dict[tuple[int, bytes, bytes, int], _Ipq] = {}

    def ip_input(self, frame: Frame) -> None:
        """A frame of type 0x0800 from the guest."""
        slirp = self.slirp
        if not slirp.config.ipv4:
            slirp.drop(frame, reasons.IPV4_OFF)
            return
        segment = frame.known
        if segment is False:
            segment = frame.segment
        if segment is not None and segment.ttl and (segment.sums or segment.sums_ok):
            slirp.tcp_input.tcp_input(frame, segment)
            return
        raw = frame.raw[14:]
        if len(raw) < 20:
            slirp.drop(frame, reasons.IP_HEADER_TOO_SHORT)
            return
        (first, tos, length, ident, offset, ttl, protocol, _, src, dst) = _HEADER.unpack_from(raw)
        hlen = (first & 0xF) << 2
        if first >> 4 != 4 or not 20 <= hlen <= length <= len(raw):
            slirp.drop(frame, reasons.IP_HEADER)
            return
        if ones_sum(raw[:hlen]) != 0xFFFF:
            slirp.drop(frame, reasons.IP_CHECKSUM)
            return
        datagram = Datagram(frame, raw[:hlen], src, dst, tos, ttl, raw[hlen:length])
        if ttl == 0:
            slirp.icmp.icmp_send_error(datagram, ICMP_TIMXCEED, 0)
            slirp.drop(frame, reasons.TTL_0)
            return
        if offset & ~IP_DF:
            whole = self._fragment(datagram, ident, offset, protocol)
            if whole is None:
                return
            datagram = whole
        if protocol == IPPROTO_TCP:
            slirp.tcp_input.tcp_input_datagram(datagram)
        elif protocol == IPPROTO_UDP:
            slirp.udp.udp_input(datagram)
        elif protocol == IPPROTO_ICMP:
            slirp.icmp.icmp_input(datagram)
        else:
            slirp.drop(frame, reasons.IP_PROTOCOL.of(protocol=str(protocol)))

    def _fragment(
        self, datagram: Datagram, ident: int, offset: int, protocol: int
    ) -> Datagram | None:
        """The whole datagram if ``datagram``, with flags or offset set, makes it whole."""
        key = (ident, datagram.src, datagram.dst, protocol)
        more = offset & IP_MF != 0
        start = (offset & IP_OFFMASK) << 3
        # slirp keeps "more fragments" in the lowest bit of the TOS and shifts the flags away.
        tos = datagram.tos & 0xFE
        header = datagram.header
        header = header[:1] + bytes((tos,)) + header[2:6] + b"\0\0" + header[8:]
        if more or start:
            return self.ip_reass(
                key, _Fragment(datagram.frame, header, start, datagram.payload, more)
            )
        # Only the reserved flag was set: this is all of it, and what waited is forgotten.
        self.ipq.pop(key, None)
        datagram.header = header
        datagram.tos = tos
        return datagram

    def ip_reass(self, key: tuple[int, bytes, bytes, int], new: _Fragment) -> Datagram | None:
        """Add a fragment; the datagram, if that completes it."""
        queue = self.ipq.get(key)
        if queue is None:
            queue = self.ipq[key] = _Ipq()
            queue.fragments.append(new)
        elif not self._insert(queue.fragments, new):
            self.slirp.drop(new.frame, reasons.DUPLICATE_FRAGMENT)
            return None
        fragments = queue.fragments
        end = 0
        for fragment in fragments:
            if fragment.offset != end:
                return None
            end = fragment.end
        if not fragments or fragments[-1].more:
            return None
        del self.ipq[key]
        header = fragments[0].header
        data = b"".join(fragment.data for fragment in fragments)
        # Lengths are 16 bits wide.
        size = end & 0xFFFF
        datagram = Datagram(
            new.frame, header, key[1], key[2], header[1], header[8], data[:size], len(new.header)
        )
        datagram.behind = data[size:]
        return datagram

    @staticmethod
    def _insert(fragments: list[_Fragment], new: _Fragment) -> bool:
        """Put ``new`` in its place, overlaps cut; False if nothing of it is left."""
        place = len(fragments)
        for index, fragment in enumerate(fragments):
            if fragment.offset > new.offset:
                place = index
                break
        if place:
            overlap = fragments[place - 1].end - new.offset
            if overlap > 0:
                if overlap >= len(new.data):
                    return False
                new.data = new.data[overlap:]
                new.offset += overlap
        while place < len(fragments) and new.end > fragments[place].offset:
            after = fragments[place]
            overlap = new.end - after.offset
            if overlap < len(after.data):
                after.data = after.data[overlap:]
                after.offset += overlap
                break
            del fragments[place]
        fragments.insert(place, new)
        return True

    def ip_slowtimo(self) -> None:
        """One tick: forget datagrams whose fragments waited too long."""
        for key, queue in list(self.ipq.items()):
            queue.ttl -= 1
            if queue.ttl == 0:
                del self.ipq[key]
                for fragment in queue.fragments:
                    self.slirp.drop(fragment.frame, reasons.REASSEMBLY_TIME)

    def ip_output_tcp(self, so: Socket | None, tcp: Segment, claimed: int | None = None) -> None:
        """Send a segment. If it needs no fragments, its bytes are made with its frame.

        ``claimed`` is what its header says its length is, if that is wrong.
        """
        options = tcp.options
        length = 40 + len(tcp.payload) + (len(options) if options else 0)
        if claimed is not None or length > self.slirp.config.if_mtu:
            packet = segment_frame(tcp).raw[14:]
            self._output(
                so,
                tcp.src,
                tcp.dst,
                IPPROTO_TCP,
                tcp.ttl,
                tcp.tos,
                False,
                packet[20:],
                claimed,
            )
            return
        tcp.ident = self.ip_id
        self.ip_id = (tcp.ident + 1) & 0xFFFF
        self.slirp.interface.if_output(so, Mbuf(tcp.dst, b"", tcp))

    def ip_output(
        self,
        so: Socket | None,
        src: bytes,
        dst: bytes,
        protocol: int,
        ttl: int,
        tos: int,
        df: bool,
        payload: bytes,
        claimed: int | None = None,
    ) -> None:
        """Send ``payload`` to the guest, in fragments if it exceeds the MTU and ``df`` is unset.

        ``claimed`` is what its header says its length is, if that may be wrong.
        """
        self._output(so, src, dst, protocol, ttl, tos, df, payload, claimed)

    def _output(
        self,
        so: Socket | None,
        src: bytes,
        dst: bytes,
        protocol: int,
        ttl: int,
        tos: int,
        df: bool,
        payload: bytes,
        claimed: int | None,
    ) -> None:
        ident = self.ip_id
        self.ip_id = (ident + 1) & 0xFFFF
        mtu = self.slirp.config.if_mtu
        length = (20 + len(payload)) & 0xFFFF if claimed is None else claimed
        interface = self.slirp.interface
        if length <= mtu:
            header = _ip_header(tos, length, ident, IP_DF if df else 0, ttl, protocol, src, dst)
            interface.if_output(so, Mbuf(dst, header + payload))
            return
        size = (mtu - 20) & ~7
        if df or size < 8:
            return
        total = length - 20
        for start in range(0, total, size):
            end = min(start + size, total)
            offset = start >> 3 | (IP_MF if end < total else 0)
            header = _ip_header(tos, 20 + end - start, ident, offset, ttl, protocol, src, dst)
            interface.if_output(so, Mbuf(dst, header + payload[start:end]))


def _ip_header(
    tos: int, length: int, ident: int, offset: int, ttl: int, protocol: int, src: bytes, dst: bytes
) -> bytes:
    header = _HEADER.pack(0x45, tos, length, ident, offset, ttl, protocol, 0, src, dst)
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
