"""Who is at the other end of the wire: a station that is driven by hand.

A :class:`Peer` has a MAC and an IPv4 address. It answers ARP for its address by itself;
everything else is sent and read by whoever holds it. A :class:`Connection` is one of its TCP
connections, segment by segment: it counts sequence numbers, and does nothing else by itself,
so what no real stack would send can be sent.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.data import Protocol
from desim.wire.addresses import BROADCAST_MAC, ip, mac
from desim.wire.arp import ARPOP_REPLY, ARPOP_REQUEST, Arp
from desim.wire.ethernet import ETH_P_ARP, ETH_P_IP, Ethernet
from desim.wire.frame import Frame
from desim.wire.ipv4 import PROTO_UDP, Ipv4
from desim.wire.segment import Segment, build_segment
from desim.wire.tcp import ACK, FIN, SYN, TcpOptions
from desim.wire.udp import Udp

Address = bytes | str
"""Packed, or as people write it."""


class Sender(Protocol):
    """Where a core's frames are kept: a ``Wire``, or the card of a ``Guest``."""

    @property
    def sent(self) -> list[Frame]:
        """All of them, in order."""


class Peer:
    """A station at the other end of ``wire``; what it sends goes to the core's ``receive``.

    ``receive`` is the core's way in: ``E1000.receive``, ``Slirp.slirp_input``, ``Guest.put``.
    ``to_mac`` is whom its frames are for; ``resolve`` asks for it.
    """

    def __init__(
        self,
        wire: Sender,
        receive: Callable[[Frame], object],
        *,
        mac: Address = "52:54:00:12:34:56",
        ip: Address = "10.0.2.15",
        to_mac: Address = BROADCAST_MAC,
    ) -> None:
        self.mac = _mac(mac)
        self.ip = _ip(ip)
        self.to_mac = _mac(to_mac)
        self._wire = wire
        self._receive = receive
        self._seen = len(wire.sent)

    def send(self, frame: Frame | bytes) -> object:
        """Hand a frame to the core; what the core answers."""
        return self._receive(frame if isinstance(frame, Frame) else Frame(frame))

    def take(self) -> list[Frame]:
        """What the core has sent since the last call, without the ARP requests for this station.

        These are answered, and what the core sends because of that is in the list.
        """
        taken = []
        sent = self._wire.sent
        while self._seen < len(sent):
            frame = sent[self._seen]
            self._seen += 1
            asked = _asked(frame)
            if asked is None or asked.target_ip != self.ip:
                taken.append(frame)
                continue
            reply = Arp(ARPOP_REPLY, self.mac, self.ip, asked.sender_mac, asked.sender_ip)
            self.send(Ethernet(asked.sender_mac, self.mac, ETH_P_ARP, reply.emit()).emit())
        return taken

    def resolve(self, address: Address) -> bytes:
        """Ask by ARP for the MAC of ``address``; later frames are for that one.

        What else the core has sent until then is taken with it. Raises ``LookupError`` if
        nobody answers at once.
        """
        target = _ip(address)
        request = Arp(ARPOP_REQUEST, self.mac, self.ip, bytes(6), target)
        self.send(Ethernet(BROADCAST_MAC, self.mac, ETH_P_ARP, request.emit()).emit())
        for frame in self.take():
            if frame.raw[12:14] == ETH_P_ARP.to_bytes(2, "big"):
                answer = Arp.parse(frame.raw[14:])
                if answer.op == ARPOP_REPLY and answer.sender_ip == target:
                    self.to_mac = answer.sender_mac
                    return answer.sender_mac
        raise LookupError(f"nobody answered for {address!r}")

    def packet(self, to: Address, protocol: int, payload: bytes, *, ttl: int = 64) -> Frame:
        """A frame with an IPv4 packet for ``to`` in it; ``send`` sends it."""
        packet = Ipv4(self.ip, _ip(to), protocol, payload, ttl=ttl)
        return Frame(Ethernet(self.to_mac, self.mac, ETH_P_IP, packet.emit()).emit())

    def datagram(self, to: tuple[Address, int], payload: bytes, *, port: int) -> Frame:
        """A frame with a UDP datagram in it, from ``port`` here."""
        address = _ip(to[0])
        udp = Udp(port, to[1], payload).emit(self.ip, address)
        return self.packet(address, PROTO_UDP, udp)

    def datagrams(self, port: int) -> list[bytes]:
        """The payloads of what has come for UDP ``port``; all else that has come is taken, too."""
        found = []
        for frame in self.take():
            ethernet = Ethernet.parse(frame.raw)
            if ethernet.ethertype == ETH_P_IP:
                packet = Ipv4.parse(ethernet.payload)
                if packet.protocol == PROTO_UDP and packet.dst == self.ip:
                    udp = Udp.parse(packet.payload, packet.src, packet.dst)
                    if udp.dport == port:
                        found.append(udp.payload)
        return found

    def connection(self, to: tuple[Address, int], *, port: int, iss: int = 1000) -> Connection:
        """A TCP connection from ``port`` here; nothing is sent yet."""
        return Connection(
            self.send,
            self.take,
            mac=self.mac,
            to_mac=self.to_mac,
            source=(self.ip, port),
            to=(_ip(to[0]), to[1]),
            iss=iss,
        )


