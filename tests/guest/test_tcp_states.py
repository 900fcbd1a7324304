"""TCP of the guest, state by state: segment in, segment out, state after."""

from __future__ import annotations

import errno

import pytest
from fakes_net import MS, SECOND, SLIRP, Guest, Peer, story

from desim.guest.net.socket import TcpSocket
from desim.guest.net.tcp.tcp_minisocks import TimewaitSock
from desim.guest.net.tcp.tcp_sock import State
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP
from desim.wire.tcp import ACK, FIN, PSH, RST, SYN, TcpOptions

ANY = bytes(4)
PORT = 5556


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


def listener(guest: Guest, backlog: int = 1) -> TcpSocket:
    sock = guest.stack.tcp_socket()
    sock.bind(ANY, PORT)
    sock.listen(backlog)
    return sock


def accepted(guest: Guest) -> tuple[TcpSocket, Peer]:
    """An open connection that slirp has started; both ends' numbers are at 1."""
    server = listener(guest)
    peer = Peer(guest, sport=40000, dport=PORT, iss=0)
    (synack,) = peer.send(SYN, mss=1460)
    peer.ack = synack.seq + 1
    assert peer.send(ACK) == []
    sock = server.accept()
    server.close()
    return sock, peer


def connected(guest: Guest) -> tuple[TcpSocket, Peer]:
    """An open connection that the guest has started."""
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    (syn,) = guest.segments()
    peer = Peer(guest, sport=80, dport=syn.sport, iss=0)
    peer.ack = syn.seq + 1
    (ack,) = peer.send(SYN | ACK, mss=1460)
    assert ack.flags == ACK
    sock.connect(SLIRP, 80)
    return sock, peer


def relative(peer: Peer, segments: list) -> list[str]:
    """The guest's numbers from its first byte on, slirp's likewise."""
    return story(segments, iss=peer.ack - 1, irs=0)


# CLOSED


def test_closed_segment_for_a_port_without_listener_is_reset(guest: Guest) -> None:
    peer = Peer(guest, sport=40000, dport=7, iss=5)
    (rst,) = peer.send(SYN, mss=1460)
    assert (rst.flags, rst.seq, rst.ack, rst.window) == (RST | ACK, 0, 6, 0)
    assert (rst.ident, rst.df) == (0, True)


def test_closed_ack_without_connection_is_reset_at_its_number(guest: Guest) -> None:
    peer = Peer(guest, sport=40000, dport=7)
    peer.ack = 777
    (rst,) = peer.send(ACK, b"late")
    assert (rst.flags, rst.seq) == (RST, 777)


def test_closed_reset_is_not_answered(guest: Guest) -> None:
    assert Peer(guest, sport=40000, dport=7).send(RST) == []


