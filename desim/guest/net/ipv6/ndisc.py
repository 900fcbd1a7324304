"""Neighbour discovery (net/ipv6/ndisc.c; RFC 4861), on the states of ``NeighTable``.

Theory of operation
-------------------
Solicitations for an address of ours are answered: to everybody if it was asked from ::
(somebody wants to take the address), to the asker otherwise, who is thereby a STALE
neighbour. An advertisement makes the neighbour REACHABLE if we had asked for it. A
solicitation or an advertisement for an address that is still tentative here is what
duplicate address detection looks for, unless the nonce says that it is our own.

A router advertisement counts as the answer to our solicitation only after IF_RS_SENT is
set, which happens behind ``ndisc_send_rs``. An answer that is taken off the card inside
that call (no interrupt mitigation, or a slow processor) comes too early: its contents
are used, but another solicitation follows four seconds later. The recordings show both.

Not modelled: redirects, proxies, the times that a router may prescribe (slirp leaves them
open), the options MTU, route information and RDNSS (which the kernel leaves to programs).
"""

from __future__ import annotations

from collections.abc import Callable

from desim.data import Protocol
from desim.guest.cpu.context import HZ, Cpu
from desim.guest.net.device import Device
from desim.guest.net.ipv6.if_inet6 import (
    ALL_NODES,
    ALL_ROUTERS,
    IF_RA_RCVD,
    IF_RS_SENT,
    SCOPE_LINK,
    Inet6Dev,
    Inet6Devs,
    Inet6IfAddr,
    addr_scope,
    addr_solict_mult,
)
from desim.guest.net.ipv6.ip6 import Ip6
from desim.guest.net.neigh import (
    NUD_REACHABLE,
    NUD_STALE,
    NUD_VALID,
    UCAST_PROBES,
    Neighbour,
    NeighTable,
)
from desim.guest.net.snmp import Snmp
from desim.guest.skb import Skb
from desim.ports import Random
from desim.stages import GUEST, mark, stages
from desim.wire.addresses import IP6_ANY, is_multicast_ip
from desim.wire.errors import WireError
from desim.wire.ethernet import ETH_P_IPV6
from desim.wire.icmpv6 import (
    NDISC_NEIGHBOUR_ADVERTISEMENT,
    NDISC_NEIGHBOUR_SOLICITATION,
    NDISC_ROUTER_ADVERTISEMENT,
    NDISC_ROUTER_SOLICITATION,
    Icmpv6,
)
from desim.wire.icmpv6_nd import (
    NA_OVERRIDE,
    NA_SOLICITED,
    PrefixInfo,
    RouterAdvertisement,
    neighbour_advertisement,
    neighbour_solicitation,
    router_solicitation,
)
from desim.wire.icmpv6_nd import Neighbour as NeighbourMessage
from desim.wire.ipv6 import NEXT_ICMPV6, Ipv6

FILE = "net/ipv6/ndisc.c"

NDISC_HOP_LIMIT = 255
NDISC_TYPES = (
    NDISC_ROUTER_SOLICITATION,
    NDISC_ROUTER_ADVERTISEMENT,
    NDISC_NEIGHBOUR_SOLICITATION,
    NDISC_NEIGHBOUR_ADVERTISEMENT,
)
_DEFAULT = bytes(16)


class AddressConfiguration(Protocol):
    """What neighbour discovery tells the configuration of addresses."""

    def addrconf_dad_failure(self, ifp: Inet6IfAddr, mac: bytes) -> None: ...
    def addrconf_prefix_rcv(self, idev: Inet6Dev, info: PrefixInfo) -> None: ...


