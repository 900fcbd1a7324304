"""IPv4 input, output and routes (net/ipv4/ip_input.c, ip_output.c, route.c; RFC 791).

Theory of operation
-------------------
Input: a packet with a right header goes to its protocol if its destination is one of
our addresses or a broadcast; all others are counted and end here (no forwarding). A
fragment for us goes to ``ip_defrag`` (ip_fragment.py) first, and the datagram that it
completes goes on in its place.

Output: the route of a destination is lo for our own addresses, the longest matching
prefix otherwise. TCP's packets carry DF (``ip_queue_xmit``, and its answers on behalf
of no socket). A datagram comes by ``ip_push_pending_frames``; its socket's pmtudisc
decides:

    =================  =======================  ================================
    IP_PMTUDISC_       up to the MTU            above the MTU
    =================  =======================  ================================
    WANT (UDP, raw)    DF                       fragments, without DF
    DONT (ICMP)        no DF                    fragments
    DO                 DF                       EMSGSIZE
    =================  =======================  ================================

and no datagram is longer than 65,535 bytes with its header. The identification of a
connected socket's packets starts at random and counts up; where nobody may fragment
it is 0; all others draw it from a counter for their addresses and protocol, which
starts at random and jumps by a random amount below the number of jiffies since its
last use. That includes WANT below the MTU: DF keeps routers from fragmenting, not us.

A packet above the MTU is cut in ``ip_do_fragment``, after routing and before the
neighbour: pieces of 1480 bytes in ascending order, the rest last, each sent before the
next is looked at. Linux's datagrams come as a chain of buffers that were cut when the
data was copied (``ip_append_data``); the pieces on the wire are the same.

Packets for the wire are built from the inside out: ``skb.head`` is the IP header and
what follows it until the neighbour puts the Ethernet header in front.

Not modelled: the send buffer of datagram sockets (a sender never sleeps, never gets
ENOBUFS), IP options, multicast beyond the all-hosts group, redirects, path MTU
discovery (the MTU is the device's). Identifications have one counter for each pair of
addresses and protocol, where Linux hashes them into a table that they share.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from desim.data import Protocol
from desim.guest.cpu.context import Cpu
from desim.guest.entropy import Entropy
from desim.guest.mm.slab import Slabs
from desim.guest.net.device import IFF_LOOPBACK, Device
from desim.guest.net.snmp import Snmp
from desim.guest.net.sock import error_of
from desim.guest.net.tcp.tcp_skb import RcvSkb
from desim.guest.skb import CHECKSUM_PARTIAL, Skb, truesize_of
from desim.ports import Random
from desim.stages import GUEST, mark, stages
from desim.wire.addresses import (
    IP_ANY,
    IP_BROADCAST,
    broadcast_of,
    is_multicast_ip,
    mask_from_prefix,
    network_of,
)
from desim.wire.errors import WireError
from desim.wire.ethernet import ETH_P_IP
from desim.wire.ipv4 import MAX_LEN, PROTO_ICMP, PROTO_TCP, Ipv4

if TYPE_CHECKING:
    from desim.guest.net.neigh import Arp4

HEADER_LEN = 20
DF = 0x4000
MF = 0x2000
DEFAULT_TTL = 64

# What a socket wants to know of the path's MTU (IP_MTU_DISCOVER, include/uapi/linux/in.h).
IP_PMTUDISC_DONT = 0
IP_PMTUDISC_WANT = 1
IP_PMTUDISC_DO = 2

ICMP_OUT_COUNTERS = {
    0: "OutEchoReps",
    3: "OutDestUnreachs",
    8: "OutEchos",
    11: "OutTimeExcds",
}
"""Names in ``/proc/net/snmp`` of the messages that leave here, by type."""

_HEADER = struct.Struct("!BBHHHBBH4s4s")


class Route:
    """One line of the routing table."""

    __slots__ = ("device", "gateway", "mask", "network", "prefix", "source")

    def __init__(
        self, network: bytes, prefix: int, device: Device, gateway: bytes | None, source: bytes
    ) -> None:
        self.network = network
        self.prefix = prefix
        self.mask = mask_from_prefix(prefix)
        self.device = device
        self.gateway = gateway
        self.source = source


class InetAddress:
    """``struct in_ifaddr``: an address of an interface."""

    __slots__ = ("address", "broadcast", "device", "mask", "prefix")

    def __init__(self, device: Device, address: bytes, prefix: int) -> None:
        self.device = device
        self.address = address
        self.prefix = prefix
        self.mask = mask_from_prefix(prefix)
        self.broadcast = broadcast_of(network_of(address, self.mask), self.mask)


class IpSender(Protocol):
    """What IP reads and writes in the socket that a packet belongs to."""

    saddr: bytes
    daddr: bytes
    route: Route
    inet_id: int
    dst_pending_confirm: bool


class DatagramSender(Protocol):
    """What IP reads and writes in the socket of a datagram."""

    daddr: bytes
    """IP_ANY while it is not connected."""
    inet_id: int


Handler = Callable[[Skb, Ipv4, Device], None]


class Ip:
    """The addresses, routes and packets of the host."""

    STAGES = stages(
        GUEST,
        ip_queue_xmit=mark("ip_queue_xmit", "__ip_queue_xmit", file="net/ipv4/ip_output.c"),
        ip_output=mark("ip_output", file="net/ipv4/ip_output.c"),
        ip_do_fragment=mark("ip_fragment", "ip_do_fragment", file="net/ipv4/ip_output.c"),
        ip_finish_output2=mark("ip_finish_output2", file="net/ipv4/ip_output.c"),
        ip_list_rcv=mark("ip_list_rcv", "ip_sublist_rcv", file="net/ipv4/ip_input.c"),
        ip_rcv=mark("ip_rcv", file="net/ipv4/ip_input.c"),
        ip_rcv_core=mark("ip_rcv_core", file="net/ipv4/ip_input.c"),
        ip_local_deliver_tcp=mark("ip_local_deliver", file="net/ipv4/ip_input.c"),
        ip_local_deliver=mark("ip_local_deliver", file="net/ipv4/ip_input.c"),
    )

    arp: Arp4

    def __init__(
        self,
        *,
        cpu: Cpu,
        snmp: Snmp,
        random: Random,
        entropy: Entropy,
        slabs: Slabs,
        loopback: Device,
    ) -> None:
        self._cpu = cpu
        self._snmp = snmp
        self._random = random("ip_id")
        self._entropy = entropy
        self._slabs = slabs
        self.loopback = loopback
        self.addresses: list[InetAddress] = []
        self._know_addresses()
        self.routes: list[Route] = []
        self.dev_queue_xmit: Callable[[Skb, Device], bool] = _not_attached
        self.tcp_v4_rcv: Callable[[Skb], None] = _no_tcp
        self.handlers: dict[int, Handler] = {}
        self.link_failure_handler: Callable[[bytes], None] = _no_errors
        self.ip_defrag: Callable[[Skb, Ipv4], tuple[Skb, Ipv4] | None] = _nobody_waits
        self.raw_local_deliver: Callable[[Skb, Ipv4], bool] = _no_raw_sockets
        self.proto_unreachable: Callable[[Ipv4], None] = _no_unreachable
        self._idents: dict[tuple[bytes, bytes, int], tuple[int, int]] = {}
        """``ip_idents`` and ``ip_tstamps``: the next identification, the jiffy of the last one."""

    # Addresses and routes.

    def add_address(self, device: Device, address: bytes, prefix: int) -> None:
        """``ip addr add``; the network of the prefix becomes reachable."""
        self.addresses.append(InetAddress(device, address, prefix))
        self._know_addresses()
        if prefix < 32 and device is not self.loopback:
            network = network_of(address, mask_from_prefix(prefix))
            self.routes.append(Route(network, prefix, device, None, address))

    def del_address(self, device: Device, address: bytes) -> None:
        """``ip addr del``; routes that need the address go too."""
        self.addresses = [
            a for a in self.addresses if a.device is not device or a.address != address
        ]
        self._know_addresses()
        self.routes = [r for r in self.routes if r.device is not device or r.source != address]

    def add_route(self, network: bytes, prefix: int, device: Device, gateway: bytes | None) -> None:
        """``ip route add``; a gateway has to be reachable directly."""
        source = IP_ANY
        if gateway is not None:
            via = self._longest(gateway)
            if via is None or via.gateway is not None:
                raise OSError(errno.ENETUNREACH, "Nexthop has invalid gateway")
            source = via.source
        else:
            for held in self.addresses:
                if held.device is device:
                    source = held.address
                    break
        if any(r.network == network and r.prefix == prefix for r in self.routes):
            raise FileExistsError(errno.EEXIST, "File exists")
        self.routes.append(Route(network, prefix, device, gateway, source))

    def del_route(self, network: bytes, prefix: int) -> None:
        """``ip route del``."""
        kept = [r for r in self.routes if r.network != network or r.prefix != prefix]
        if len(kept) == len(self.routes):
            raise ProcessLookupError(errno.ESRCH, "No such process")
        self.routes = kept

    def _know_addresses(self) -> None:
        """Note what every packet is asked for."""
        self._ours = frozenset(held.address for held in self.addresses)
        self._broadcasts = frozenset(h.broadcast for h in self.addresses if h.prefix < 31)

    def is_local(self, address: bytes) -> bool:
        """Whether it is ours (``inet_addr_type`` RTN_LOCAL)."""
        if address[0] == 127:
            return True
        return address in self._ours

    def is_broadcast(self, address: bytes) -> bool:
        """Whether it means everybody on a link of ours."""
        if address == IP_BROADCAST:
            return True
        return address in self._broadcasts

    def is_martian(self, src: bytes, dst: bytes, device: Device) -> bool:
        """Addresses that no packet from a wire can have (``ip_route_input_slow``).

        Sources that are no host, and our own; reverse path filtering is off. Such packets are
        dropped in silence.
        """
        if device.flags & IFF_LOOPBACK:
            return False
        # NOTE: ``is_multicast_ip``, written out (4 calls a packet).
        if src[0] & 0xF0 == 0xE0 or src == IP_BROADCAST:
            return True
        everybody = dst == IP_BROADCAST or src == dst == IP_ANY
        if dst[0] & 0xF0 == 0xE0:
            # ip_mc_validate_source; who has no address yet may speak to its own link.
            if src[0] == 0:
                return dst[:3] != b"\xe0\0\0"
        elif not everybody and (src[0] == 0 or dst[0] in (0, 127)):
            return True
        if src[0] == 127 and not everybody:
            return True
        return src in self._ours

    def select_addr(self, device: Device, target: bytes) -> bytes | None:
        """``inet_select_addr``: our address towards ``target`` on a link."""
        first = None
        for held in self.addresses:
            if held.device is device:
                if network_of(target, held.mask) == network_of(held.address, held.mask):
                    return held.address
                first = first or held.address
        return first

    def route_output(self, dst: bytes, device: Device | None = None) -> Route:
        """``ip_route_output_key``: ENETUNREACH if nothing leads there."""
        if self.is_local(dst):
            return Route(dst, 32, self.loopback, None, dst)
        if device is not None:
            source = self.select_addr(device, dst)
            return Route(dst, 32, device, None, source or IP_ANY)
        route = self._longest(dst)
        if route is None:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return route

    def _longest(self, dst: bytes) -> Route | None:
        best = None
        for route in self.routes:
            if network_of(dst, route.mask) == route.network:
                if best is None or route.prefix > best.prefix:
                    best = route
        return best

    # Output.

    def ip_queue_xmit(self, sk: IpSender, skb: Skb, tos: int = 0) -> bool:
        """A connected socket's packet: its identification counts up."""
        segs = skb.gso_segs or 1
        ident = sk.inet_id & 0xFFFF
        sk.inet_id = ident + segs
        return self.ip_local_out(
            skb, sk.route, sk.saddr, sk.daddr, PROTO_TCP, ident, DF, tos, sk=sk
        )

    def ip_push_pending_frames(
        self,
        skb: Skb,
        route: Route,
        src: bytes,
        dst: bytes,
        protocol: int,
        *,
        sk: DatagramSender | None = None,
        pmtudisc: int = IP_PMTUDISC_WANT,
        tos: int = 0,
        ttl: int = DEFAULT_TTL,
    ) -> bool:
        """Send a socket's datagram, in fragments if it has to be and ``pmtudisc`` allows it.

        ``skb`` holds it from its transport header on. EMSGSIZE if it is too long
        (``ip_append_data``); False if it was dropped on the way. A datagram above
        the MTU must have its checksum: the card sums whole packets only.
        """
        length = HEADER_LEN + len(skb)
        mtu = route.device.mtu
        skb.ignore_df = pmtudisc < IP_PMTUDISC_DO
        if length > (MAX_LEN if skb.ignore_df else mtu):
            raise error_of(errno.EMSGSIZE)
        if length <= mtu:
            skb.slabs = self._slabs.alloc_skb(length)
        df = pmtudisc == IP_PMTUDISC_DO or (pmtudisc == IP_PMTUDISC_WANT and length <= mtu)
        if sk is not None and sk.daddr != IP_ANY:
            ident = sk.inet_id & 0xFFFF
            sk.inet_id = ident + 1
        elif df and not skb.ignore_df:
            ident = 0
        else:
            ident = self.ip_select_ident(dst, src, protocol)
        if protocol == PROTO_ICMP:
            self.icmp_out_count(skb.head[0])
        return self.ip_local_out(skb, route, src, dst, protocol, ident, DF if df else 0, tos, ttl)

    def icmp_out_count(self, kind: int) -> None:
        """A message of ours leaves, whether the kernel or a raw socket made it."""
        mib = self._snmp.icmp
        mib["OutMsgs"] += 1
        mib[ICMP_OUT_COUNTERS.get(kind, f"OutType{kind}")] += 1

    def ip_local_out(
        self,
        skb: Skb,
        route: Route,
        src: bytes,
        dst: bytes,
        protocol: int,
        ident: int,
        fragment: int,
        tos: int = 0,
        ttl: int = DEFAULT_TTL,
        sk: IpSender | None = None,
    ) -> bool:
        """Put the IP header in front and send; False if it was dropped on the way.

        EMSGSIZE for a packet above the MTU that may not be fragmented.
        """
        length = HEADER_LEN + len(skb.head)
        for piece in skb.frags:
            length += len(piece)
        skb.head = ip_header(tos, length, ident, fragment, ttl, protocol, src, dst) + skb.head
        skb.protocol = ETH_P_IP
        self._snmp.ip["OutRequests"] += 1
        return self.ip_output(skb, route, dst, sk)

    def ip_output(self, skb: Skb, route: Route, dst: bytes, sk: IpSender | None) -> bool:
        """Past the packet filter, towards the link (``ip_finish_output``)."""
        head = skb.head
        if (head[2] << 8 | head[3]) > route.device.mtu and not skb.gso_size:
            return self._above_mtu(skb, route, dst, sk)
        return self.ip_finish_output2(skb, route, dst, sk)

    def _above_mtu(self, skb: Skb, route: Route, dst: bytes, sk: IpSender | None) -> bool:
        """A packet above the MTU: EMSGSIZE if it carries DF and we have to heed it."""
        if skb.head[6] & DF >> 8 and not skb.ignore_df:
            self._snmp.ip["FragFails"] += 1
            raise error_of(errno.EMSGSIZE)
        return self.ip_do_fragment(skb, route, dst, sk)

    def ip_do_fragment(self, skb: Skb, route: Route, dst: bytes, sk: IpSender | None) -> bool:
        """Send a packet in pieces of at most the MTU; the first that is dropped ends it."""
        assert skb.ip_summed != CHECKSUM_PARTIAL, "a card cannot sum what comes in pieces"
        mib = self._snmp.ip
        _, tos, length, ident, _, ttl, protocol, _, src, _ = _HEADER.unpack_from(skb.head)
        data = memoryview(skb.head)
        most = route.device.mtu - HEADER_LEN
        at = HEADER_LEN
        while at < length:
            size, flags = length - at, 0
            if size > most:
                size, flags = most & ~7, MF
            fields = (at - HEADER_LEN >> 3 | flags, ttl, protocol)
            header = ip_header(tos, HEADER_LEN + size, ident, *fields, src, dst)
            piece = Skb(b"".join((header, data[at : at + size])))
            piece.protocol = ETH_P_IP
            if not self.ip_finish_output2(piece, route, dst, sk):
                mib["FragFails"] += 1
                return False
            mib["FragCreates"] += 1
            at += size
        mib["FragOKs"] += 1
        return True

    def ip_finish_output2(self, skb: Skb, route: Route, dst: bytes, sk: IpSender | None) -> bool:
        """To the neighbour that the route names."""
        device = route.device
        if device is self.loopback:
            skb.head = _LOOPBACK_HEADER + skb.head
            return self.dev_queue_xmit(skb, device)
        if not device.flags & 1:
            self._snmp.ip["OutDiscards"] += 1
            return False
        self._cpu.local_bh_disable()
        if self.is_broadcast(dst) or is_multicast_ip(dst):
            skb.head = b"\xff" * 6 + device.dev_addr + b"\x08\x00" + skb.head
            sent = self.dev_queue_xmit(skb, device)
        else:
            neigh = self.arp.lookup_or_create(route.gateway or dst, device)
            if sk is not None and sk.dst_pending_confirm:
                sk.dst_pending_confirm = False
                neigh.confirm(self._cpu.jiffies)
            sent = self.arp.neigh_output(neigh, skb)
        self._cpu.local_bh_enable()
        return sent

    def ip_select_ident(self, dst: bytes, src: bytes, protocol: int, segs: int = 1) -> int:
        """``__ip_select_ident``: an identification for a packet of no connection."""
        now = self._cpu.jiffies
        key = (dst, src, protocol)
        ident, last = self._idents.get(key) or (self._random.u32(), 0)
        if now != last:
            ident += self._entropy.below(self._random, now - last)
        self._idents[key] = ident + segs & 0xFFFF, now
        return ident & 0xFFFF

    # Input.

    def ip_list_rcv(self, batch: list[Skb], device: Device) -> None:
        """Packets that arrived together: all headers first, then each to its protocol."""
        checked = [(skb, self.ip_rcv_core(skb, device)) for skb in batch]
        for skb, packet in checked:
            self._deliver(skb, packet, device)

    def ip_rcv(self, skb: Skb, device: Device) -> None:
        """A packet by itself."""
        self._deliver(skb, self.ip_rcv_core(skb, device), device)

    def _deliver(self, skb: Skb, packet: Ipv4 | _ForTcp | None, device: Device) -> None:
        if packet is _FOR_TCP:
            self.ip_local_deliver_tcp(skb)
        elif packet is not None:
            self.ip_local_deliver(skb, cast("Ipv4", packet), device)

    def ip_rcv_core(self, skb: Skb, device: Device) -> Ipv4 | _ForTcp | None:
        """Check the header and decide whose packet it is; None if it is nobody's here."""
        mib = self._snmp.ip
        mib["InReceives"] += 1
        head = skb.head
        if head[:6] != device.dev_addr and not head[0] & 1 and not device.flags & 8:
            mib["InDiscards"] += 1
            return None
        frame = skb.frame
        segment = frame.segment if frame is not None else None
        if segment is not None:
            # The checksums are verified together, when TCP asks.
            if not self.is_local(segment.dst):
                mib["InAddrErrors"] += 1
            elif not self.is_martian(segment.src, segment.dst, device):
                mib["InDelivers"] += 1
                if not head[0] & 1:
                    return _FOR_TCP
                # PACKET_HOST is all that TCP takes: not what was sent to everybody on the link.
            return None
        try:
            packet = Ipv4.parse(head[14:])
        except WireError:
            mib["InHdrErrors"] += 1
            return None
        if not packet.sum_ok:
            mib["InCsumErrors"] += 1
        elif packet.options:
            mib["InHdrErrors"] += 1
        elif (
            self.is_local(packet.dst)
            or self.is_broadcast(packet.dst)
            or packet.dst == b"\xe0\x00\x00\x01"
        ):
            return None if self.is_martian(packet.src, packet.dst, device) else packet
        else:
            mib["InAddrErrors"] += 1
        return None

    def ip_local_deliver_tcp(self, skb: Skb) -> None:
        """To TCP, whose header has been read with IP's."""
        self.tcp_v4_rcv(skb)

    def ip_local_deliver(self, skb: Skb, packet: Ipv4, device: Device) -> None:
        """To the raw sockets of its protocol, and to the protocol, if there is one.

        A fragment waits here for the others of its datagram.
        """
        if packet.fragment:
            whole = self.ip_defrag(skb, packet)
            if whole is None:
                return
            skb, packet = whole
        raw = self.raw_local_deliver(skb, packet)
        handler = self.handlers.get(packet.protocol)
        if handler is not None:
            self._snmp.ip["InDelivers"] += 1
            handler(skb, packet, device)
        elif packet.protocol == PROTO_TCP:
            self._snmp.ip["InDelivers"] += 1
            self._deliver_odd_tcp(skb)
        elif not raw:
            self._snmp.ip["InUnknownProtos"] += 1
            self.proto_unreachable(packet)

    def _deliver_odd_tcp(self, skb: Skb) -> None:
        """A segment that could not be read from its frame: it came in pieces, or is none."""
        if skb.head[0] & 1:
            return
        segment = skb.frame.segment if skb.frame is not None else None
        if segment is None:
            self._snmp.tcp["InSegs"] += 1
            self._snmp.tcp["InErrs"] += 1
            return
        received = skb.cb = RcvSkb(segment, len(skb.head))
        received.truesize = truesize_of(skb)
        # Its data lies in several buffers, so none of them takes more.
        received.tailroom = 0
        self.tcp_v4_rcv(skb)

    def link_failure(self, skb: Skb) -> None:
        """``ipv4_link_failure``: the neighbour of this packet does not answer.

        Linux sends itself an ICMP host-unreachable through lo; the effect on the
        sender is the same here, one packet through lo shorter.
        """
        self.link_failure_handler(skb.head)


