"""Packet sockets, AF_PACKET with SOCK_DGRAM (net/packet/af_packet.c).

This is how a DHCP client talks before the interface has an address: it sees every
packet that the interface receives, from the network header on, and sends packets that
it has built itself.

Not modelled: SOCK_RAW, outgoing packets (PACKET_OUTGOING), rings, filters (the reader
filters, as busybox udhcpc also does), promiscuous membership.
"""

from __future__ import annotations

import errno
from collections import deque

from desim.guest.cpu.context import Cpu
from desim.guest.net.dev import NetCore
from desim.guest.net.device import IFF_UP, Device
from desim.guest.net.skbuff import rx_room
from desim.guest.net.sock import RMEM_DEFAULT, Socket, error_of, would_block
from desim.guest.skb import Skb
from desim.ports import POLLERR, POLLIN, POLLOUT, Endpoint
from desim.stages import GUEST, mark, stages
from desim.userland.uapi import SO_ATTACH_FILTER
from desim.wire.ipv4 import PROTO_UDP

ETH_P_ALL = 3


class PacketSocket(Socket):
    """A packet socket, bound to one device or none (then it sees all).

    An endpoint is a MAC and an ethertype (``struct sockaddr_ll``; the interface is the one
    that the socket is bound to).
    """

    STAGES = stages(
        GUEST,
        packet_rcv=mark("packet_rcv", file="net/packet/af_packet.c"),
        sendto=mark("packet_sendmsg", file="net/packet/af_packet.c", size="data"),
        recvfrom=mark("packet_recvmsg", file="net/packet/af_packet.c"),
    )

    family = "packet"
    type = "packet"

    def __init__(
        self, core: NetCore, cpu: Cpu, device: Device | None, protocol: int, find: dict[str, Device]
    ) -> None:
        super().__init__(cpu, "packet socket")
        self._core = core
        self._device = device
        self._find = find
        self.protocol = protocol
        self.receive_queue: deque[tuple[bytes, Endpoint, int]] = deque()
        self._filter: int | None = None
        self._rmem_alloc = 0
        self.drops = 0
        cpu.local_bh_disable()
        core.taps.append(self.packet_rcv)
        cpu.local_bh_enable()

    def setsockopt(self, option: str, value: int) -> None:
        if option == SO_ATTACH_FILTER:
            self._filter = value
        else:
            super().setsockopt(option, value)

    def bind_device(self, name: str) -> None:
        if name not in self._find:
            raise error_of(errno.ENODEV)
        self._cpu.local_bh_disable()
        self._device = self._find[name]
        self._cpu.local_bh_enable()

    def packet_rcv(self, skb: Skb, device: Device) -> None:
        """Keep a copy of what is received, while there is room."""
        if self._device is not None and device is not self._device:
            return
        head = skb.head
        protocol = head[12] << 8 | head[13]
        if self.protocol not in (ETH_P_ALL, protocol):
            return
        truesize, _ = rx_room(len(skb))
        if self._rmem_alloc + truesize > RMEM_DEFAULT:
            self.drops += 1
            return
        self._rmem_alloc += truesize
        sender = head[6:12], protocol
        data = head[14:] if not skb.frags else b"".join((head[14:], *skb.frags))
        self.receive_queue.append((data, sender, truesize))
        self.sock_def_readable()

    def sendto(self, data: bytes, to: Endpoint) -> int:
        """Send ``data``, a packet from its network header on."""
        self._take_error()
        device, (address, protocol) = self._device, to
        if device is None:
            raise error_of(errno.ENXIO)
        if not device.flags & IFF_UP:
            raise error_of(errno.ENETDOWN)
        if len(data) > device.mtu:
            raise error_of(errno.EMSGSIZE)
        if len(address) != 6:
            raise error_of(errno.EINVAL)
        skb = Skb(b"".join((address, device.dev_addr, protocol.to_bytes(2, "big"), data)))
        skb.protocol = protocol
        self._core.dev_queue_xmit(skb, device)
        return len(data)

    def recvfrom(self, size: int) -> tuple[bytes, Endpoint]:
        """The oldest packet that waits, cut to ``size``, and where it came from."""
        while True:
            self._take_error()
            self._cpu.local_bh_disable()
            if not self.receive_queue:
                self._cpu.local_bh_enable()
                raise would_block()
            data, sender, truesize = self.receive_queue.popleft()
            self._rmem_alloc -= truesize
            self._cpu.local_bh_enable()
            if self._filter is None or _is_udp_to(self._filter, data):
                return data[:size], sender

    def inq(self) -> int:
        """Bytes of the oldest packet that passes the filter (``packet_ioctl``)."""
        self._cpu.touch("lock_sock")
        for data, _, _ in self.receive_queue:
            if self._filter is None or _is_udp_to(self._filter, data):
                return len(data)
        return 0

    def recv(self, size: int) -> bytes:
        """The oldest packet that waits."""
        return self.recvfrom(size)[0]

    def poll_events(self) -> int:
        self._cpu.touch("lock_sock")
        events = POLLOUT
        if self.receive_queue:
            events |= POLLIN
        if self.sk_err:
            events |= POLLERR
        return events

    def close(self) -> None:
        """close(2)."""
        if not self.closed:
            self.closed = True
            self._cpu.local_bh_disable()
            self._core.taps.remove(self.packet_rcv)
            self.receive_queue.clear()
            self._cpu.local_bh_enable()


def _is_udp_to(port: int, packet: bytes) -> bool:
    """udhcpc's filter: unfragmented UDP to one port."""
    start = (packet[0] & 15) * 4 if packet else 0
    return (
        len(packet) >= start + 8
        and packet[9] == PROTO_UDP
        and not int.from_bytes(packet[6:8], "big") & 0x1FFF
        and int.from_bytes(packet[start + 2 : start + 4], "big") == port
    )
