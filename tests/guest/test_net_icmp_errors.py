"""What ICMP errors do to sockets (icmp.c, tcp_v4_err, __udp4_lib_err), and packets without a host.

Martian sources and the link-layer packet type are here too: both decide whether an error,
or anything else, gets to a socket at all.
"""

from __future__ import annotations

import errno
import struct

import pytest
from conversations import listening, numbers, opening, served
from fakes_net import GUEST, MS, SECOND, SLIRP, SLIRP_MAC, Guest, Peer

from desim.guest.net.udp import UdpSocket
from desim.ports import POLLERR, POLLHUP
from desim.wire.addresses import IP_ANY, IP_BROADCAST, LOOPBACK, ip
from desim.wire.ethernet import ETH_P_IP, Ethernet
from desim.wire.frame import Frame
from desim.wire.icmp import (
    ICMP_DEST_UNREACH,
    ICMP_FRAG_NEEDED,
    ICMP_HOST_UNREACH,
    ICMP_NET_UNREACH,
    ICMP_PARAMETERPROB,
    ICMP_PORT_UNREACH,
    ICMP_TIME_EXCEEDED,
    Icmp,
)
from desim.wire.ipv4 import PROTO_ICMP, PROTO_TCP, PROTO_UDP, Ipv4
from desim.wire.tcp import ACK, SYN
from desim.wire.udp import Udp


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


def put(guest: Guest, packet: Ipv4, dst_mac: bytes | None = None) -> None:
    mac = guest.device.dev_addr if dst_mac is None else dst_mac
    guest.put(Frame(Ethernet(mac, SLIRP_MAC, ETH_P_IP, packet.emit()).emit()).padded())


def error(
    guest: Guest,
    protocol: int,
    quoted: bytes,
    kind: int = ICMP_DEST_UNREACH,
    code: int = ICMP_HOST_UNREACH,
    source: bytes = SLIRP,
) -> None:
    """An error about a packet of the guest to slirp."""
    packet = Ipv4(GUEST, SLIRP, protocol, quoted).emit()
    put(guest, Ipv4(source, GUEST, PROTO_ICMP, Icmp(kind, code, 0, packet).emit()))


# UDP


def asked(guest: Guest, *, connected: bool = True) -> UdpSocket:
    """A socket that has asked port 53 of slirp."""
    sock = guest.stack.udp_socket()
    if connected:
        sock.connect(SLIRP, 53)
        sock.send(b"?")
    else:
        sock.sendto(b"?", (SLIRP, 53))
    guest.take()
    return sock


def udp_error(guest: Guest, sock: UdpSocket, **what: int) -> None:
    error(guest, PROTO_UDP, Udp(sock.sport, 53, b"?").emit(GUEST, SLIRP), **what)


def heard(sock: UdpSocket) -> int:
    with pytest.raises(OSError) as caught:
        sock.recv(10)
    return caught.value.errno or 0


FATAL = {
    2: errno.ENOPROTOOPT,
    3: errno.ECONNREFUSED,
    4: errno.EMSGSIZE,
    6: errno.ENETUNREACH,
    7: errno.EHOSTDOWN,
    8: errno.ENONET,
    9: errno.ENETUNREACH,
    10: errno.EHOSTUNREACH,
    13: errno.EHOSTUNREACH,
    14: errno.EHOSTUNREACH,
    15: errno.EHOSTUNREACH,
}
"""icmp_err_convert, and a packet that is too long; 0, 1, 5, 11 and 12 are not fatal."""


@pytest.mark.parametrize("code", range(18))
def test_only_fatal_codes_reach_a_connected_socket(guest: Guest, code: int) -> None:
    sock = asked(guest)
    udp_error(guest, sock, code=code)
    assert heard(sock) == FATAL.get(code, errno.EAGAIN)
    assert heard(sock) == errno.EAGAIN


@pytest.mark.parametrize("code", [ICMP_PORT_UNREACH, ICMP_HOST_UNREACH])
def test_a_socket_without_a_peer_hears_nothing(guest: Guest, code: int) -> None:
    sock = asked(guest, connected=False)
    udp_error(guest, sock, code=code)
    assert heard(sock) == errno.EAGAIN