class Ndisc(NeighTable):
    """The table of IPv6 neighbours and their protocol."""

    STAGES = stages(
        GUEST,
        ndisc_send_skb=mark("ndisc_send_skb", file=FILE),
        ndisc_send_rs=mark("ndisc_send_rs", file=FILE),
        ndisc_send_ns=mark("ndisc_send_ns", file=FILE),
        ndisc_send_na=mark("ndisc_send_na", file=FILE),
        solicit=mark("ndisc_solicit", file=FILE),
        ndisc_rcv=mark("ndisc_rcv", file=FILE),
        ndisc_recv_ns=mark("ndisc_recv_ns", file=FILE),
        ndisc_recv_na=mark("ndisc_recv_na", file=FILE),
        ndisc_router_discovery=mark("ndisc_router_discovery", file=FILE),
    )

    addrconf: AddressConfiguration

    def __init__(
        self,
        *,
        cpu: Cpu,
        snmp: Snmp,
        random: Random,
        ip6: Ip6,
        devs: Inet6Devs,
        dev_queue_xmit: Callable[[Skb, Device], bool],
        free_skb: Callable[[Skb], None],
    ) -> None:
        super().__init__(
            cpu=cpu,
            counters=snmp.ip6,
            random=random,
            stream="nd_reachable_time",
            protocol=ETH_P_IPV6,
            family=ip6,
            dev_queue_xmit=dev_queue_xmit,
            free_skb=free_skb,
        )
        self._mib = snmp.icmp6
        self._ip6 = ip6
        self._devs = devs

    # Sending.

    def ndisc_send_skb(self, message: Icmpv6, src: bytes, dst: bytes, device: Device) -> None:
        """Send a message that nobody beyond the link may have sent."""
        self._mib["OutMsgs"] += 1
        packet = Ipv6(src, dst, NEXT_ICMPV6, message.emit(src, dst), NDISC_HOP_LIMIT)
        self._ip6.ip6_output(packet, device)

    def ndisc_send_rs(self, device: Device, src: bytes) -> None:
        """Ask for routers."""
        self._mib["OutRouterSolicits"] += 1
        self.ndisc_send_skb(router_solicitation(device.dev_addr), src, ALL_ROUTERS, device)

    def ndisc_send_ns(
        self, device: Device, target: bytes, dst: bytes, src: bytes, nonce: bytes | None = None
    ) -> None:
        """Ask for ``target``; from :: to see whether it is free."""
        lladdr = None if src == IP6_ANY else device.dev_addr
        self._mib["OutNeighborSolicits"] += 1
        message = neighbour_solicitation(target, lladdr=lladdr, nonce=nonce)
        self.ndisc_send_skb(message, src, dst, device)

    def ndisc_send_na(
        self, device: Device, dst: bytes, target: bytes, flags: int, lladdr: bytes | None
    ) -> None:
        """Say that ``target`` is here."""
        self._mib["OutNeighborAdvertisements"] += 1
        message = neighbour_advertisement(target, flags, lladdr=lladdr)
        self.ndisc_send_skb(message, target, dst, device)

    def solicit(self, neigh: Neighbour, probes: int) -> None:
        """A solicitation: to the neighbour while it is being checked, else to its group."""
        device, target = neigh.device, neigh.primary_key
        src = None
        if neigh.arp_queue:
            src = neigh.arp_queue[-1].head[8:24]
            if not self._devs.ipv6_chk_addr(src):
                src = None
        if src is None:
            idev = self._devs.of.get(device)
            src = None if idev is None else idev.ipv6_get_lladdr()
        if src is not None:
            dst = target if probes < UCAST_PROBES else addr_solict_mult(target)
            self.ndisc_send_ns(device, target, dst, src)

    # Receiving.

    def ndisc_rcv(self, packet: Ipv6, message: Icmpv6, idev: Inet6Dev, mac: bytes) -> None:
        """A message of neighbour discovery, if it comes from the link itself."""
        if packet.hop_limit != NDISC_HOP_LIMIT or message.code != 0:
            return
        try:
            if message.type == NDISC_ROUTER_ADVERTISEMENT:
                self.ndisc_router_discovery(packet, RouterAdvertisement.parse(message.body), idev)
            elif message.type == NDISC_NEIGHBOUR_SOLICITATION:
                self.ndisc_recv_ns(packet, NeighbourMessage.parse(message.body), idev, mac)
            elif message.type == NDISC_NEIGHBOUR_ADVERTISEMENT:
                self.ndisc_recv_na(packet, NeighbourMessage.parse(message.body), idev, mac)
        except WireError:
            self._mib["InErrors"] += 1

    def ndisc_recv_ns(
        self, packet: Ipv6, message: NeighbourMessage, idev: Inet6Dev, mac: bytes
    ) -> None:
        """Somebody asks for an address, or wants to take it."""
        src, target, options = packet.src, message.target, message.options
        dad = src == IP6_ANY
        if is_multicast_ip(target):
            return
        if dad and (packet.dst != addr_solict_mult(target) or options.source_lladdr is not None):
            return
        ifp = idev.ipv6_get_ifaddr(target)
        if ifp is None:
            return
        if ifp.tentative:
            if dad and options.nonce != ifp.dad_nonce:
                self.addrconf.addrconf_dad_failure(ifp, mac)
            return
        device = idev.device
        if dad:
            self.ndisc_send_na(device, ALL_NODES, target, NA_OVERRIDE, device.dev_addr)
            return
        to_group = is_multicast_ip(packet.dst)
        if options.source_lladdr is not None:
            neigh = self.lookup_or_create(src, device)
            self.neigh_update(neigh, options.source_lladdr, NUD_STALE, override=True)
        elif to_group and self.lookup(src, device) is None:
            return
        flags = NA_SOLICITED | (NA_OVERRIDE if to_group else 0)
        self.ndisc_send_na(device, src, target, flags, device.dev_addr if to_group else None)

    def ndisc_recv_na(
        self, packet: Ipv6, message: NeighbourMessage, idev: Inet6Dev, mac: bytes
    ) -> None:
        """A neighbour says that it has an address."""
        target, solicited = message.target, bool(message.flags & NA_SOLICITED)
        if is_multicast_ip(target) or (solicited and is_multicast_ip(packet.dst)):
            return
        ifp = idev.ipv6_get_ifaddr(target)
        if ifp is not None:
            if ifp.tentative:
                self.addrconf.addrconf_dad_failure(ifp, mac)
            return
        neigh = self.lookup(target, idev.device)
        if neigh is None:
            return
        state = NUD_REACHABLE if solicited else NUD_STALE
        override = bool(message.flags & NA_OVERRIDE)
        lladdr = message.options.target_lladdr
        if lladdr is None:
            if not neigh.nud_state & NUD_VALID:
                return
            lladdr = neigh.ha
        self.neigh_update(neigh, lladdr, state, override=override, weak=True)

    def ndisc_router_discovery(
        self, packet: Ipv6, message: RouterAdvertisement, idev: Inet6Dev
    ) -> None:
        """A router says what it offers: itself, and prefixes."""
        src, device = packet.src, idev.device
        if addr_scope(src) != SCOPE_LINK:
            return
        if idev.if_flags & IF_RS_SENT:
            idev.if_flags |= IF_RA_RCVD
        if message.lifetime_s:
            expires = self._cpu.jiffies + message.lifetime_s * HZ
            self._ip6.set_route(_DEFAULT, 0, device, src, expires)
        else:
            self._ip6.del_route(_DEFAULT, 0, device, src)
        if message.hop_limit:
            idev.hop_limit = message.hop_limit
        lladdr = message.options.source_lladdr
        if lladdr is not None:
            neigh = self.lookup_or_create(src, device)
            self.neigh_update(neigh, lladdr, NUD_STALE, override=True)
        for info in message.options.prefixes:
            self.addrconf.addrconf_prefix_rcv(idev, info)
