"""ICMPv6 and neighbour discovery (slirp/ip6_icmp.c, slirp/ndp_table.c, RFC 4443, RFC 4861).

slirp is a router that advertises itself as such, but forwards nothing: a router
advertisement answers each solicitation, and goes out after a random 200 to 600 s
again and again. Neighbour solicitations are answered for the host's and the DNS
address, on the prefix and as link-local addresses. Echo is answered for the same.

The table of neighbours has 16 slots and works like the ARP table.

Not modelled: echo to elsewhere, which the real slirp does not have either; the
messages that it logs about guests that advertise themselves as routers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from desim.slirp import reasons
from desim.slirp.datagram import Datagram, Mbuf
from desim.stages import QEMU, mark, stages
from desim.wire.addresses import BROADCAST_MAC, IP6_ANY, multicast_mac
from desim.wire.checksum import checksum, pseudo_sum

if TYPE_CHECKING:
    from desim.ports import Timer
    from desim.slirp.slirp import Slirp

IPPROTO_ICMPV6 = 58

ICMP6_UNREACH = 1
ICMP6_TOOBIG = 2
ICMP6_TIMXCEED = 3
ICMP6_PARAMPROB = 4
ICMP6_ECHO_REQUEST = 128
ICMP6_ECHO_REPLY = 129
ICMP6_NDP_RS = 133
ICMP6_NDP_RA = 134
ICMP6_NDP_NS = 135
ICMP6_NDP_NA = 136

ICMP6_UNREACH_NO_ROUTE = 0
ICMP6_UNREACH_ADDRESS = 3
ICMP6_UNREACH_PORT = 4

ICMP6_MINLEN = 4
ICMP6_ERROR_MINLEN = 8
RS_MINLEN = 8
NS_MINLEN = 24

NDP_TABLE_SIZE = 16
NDP_HOP_LIMIT = 255
NDP_MAX_RTR_ADV_INTERVAL_MS = 600_000
NDP_MIN_RTR_ADV_INTERVAL_MS = 200_000
ADV_CUR_HOP_LIMIT = 64
ADV_DEFAULT_LIFETIME_S = 3 * NDP_MAX_RTR_ADV_INTERVAL_MS // 1000
ADV_VALID_LIFETIME_S = 86400
ADV_PREFERRED_LIFETIME_S = 14400
RDNSS_LIFETIME = 2 * NDP_MAX_RTR_ADV_INTERVAL_MS
"""In a field of seconds; slirp takes its milliseconds for that."""

LINKLOCAL_ADDR = bytes.fromhex("fe80000000000000") + bytes(7) + b"\x02"
ALLNODES_MULTICAST = b"\xff\x02" + bytes(13) + b"\x01"
SOLICITED_NODE_PREFIX = b"\xff\x02" + bytes(9) + b"\x01\xff"

_RA = struct.Struct("!BBHBBHII")
_PREFIX = struct.Struct("!BBBBIII16s")
_RDNSS = struct.Struct("!BBHI16s")


def ra_interval_ms(below: Callable[[int], int]) -> int:
    """A pause before an unsolicited router advertisement, drawn evenly as libslirp does.

    ``below(n)`` draws a number from 0 to ``n`` - 1.
    """
    span = NDP_MAX_RTR_ADV_INTERVAL_MS - NDP_MIN_RTR_ADV_INTERVAL_MS
    return NDP_MIN_RTR_ADV_INTERVAL_MS + below(span)


def special_ethaddr6(address: bytes) -> bytes:
    """The MAC of one of slirp's own IPv6 addresses."""
    return b"\x52\x56" + address[12:]


