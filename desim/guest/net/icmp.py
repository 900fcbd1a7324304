"""ICMP: answers to echo requests, errors sent and errors received (net/ipv4/icmp.c; RFC 792).

Not modelled: the rate limit of sent errors (a burst of 50, then 1,000 a second), ping
sockets, timestamps, redirects, path MTU discovery.
"""

from __future__ import annotations

import errno

from desim.data import NamedTuple, Protocol
from desim.guest.net.device import Device
from desim.guest.net.ip import IP_PMTUDISC_DONT, Ip
from desim.guest.net.snmp import Snmp
from desim.guest.skb import Skb
from desim.stages import GUEST, mark, stages
from desim.wire.errors import WireError
from desim.wire.icmp import (
    ICMP_DEST_UNREACH,
    ICMP_ECHO,
    ICMP_ECHOREPLY,
    ICMP_EXC_FRAGTIME,
    ICMP_HOST_UNREACH,
    ICMP_PARAMETERPROB,
    ICMP_PORT_UNREACH,
    ICMP_PROT_UNREACH,
    ICMP_TIME_EXCEEDED,
    Icmp,
)
from desim.wire.ipv4 import PROTO_ICMP, Ipv4

_INTERNETCONTROL = 0xC0
_MAX_ERROR = 576 - 20 - 8


class IcmpError(NamedTuple):
    """What an error means to a program, and whether nothing more can come of trying."""

    number: int
    fatal: bool


UNREACHABLE = (
    IcmpError(errno.ENETUNREACH, False),
    IcmpError(errno.EHOSTUNREACH, False),
    IcmpError(errno.ENOPROTOOPT, True),
    IcmpError(errno.ECONNREFUSED, True),
    IcmpError(errno.EMSGSIZE, False),
    IcmpError(errno.EOPNOTSUPP, False),
    IcmpError(errno.ENETUNREACH, True),
    IcmpError(errno.EHOSTDOWN, True),
    IcmpError(errno.ENONET, True),
    IcmpError(errno.ENETUNREACH, True),
    IcmpError(errno.EHOSTUNREACH, True),
    IcmpError(errno.ENETUNREACH, False),
    IcmpError(errno.EHOSTUNREACH, False),
    IcmpError(errno.EHOSTUNREACH, True),
    IcmpError(errno.EHOSTUNREACH, True),
    IcmpError(errno.EHOSTUNREACH, True),
)
"""``icmp_err_convert``: destination unreachable, by code."""


def meaning(kind: int, code: int) -> IcmpError:
    """What a message of that type and code means: unreachable, time exceeded, or a bad header."""
    if kind == ICMP_DEST_UNREACH:
        return UNREACHABLE[code]
    if kind == ICMP_PARAMETERPROB:
        return IcmpError(errno.EPROTO, True)
    return IcmpError(errno.EHOSTUNREACH, False)


class ErrorHandler(Protocol):
    """What TCP and UDP do about an ICMP error (``tcp_v4_err``, ``__udp4_lib_err``).

    ``packet`` is what the error quotes of a packet of ours, and came in by ``device``.
    """

    def __call__(self, packet: Ipv4, kind: int, code: int, device: Device) -> None: ...