class Connection:
    """One end of a TCP connection, written out segment by segment.

    ``seq`` and ``ack`` are the next numbers to send; ``seq`` follows what ``send`` sends, and
    ``ack`` what the other end has sent in order. They may be set.
    """

    def __init__(
        self,
        send: Callable[[Frame], object],
        take: Callable[[], list[Frame]],
        *,
        mac: bytes,
        to_mac: bytes,
        source: tuple[bytes, int],
        to: tuple[bytes, int],
        iss: int = 1000,
    ) -> None:
        self._send = send
        self._take = take
        self._macs = (to_mac, mac)
        self.source = source
        self.to = to
        self.seq = iss
        self.ack = 0
        self.window = 65535
        self.ident = 0
        """The IPv4 identification of the last frame."""

    def frame(
        self,
        flags: int,
        payload: bytes = b"",
        *,
        seq: int | None = None,
        ack: int | None = None,
        mss: int | None = None,
        window: int | None = None,
    ) -> Frame:
        """A segment at the current numbers, or at those that are given."""
        self.ident += 1
        return build_segment(
            *self._macs,
            self.source[0],
            self.to[0],
            self.source[1],
            self.to[1],
            (self.seq if seq is None else seq) & 0xFFFFFFFF,
            (self.ack if ack is None else ack) & 0xFFFFFFFF if flags & ACK else 0,
            flags,
            self.window if window is None else window,
            payload,
            ident=self.ident & 0xFFFF,
            ttl=64,
            tos=0,
            df=False,
            options=TcpOptions(mss=mss).emit() if mss else b"",
        ).padded()

    def send(self, flags: int, payload: bytes = b"", *, mss: int | None = None) -> list[Segment]:
        """Send a segment and move on; what the core has sent on this connection by then."""
        frame = self.frame(flags, payload, mss=mss)
        self.seq += len(payload) + bool(flags & FIN) + bool(flags & SYN)
        self._send(frame)
        return self.segments()

    def segments(self) -> list[Segment]:
        """What the core has sent on this connection since the last call."""
        found = []
        for frame in self._take():
            segment = frame.segment
            if segment is None or (segment.dport, segment.sport) != (self.source[1], self.to[1]):
                continue
            assert segment.sums_ok, f"a bad checksum: {frame}"
            found.append(segment)
            if segment.flags & SYN or segment.seq == self.ack & 0xFFFFFFFF:
                length = len(segment.payload) + bool(segment.flags & (SYN | FIN))
                self.ack = (segment.seq + length) & 0xFFFFFFFF
        return found


def _asked(frame: Frame) -> Arp | None:
    """The ARP request in a frame."""
    if frame.raw[12:14] != ETH_P_ARP.to_bytes(2, "big"):
        return None
    message = Arp.parse(frame.raw[14:])
    return message if message.op == ARPOP_REQUEST else None


def _mac(address: Address) -> bytes:
    return mac(address) if isinstance(address, str) else address


def _ip(address: Address) -> bytes:
    return ip(address) if isinstance(address, str) else address
