"""Raw sockets: what they see, what they send, and the kernel's receive stamps."""

from __future__ import annotations

import errno

import pytest
from fakes_net import GUEST, GUEST_MAC, MS, SLIRP, SLIRP_MAC, Guest

from desim.guest.net.raw import RawSocket
from desim.ports import POLLIN, POLLOUT
from desim.userland.uapi import Message
from desim.wire.ethernet import ETH_P_IP, Ethernet
from desim.wire.frame import Frame
from desim.wire.icmp import ICMP_ECHO, Icmp
from desim.wire.ipv4 import PROTO_ICMP, PROTO_UDP, Ipv4
from desim.wire.udp import Udp


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


def reply(sequence: int, data: bytes = b"x", *, size: int = 60) -> Frame:
    message = Icmp.echo(9, sequence, data, reply=True).emit()
    packet = Ipv4(SLIRP, GUEST, PROTO_ICMP, message).emit()
    return Frame(Ethernet(GUEST_MAC, SLIRP_MAC, ETH_P_IP, packet).emit().ljust(size, b"\0"))


def socket(guest: Guest, *, stamped: bool = False) -> RawSocket:
    made = guest.stack.icmp_socket()
    made.sock_enable_timestamp(stamped)
    return made


def test_a_message_gets_an_ip_header_with_df_and_an_identification(guest: Guest) -> None:
    request = Icmp.echo(9, 0, b"data").emit()
    assert socket(guest).sendto(request, (SLIRP, 0)) == len(request)
    (frame,) = guest.take()
    packet = Ipv4.parse(frame.raw[14:])
    assert (packet.src, packet.dst, packet.protocol, packet.ttl) == (GUEST, SLIRP, PROTO_ICMP, 64)
    assert packet.df
    assert packet.payload == request
    assert guest.stack.snmp.icmp["OutEchos"] == 1


def test_identifications_are_drawn_from_one_counter(guest: Guest) -> None:
    first, second = socket(guest), socket(guest)
    for sock in (first, second, first):
        sock.sendto(Icmp.echo(9, 0).emit(), (SLIRP, 0))
    idents = [Ipv4.parse(frame.raw[14:]).ident for frame in guest.take()]
    assert [(ident - idents[0]) & 0xFFFF for ident in idents] == [0, 1, 2]


def test_it_sees_packets_from_their_ip_header_on_without_padding(guest: Guest) -> None:
    sock = socket(guest)
    guest.put(reply(0, b"x"))
    message = sock.recvmsg(65536)
    packet = Ipv4.parse(message.data)
    assert len(message.data) == 20 + 8 + 1
    assert Icmp.parse(packet.payload).sequence == 0
    assert message.sender == (SLIRP, 0)


def test_the_protocol_sees_them_too(guest: Guest) -> None:
    sock = socket(guest)
    request = Ipv4(SLIRP, GUEST, PROTO_ICMP, Icmp(ICMP_ECHO, 0, 0, b"").emit()).emit()
    guest.put(Frame(Ethernet(GUEST_MAC, SLIRP_MAC, ETH_P_IP, request).emit().ljust(60, b"\0")))
    assert sock.poll_events() == POLLIN | POLLOUT
    assert len(guest.take()) == 1  # the echo reply


def test_other_protocols_pass_it_by(guest: Guest) -> None:
    sock = socket(guest)
    datagram = Ipv4(SLIRP, GUEST, PROTO_UDP, Udp(1, 2, b"x").emit(SLIRP, GUEST)).emit()
    guest.put(Frame(Ethernet(GUEST_MAC, SLIRP_MAC, ETH_P_IP, datagram).emit().ljust(60, b"\0")))
    assert sock.poll_events() == POLLOUT
    with pytest.raises(BlockingIOError):
        sock.recvmsg(100)


def test_every_raw_socket_gets_a_copy(guest: Guest) -> None:
    first, second = socket(guest), socket(guest)
    guest.put(reply(3))
    assert first.recv(100) == second.recv(100)


def test_a_batch_is_stamped_before_any_of_it_is_delivered(guest: Guest) -> None:
    sock = socket(guest, stamped=True)
    guest.cpu.run(7 * MS)
    steps: list[str] = []
    now = guest.cpu.now

    def counted() -> int:
        steps.append("now")
        return now() + len(steps)

    guest.cpu.now = counted
    guest.put(reply(0), reply(1))
    stamps = [sock.recvmsg(100).stamp_ns for _ in range(2)]
    first, second = stamps
    assert first is not None
    assert second == first + 1  # nothing but the stamping itself lies in between


def test_without_the_option_there_is_no_stamp(guest: Guest) -> None:
    sock = socket(guest)
    socket(guest, stamped=True)
    guest.put(reply(0))
    assert sock.recvmsg(100).stamp_ns is None


def test_nothing_is_stamped_when_nobody_wants_it(guest: Guest) -> None:
    stamped, plain = socket(guest, stamped=True), socket(guest)
    stamped.close()
    guest.put(reply(0))
    assert plain.recvmsg(100).stamp_ns is None


def test_a_datagram_is_stamped_as_well(guest: Guest) -> None:
    sock = guest.stack.udp_socket()
    sock.bind(bytes(4), 5620)
    sock.sock_enable_timestamp(True)
    guest.cpu.run(3 * MS)
    datagram = Ipv4(SLIRP, GUEST, PROTO_UDP, Udp(69, 5620, b"x").emit(SLIRP, GUEST)).emit()
    guest.put(Frame(Ethernet(GUEST_MAC, SLIRP_MAC, ETH_P_IP, datagram).emit().ljust(60, b"\0")))
    assert sock.recvmsg(100) == Message(b"x", (SLIRP, 69), guest.cpu.now())


def test_a_full_queue_drops(guest: Guest) -> None:
    sock = socket(guest)
    sock.set_rcvbuf(0)
    for number in range(5):
        guest.put(reply(number))
    assert len(sock.receive_queue) + sock.drops == 5
    assert sock.drops


def test_the_receive_buffer_is_doubled_and_limited(guest: Guest) -> None:
    sock = socket(guest)
    sock.set_rcvbuf(100_000)
    assert sock.rcvbuf == 200_000
    sock.set_rcvbuf(1 << 20)
    assert sock.rcvbuf == 425_984


def test_a_short_buffer_cuts(guest: Guest) -> None:
    sock = socket(guest)
    guest.put(reply(0))
    assert len(sock.recv(7)) == 7


def test_a_closed_socket_sees_nothing_more(guest: Guest) -> None:
    sock = socket(guest)
    sock.close()
    sock.close()
    guest.put(reply(0))
    assert not sock.receive_queue


def test_what_it_cannot_do_is_refused(guest: Guest) -> None:
    sock = socket(guest)
    with pytest.raises(PermissionError):
        sock.sendto(b"", (b"\xff" * 4, 0))
    with pytest.raises(OSError, match="Destination address required") as refused:
        sock.send(b"")
    assert refused.value.errno == errno.EDESTADDRREQ
    assert sock.getsockname() == (bytes(4), PROTO_ICMP)
