"""Handshakes that had to be repeated, requests that wait, and the calls around them (Linux 6.1)."""

from __future__ import annotations

import errno

import pytest
from conversations import MSS, PORT, asking, listening, opening, served
from fakes_net import MS, SECOND, SLIRP, Guest, Peer

from desim.guest.net.socket import TcpSocket
from desim.guest.net.tcp.tcp_sock import INFINITE_SSTHRESH, State
from desim.ports import POLLERR, POLLHUP
from desim.userland.uapi import SHUT_WR
from desim.wire.tcp import ACK, FIN, PSH, RST, SYN


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


# What is left of a handshake that had to be repeated: tcp_init_transfer, tcp_init_metrics


@pytest.mark.parametrize(("lost", "cwnd"), [(1, 10), (2, 1)])
def test_a_syn_lost_twice_leaves_a_window_of_one(guest: Guest, lost: int, cwnd: int) -> None:
    sock, peer = opening(guest)
    guest.cpu.run((1 << lost) * SECOND - SECOND // 2)
    assert len(guest.segments()) == lost
    peer.send(SYN | ACK, mss=MSS)
    assert sock.sk.snd_cwnd == cwnd
    assert sock.sk.snd_ssthresh == INFINITE_SSTHRESH


@pytest.mark.parametrize(("lost", "cwnd"), [(1, 10), (2, 1)])
def test_a_syn_ack_lost_twice_leaves_a_window_of_one(guest: Guest, lost: int, cwnd: int) -> None:
    listener = listening(guest)
    peer = asking(guest)
    guest.cpu.run((1 << lost) * SECOND - SECOND // 2)
    peer.send(ACK)
    assert listener.accept().sk.snd_cwnd == cwnd


def test_two_answers_to_a_repeated_syn_are_no_sign_of_congestion(guest: Guest) -> None:
    """``undo_marker`` is set only if the timer sent one of them."""
    listener = listening(guest)
    peer = asking(guest)
    for _ in range(2):
        guest.put(peer.frame(SYN, seq=0, mss=MSS))
        guest.cpu.run(600 * MS)
    peer.send(ACK)
    sk = listener.accept().sk
    assert (sk.total_retrans, sk.snd_cwnd) == (2, 10)


@pytest.mark.parametrize("active", [True, False])
def test_without_a_sample_the_first_timeout_is_three_seconds(guest: Guest, active: bool) -> None:
    if active:
        sock, peer = opening(guest)
        guest.cpu.run(1500 * MS)
        peer.send(SYN | ACK, mss=MSS)
    else:
        listener = listening(guest)
        peer = asking(guest)
        guest.cpu.run(1500 * MS)
        peer.send(ACK)
        sock = listener.accept()
    guest.segments()
    sock.send(bytes(500))
    guest.segments()
    guest.cpu.run(2900 * MS)
    assert guest.segments() == []
    guest.cpu.run(500 * MS)
    assert [len(s.payload) for s in guest.segments()] == [500]


# Requests: tcp_check_req, reqsk_timer_handler


def test_a_syn_that_comes_again_restarts_the_timer_of_the_answer(guest: Guest) -> None:
    listening(guest)
    peer = asking(guest)
    guest.cpu.run(600 * MS)
    guest.put(peer.frame(SYN, seq=0, mss=MSS))
    assert len(guest.segments()) == 1
    guest.cpu.run(900 * MS)  # 1.5 s behind the first SYN
    assert guest.segments() == []
    guest.cpu.run(200 * MS)
    assert len(guest.segments()) == 1


def test_a_full_accept_queue_does_not_stop_the_repetition_of_the_answer(guest: Guest) -> None:
    """The peer answers the repetition, and gets in once there is room."""
    listener = listening(guest, backlog=1)
    asking(guest, 50001).send(ACK)
    second, third = asking(guest, 50002), asking(guest, 50003)
    second.send(ACK)
    assert third.send(ACK) == []  # two wait: no room
    guest.cpu.run(1100 * MS)
    (again,) = guest.segments()
    assert (again.flags, again.dport) == (SYN | ACK, 50003)
    for _ in range(2):
        listener.accept()
    third.send(ACK)
    assert listener.accept().getpeername()[1] == 50003


@pytest.mark.parametrize("backlog", [-1, 4097, 1 << 31])
def test_a_backlog_beyond_somaxconn_is_somaxconn(guest: Guest, backlog: int) -> None:
    """__sys_listen compares it as an unsigned number, also when it changes."""
    sock = listening(guest, backlog)
    assert sock.sk.max_ack_backlog == 4096
    sock.listen(7)
    assert sock.sk.max_ack_backlog == 7
    sock.listen(backlog)
    assert sock.sk.max_ack_backlog == 4096


# Suspicious segments: tcp_ack (RFC 5961 section 5.2)


def test_an_ack_of_bytes_that_were_never_sent_is_challenged(guest: Guest) -> None:
    _, peer = served(guest)
    guest.put(peer.frame(ACK, ack=peer.ack - 1))
    (challenge,) = guest.segments()
    assert (challenge.flags, challenge.seq) == (ACK, peer.ack & 0xFFFFFFFF)


def test_an_ack_of_bytes_that_were_sent_long_ago_is_not(guest: Guest) -> None:
    sock, peer = served(guest)
    sock.send(bytes(500))
    guest.segments()
    peer.ack += 500
    peer.send(ACK)
    guest.put(peer.frame(ACK, ack=peer.ack - 500))
    assert guest.segments() == []
    guest.put(peer.frame(ACK, ack=peer.ack - 501))
    assert [s.flags for s in guest.segments()] == [ACK]


# Calls: __inet_stream_connect, inet_shutdown, tcp_disconnect


def refused(sock: TcpSocket) -> int:
    with pytest.raises(OSError) as caught:
        sock.connect(SLIRP, 80)
    return caught.value.errno or 0


def test_connect_says_that_it_is_at_it_already(guest: Guest) -> None:
    """EINPROGRESS only once; then EALREADY, until it says 0 once, and then EISCONN."""
    sock, peer = opening(guest)
    assert refused(sock) == errno.EALREADY
    peer.send(SYN | ACK, mss=MSS)
    sock.connect(SLIRP, 80)
    assert refused(sock) == errno.EISCONN


def test_connect_of_what_was_connected(guest: Guest) -> None:
    """SS_CONNECTED, whatever TCP's state is: half closed, or reset by the peer."""
    sock, peer = served(guest)
    sock.shutdown(SHUT_WR)
    assert refused(sock) == errno.EISCONN
    peer.send(RST | ACK)
    assert refused(sock) == errno.EISCONN


def test_connect_of_a_listener(guest: Guest) -> None:
    assert refused(listening(guest)) == errno.EISCONN


def test_listen_while_connecting(guest: Guest) -> None:
    sock, _ = opening(guest)
    with pytest.raises(OSError) as caught:
        sock.listen(1)
    assert caught.value.errno == errno.EINVAL


def test_shutdown_of_a_connect_leaves_econnreset(guest: Guest) -> None:
    sock, _ = opening(guest)
    sock.shutdown(SHUT_WR)
    assert sock.poll_events() & (POLLERR | POLLHUP) == POLLERR | POLLHUP
    assert sock.take_error() == errno.ECONNRESET
    assert sock.state == State.CLOSE
    assert guest.cpu.armed() == []


@pytest.mark.parametrize("how", ["shutdown", "refused"])
def test_a_socket_whose_connect_has_ended_may_connect_again(guest: Guest, how: str) -> None:
    sock, peer = opening(guest)
    first = peer.ack - 1
    if how == "shutdown":
        sock.shutdown(SHUT_WR)
        sock.take_error()
    else:
        peer.send(RST | ACK)
        with pytest.raises(ConnectionRefusedError):
            sock.finish_connect()
    guest.segments()
    with pytest.raises(BlockingIOError) as started:
        sock.connect(SLIRP, 80)
    assert started.value.errno == errno.EINPROGRESS
    (syn,) = guest.segments()
    # tcp_disconnect: the next number, not another random one.
    assert (syn.seq - first) & 0xFFFFFFFF == 3
    again = Peer(guest, sport=80, dport=syn.sport, iss=0)
    again.ack = syn.seq + 1
    again.send(SYN | ACK, mss=MSS)
    sock.finish_connect()
    sock.send(b"again")
    assert [s.payload for s in guest.segments()] == [b"again"]


def test_a_bound_socket_keeps_its_port_when_it_connects_again(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    sock.bind(bytes(4), PORT)
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    sock.shutdown(SHUT_WR)
    assert sock.getsockname() == (bytes(4), PORT)
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    assert guest.segments()[-1].sport == PORT


def test_shutdown_of_what_is_not_connected_lasts(guest: Guest) -> None:
    """inet_shutdown says ENOTCONN and shuts down nevertheless."""
    sock = guest.stack.tcp_socket()
    with pytest.raises(OSError) as caught:
        sock.shutdown(SHUT_WR)
    assert caught.value.errno == errno.ENOTCONN
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    (syn,) = guest.segments()
    assert syn.flags == SYN
    assert not syn.flags & (FIN | PSH)
