"""Raw sockets, AF_INET with SOCK_RAW (net/ipv4/raw.c): what ``ping`` of root holds.

A raw socket sees every packet for us of its protocol, from the IP header on, before the
protocol itself does; what it sends gets an IP header in front. Its packets carry DF like
all others, and yet draw their identification from the common counter: path MTU
discovery is "want", which leaves the right to fragment (``skb->ignore_df``).

With SO_TIMESTAMP every packet that any device receives is stamped on entry to the stack
(``net_timestamp_check``), and ``recvmsg`` gives the stamp.

Not modelled: IP_HDRINCL, ICMP_FILTER, bind, connect and options; ICMP errors as errors of
the socket (without IP_RECVERR and unconnected, the real one does not report them either).
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from desim.guest.cpu.context import Cpu
from desim.guest.net.ip import Ip
from desim.guest.net.sock import DatagramSocket, error_of, would_block
from desim.guest.skb import Skb
from desim.ports import POLLERR, POLLIN, POLLOUT, Endpoint
from desim.stages import GUEST, Build, Landmark, bare, mark, stages
from desim.userland.uapi import Message
from desim.wire.addresses import IP_ANY
from desim.wire.ipv4 import Ipv4


class RawSocket(DatagramSocket):
    """A raw socket for one protocol."""

    STAGES = stages(
        GUEST,
        sendto=mark(
            "raw_sendmsg", file="net/ipv4/raw.c", size="data", landmark=Landmark.SENT_BY_GUEST
        ),
        recvmsg=mark("raw_recvmsg", file="net/ipv4/raw.c"),
        raw_rcv=mark("raw_rcv", file="net/ipv4/raw.c", landmark=Landmark.QUEUED),
        poll_events=mark("datagram_poll", file="net/core/datagram.c"),
    )

    type = "raw"

    def __init__(self, core: RawCore, cpu: Cpu, protocol: int) -> None:
        super().__init__(cpu, "raw socket", core.net_enable_timestamp)
        self._core = core
        self.protocol = protocol
        cpu.local_bh_disable()
        core.sockets.append(self)
        cpu.local_bh_enable()

    def sendto(self, data: bytes, to: Endpoint) -> int:
        """Send ``data``, a message of the protocol, to an address (the port means nothing)."""
        self._take_error()
        ip = self._core.ip
        address = to[0]
        if ip.is_broadcast(address):
            raise error_of(errno.EACCES)
        route = ip.route_output(address)
        ip.ip_push_pending_frames(Skb(data), route, route.source, address, self.protocol)
        return len(data)

    def recvmsg(self, size: int) -> Message:
        """The oldest packet that waits, cut to ``size``."""
        message = self.skb_recv_datagram(size)
        if message is None:
            raise would_block()
        return message

    def raw_rcv(self, data: bytes, packet: Ipv4, skb: Skb) -> None:
        """Keep a copy of a packet, while there is room."""
        self.sock_queue_rcv_skb(data, (packet.src, 0), skb)

    def poll_events(self) -> int:
        self._cpu.touch("lock_sock")
        events = POLLOUT
        if self.receive_queue:
            events |= POLLIN
        if self.sk_err:
            events |= POLLERR
        return events

    def close(self) -> None:
        """close(2): what has not been read is lost."""
        if not self.closed:
            self.closed = True
            self._cpu.local_bh_disable()
            self.sock_enable_timestamp(False)
            self._core.sockets.remove(self)
            self.receive_queue.clear()
            self._cpu.local_bh_enable()

    def getsockname(self) -> Endpoint:
        """It is bound to nothing."""
        return IP_ANY, self.protocol


class RawCore:
    """All raw sockets of the host, in the order of their making."""

    def __init__(
        self,
        *,
        cpu: Cpu,
        ip: Ip,
        net_enable_timestamp: Callable[[int], None],
        build: Build = bare,
    ) -> None:
        self._cpu = cpu
        self.ip = ip
        self.net_enable_timestamp = net_enable_timestamp
        self._build = build
        self.sockets: list[RawSocket] = []

    def socket(self, protocol: int) -> RawSocket:
        """A new socket."""
        made: RawSocket = self._build(RawSocket)(self, self._cpu, protocol)
        return made

    def raw_local_deliver(self, skb: Skb, packet: Ipv4) -> bool:
        """Give each raw socket of its protocol a copy; whether there was one."""
        wanted = [sock for sock in self.sockets if sock.protocol == packet.protocol]
        if wanted:
            head = skb.head
            data = head[14 : 14 + int.from_bytes(head[16:18], "big")]
            for sock in wanted:
                sock.raw_rcv(data, packet, skb)
        return bool(wanted)
