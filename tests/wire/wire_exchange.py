"""A short exchange with a frame of every kind that desim sends."""

from __future__ import annotations

from desim.wire import dhcp, dns
from desim.wire.addresses import BROADCAST_MAC, IP_ANY, IP_BROADCAST, ip, mac
from desim.wire.arp import ARPOP_REPLY, ARPOP_REQUEST, Arp
from desim.wire.ethernet import ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, Ethernet
from desim.wire.icmp import Icmp
from desim.wire.icmpv6 import ICMPV6_ECHO_REQUEST, Icmpv6
from desim.wire.ipv4 import PROTO_ICMP, PROTO_UDP, Ipv4
from desim.wire.ipv6 import NEXT_ICMPV6, Ipv6
from desim.wire.segment import build_segment
from desim.wire.tcp import ACK, PSH, SYN, TcpOptions
from desim.wire.udp import Udp


def exchange() -> list[bytes]:
    guest_mac, host_mac = mac("52:54:00:12:34:56"), mac("52:55:0a:00:02:02")
    guest, host = ip("10.0.2.15"), ip("10.0.2.2")
    guest6, host6 = ip("fe80::5054:ff:fe12:3456"), ip("fe80::2")

    def to_host(protocol: int, payload: bytes, **more: int) -> bytes:
        packet = Ipv4(guest, host, protocol, payload, **more)
        return Ethernet(host_mac, guest_mac, ETH_P_IP, packet.emit()).emit()

    def segment(seq: int, ack: int, flags: int, payload: bytes, **more: bytes) -> bytes:
        ends = (guest_mac, host_mac, host, guest, 40000, 5556)
        frame = build_segment(
            *ends, seq, ack, flags, 65535, payload, ident=seq, ttl=64, tos=0, df=True, **more
        )
        return frame.padded().raw

    discover = dhcp.Dhcp(dhcp.BOOTREQUEST, 1, guest_mac, [(dhcp.OPT_MESSAGE_TYPE, b"\1")])
    offer = dhcp.Dhcp(dhcp.BOOTREPLY, 1, guest_mac, [(dhcp.OPT_MESSAGE_TYPE, b"\2")], yiaddr=guest)
    frames = []
    for message, size, src, ports in (
        (discover, dhcp.UDHCPC_LEN, IP_ANY, (68, 67)),
        (offer, dhcp.SLIRP_LEN, host, (67, 68)),
    ):
        datagram = Udp(*ports, message.emit(size=size)).emit(src, IP_BROADCAST)
        packet = Ipv4(src, IP_BROADCAST, PROTO_UDP, datagram).emit()
        frames.append(Ethernet(BROADCAST_MAC, guest_mac, ETH_P_IP, packet).emit())
    for op, src_mac, src, dst_mac, dst in (
        (ARPOP_REQUEST, host_mac, host, bytes(6), guest),
        (ARPOP_REPLY, guest_mac, guest, host_mac, host),
    ):
        to = dst_mac if any(dst_mac) else BROADCAST_MAC
        arp = Arp(op, src_mac, src, dst_mac, dst).emit()
        frames.append(Ethernet(to, src_mac, ETH_P_ARP, arp).emit().ljust(60, b"\0"))
    query = dns.Dns(1, dns.RD, [dns.Question("qemu.org")])
    frames += [
        to_host(PROTO_ICMP, Icmp.echo(1, 1, bytes(range(56))).emit()),
        to_host(PROTO_ICMP, Icmp.echo(1, 2, b"abc").emit(), ident=1),
        to_host(PROTO_UDP, Udp(5000, dns.PORT, query.emit()).emit(guest, host)),
        segment(0, 0, SYN, b"", options=TcpOptions(1460, True, (1, 0), 7).emit()),
        segment(1, 1, ACK | PSH, b"Hello qemu Geust\n"),
        segment(18, 1, ACK, bytes(1460)),
    ]
    echo = Icmpv6(ICMPV6_ECHO_REQUEST, 0, b"\0\1\0\1abc").emit(guest6, host6)
    packet6 = Ipv6(guest6, host6, NEXT_ICMPV6, echo).emit()
    frames.append(Ethernet(host_mac, guest_mac, ETH_P_IPV6, packet6).emit())
    return frames