class Icmp6:
    """ICMPv6, the table of neighbours, and the router advertisements."""

    STAGES = stages(
        QEMU,
        icmp6_input=mark("icmp6_input", file="slirp/ip6_icmp.c"),
        ndp_input=mark("ndp_input", file="slirp/ip6_icmp.c"),
        icmp6_send_error=mark("icmp6_send_error", file="slirp/ip6_icmp.c"),
        ra_timer_handler=mark("ra_timer_handler", file="slirp/ip6_icmp.c"),
        ndp_send_ra=mark("ndp_send_ra", file="slirp/ip6_icmp.c"),
        ndp_send_ns=mark("ndp_send_ns", file="slirp/ip6_icmp.c"),
        ndp_send_na=mark("ndp_send_na", file="slirp/ip6_icmp.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp
        self._slots: list[bytes | None] = [None] * NDP_TABLE_SIZE
        self._macs: dict[bytes, bytes] = {}
        self._next_victim = 0
        self.guest: bytes | None = None
        """The first neighbour that was learned: the guest."""
        self._ra_timer: Timer | None = None
        if slirp.config.ipv6 and slirp.ra_interval_ms is not None:
            self._ra_timer = slirp.clock.timer("ra", self.ra_timer_handler, periodic=True)
            self._arm()

    # -- neighbours --------------------------------------------------------------------

    def ndp_table_add(self, ip: bytes, mac: bytes) -> None:
        """Learn that ``ip`` is at ``mac``."""
        if ip[0] == 0xFF or ip == IP6_ANY:
            return
        if ip not in self._macs:
            if self.guest is None:
                self.guest = ip
            victim = self._slots[self._next_victim]
            if victim is not None:
                del self._macs[victim]
            self._slots[self._next_victim] = ip
            self._next_victim = (self._next_victim + 1) % NDP_TABLE_SIZE
        self._macs[ip] = mac

    def ndp_table_search(self, ip: bytes) -> bytes | None:
        """The MAC for ``ip``, None if it is not known."""
        if ip == IP6_ANY:
            return BROADCAST_MAC
        if ip[0] == 0xFF:
            return multicast_mac(ip)
        return self._macs.get(ip)

    def _is_host(self, ip: bytes) -> bool:
        """Whether ``ip`` is the host's or the DNS address, or link-local and like it."""
        config = self.slirp.config
        return any(
            (self.slirp.in_vprefix(ip) and self._same_machine(ip, own, config.ipv6_prefixlen))
            or (ip[:8] == LINKLOCAL_ADDR[:8] and ip[8:] == own[8:])
            for own in (config.ipv6_host, config.ipv6_dns)
        )

    @staticmethod
    def _same_machine(a: bytes, b: bytes, prefix_len: int) -> bool:
        mask = (1 << (128 - prefix_len)) - 1
        return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")) & mask == 0

    # -- input -------------------------------------------------------------------------

    def icmp6_input(self, datagram: Datagram, length: int) -> None:
        """An ICMPv6 message of ``length`` bytes from the guest."""
        slirp = self.slirp
        message = datagram.payload[:length]
        pseudo = pseudo_sum(datagram.src, datagram.dst, IPPROTO_ICMPV6, length)
        if length < ICMP6_MINLEN or checksum(message, pseudo):
            slirp.drop(datagram.frame, reasons.ICMP6_REFUSED)
            return
        kind = message[0]
        if kind == ICMP6_ECHO_REQUEST and self._is_host(datagram.dst):
            reply = bytes((ICMP6_ECHO_REPLY,)) + message[1:]
            self._send(datagram.dst, datagram.src, reply)
        elif kind in (ICMP6_NDP_RS, ICMP6_NDP_NS, ICMP6_NDP_NA):
            self.ndp_input(datagram, message)
        else:
            slirp.drop(datagram.frame, reasons.ICMP6_TYPE.of(type=str(kind)))

    def ndp_input(self, datagram: Datagram, message: bytes) -> None:
        """Neighbour discovery; only from the link itself, hence with hop limit 255."""
        if datagram.ttl != NDP_HOP_LIMIT or message[1] != 0:
            return
        kind = message[0]
        src, dst = datagram.src, datagram.dst
        mac = datagram.frame.raw[6:12]
        if kind == ICMP6_NDP_RS:
            if len(message) >= RS_MINLEN:
                self.ndp_table_add(src, mac)
                self.ndp_send_ra()
            return
        if len(message) < NS_MINLEN:
            return
        target = message[8:24]
        if target[0] == 0xFF:
            return
        if kind == ICMP6_NDP_NS:
            if src == IP6_ANY and dst[:13] != SOLICITED_NODE_PREFIX:
                return
            if self._is_host(target):
                self.ndp_table_add(src, mac)
                self.ndp_send_na(src, target)
        elif dst[0] != 0xFF or not message[4] & 0x40:
            self.ndp_table_add(src, mac)

    # -- output ------------------------------------------------------------------------

    def _message(self, src: bytes, dst: bytes, message: bytes) -> bytes:
        """``message`` with its checksum."""
        message = message[:2] + b"\0\0" + message[4:]
        total = checksum(message, pseudo_sum(src, dst, IPPROTO_ICMPV6, len(message)))
        return message[:2] + total.to_bytes(2, "big") + message[4:]

    def _send(self, src: bytes, dst: bytes, message: bytes) -> None:
        self.slirp.ip6.ip6_output(None, src, dst, IPPROTO_ICMPV6, self._message(src, dst, message))

    def icmp6_send_error(
        self, datagram: Datagram | None, kind: int, code: int, src: bytes = LINKLOCAL_ADDR
    ) -> None:
        """Tell the guest what became of ``datagram``, as much of it as fits the MTU."""
        if datagram is None or datagram.src[0] == 0xFF or datagram.src == IP6_ANY:
            return
        mtu = self.slirp.config.if_mtu
        head = bytes((kind, code, 0, 0)) + (mtu if kind == ICMP6_TOOBIG else 0).to_bytes(4, "big")
        quoted = (datagram.header + datagram.payload)[: mtu - 40 - ICMP6_ERROR_MINLEN]
        self._send(src, datagram.src, head + quoted)

    def _arm(self) -> None:
        slirp = self.slirp
        if self._ra_timer is not None and slirp.ra_interval_ms is not None:
            now_ms = slirp.clock.now() // 1_000_000
            self._ra_timer.arm((now_ms + slirp.ra_interval_ms()) * 1_000_000)

    def ra_timer_handler(self) -> None:
        """It is time for an unsolicited router advertisement."""
        self._arm()
        self.ndp_send_ra()

    def ndp_send_ra(self) -> None:
        """Advertise the prefix, ourselves as router, and perhaps the DNS address."""
        slirp = self.slirp
        config = slirp.config
        message = _RA.pack(ICMP6_NDP_RA, 0, 0, ADV_CUR_HOP_LIMIT, 0, ADV_DEFAULT_LIFETIME_S, 0, 0)
        message += b"\x01\x01" + special_ethaddr6(LINKLOCAL_ADDR)
        message += _PREFIX.pack(
            3,
            4,
            config.ipv6_prefixlen,
            0xC0,
            ADV_VALID_LIFETIME_S,
            ADV_PREFERRED_LIFETIME_S,
            0,
            config.ipv6_prefix,
        )
        if slirp.version.rdnss_always or slirp.socket_io.has_resolver6():
            message += _RDNSS.pack(25, 3, 0, RDNSS_LIFETIME, config.ipv6_dns)
        self._send(LINKLOCAL_ADDR, ALLNODES_MULTICAST, message)

    def ndp_send_ns(self, ip: bytes) -> None:
        """Ask who has ``ip``; goes out past the queues."""
        host = self.slirp.config.ipv6_host
        dst = SOLICITED_NODE_PREFIX + ip[13:]
        message = bytes((ICMP6_NDP_NS,)) + bytes(7) + ip + b"\x01\x01" + special_ethaddr6(host)
        packet: Mbuf = self.slirp.ip6.packet(
            host, dst, IPPROTO_ICMPV6, self._message(host, dst, message)
        )
        self.slirp.if_encap(packet)

    def ndp_send_na(self, asker: bytes, target: bytes) -> None:
        """Answer that ``target`` is here."""
        dst = ALLNODES_MULTICAST if asker == IP6_ANY else asker
        # Router and override; solicited unless it goes to everybody.
        flags = 0xA0 if dst[0] == 0xFF else 0xE0
        self._send(
            target,
            dst,
            bytes((ICMP6_NDP_NA, 0, 0, 0, flags, 0, 0, 0))
            + target
            + b"\x02\x01"
            + special_ethaddr6(target),
        )
