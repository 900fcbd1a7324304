"""UDP and its sockets (net/ipv4/udp.c; RFC 768).

Not modelled: corking, multicast groups, UDP segmentation offload, the error queue.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

from desim.guest.cpu.context import Cpu
from desim.guest.net.device import Device
from desim.guest.net.icmp import meaning
from desim.guest.net.ip import HEADER_LEN as IP_HEADER_LEN
from desim.guest.net.ip import Ip, Route
from desim.guest.net.snmp import Snmp
from desim.guest.net.sock import (
    RCV_SHUTDOWN,
    SEND_SHUTDOWN,
    DatagramSocket,
    error_of,
    would_block,
)
from desim.guest.skb import CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, Skb
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, Endpoint, Random
from desim.stages import GUEST, Build, Landmark, bare, mark, stages
from desim.userland.uapi import SHUT_RD, SHUT_WR, SO_BROADCAST, SO_REUSEADDR, Message
from desim.wire.addresses import IP_ANY
from desim.wire.checksum import pseudo_sum
from desim.wire.errors import WireError
from desim.wire.icmp import ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED
from desim.wire.ipv4 import PROTO_UDP, Ipv4
from desim.wire.udp import HEADER_LEN, Udp

PORT_LOW, PORT_HIGH = 32768, 60999

_HEADER = struct.Struct("!HHHH")


class UdpSocket(DatagramSocket):
    """A datagram socket."""

    STAGES = stages(
        GUEST,
        poll_events=mark("udp_poll", file="net/ipv4/udp.c"),
    )

    type = "udp"

    def __init__(self, core: UdpCore, cpu: Cpu) -> None:
        super().__init__(cpu, "udp socket", core.net_enable_timestamp)
        self._core = core
        self.saddr = IP_ANY
        self.sport = 0
        self.daddr = IP_ANY
        self.dport = 0
        self.inet_id = 0
        self.dst_pending_confirm = False
        self.broadcast = False
        """SO_BROADCAST."""
        self.reuse = False
        """SO_REUSEADDR: its port may be that of others who have it, too."""
        self.device: Device | None = None
        """SO_BINDTODEVICE."""
        self.shutdown_mask = 0

    def setsockopt(self, option: str, value: int) -> None:
        super().setsockopt(option, value)
        if option == SO_BROADCAST:
            self.broadcast = bool(value)
        elif option == SO_REUSEADDR:
            self.reuse = bool(value)

    def bind(self, address: bytes, port: int) -> None:
        """bind(2); port 0 takes a free one."""
        if self.sport:
            raise error_of(errno.EINVAL)
        if address != IP_ANY and not self._core.ip.is_local(address):
            if not self._core.ip.is_broadcast(address):
                raise error_of(errno.EADDRNOTAVAIL)
        self._core.udp_lib_get_port(self, address, port)

    def connect(self, address: bytes, port: int) -> None:
        """Take datagrams from one peer only, and send to it."""
        route = self._core.ip.route_output(address, self.device)
        if not self.sport:
            self._core.udp_lib_get_port(self, IP_ANY, 0)
        self._cpu.local_bh_disable()
        if self.saddr == IP_ANY:
            self.saddr = route.source
        self.daddr, self.dport = address, port
        self._cpu.local_bh_enable()
        self.inet_id = self._core.random_id()

    def send(self, data: bytes) -> int:
        """To the connected peer."""
        if not self.dport:
            raise error_of(errno.EDESTADDRREQ)
        return self._core.udp_sendmsg(self, data, self.daddr, self.dport)

    def sendto(self, data: bytes, to: Endpoint) -> int:
        """One datagram to ``to``."""
        return self._core.udp_sendmsg(self, data, *to)

    def recvmsg(self, size: int) -> Message:
        """The next datagram, cut to ``size``, with its sender and its stamp."""
        return self._core.udp_recvmsg(self, size)

    def shutdown(self, how: int) -> None:
        """shutdown(2)."""
        if not self.dport:
            raise error_of(errno.ENOTCONN)
        if how != SHUT_WR:
            self.shutdown_mask |= RCV_SHUTDOWN
        if how != SHUT_RD:
            self.shutdown_mask |= SEND_SHUTDOWN
        self.sock_def_readable()

    def poll_events(self) -> int:
        self._cpu.touch("lock_sock")
        events = POLLOUT
        if self.receive_queue or self.shutdown_mask & RCV_SHUTDOWN:
            events |= POLLIN
        if self.sk_err:
            events |= POLLERR
        if self.shutdown_mask == RCV_SHUTDOWN | SEND_SHUTDOWN:
            events |= POLLHUP
        return events

    def close(self) -> None:
        """close(2): what has not been read is lost."""
        if not self.closed:
            self.closed = True
            self._cpu.local_bh_disable()
            self.sock_enable_timestamp(False)
            self._core.sockets.pop(self, None)
            self.receive_queue.clear()
            self._cpu.local_bh_enable()

    def getsockname(self) -> Endpoint:
        return self.saddr, self.sport

    def getpeername(self) -> Endpoint:
        if not self.dport:
            raise error_of(errno.ENOTCONN)
        return self.daddr, self.dport


class UdpCore:
    """All UDP sockets of the host, in the order of their binding."""

    STAGES = stages(
        GUEST,
        udp_sendmsg=mark("udp_sendmsg", file="net/ipv4/udp.c", size="data"),
        udp_send_skb=mark("udp_send_skb", file="net/ipv4/udp.c", landmark=Landmark.SENT_BY_GUEST),
        udp_recvmsg=mark("udp_recvmsg", file="net/ipv4/udp.c"),
        udp_rcv=mark("udp_rcv", "__udp4_lib_rcv", file="net/ipv4/udp.c", landmark=Landmark.QUEUED),
    )

    def __init__(
        self,
        *,
        cpu: Cpu,
        ip: Ip,
        snmp: Snmp,
        random: Random,
        port_unreachable: Callable[[Ipv4], None],
        net_enable_timestamp: Callable[[int], None],
        build: Build = bare,
    ) -> None:
        self._cpu = cpu
        self.ip = ip
        self._mib = snmp.udp
        self._icmp = snmp.icmp
        self._random_port = random("udp_port")
        self._random_id = random("udp_id")
        self._port_unreachable = port_unreachable
        self.net_enable_timestamp = net_enable_timestamp
        self._build = build
        self.sockets: dict[UdpSocket, None] = {}

    def socket(self) -> UdpSocket:
        """A new socket."""
        made: UdpSocket = self._build(UdpSocket)(self, self._cpu)
        return made

    def random_id(self) -> int:
        """Where a connected socket's IP identifications start."""
        return self._random_id.u32() & 0xFFFF

    def udp_lib_get_port(self, sock: UdpSocket, address: bytes, port: int) -> None:
        """Bind to ``address`` and ``port``, or a free one; from now on datagrams find it."""
        if port:
            if self._taken(address, port, sock.reuse):
                raise error_of(errno.EADDRINUSE)
        else:
            span = PORT_HIGH - PORT_LOW + 1
            first = self._random_port.below(span)
            for offset in range(span):
                port = PORT_LOW + (first + offset) % span
                if not self._taken(address, port):
                    break
            else:
                raise error_of(errno.EADDRINUSE)
        self._cpu.local_bh_disable()
        sock.saddr, sock.sport = address, port
        self.sockets[sock] = None
        self._cpu.local_bh_enable()

    def _taken(self, address: bytes, port: int, reuse: bool = False) -> bool:
        """``udp_lib_lport_inuse``."""
        return any(
            held.sport == port
            and (IP_ANY in (address, held.saddr) or held.saddr == address)
            and not (reuse and held.reuse)
            for held in self.sockets
        )

    def udp_sendmsg(self, sock: UdpSocket, data: bytes, address: bytes, port: int) -> int:
        """Send one datagram, of at most 65,507 bytes."""
        if len(data) > 0xFFFF - IP_HEADER_LEN - HEADER_LEN:
            raise error_of(errno.EMSGSIZE)
        sock._take_error()
        if sock.shutdown_mask & SEND_SHUTDOWN:
            raise error_of(errno.EPIPE)
        if not 0 < port <= 0xFFFF:
            raise error_of(errno.EINVAL)
        if self.ip.is_broadcast(address) and not sock.broadcast:
            raise error_of(errno.EACCES)
        route = self.ip.route_output(address, sock.device)
        if not sock.sport:
            self.udp_lib_get_port(sock, IP_ANY, 0)
        source = route.source if sock.saddr == IP_ANY else sock.saddr
        self.udp_send_skb(sock, data, route, source, address, port)
        return len(data)

    def udp_send_skb(
        self, sock: UdpSocket, data: bytes, route: Route, src: bytes, dst: bytes, port: int
    ) -> None:
        """Put the header in front; the card completes the checksum if it gets one packet."""
        length = HEADER_LEN + len(data)
        if IP_HEADER_LEN + length > route.device.mtu:
            skb = Skb(Udp(sock.sport, port, data).emit(src, dst))
        else:
            partial = pseudo_sum(src, dst, PROTO_UDP, length) % 0xFFFF or 0xFFFF
            skb = Skb(_HEADER.pack(sock.sport, port, length, partial) + data)
            skb.ip_summed = CHECKSUM_PARTIAL
            skb.csum_start = 34
            skb.csum_offset = 6
        self.ip.ip_push_pending_frames(skb, route, src, dst, PROTO_UDP, sk=sock)
        self._mib["OutDatagrams"] += 1

    def udp_recvmsg(self, sock: UdpSocket, size: int) -> Message:
        """The oldest datagram that waits."""
        message = sock.skb_recv_datagram(size)
        if message is None:
            if sock.shutdown_mask & RCV_SHUTDOWN:
                return Message(b"", (IP_ANY, 0), None)
            raise would_block()
        return message

    def udp_rcv(self, skb: Skb, packet: Ipv4, device: Device) -> None:
        """A datagram for us: to its socket, or back as port unreachable."""
        mib = self._mib
        try:
            if skb.ip_summed == CHECKSUM_UNNECESSARY:
                udp = Udp.parse(packet.payload)
            else:
                udp = Udp.parse(packet.payload, packet.src, packet.dst)
        except WireError:
            mib["InErrors"] += 1
            return
        if not udp.sum_ok:
            mib["InCsumErrors"] += 1
            mib["InErrors"] += 1
            return
        sock = self.lookup(packet.src, udp.sport, packet.dst, udp.dport, device)
        if sock is None:
            mib["NoPorts"] += 1
            self._port_unreachable(packet)
            return
        if sock.sock_queue_rcv_skb(udp.payload, (packet.src, udp.sport), skb):
            mib["InDatagrams"] += 1
        else:
            mib["RcvbufErrors"] += 1
            mib["InErrors"] += 1

    def lookup(
        self, src: bytes, sport: int, dst: bytes, dport: int, device: Device
    ) -> UdpSocket | None:
        """The socket that fits best (``__udp4_lib_lookup``); of equals the last bound."""
        best, best_score = None, -1
        for sock in self.sockets:
            if sock.sport != dport:
                continue
            score = 0
            if sock.saddr != IP_ANY:
                if sock.saddr != dst:
                    continue
                score += 4
            if sock.dport:
                if sock.daddr != src or sock.dport != sport:
                    continue
                score += 8
            if sock.device is not None:
                if sock.device is not device:
                    continue
                score += 4
            if score >= best_score:
                best, best_score = sock, score
        return best

    def udp_err(self, packet: Ipv4, kind: int, code: int, device: Device) -> None:
        """``__udp4_lib_err``: an ICMP error about a datagram of ours.

        Without IP_RECVERR, which no program here sets, only a connected socket gets to know,
        and only of what Linux calls fatal: no such protocol or port, but not that the network
        or the host cannot be reached now.
        """
        sport = int.from_bytes(packet.payload[:2], "big")
        dport = int.from_bytes(packet.payload[2:4], "big")
        sock = self.lookup(packet.dst, dport, packet.src, sport, device)
        if sock is None:
            self._icmp["InErrors"] += 1
            return
        error, fatal = meaning(kind, code)
        if fatal or (kind, code) == (ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED):
            if sock.dport:
                sock.sk_err = error
                sock.sock_def_readable()
