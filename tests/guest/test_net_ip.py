"""IP, ICMP, UDP and packet sockets of the guest."""

from __future__ import annotations

import errno

import pytest
from fakes_net import GUEST, GUEST_MAC, SLIRP, SLIRP_MAC, Guest

from desim.ports import POLLIN, POLLOUT
from desim.wire.addresses import BROADCAST_MAC, IP_BROADCAST, ip
from desim.wire.ethernet import ETH_P_IP, Ethernet
from desim.wire.frame import Frame
from desim.wire.icmp import ICMP_DEST_UNREACH, ICMP_ECHOREPLY, ICMP_PORT_UNREACH, Icmp
from desim.wire.ipv4 import PROTO_ICMP, PROTO_UDP, Ipv4
from desim.wire.udp import Udp


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


def to_guest(packet: Ipv4, mac: bytes = GUEST_MAC) -> Frame:
    return Frame(Ethernet(mac, SLIRP_MAC, ETH_P_IP, packet.emit()).emit()).padded()


def datagram(data: bytes, dport: int, *, dst: bytes = GUEST, sport: int = 53) -> Frame:
    udp = Udp(sport, dport, data).emit(SLIRP, dst)
    return to_guest(Ipv4(SLIRP, dst, PROTO_UDP, udp))


def sent(guest: Guest) -> list[Ipv4]:
    packets = [Ipv4.parse(frame.raw[14:]) for frame in guest.take()]
    assert all(packet.sum_ok for packet in packets)
    return packets


# Routes


def test_the_default_route_is_for_what_is_not_on_the_link(guest: Guest) -> None:
    assert guest.stack.ip.route_output(ip("10.0.2.3")).gateway is None
    assert guest.stack.ip.route_output(ip("8.8.8.8")).gateway == SLIRP
    assert guest.stack.ip.route_output(ip("8.8.8.8")).source == GUEST


def test_without_route_the_network_is_unreachable() -> None:
    guest = Guest(configured=False)
    with pytest.raises(OSError) as unreachable:
        guest.stack.tcp_socket().connect(SLIRP, 80)
    assert unreachable.value.errno == errno.ENETUNREACH


def test_a_gateway_has_to_be_on_a_link(guest: Guest) -> None:
    with pytest.raises(OSError) as invalid:
        guest.stack.ip.add_route(ip("1.0.0.0"), 8, guest.device, ip("9.9.9.9"))
    assert invalid.value.errno == errno.ENETUNREACH


def test_interfaces_are_shown_as_ifconfig_does(guest: Guest) -> None:
    lo, eth0 = guest.stack.interfaces()
    assert (lo.name, lo.inet) == ("lo", b"\x7f\0\0\x01")
    assert (eth0.mac, eth0.inet, eth0.mask) == (GUEST_MAC, GUEST, ip("255.255.255.0"))
    assert (eth0.broadcast, eth0.mtu, eth0.carrier) == (ip("10.0.2.255"), 1500, True)


# Input


def test_packets_for_others_are_counted(guest: Guest) -> None:
    guest.put(datagram(b"x", 99, dst=ip("10.0.2.99")))
    assert guest.stack.snmp.ip["InAddrErrors"] == 1


def test_a_bad_header_checksum_is_dropped(guest: Guest) -> None:
    raw = bytearray(datagram(b"x", 99).raw)
    raw[22] ^= 1
    guest.put(Frame(bytes(raw)))
    assert guest.stack.snmp.ip["InCsumErrors"] == 1
    assert guest.take() == []


# ICMP


def test_echo_is_answered_with_the_same_data(guest: Guest) -> None:
    ask = Icmp.echo(7, 3, b"abcdefgh" * 7)
    guest.put(to_guest(Ipv4(SLIRP, GUEST, PROTO_ICMP, ask.emit())))
    (packet,) = sent(guest)
    reply = Icmp.parse(packet.payload)
    assert reply.sum_ok
    assert (reply.type, reply.ident, reply.sequence) == (ICMP_ECHOREPLY, 7, 3)
    assert reply.payload == ask.payload
    assert (packet.src, packet.dst, packet.df) == (GUEST, SLIRP, False)


def test_echo_to_everybody_is_not_answered(guest: Guest) -> None:
    ask = Icmp.echo(7, 3).emit()
    guest.put(to_guest(Ipv4(SLIRP, IP_BROADCAST, PROTO_ICMP, ask), BROADCAST_MAC))
    assert guest.take() == []