def test_closed_socket_has_nothing_to_read_or_write(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    with pytest.raises(OSError) as not_connected:
        sock.recv(1)
    assert not_connected.value.errno == errno.ENOTCONN
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")
    assert sock.poll_events() & POLLHUP


# LISTEN


def test_listen_answers_a_syn_with_mss_only(guest: Guest) -> None:
    listener(guest)
    peer = Peer(guest, sport=40000, dport=PORT, iss=0)
    (synack,) = peer.send(SYN, mss=1460)
    assert (synack.flags, synack.ack, synack.window) == (SYN | ACK, 1, 64240)
    assert synack.options == TcpOptions(mss=1460).emit()
    assert (synack.ident, synack.df, synack.ttl, synack.tos) == (0, True, 64, 0)


def test_listen_resets_an_ack(guest: Guest) -> None:
    listener(guest)
    peer = Peer(guest, sport=40000, dport=PORT)
    peer.ack = 99
    (rst,) = peer.send(ACK)
    assert (rst.flags, rst.seq) == (RST, 99)


def test_listen_port_is_taken(guest: Guest) -> None:
    listener(guest)
    with pytest.raises(OSError) as taken:
        guest.stack.tcp_socket().bind(ANY, PORT)
    assert taken.value.errno == errno.EADDRINUSE


def test_listen_accept_without_connection_would_block(guest: Guest) -> None:
    server = listener(guest)
    with pytest.raises(BlockingIOError):
        server.accept()
    assert server.poll_events() == 0


def test_listen_accept_tells_whose_connection_it_was_that_has_been_reset(guest: Guest) -> None:
    server = listener(guest)
    peer = Peer(guest, sport=40000, dport=PORT)
    peer.ack = peer.send(SYN, mss=1460)[0].seq + 1
    peer.send(ACK)
    peer.send(RST)
    child = server.accept()
    assert child.peer()[1] == 40000
    with pytest.raises(OSError) as reset:
        child.getpeername()
    assert reset.value.errno == errno.ENOTCONN
    with pytest.raises(ConnectionResetError):
        child.recv(1)


def test_listen_full_backlog_ignores_the_last_ack_and_later_syns(guest: Guest) -> None:
    server = listener(guest, backlog=0)
    first = Peer(guest, sport=40000, dport=PORT)
    first.ack = first.send(SYN, mss=1460)[0].seq + 1
    first.send(ACK)
    second = Peer(guest, sport=40001, dport=PORT)
    assert second.send(SYN, mss=1460) == []
    assert guest.stack.snmp.tcp_ext["ListenOverflows"] == 1
    server.accept()
    second.seq -= 1
    assert len(second.send(SYN, mss=1460)) == 1


def test_listen_close_resets_what_was_not_accepted(guest: Guest) -> None:
    server = listener(guest)
    peer = Peer(guest, sport=40000, dport=PORT)
    peer.ack = peer.send(SYN, mss=1460)[0].seq + 1
    peer.send(ACK)
    server.close()
    (rst,) = guest.segments()
    assert (rst.flags, rst.seq) == (RST | ACK, peer.ack)
    assert guest.cpu.armed() == []


# SYN_RECV


def test_syn_recv_syn_ack_is_repeated_five_times(guest: Guest) -> None:
    listener(guest)
    peer = Peer(guest, sport=40000, dport=PORT)
    peer.send(SYN, mss=1460)
    guest.cpu.run(200 * SECOND)
    assert len(guest.segments()) == 5
    assert guest.stack.tcp.ipv4.ehash == {}
    assert guest.cpu.armed() == []


def test_syn_recv_syn_again_is_answered_again(guest: Guest) -> None:
    listener(guest)
    peer = Peer(guest, sport=40000, dport=PORT, iss=0)
    (first,) = peer.send(SYN, mss=1460)
    guest.cpu.run(600 * MS)
    peer.seq = 0
    (second,) = peer.send(SYN, mss=1460)
    assert second.seq == first.seq


def test_syn_recv_wrong_ack_is_reset(guest: Guest) -> None:
    listener(guest)
    peer = Peer(guest, sport=40000, dport=PORT)
    peer.ack = peer.send(SYN, mss=1460)[0].seq + 100
    (rst,) = peer.send(ACK)
    assert (rst.flags, rst.seq) == (RST, peer.ack & 0xFFFFFFFF)


def test_syn_recv_reset_ends_the_request(guest: Guest) -> None:
    listener(guest)
    peer = Peer(guest, sport=40000, dport=PORT)
    peer.send(SYN, mss=1460)
    assert peer.send(RST) == []
    assert guest.stack.tcp.ipv4.ehash == {}
    assert guest.stack.idle()


def test_syn_recv_ack_with_data_opens_and_delivers(guest: Guest) -> None:
    server = listener(guest)
    peer = Peer(guest, sport=40000, dport=PORT, iss=0)
    peer.ack = peer.send(SYN, mss=1460)[0].seq + 1
    answer = peer.send(ACK | PSH, b"hello")
    assert relative(peer, answer) == [". 1:+0 ack 6 win 64235"]
    assert server.poll_events() == POLLIN
    sock = server.accept()
    assert sock.recv(10) == b"hello"


# SYN_SENT


def test_syn_sent_offers_what_linux_offers(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    (syn,) = guest.segments()
    assert (syn.flags, syn.ack, syn.window) == (SYN, 0, 64240)
    options = TcpOptions.parse(syn.options)
    assert syn.options[:6] == b"\x02\x04\x05\xb4\x04\x02"
    assert syn.options[-4:] == b"\x01\x03\x03\x05"
    assert (options.mss, options.sack_permitted, options.window_scale) == (1460, True, 5)
    assert options.timestamps is not None
    assert options.timestamps[1] == 0
    assert syn.sport % 2 == 0
    assert sock.state == State.SYN_SENT


def test_syn_sent_answer_without_options_opens(guest: Guest) -> None:
    sock, _peer = connected(guest)
    assert sock.state == State.ESTABLISHED
    assert sock.sk.snd_wnd == 65535
    assert sock.sk.window_clamp == 64076
    assert sock.poll_events() == POLLOUT


def test_syn_sent_identification_counts_from_the_syn(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    (syn,) = guest.segments()
    peer = Peer(guest, sport=80, dport=syn.sport)
    peer.ack = syn.seq + 1
    (ack,) = peer.send(SYN | ACK, mss=1460)
    assert ack.ident == (syn.ident + 1) & 0xFFFF


def test_syn_sent_reset_refuses(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 9)
    (syn,) = guest.segments()
    peer = Peer(guest, sport=9, dport=syn.sport)
    peer.ack = syn.seq + 1
    assert peer.send(RST | ACK) == []
    assert sock.poll_events() & (POLLERR | POLLHUP) == POLLERR | POLLHUP
    with pytest.raises(ConnectionRefusedError):
        sock.connect(SLIRP, 9)
    sock.close()
    assert guest.stack.sockets() == []


def test_syn_sent_wrong_ack_is_reset(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    (syn,) = guest.segments()
    peer = Peer(guest, sport=80, dport=syn.sport)
    peer.ack = syn.seq + 5
    (rst,) = peer.send(SYN | ACK, mss=1460)
    assert (rst.flags, rst.seq) == (RST, peer.ack & 0xFFFFFFFF)
    assert sock.state == State.SYN_SENT


def test_syn_sent_close_sends_nothing(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    guest.take()
    sock.close()
    assert guest.segments() == []
    assert guest.cpu.armed() == []


# ESTABLISHED


def test_established_data_is_read_once(guest: Guest) -> None:
    sock, peer = accepted(guest)
    peer.send(ACK | PSH, b"abcdef")
    assert sock.poll_events() == POLLIN | POLLOUT
    assert [sock.recv(4), sock.recv(4)] == [b"abcd", b"ef"]
    with pytest.raises(BlockingIOError):
        sock.recv(4)


def test_established_write_leaves_with_push_and_ack(guest: Guest) -> None:
    sock, peer = accepted(guest)
    assert sock.send(b"answer") == 6
    assert relative(peer, guest.segments()) == ["P. 1:+6 ack 1 win 64240"]


def test_established_segment_beyond_a_hole_waits(guest: Guest) -> None:
    sock, peer = accepted(guest)
    guest.put(peer.frame(ACK | PSH, b"def", seq=4))
    assert relative(peer, guest.segments()) == [". 1:+0 ack 1 win 64240"]
    guest.put(peer.frame(ACK | PSH, b"abc", seq=1))
    assert relative(peer, guest.segments()) == [". 1:+0 ack 7 win 64234"]
    assert sock.recv(10) == b"abcdef"


def test_established_repeated_data_is_acknowledged_at_once(guest: Guest) -> None:
    sock, peer = accepted(guest)
    peer.send(ACK | PSH, b"abc")
    guest.put(peer.frame(ACK | PSH, b"abc", seq=1))
    assert relative(peer, guest.segments()) == [". 1:+0 ack 4 win 64237"]
    assert sock.recv(10) == b"abc"


def test_established_overlap_is_cut(guest: Guest) -> None:
    sock, peer = accepted(guest)
    peer.send(ACK | PSH, b"abc")
    guest.put(peer.frame(ACK | PSH, b"bcde", seq=2))
    assert sock.recv(10) == b"abcde"


def test_established_reset_is_reported_after_the_data(guest: Guest) -> None:
    sock, peer = accepted(guest)
    peer.send(ACK | PSH, b"abc")
    assert peer.send(RST | ACK) == []
    assert sock.recv(10) == b"abc"
    with pytest.raises(ConnectionResetError):
        sock.recv(10)
    assert sock.recv(10) == b""
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")


def test_established_reset_off_the_mark_is_challenged(guest: Guest) -> None:
    sock, peer = accepted(guest)
    guest.put(peer.frame(RST, seq=100))
    assert relative(peer, guest.segments()) == [". 1:+0 ack 1 win 64240"]
    assert sock.state == State.ESTABLISHED


def test_established_syn_is_challenged(guest: Guest) -> None:
    sock, peer = accepted(guest)
    guest.put(peer.frame(SYN, seq=1))
    assert relative(peer, guest.segments()) == [". 1:+0 ack 1 win 64240"]
    assert sock.state == State.ESTABLISHED


def test_established_challenges_are_limited_to_two_a_second(guest: Guest) -> None:
    _, peer = accepted(guest)
    guest.put(peer.frame(SYN, seq=1), peer.frame(SYN, seq=1))
    assert len(guest.segments()) == 1
    assert guest.stack.snmp.tcp_ext["TCPACKSkippedChallenge"] == 1


def test_established_bad_checksum_is_dropped(guest: Guest) -> None:
    from desim.wire.frame import Frame

    _sock, peer = accepted(guest)
    raw = bytearray(peer.frame(ACK | PSH, b"abcdef").raw)
    raw[-1] ^= 1
    raw[55] ^= 1
    guest.put(Frame(bytes(raw)))
    assert guest.segments() == []
    assert guest.stack.snmp.tcp["InCsumErrors"] == 1


def test_established_close_with_unread_data_resets(guest: Guest) -> None:
    sock, peer = accepted(guest)
    peer.send(ACK | PSH, b"abc")
    sock.close()
    assert relative(peer, guest.segments()) == ["R. 1:+0 ack 4 win 64237"]
    assert guest.stack.sockets() == []
    assert guest.cpu.armed() == []


# CLOSE_WAIT and LAST_ACK


def test_close_wait_fin_is_acknowledged_by_the_programs_own_fin(guest: Guest) -> None:
    sock, peer = accepted(guest)
    assert peer.send(ACK | FIN) == []
    assert sock.state == State.CLOSE_WAIT
    assert sock.recv(10) == b""
    sock.close()
    assert relative(peer, guest.segments()) == ["F. 1:+0 ack 2 win 64239"]
    peer.ack += 1
    assert peer.send(ACK) == []
    assert guest.stack.sockets() == []
    assert guest.cpu.armed() == []


def test_close_wait_fin_is_acknowledged_after_40_ms(guest: Guest) -> None:
    _, peer = accepted(guest)
    peer.send(ACK | PSH, b"abc")
    assert peer.send(ACK | FIN) == []
    guest.cpu.run(39 * MS)
    assert guest.segments() == []
    guest.cpu.run(6 * MS)
    assert relative(peer, guest.segments()) == [". 1:+0 ack 5 win 64236"]


def test_close_wait_fin_without_data_is_acknowledged_in_the_next_jiffy(guest: Guest) -> None:
    _, peer = accepted(guest)
    assert peer.send(ACK | FIN) == []
    guest.cpu.run(4 * MS)
    assert relative(peer, guest.segments()) == [". 1:+0 ack 2 win 64239"]


def test_close_wait_can_still_send(guest: Guest) -> None:
    sock, peer = accepted(guest)
    peer.send(ACK | FIN)
    sock.send(b"bye")
    assert relative(peer, guest.segments()) == ["P. 1:+3 ack 2 win 64239"]


def test_last_ack_fin_is_repeated(guest: Guest) -> None:
    sock, peer = accepted(guest)
    peer.send(ACK | FIN)
    sock.close()
    guest.take()
    guest.cpu.run(1 * SECOND)
    assert [s.flags for s in guest.segments()] == [FIN | ACK] * 2
    peer.ack += 1
    peer.send(ACK)
    assert guest.cpu.armed() == []


# FIN_WAIT1, FIN_WAIT2, CLOSING


def test_fin_wait_shutdown_sends_fin_and_reads_on(guest: Guest) -> None:
    sock, peer = accepted(guest)
    sock.shutdown(1)
    assert relative(peer, guest.segments()) == ["F. 1:+0 ack 1 win 64240"]
    assert sock.state == State.FIN_WAIT1
    peer.ack += 1
    assert peer.send(ACK) == []
    assert sock.state == State.FIN_WAIT2
    peer.send(ACK | PSH, b"more")
    assert sock.recv(10) == b"more"
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")


def test_fin_wait2_fin_is_acknowledged_into_time_wait(guest: Guest) -> None:
    sock, peer = accepted(guest)
    sock.shutdown(1)
    guest.take()
    peer.ack += 1
    peer.send(ACK)
    answer = peer.send(FIN | ACK)
    assert [(s.flags, s.ack) for s in answer] == [(ACK, 2)]
    assert sock.state == State.CLOSE
    assert sock.recv(1) == b""
    (entry,) = guest.stack.tcp.ipv4.ehash.values()
    assert isinstance(entry, TimewaitSock)


def test_fin_wait2_orphan_resets_data(guest: Guest) -> None:
    sock, peer = accepted(guest)
    sock.close()
    guest.take()
    peer.ack += 1
    assert peer.send(ACK) == []
    (rst,) = peer.send(ACK | PSH, b"for nobody")
    assert (rst.flags, rst.seq) == (RST, peer.ack & 0xFFFFFFFF)


def test_fin_wait1_data_for_an_orphan_resets(guest: Guest) -> None:
    sock, peer = accepted(guest)
    sock.close()
    guest.take()
    (rst,) = peer.send(ACK | PSH, b"for nobody")
    assert rst.flags & RST
    assert guest.cpu.armed() == []


def test_closing_when_both_fins_cross(guest: Guest) -> None:
    sock, peer = accepted(guest)
    sock.shutdown(1)
    guest.take()
    answer = peer.send(FIN | ACK)
    assert [(s.flags, s.ack) for s in answer] == [(ACK, 2)]
    assert sock.state == State.CLOSING
    peer.ack += 1
    assert peer.send(ACK) == []
    assert sock.state == State.CLOSE
    (entry,) = guest.stack.tcp.ipv4.ehash.values()
    assert isinstance(entry, TimewaitSock)
    assert entry.substate == State.TIME_WAIT


# TIME_WAIT


def time_wait(guest: Guest) -> Peer:
    sock, peer = accepted(guest)
    sock.close()
    guest.take()
    peer.ack += 1
    peer.send(ACK)
    peer.send(FIN | ACK)
    return peer


def test_time_wait_lasts_a_minute_and_does_not_keep_a_run_going(guest: Guest) -> None:
    time_wait(guest)
    assert [info.state for info in guest.stack.sockets()] == ["TIME_WAIT"]
    assert guest.stack.idle()
    assert not guest.cpu.wheel.waiting()
    guest.cpu.run(70 * SECOND)
    assert guest.stack.sockets() == []


def test_time_wait_answers_a_repeated_fin(guest: Guest) -> None:
    peer = time_wait(guest)
    peer.seq -= 1
    (ack,) = peer.send(FIN | ACK)
    assert (ack.flags, ack.ack, ack.ident) == (ACK, 2, 0)


def test_time_wait_reset_ends_it(guest: Guest) -> None:
    peer = time_wait(guest)
    assert peer.send(RST) == []
    assert guest.stack.sockets() == []


def test_time_wait_higher_syn_is_a_new_connection(guest: Guest) -> None:
    peer = time_wait(guest)
    listener(guest)
    peer.seq += 1000
    (synack,) = peer.send(SYN, mss=1460)
    assert synack.flags == SYN | ACK


def test_poll_tells_that_the_peer_sends_no_more(guest: Guest) -> None:
    """``tcp_poll``: EPOLLRDHUP from the FIN on, and from one's own shutdown(SHUT_RD)."""
    sock, peer = connected(guest)
    assert not sock.poll_events() & POLLRDHUP
    peer.send(ACK | FIN)
    assert sock.poll_events() & (POLLIN | POLLRDHUP | POLLHUP) == POLLIN | POLLRDHUP