def ip_header(
    tos: int,
    length: int,
    ident: int,
    fragment: int,
    ttl: int,
    protocol: int,
    src: bytes,
    dst: bytes,
) -> bytes:
    """20 bytes with their checksum; ``fragment`` is the word with the flags and the offset."""
    total = (
        0x4500
        + tos
        + length
        + ident
        + fragment
        + (ttl << 8 | protocol)
        + int.from_bytes(src, "big")
        + int.from_bytes(dst, "big")
    )
    return _HEADER.pack(
        0x45, tos, length, ident, fragment, ttl, protocol, -total % 0xFFFF, src, dst
    )


class _ForTcp:
    """Stands for a TCP segment whose headers have been read together."""


_FOR_TCP = _ForTcp()
_LOOPBACK_HEADER = bytes(12) + b"\x08\x00"


def _not_attached(skb: Skb, device: Device) -> bool:
    raise AssertionError("IP has no devices below it")


def _no_tcp(skb: Skb) -> None:
    raise AssertionError("IP has no TCP above it")


def _no_errors(head: bytes) -> None:
    raise AssertionError("IP has nobody to tell of errors")


def _nobody_waits(skb: Skb, packet: Ipv4) -> tuple[Skb, Ipv4] | None:
    raise AssertionError("nobody puts fragments together")


def _no_raw_sockets(skb: Skb, packet: Ipv4) -> bool:
    return False


def _no_unreachable(packet: Ipv4) -> None:
    raise AssertionError("IP has no ICMP above it")