class IcmpCore:
    """The ICMP of the host."""

    STAGES = stages(
        GUEST,
        icmp_rcv=mark("icmp_rcv", file="net/ipv4/icmp.c"),
        icmp_reply=mark("icmp_reply", file="net/ipv4/icmp.c"),
        icmp_send=mark("__icmp_send", file="net/ipv4/icmp.c"),
        icmp_unreach=mark("icmp_unreach", file="net/ipv4/icmp.c"),
    )

    def __init__(self, *, ip: Ip, snmp: Snmp) -> None:
        self._ip = ip
        self._mib = snmp.icmp
        self.errors: dict[int, ErrorHandler] = {}

    def icmp_rcv(self, skb: Skb, packet: Ipv4, device: Device) -> None:
        """A message for us."""
        self._mib["InMsgs"] += 1
        try:
            message = Icmp.parse(packet.payload)
        except WireError:
            self._mib["InErrors"] += 1
            return
        if not message.sum_ok:
            self._mib["InCsumErrors"] += 1
            self._mib["InErrors"] += 1
        elif message.type == ICMP_ECHO:
            self._mib["InEchos"] += 1
            # Requests to everybody are ignored (icmp_echo_ignore_broadcasts).
            if self._ip.is_local(packet.dst):
                self.icmp_reply(packet, message)
        elif message.type == ICMP_DEST_UNREACH:
            self._mib["InDestUnreachs"] += 1
            if message.code < len(UNREACHABLE):
                self.icmp_unreach(message, device)
        elif message.type == ICMP_TIME_EXCEEDED:
            self._mib["InTimeExcds"] += 1
            # A datagram that was given up for want of a fragment is nobody's error.
            if message.code != ICMP_EXC_FRAGTIME:
                self.icmp_unreach(message, device)
        elif message.type == ICMP_PARAMETERPROB:
            self._mib["InParmProbs"] += 1
            self.icmp_unreach(message, device)
        elif message.type == ICMP_ECHOREPLY:
            # Whoever asked reads it from a packet socket.
            self._mib["InEchoReps"] += 1
        else:
            self._mib["InErrors"] += 1

    def icmp_reply(self, packet: Ipv4, message: Icmp) -> None:
        """The same data back to the sender."""
        answer = Icmp.echo(message.ident, message.sequence, message.payload, reply=True)
        self._push(packet.src, packet.dst, answer, packet.tos)

    def _push(self, dst: bytes, src: bytes, message: Icmp, tos: int) -> None:
        """``icmp_push_reply``: the kernel's own socket lets routers fragment, and has to, too."""
        try:
            self._ip.ip_push_pending_frames(
                Skb(message.emit()),
                self._ip.route_output(dst),
                src,
                dst,
                PROTO_ICMP,
                pmtudisc=IP_PMTUDISC_DONT,
                tos=tos,
            )
        except OSError:
            self._mib["OutErrors"] += 1

    def icmp_send(self, packet: Ipv4, kind: int, code: int, size: int = _MAX_ERROR) -> None:
        """An error about ``packet``, to its sender; never about a broadcast.

        It quotes what is left of it, at most ``size`` bytes.
        """
        if not self._ip.is_local(packet.dst) or self._ip.is_broadcast(packet.src):
            return
        if packet.src == bytes(4) or packet.src[0] & 0xF0 == 0xE0:
            return
        quoted = packet.emit()[: min(size, _MAX_ERROR)]
        self._push(packet.src, packet.dst, Icmp(kind, code, 0, quoted), _INTERNETCONTROL)

    def proto_unreachable(self, packet: Ipv4) -> None:
        """Nobody here knows the protocol of ``packet``."""
        self.icmp_send(packet, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH)

    def port_unreachable(self, packet: Ipv4) -> None:
        """Nobody here has the port that ``packet`` is for."""
        self.icmp_send(packet, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH)

    def frag_time_exceeded(self, packet: Ipv4, size: int) -> None:
        """The datagram that ``packet`` starts has not become complete in time."""
        self.icmp_send(packet, ICMP_TIME_EXCEEDED, ICMP_EXC_FRAGTIME, size)

    def icmp_unreach(self, message: Icmp, device: Device) -> None:
        """Somebody could not deliver a packet of ours: tell its protocol."""
        try:
            quoted = Ipv4.parse(message.payload, quoted=True)
        except WireError:
            self._mib["InErrors"] += 1
            return
        self._tell(quoted, message.type, message.code, device)

    def link_failure(self, head: bytes) -> None:
        """Our own neighbour table gave up on a packet of ours (``head``: from its IP header on).

        Of a datagram's fragments only the first says whose it is.
        """
        try:
            quoted = Ipv4.parse(head, quoted=True)
        except WireError:
            return
        if self._ip.is_local(quoted.src) and not quoted.offset:
            self._tell(quoted, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, self._ip.loopback)

    def _tell(self, quoted: Ipv4, kind: int, code: int, device: Device) -> None:
        handler = self.errors.get(quoted.protocol)
        if handler is not None and len(quoted.payload) >= 8:
            handler(quoted, kind, code, device)