def test_identifications_without_df_count_up(guest: Guest) -> None:
    ask = Icmp.echo(7, 3)
    for _ in range(2):
        guest.put(to_guest(Ipv4(SLIRP, GUEST, PROTO_ICMP, ask.emit())))
    first, second = sent(guest)
    assert second.ident == first.ident + 1


# UDP


def test_a_datagram_reaches_its_socket(guest: Guest) -> None:
    sock = guest.stack.udp_socket()
    sock.bind(bytes(4), 9000)
    assert sock.poll_events() == POLLOUT
    guest.put(datagram(b"hello", 9000))
    assert sock.poll_events() == POLLIN | POLLOUT
    assert sock.recvfrom(100) == (b"hello", (SLIRP, 53))
    with pytest.raises(BlockingIOError):
        sock.recvfrom(100)


def test_a_datagram_leaves_with_df_and_an_identification_all_the_same(guest: Guest) -> None:
    sock = guest.stack.udp_socket()
    for _ in range(2):
        sock.sendto(b"hi", (SLIRP, 53))
    packet, second = sent(guest)
    assert (packet.df, packet.ttl) == (True, 64)
    assert second.ident == packet.ident + 1
    udp = Udp.parse(packet.payload, packet.src, packet.dst)
    assert udp.sum_ok
    assert (udp.dport, udp.payload) == (53, b"hi")


def test_a_datagram_for_nobody_is_port_unreachable(guest: Guest) -> None:
    frame = datagram(b"x" * 40, 9)
    guest.put(frame)
    (packet,) = sent(guest)
    message = Icmp.parse(packet.payload)
    assert (message.type, message.code) == (ICMP_DEST_UNREACH, ICMP_PORT_UNREACH)
    assert message.payload == frame.raw[14:]
    assert packet.tos == 0xC0


def test_port_unreachable_is_refused_on_a_connected_socket(guest: Guest) -> None:
    sock = guest.stack.udp_socket()
    sock.connect(SLIRP, 9)
    sock.send(b"x")
    (packet,) = sent(guest)
    error = Icmp(ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0, packet.emit()[:28])
    guest.put(to_guest(Ipv4(SLIRP, GUEST, PROTO_ICMP, error.emit())))
    with pytest.raises(ConnectionRefusedError):
        sock.recv(10)


def test_a_full_buffer_drops(guest: Guest) -> None:
    sock = guest.stack.udp_socket()
    sock.bind(bytes(4), 9000)
    for _ in range(300):
        guest.put(datagram(bytes(1000), 9000))
    assert sock.drops == guest.stack.snmp.udp["RcvbufErrors"] > 0
    assert len(sock.receive_queue) + sock.drops == 300


def test_a_port_is_held_by_one_socket(guest: Guest) -> None:
    guest.stack.udp_socket().bind(bytes(4), 9000)
    with pytest.raises(OSError) as taken:
        guest.stack.udp_socket().bind(bytes(4), 9000)
    assert taken.value.errno == errno.EADDRINUSE


# Packet sockets


def test_a_packet_socket_talks_before_there_is_an_address() -> None:
    guest = Guest(configured=False)
    guest.stack.dev_open("eth0")
    guest.device.netif_carrier_on()
    guest.cpu.run(0)
    sock = guest.stack.packet_socket("eth0", ETH_P_IP)
    discover = Ipv4(
        bytes(4), IP_BROADCAST, PROTO_UDP, Udp(68, 67, b"d").emit(bytes(4), b"\xff" * 4)
    )
    sock.sendto(discover.emit(), (BROADCAST_MAC, ETH_P_IP))
    (frame,) = guest.take()
    assert frame.raw[:14] == BROADCAST_MAC + GUEST_MAC + b"\x08\x00"
    guest.put(datagram(b"offer", 68, dst=IP_BROADCAST, sport=67))
    data, sender = sock.recvfrom(2000)
    assert Ipv4.parse(data).dst == IP_BROADCAST
    assert sender == (SLIRP_MAC, ETH_P_IP)
    # Nobody has the port, and nobody is told: it was a broadcast.
    assert guest.take() == []
    sock.close()
    assert guest.stack.core.taps == []


def test_a_packet_socket_on_a_closed_interface_says_so() -> None:
    guest = Guest(configured=False)
    sock = guest.stack.packet_socket("eth0", ETH_P_IP)
    with pytest.raises(OSError) as down:
        sock.sendto(b"x", (BROADCAST_MAC, ETH_P_IP))
    assert down.value.errno == errno.ENETDOWN