def test_time_exceeded_is_not_fatal_and_a_bad_header_is(guest: Guest) -> None:
    sock = asked(guest)
    udp_error(guest, sock, kind=ICMP_TIME_EXCEEDED, code=0)
    assert heard(sock) == errno.EAGAIN
    udp_error(guest, sock, kind=ICMP_PARAMETERPROB, code=0)
    assert heard(sock) == errno.EPROTO


def test_an_error_about_another_port_is_nobodys(guest: Guest) -> None:
    sock = asked(guest)
    quoted = Udp(sock.sport ^ 1, 53, b"?").emit(GUEST, SLIRP)
    error(guest, PROTO_UDP, quoted, code=ICMP_PORT_UNREACH)
    assert heard(sock) == errno.EAGAIN
    assert guest.stack.snmp.icmp["InErrors"] == 1


# TCP


def tcp_error(guest: Guest, peer: Peer, seq: int, **what: int) -> None:
    quoted = struct.pack("!HHI12x", peer.to[1], peer.source[1], seq & 0xFFFFFFFF)
    error(guest, PROTO_TCP, quoted, **what)


@pytest.mark.parametrize("code", [ICMP_NET_UNREACH, ICMP_HOST_UNREACH, ICMP_PORT_UNREACH, 13])
def test_any_unreachable_ends_a_connect(guest: Guest, code: int) -> None:
    sock, peer = opening(guest)
    tcp_error(guest, peer, peer.ack - 1, code=code)
    assert sock.poll_events() & (POLLERR | POLLHUP) == POLLERR | POLLHUP
    with pytest.raises(OSError) as caught:
        sock.finish_connect()
    expected = {0: errno.ENETUNREACH, 3: errno.ECONNREFUSED}.get(code, errno.EHOSTUNREACH)
    assert caught.value.errno == expected


@pytest.mark.parametrize("beyond", [-1, 2, 4321])
def test_an_error_about_a_number_that_is_not_under_way_is_ignored(
    guest: Guest, beyond: int
) -> None:
    """snd_una <= seq <= snd_nxt; both ends of that count."""
    sock, peer = opening(guest)
    tcp_error(guest, peer, peer.ack - 1 + beyond)
    peer.send(SYN | ACK, mss=900)
    sock.finish_connect()
    assert sock.take_error() == 0
    assert guest.stack.snmp.tcp_ext["OutOfWindowIcmps"] == 1


def test_a_packet_that_is_too_long_ends_nothing(guest: Guest) -> None:
    """Path MTU discovery is not modelled; but it is no error of the connection."""
    sock, peer = opening(guest)
    tcp_error(guest, peer, peer.ack - 1, code=ICMP_FRAG_NEEDED)
    peer.send(SYN | ACK, mss=900)
    sock.finish_connect()
    assert sock.take_error() == 0


def test_an_error_that_meets_a_program_is_soft_and_poll_shows_it(guest: Guest) -> None:
    """tcp_v4_err queues it although connect() owns the socket; SO_ERROR gives the soft error.

    So a program that polls fails at once with one SYN, and one that sleeps in connect()
    does not: its second SYN is answered while nobody owns the socket.
    """
    sock, peer = opening(guest)
    sk, tcp = sock.sk, guest.stack.tcp
    tcp.lock_sock(sk)
    tcp_error(guest, peer, peer.ack - 1, code=ICMP_NET_UNREACH)
    tcp.release_sock(sk)
    with pytest.raises(BlockingIOError):
        sock.finish_connect()
    assert sock.poll_events() & POLLERR
    assert sock.take_error() == errno.ENETUNREACH
    assert sock.take_error() == 0
    guest.cpu.run(1100 * MS)
    assert len(guest.segments()) == 1
    tcp_error(guest, peer, peer.ack - 1, code=ICMP_NET_UNREACH)
    with pytest.raises(OSError) as caught:
        sock.finish_connect()
    assert caught.value.errno == errno.ENETUNREACH


