"""IPv6 input, output and routes (net/ipv6/ip6_input.c, ip6_output.c, route.c; RFC 8200).

Theory of operation
-------------------
Input: a packet for an address of ours or a group that we are in passes its hop-by-hop
header and goes to ICMPv6; all others are counted and end here (no forwarding).

Output: groups are on the link, and their MAC follows from the address. Other
destinations have a route: the prefixes of our addresses and of router advertisements,
or a default router. Routes that came with a lifetime end with it.

Not modelled: TCP and UDP over IPv6 (a packet of theirs is counted as InUnknownProtos and
gets no answer, where Linux would send a reset or an error); routing and destination
headers and fragments (counted as InHdrErrors); packets to ourselves; redirects; path MTU.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.data import Protocol
from desim.guest.cpu.context import Cpu
from desim.guest.net.device import IFF_UP, Device
from desim.guest.net.ipv6.if_inet6 import SCOPE_LINK, Inet6Dev, Inet6Devs, addr_scope
from desim.guest.net.neigh import NeighTable
from desim.guest.net.snmp import Snmp
from desim.guest.skb import Skb
from desim.stages import GUEST, mark, stages
from desim.wire.addresses import IP6_LOOPBACK, is_multicast_ip, multicast_mac
from desim.wire.errors import WireError
from desim.wire.ethernet import ETH_P_IPV6
from desim.wire.ipv6 import NEXT_HOP_BY_HOP, NEXT_ICMPV6, Ipv6

NEXT_NONE = 59
_EXTENSIONS = (0, 43, 44, 60)
"""Hop-by-hop (not at the front), routing, fragment, destination options."""
_TYPE = ETH_P_IPV6.to_bytes(2, "big")


class Route6:
    """One line of the routing table; ``gateway`` None: on the link. ``expires`` is a jiffy."""

    __slots__ = ("device", "expires", "gateway", "network", "prefix_len")

    def __init__(
        self,
        network: bytes,
        prefix_len: int,
        device: Device,
        gateway: bytes | None,
        expires: int | None,
    ) -> None:
        self.network = network
        self.prefix_len = prefix_len
        self.device = device
        self.gateway = gateway
        self.expires = expires

    def leads_to(self, dst: bytes) -> bool:
        """Whether ``dst`` is in its network."""
        return same_prefix(self.network, dst, self.prefix_len)


def same_prefix(a: bytes, b: bytes, prefix_len: int) -> bool:
    """Whether two addresses agree in their first ``prefix_len`` bits."""
    differ = int.from_bytes(a, "big") ^ int.from_bytes(b, "big")
    return differ >> (128 - prefix_len) == 0


class Receiver(Protocol):
    """``icmpv6_rcv``."""

    def __call__(self, packet: Ipv6, message: bytes, idev: Inet6Dev, mac: bytes) -> None: ...


class Ip6:
    """The routes and packets of the host."""

    STAGES = stages(
        GUEST,
        ip6_output=mark("ip6_output", "ip6_finish_output", file="net/ipv6/ip6_output.c"),
        ip6_finish_output2=mark("ip6_finish_output2", file="net/ipv6/ip6_output.c"),
        ipv6_rcv=mark("ipv6_rcv", "ip6_rcv_core", file="net/ipv6/ip6_input.c"),
        ip6_input=mark("ip6_input", "ip6_protocol_deliver_rcu", file="net/ipv6/ip6_input.c"),
    )

    nd: NeighTable
    icmpv6_rcv: Receiver

    def __init__(
        self,
        *,
        cpu: Cpu,
        snmp: Snmp,
        devs: Inet6Devs,
        dev_queue_xmit: Callable[[Skb, Device], bool],
    ) -> None:
        self._cpu = cpu
        self._mib = snmp.ip6
        self._devs = devs
        self._dev_queue_xmit = dev_queue_xmit
        self.routes: list[Route6] = []

    # Routes; called with soft interrupts off.

    def set_route(
        self,
        network: bytes,
        prefix_len: int,
        device: Device,
        gateway: bytes | None,
        expires: int | None,
    ) -> None:
        """Add a route, or give it a new end (``fib6_set_expires``)."""
        route = self._find(network, prefix_len, device, gateway)
        if route is None:
            self.routes.append(Route6(network, prefix_len, device, gateway, expires))
        else:
            route.expires = expires

    def del_route(
        self, network: bytes, prefix_len: int, device: Device, gateway: bytes | None
    ) -> None:
        """Take a route away, if it is there."""
        route = self._find(network, prefix_len, device, gateway)
        if route is not None:
            self.routes.remove(route)

    def rt6_ifdown(self, device: Device) -> None:
        """An interface is gone, and its routes with it."""
        self.routes = [route for route in self.routes if route.device is not device]

    def _find(
        self, network: bytes, prefix_len: int, device: Device, gateway: bytes | None
    ) -> Route6 | None:
        for route in self.routes:
            if route.prefix_len == prefix_len and route.network == network:
                if route.device is device and route.gateway == gateway:
                    return route
        return None

    def route_output(self, dst: bytes, device: Device) -> Route6 | None:
        """The longest prefix that leads from ``device`` to ``dst`` and has not ended."""
        now = self._cpu.jiffies
        best = None
        for route in self.routes:
            if route.device is not device or not route.leads_to(dst):
                continue
            if route.expires is not None and now >= route.expires:
                continue
            if best is None or route.prefix_len > best.prefix_len:
                best = route
        return best

    # Output.

    def ip6_output(self, packet: Ipv6, device: Device) -> bool:
        """Send a packet out of ``device``; False if it was dropped on the way."""
        self._mib["OutRequests"] += 1
        nexthop = dst = packet.dst
        if not is_multicast_ip(dst):
            route = self.route_output(dst, device)
            if route is None:
                self._mib["OutNoRoutes"] += 1
                return False
            nexthop = route.gateway or dst
        skb = Skb(packet.emit())
        skb.protocol = ETH_P_IPV6
        return self.ip6_finish_output2(skb, device, nexthop)

    def ip6_finish_output2(self, skb: Skb, device: Device, nexthop: bytes) -> bool:
        """To the link: groups have their MAC in the address, others a neighbour."""
        if not device.flags & IFF_UP:
            self._mib["OutDiscards"] += 1
            return False
        self._cpu.local_bh_disable()
        if is_multicast_ip(nexthop):
            skb.head = b"".join((multicast_mac(nexthop), device.dev_addr, _TYPE, skb.head))
            sent = self._dev_queue_xmit(skb, device)
        else:
            sent = self.nd.neigh_output(self.nd.lookup_or_create(nexthop, device), skb)
        self._cpu.local_bh_enable()
        return sent

    def link_failure(self, skb: Skb) -> None:
        """``ip6_link_failure``: the neighbour does not answer. No program is there to be told."""
        self._mib["OutDiscards"] += 1

    # Input.

    def ipv6_rcv(self, skb: Skb, device: Device) -> None:
        """Check the header and decide whose packet it is."""
        mib = self._mib
        mib["InReceives"] += 1
        idev = self._devs.of.get(device)
        if idev is None or (skb.head[:6] != device.dev_addr and not skb.head[0] & 1):
            mib["InDiscards"] += 1
            return
        try:
            packet = Ipv6.parse(skb.head[14:])
        except WireError:
            mib["InHdrErrors"] += 1
            return
        src, dst = packet.src, packet.dst
        if is_multicast_ip(src) or src == IP6_LOOPBACK or dst == IP6_LOOPBACK:
            mib["InHdrErrors"] += 1
        elif is_multicast_ip(dst):
            if addr_scope(dst) >= SCOPE_LINK and idev.ipv6_chk_mcast_addr(dst):
                mib["InMcastPkts"] += 1
                self.ip6_input(packet, idev, skb.head[6:12])
            else:
                mib["InDiscards"] += 1
        elif self._devs.ipv6_chk_addr(dst):
            self.ip6_input(packet, idev, skb.head[6:12])
        else:
            mib["InAddrErrors"] += 1

    def ip6_input(self, packet: Ipv6, idev: Inet6Dev, mac: bytes) -> None:
        """To ICMPv6, past the hop-by-hop header; ``mac`` is the sender's."""
        protocol, message = packet.next_header, packet.payload
        if protocol == NEXT_HOP_BY_HOP:
            size = 8 + message[1] * 8 if len(message) >= 8 else 0
            if not 0 < size <= len(message) or not ipv6_parse_hopopts(message[2:size]):
                self._mib["InHdrErrors"] += 1
                return
            protocol, message = message[0], message[size:]
        if protocol == NEXT_ICMPV6:
            self._mib["InDelivers"] += 1
            self.icmpv6_rcv(packet, message, idev, mac)
        elif protocol in _EXTENSIONS:
            self._mib["InHdrErrors"] += 1
        elif protocol != NEXT_NONE:
            self._mib["InUnknownProtos"] += 1


def ipv6_parse_hopopts(options: bytes) -> bool:
    """Whether a node has to go on with a packet that has these options (RFC 8200 section 4.2)."""
    at = 0
    while at < len(options):
        kind = options[at]
        if kind == 0:
            at += 1
            continue
        if at + 2 > len(options) or at + 2 + options[at + 1] > len(options):
            return False
        if kind not in (1, 5) and kind & 0xC0:
            return False
        at += 2 + options[at + 1]
    return True
