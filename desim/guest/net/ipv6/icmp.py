"""ICMPv6 of the guest (net/ipv6/icmp.c; RFC 4443).

Echo is answered; neighbour discovery goes to ``Ndisc``. Errors and listener queries are
counted: no program sends over IPv6 that could be told of one, and slirp asks nobody what
the guest listens to.

The answer to an echo has a flow label that is the same for the same two hosts, as Linux'
hash of a key drawn at boot is; the hash itself is another.

Not modelled: the rate limit of answers (1000 a second), errors of our own.
"""

from __future__ import annotations

import zlib

from desim.guest.cpu.context import Cpu
from desim.guest.net.ipv6.if_inet6 import Inet6Dev, ipv6_dev_get_saddr
from desim.guest.net.ipv6.ip6 import Ip6
from desim.guest.net.ipv6.ndisc import NDISC_TYPES, Ndisc
from desim.guest.net.snmp import Snmp
from desim.ports import Random
from desim.stages import GUEST, mark, stages
from desim.wire.addresses import IP6_ANY, is_multicast_ip
from desim.wire.errors import WireError
from desim.wire.icmpv6 import ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST, Icmpv6
from desim.wire.ipv6 import NEXT_ICMPV6, Ipv6

_COUNTERS = {
    1: "InDestUnreachs",
    2: "InPktTooBigs",
    3: "InTimeExcds",
    4: "InParmProblems",
    128: "InEchos",
    129: "InEchoReplies",
    130: "InGroupMembQueries",
    133: "InRouterSolicits",
    134: "InRouterAdvertisements",
    135: "InNeighborSolicits",
    136: "InNeighborAdvertisements",
    137: "InRedirects",
    143: "InMLDv2Reports",
}


class Icmp6:
    """The ICMPv6 of the host."""

    STAGES = stages(
        GUEST,
        icmpv6_rcv=mark("icmpv6_rcv", file="net/ipv6/icmp.c"),
        icmpv6_echo_reply=mark("icmpv6_echo_reply", file="net/ipv6/icmp.c"),
    )

    def __init__(self, *, cpu: Cpu, snmp: Snmp, random: Random, ip6: Ip6, ndisc: Ndisc) -> None:
        self._cpu = cpu
        self._mib = snmp.icmp6
        self._ip6 = ip6
        self._ndisc = ndisc
        self._flow_key = random("ipv6_flow_label").u32()

    def icmpv6_rcv(self, packet: Ipv6, message: bytes, idev: Inet6Dev, mac: bytes) -> None:
        """A message for us; ``mac`` sent it."""
        mib = self._mib
        mib["InMsgs"] += 1
        try:
            icmp = Icmpv6.parse(message, packet.src, packet.dst)
        except WireError:
            mib["InErrors"] += 1
            return
        if not icmp.sum_ok:
            mib["InCsumErrors"] += 1
            mib["InErrors"] += 1
            return
        mib[_COUNTERS.get(icmp.type, f"InType{icmp.type}")] += 1
        if icmp.type == ICMPV6_ECHO_REQUEST:
            self.icmpv6_echo_reply(packet, icmp, idev)
        elif icmp.type in NDISC_TYPES:
            self._ndisc.ndisc_rcv(packet, icmp, idev, mac)

    def icmpv6_echo_reply(self, packet: Ipv6, request: Icmpv6, idev: Inet6Dev) -> None:
        """The same data back to the sender."""
        to, src = packet.src, packet.dst
        if is_multicast_ip(src):
            chosen = ipv6_dev_get_saddr(idev, to, self._cpu.jiffies)
            if chosen is None:
                return
            src = chosen
        if to == IP6_ANY:
            return
        answer = Icmpv6(ICMPV6_ECHO_REPLY, 0, request.body).emit(src, to)
        self._mib["OutMsgs"] += 1
        self._mib["OutEchoReplies"] += 1
        label = zlib.crc32(src + to, self._flow_key) & 0xFFFFF
        self._ip6.ip6_output(
            Ipv6(src, to, NEXT_ICMPV6, answer, idev.hop_limit, flow_label=label), idev.device
        )
