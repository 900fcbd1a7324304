"""IPv6 of one guest, put together (net/ipv6/af_inet6.c).

With it the guest does by itself what every Linux does on a link that comes up: see
``desim.guest.net.ipv6.addrconf``. Without it (a kernel with ``ipv6.disable=1``) no group
of IPv6 is joined, and its frames are packets of no known protocol.

Not modelled: IPv6 sockets.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.guest.cpu.context import Cpu
from desim.guest.net.dev import NetCore
from desim.guest.net.device import Device
from desim.guest.net.ipv6.addrconf import Addrconf
from desim.guest.net.ipv6.icmp import Icmp6
from desim.guest.net.ipv6.if_inet6 import Inet6Devs
from desim.guest.net.ipv6.ip6 import Ip6
from desim.guest.net.ipv6.mcast import Mcast
from desim.guest.net.ipv6.ndisc import Ndisc
from desim.guest.net.snmp import Snmp
from desim.ports import Random
from desim.stages import Build


class Inet6:
    """The IPv6 of a host; hooks itself into ``core``."""

    def __init__(
        self,
        *,
        cpu: Cpu,
        snmp: Snmp,
        random: Random,
        core: NetCore,
        log: Callable[[str], None],
        build: Build,
    ) -> None:
        self.devs = devs = Inet6Devs()
        self.ip6: Ip6 = build(Ip6)(
            cpu=cpu, snmp=snmp, devs=devs, dev_queue_xmit=core.dev_queue_xmit
        )
        self.ndisc: Ndisc = build(Ndisc)(
            cpu=cpu,
            snmp=snmp,
            random=random,
            ip6=self.ip6,
            devs=devs,
            dev_queue_xmit=core.dev_queue_xmit,
            free_skb=core.free_skb,
        )
        self.icmp: Icmp6 = build(Icmp6)(
            cpu=cpu, snmp=snmp, random=random, ip6=self.ip6, ndisc=self.ndisc
        )
        self.mcast: Mcast = build(Mcast)(cpu=cpu, snmp=snmp, random=random, ip6=self.ip6)
        self.addrconf: Addrconf = build(Addrconf)(
            cpu=cpu,
            random=random,
            devs=devs,
            ip6=self.ip6,
            mcast=self.mcast,
            ndisc=self.ndisc,
            log=log,
        )
        self.ip6.nd = self.ndisc
        self.ip6.icmpv6_rcv = self.icmp.icmpv6_rcv
        self.ndisc.addrconf = self.addrconf
        core.ipv6_rcv = self.ip6.ipv6_rcv
        core.netdev_chain.append(self.addrconf.addrconf_notify)

    def addresses(self, device: Device) -> list[tuple[bytes, int]]:
        """The addresses of an interface and their prefix lengths, tentative ones too."""
        idev = self.devs.of[device]
        return [(ifp.address, ifp.prefix_len) for ifp in idev.addr_list]

    def idle(self) -> bool:
        """Whether nothing will happen by itself any more, but for what is periodic."""
        return self.ndisc.idle() and not any(
            idev.mc_ifc_work.pending
            or idev.mc_dad_work.pending
            or any(ifp.dad_work.pending for ifp in idev.addr_list)
            for idev in self.devs.of.values()
        )