def test_an_error_on_an_open_connection_is_told_when_it_times_out(guest: Guest) -> None:
    sock, peer = served(guest)
    sock.send(b"x")
    tcp_error(guest, peer, peer.ack, code=ICMP_PORT_UNREACH)
    assert not sock.poll_events() & POLLERR
    sock.send(b"y")
    guest.cpu.run(1200 * SECOND)
    with pytest.raises(ConnectionRefusedError):
        sock.recv(1)


def test_any_sign_of_life_takes_a_soft_error_away(guest: Guest) -> None:
    sock, peer = served(guest)
    sock.send(b"x")
    iss = peer.ack
    tcp_error(guest, peer, peer.ack)
    peer.ack += 1
    peer.send(ACK)
    assert sock.take_error() == 0
    assert numbers(guest, iss) == []


# Martians: ip_route_input_slow


NO_HOST = ["127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.2.3"]


@pytest.mark.parametrize("source", [*NO_HOST, "255.255.255.255", "10.0.2.15"])
def test_a_packet_whose_source_is_no_host_on_the_wire_is_dropped(guest: Guest, source: str) -> None:
    sock = guest.stack.udp_socket()
    sock.bind(IP_ANY, 9)
    src = ip(source)
    put(guest, Ipv4(src, GUEST, PROTO_UDP, Udp(53, 9, b"x").emit(src, GUEST)))
    assert heard(sock) == errno.EAGAIN
    assert guest.take() == []


def test_slirps_own_port_unreachable_from_loopback_never_arrives(guest: Guest) -> None:
    sock = asked(guest)
    quoted = Udp(sock.sport, 53, b"?").emit(GUEST, SLIRP)
    error(guest, PROTO_UDP, quoted, code=ICMP_PORT_UNREACH, source=LOOPBACK)
    assert heard(sock) == errno.EAGAIN


def test_a_syn_from_loopback_on_the_wire_is_dropped(guest: Guest) -> None:
    from desim.wire.tcp import Tcp

    listening(guest)
    segment = Tcp(50000, 7000, 1, 0, SYN, 30000)
    put(guest, Ipv4(LOOPBACK, GUEST, PROTO_TCP, segment.emit(LOOPBACK, GUEST)))
    assert guest.take() == []


def test_whoever_has_no_address_yet_may_speak_to_everybody(guest: Guest) -> None:
    sock = guest.stack.udp_socket()
    sock.bind(IP_ANY, 67)
    data = Udp(68, 67, b"discover").emit(IP_ANY, IP_BROADCAST)
    put(guest, Ipv4(IP_ANY, IP_BROADCAST, PROTO_UDP, data), b"\xff" * 6)
    assert sock.recv(100) == b"discover"


def test_loopback_itself_is_no_wire(guest: Guest) -> None:
    sock = guest.stack.udp_socket()
    sock.bind(IP_ANY, 9)
    guest.stack.udp_socket().sendto(b"here", (LOOPBACK, 9))
    guest.cpu.serve()
    assert sock.recv(10) == b"here"


# The link-layer packet type: tcp_v4_rcv takes PACKET_HOST only


@pytest.mark.parametrize("mac", [b"\xff" * 6, b"\x01\0\x5e\0\0\1"])
def test_tcp_that_did_not_come_as_unicast_is_dropped(guest: Guest, mac: bytes) -> None:
    listening(guest)
    syn = Peer(guest, sport=50000, dport=7000).frame(SYN, mss=900)
    guest.put(Frame(mac + syn.raw[6:]))
    assert guest.take() == []
    guest.put(syn)
    assert [s.flags for s in guest.segments()] == [SYN | ACK]


def test_udp_that_did_not_come_as_unicast_is_taken(guest: Guest) -> None:
    sock = guest.stack.udp_socket()
    sock.bind(IP_ANY, 9)
    put(guest, Ipv4(SLIRP, GUEST, PROTO_UDP, Udp(53, 9, b"x").emit(SLIRP, GUEST)), b"\xff" * 6)
    assert sock.recv(10) == b"x"
