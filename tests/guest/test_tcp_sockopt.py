"""Options of a TCP socket, what can be asked of it, and what they change."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from fakes_net import MS, SECOND, SLIRP, Guest, Peer

from desim.guest.net.socket import TcpSocket
from desim.guest.net.tcp.tcp_sock import State
from desim.ports import POLLOUT
from desim.userland.uapi import (
    SO_ATTACH_FILTER,
    SO_BROADCAST,
    SO_KEEPALIVE,
    SO_LINGER,
    SO_RCVBUF,
    SO_REUSEADDR,
    SO_SNDBUF,
    TCP_CORK,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_MAXSEG,
    TCP_NODELAY,
    TCP_QUICKACK,
    TCP_USER_TIMEOUT,
)
from desim.wire.tcp import ACK, FIN, PSH, RST, SYN, TcpOptions

MSS = 1460


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


def connected(guest: Guest, sock: TcpSocket | None = None) -> tuple[TcpSocket, Peer]:
    sock = sock or guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    (syn,) = guest.segments()
    peer = Peer(guest, sport=80, dport=syn.sport, iss=0)
    peer.ack = syn.seq + 1
    peer.send(SYN | ACK, mss=MSS)
    sock.finish_connect()
    peer.send(ACK)
    guest.segments()
    return sock, peer


def accepted(guest: Guest, listener: TcpSocket, mss: int | None = MSS) -> tuple[TcpSocket, Peer]:
    """A connection of a peer that offers ``mss``."""
    listener.bind(bytes(4), 80)
    listener.listen(1)
    peer = Peer(guest, sport=1000, dport=80, iss=0)
    (answer,) = peer.send(SYN, mss=mss)
    peer.ack = answer.seq + 1
    peer.send(ACK)
    return listener.accept(), peer


def sizes(guest: Guest) -> list[int]:
    return [len(s.payload) for s in guest.segments()]


@pytest.mark.parametrize(
    ("option", "at_first", "given", "then"),
    [
        (SO_REUSEADDR, 0, 5, 1),
        (SO_BROADCAST, 0, 1, 1),
        (SO_RCVBUF, 131072, 20_000, 40_000),
        (SO_RCVBUF, 131072, 1 << 20, 425_984),
        (SO_RCVBUF, 131072, 0, 2304),
        (SO_RCVBUF, 131072, 1152, 2304),
        (SO_RCVBUF, 131072, 1153, 2306),
        (SO_RCVBUF, 131072, -1, 425_984),  # as a number without a sign
        (SO_SNDBUF, 16384, 10_000, 20_000),
        (SO_SNDBUF, 16384, 1, 4608),
        (SO_SNDBUF, 16384, -1, 425_984),
        (SO_LINGER, -1, 0, 0),
        (SO_LINGER, -1, 7, 7),
        (TCP_NODELAY, 0, 1, 1),
        (SO_KEEPALIVE, 0, 1, 1),
        (TCP_KEEPIDLE, 7200, 60, 60),
        (TCP_KEEPINTVL, 75, 5, 5),
        (TCP_KEEPCNT, 9, 3, 3),
        (TCP_USER_TIMEOUT, 0, 5000, 5000),
        (TCP_MAXSEG, 536, 1000, 1000),
        (TCP_MAXSEG, 536, 0, 536),
        (TCP_CORK, 0, 1, 1),
        (TCP_QUICKACK, 1, 0, 0),
    ],
)
def test_what_is_set_can_be_asked_for(
    guest: Guest, option: str, at_first: int, given: int, then: int
) -> None:
    sock = guest.stack.tcp_socket()
    assert sock.getsockopt(option) == at_first
    sock.setsockopt(option, given)
    assert sock.getsockopt(option) == then


@pytest.mark.parametrize(
    "row", Path(__file__).with_name("sockopts.tsv").read_text("utf-8").splitlines()
)
def test_a_new_socket_answers_as_a_real_one(guest: Guest, row: str) -> None:
    """Linux 6.1.192: an option, what was given, its value before, the error, and after."""
    option, given, before, error, after = row.split("\t")
    sock = guest.stack.tcp_socket()
    assert sock.getsockopt(option) == int(before)
    if error == "-":
        sock.setsockopt(option, int(given))
    else:
        with pytest.raises(OSError) as refused:
            sock.setsockopt(option, int(given))
        assert refused.value.errno == getattr(errno, error)
    assert sock.getsockopt(option) == int(after)


def test_an_accepted_socket_has_its_listeners_options_as_a_real_one_has(guest: Guest) -> None:
    """Linux 6.1.192: all but TCP_QUICKACK, which each connection finds for itself."""
    sock = guest.stack.tcp_socket()
    given = {
        TCP_NODELAY: 1,
        TCP_CORK: 1,
        SO_KEEPALIVE: 1,
        TCP_USER_TIMEOUT: 1234,
        TCP_KEEPIDLE: 55,
        TCP_KEEPCNT: 4,
        TCP_QUICKACK: 0,
    }
    for option, value in given.items():
        sock.setsockopt(option, value)
    child, _ = accepted(guest, sock)
    assert {option: child.getsockopt(option) for option in given} == {**given, TCP_QUICKACK: 1}


def test_an_unknown_option_is_refused(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    with pytest.raises(OSError) as wrong:
        sock.setsockopt(SO_ATTACH_FILTER, 1)
    assert wrong.value.errno == errno.ENOPROTOOPT
    with pytest.raises(OSError) as wrong:
        sock.getsockopt(SO_ATTACH_FILTER)
    assert wrong.value.errno == errno.ENOPROTOOPT


def test_the_segment_size_can_be_asked_for(guest: Guest) -> None:
    assert guest.stack.tcp_socket().getsockopt(TCP_MAXSEG) == 536
    sock, _ = connected(guest)
    assert sock.getsockopt(TCP_MAXSEG) == MSS


def test_a_cork_keeps_what_fills_no_segment_until_it_is_taken_off(guest: Guest) -> None:
    sock, _ = connected(guest)
    sock.setsockopt(TCP_CORK, 1)
    sock.send(b"head")
    sock.send(bytes(MSS))
    assert sizes(guest) == [MSS]
    sock.setsockopt(TCP_CORK, 0)
    assert sizes(guest) == [4]


def test_what_a_closed_window_holds_goes_after_nodelay_whatever_is_set_later(guest: Guest) -> None:
    """``TCP_NAGLE_PUSH`` stays set until the next packet is written (``tcp_skb_entail``)."""
    sock, peer = connected(guest)
    sock.setsockopt(TCP_CORK, 1)
    sock.send(b"head")
    sock.sk.snd_cwnd = 0
    sock.setsockopt(TCP_NODELAY, 1)
    sock.setsockopt(TCP_NODELAY, 0)
    assert (sizes(guest), sock.getsockopt(TCP_CORK), sock.getsockopt(TCP_NODELAY)) == ([], 1, 0)
    sock.sk.snd_cwnd = 10
    assert [s.payload for s in peer.send(ACK)] == [b"head"]
    sock.send(b"more")
    peer.ack += 4
    assert peer.send(ACK) == sizes(guest) == []  # corked, as ever


def test_a_cork_gives_way_after_200_ms(guest: Guest) -> None:
    sock, _ = connected(guest)
    sock.setsockopt(TCP_CORK, 1)
    sock.send(b"head")
    guest.cpu.run(150 * MS)
    assert sizes(guest) == []
    guest.cpu.run(SECOND)
    assert sizes(guest)[0] == 4


def test_without_quickack_an_ack_waits(guest: Guest) -> None:
    sock, peer = connected(guest)
    sock.setsockopt(TCP_QUICKACK, 0)
    assert peer.send(ACK | PSH, b"x") == []
    assert sock.recv(10) == b"x"
    assert guest.segments() == []
    sock.setsockopt(TCP_QUICKACK, 1)
    (ack,) = guest.segments()
    assert ack.ack == 2
    assert len(peer.send(ACK | PSH, b"y")) == 1


def test_an_even_quickack_is_for_one_acknowledgement(guest: Guest) -> None:
    """``__tcp_sock_set_quickack``: the conversation goes on as one."""
    sock, peer = connected(guest)
    sock.setsockopt(TCP_QUICKACK, 0)
    peer.send(ACK | PSH, b"x")
    assert sock.recv(10) == b"x"
    assert guest.segments() == []
    sock.setsockopt(TCP_QUICKACK, 2)
    assert [s.ack for s in guest.segments()] == [2]
    assert sock.getsockopt(TCP_QUICKACK) == 0
    assert peer.send(ACK | PSH, b"y") == []


def test_a_larger_send_buffer_wakes_who_waits_for_room(guest: Guest) -> None:
    """``sk_stream_write_space``, from ``sock_setsockopt``."""
    sock, _ = connected(guest)
    sock.setsockopt(SO_SNDBUF, 2304)
    while sock.poll_events() & POLLOUT:
        sock.send(bytes(65536))
    guest.cpu.woken.clear()
    sock.setsockopt(SO_SNDBUF, 4000)
    assert "tcp socket" not in guest.cpu.woken
    sock.setsockopt(SO_SNDBUF, 200_000)
    assert "tcp socket" in guest.cpu.woken
    assert sock.poll_events() & POLLOUT


def test_a_segment_size_that_comes_too_late_changes_nothing(guest: Guest) -> None:
    """``tcp_connect_init`` and ``tcp_parse_options`` have read it; a closed socket tells it."""
    sock, _ = connected(guest)
    sock.setsockopt(TCP_MAXSEG, 500)
    assert sock.getsockopt(TCP_MAXSEG) == MSS
    sock.send(bytes(MSS))
    assert sizes(guest) == [MSS]
    idle = guest.stack.tcp_socket()
    idle.setsockopt(TCP_MAXSEG, 500)
    assert idle.getsockopt(TCP_MAXSEG) == 500
    idle.setsockopt(TCP_MAXSEG, 0)
    assert idle.getsockopt(TCP_MAXSEG) == 536


def test_closing_with_no_time_to_linger_resets(guest: Guest) -> None:
    sock, peer = connected(guest)
    sock.setsockopt(SO_LINGER, 0)
    sock.close()
    (reset,) = guest.segments()
    assert reset.flags & RST
    assert sock.state == State.CLOSE
    assert guest.stack.snmp.tcp_ext["TCPAbortOnData"] == 1
    assert guest.stack.sockets() == []
    assert [s.flags & RST for s in peer.send(ACK, b"late")] == [RST]


def test_a_chosen_buffer_stays_what_it_is(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    sock.setsockopt(SO_SNDBUF, 8192)
    sock.setsockopt(SO_RCVBUF, 20_000)
    connected(guest, sock)
    assert sock.getsockopt(SO_SNDBUF) == 16384
    assert sock.getsockopt(SO_RCVBUF) == 40_000


def test_what_waits_to_be_read_is_counted_without_the_fin(guest: Guest) -> None:
    sock, peer = connected(guest)
    assert sock.inq() == 0
    peer.send(ACK | PSH, b"hello")
    assert sock.inq() == 5
    peer.send(ACK | FIN)
    assert sock.inq() == 5
    assert sock.recv(2) == b"he"
    assert sock.inq() == 3


def test_of_datagrams_the_first_counts(guest: Guest) -> None:
    sock = guest.stack.udp_socket()
    assert sock.inq() == 0
    packets = guest.stack.packet_socket("eth0", 0x0800)
    _, peer = connected(guest)
    while packets.inq():
        packets.recv(1)
    peer.send(ACK | PSH, b"hello world")
    peer.send(ACK | PSH, b"!")
    assert packets.inq() == 40 + 11
    packets.setsockopt(SO_ATTACH_FILTER, 68)
    assert packets.inq() == 0


def test_a_listener_has_nothing_to_read_and_its_connections_its_options(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    sock.setsockopt(SO_SNDBUF, 8192)
    sock.setsockopt(TCP_NODELAY, 1)
    sock.setsockopt(SO_LINGER, 0)
    child, _ = accepted(guest, sock)
    with pytest.raises(OSError) as wrong:
        sock.inq()
    assert wrong.value.errno == errno.EINVAL
    kept = [child.getsockopt(o) for o in (SO_SNDBUF, TCP_NODELAY, SO_LINGER)]
    assert kept == [16384, 1, 0]


def test_what_is_peeked_at_stays(guest: Guest) -> None:
    sock, peer = connected(guest)
    with pytest.raises(BlockingIOError):
        sock.peek(10)
    peer.send(ACK | PSH, b"hello")
    peer.send(ACK | PSH, b" you")
    assert sock.peek(7) == b"hello y"
    assert sock.peek(100) == b"hello you"
    assert sock.recv(3) == b"hel"
    assert sock.peek(4) == b"lo y"
    assert sock.recv(100) == b"lo you"
    peer.send(ACK | FIN)
    assert sock.peek(1) == b""


def test_with_more_to_come_a_short_piece_waits_without_push(guest: Guest) -> None:
    sock, _ = connected(guest)
    sock.send(b"head", True)
    assert guest.segments() == []
    sock.send(b"body")
    (segment,) = guest.segments()
    assert (segment.payload, bool(segment.flags & PSH)) == (b"headbody", True)


def test_with_more_to_come_a_full_segment_goes(guest: Guest) -> None:
    sock, _ = connected(guest)
    sock.send(bytes(MSS + 10), True)
    assert sizes(guest) == [MSS]


def kept_alive(guest: Guest) -> tuple[TcpSocket, Peer]:
    """A connection that is probed after 10 s, three times, each 2 s."""
    sock, peer = connected(guest)
    for option, value in ((TCP_KEEPINTVL, 2), (TCP_KEEPCNT, 3), (SO_KEEPALIVE, 1)):
        sock.setsockopt(option, value)
    sock.setsockopt(TCP_KEEPIDLE, 10)
    return sock, peer


def test_a_silent_peer_is_asked_and_an_answer_is_enough(guest: Guest) -> None:
    sock, peer = kept_alive(guest)
    guest.cpu.run(9 * SECOND)
    assert guest.segments() == []
    guest.cpu.run(2 * SECOND)
    (probe,) = guest.segments()
    assert (probe.flags, probe.payload, probe.seq) == (ACK, b"", peer.ack - 1)
    peer.send(ACK)
    guest.cpu.run(9 * SECOND)
    assert guest.segments() == []
    guest.cpu.run(2 * SECOND)
    assert len(guest.segments()) == 1
    assert guest.stack.snmp.tcp_ext["TCPKeepAlive"] == 2
    assert sock.state == State.ESTABLISHED


def test_a_peer_that_never_answers_is_given_up(guest: Guest) -> None:
    sock, _ = kept_alive(guest)
    guest.cpu.run(20 * SECOND)
    assert [bool(s.flags & RST) for s in guest.segments()] == [False, False, False, True]
    assert (sock.state, sock.take_error()) == (State.CLOSE, errno.ETIMEDOUT)
    assert guest.cpu.armed() == []


def test_data_under_way_is_no_reason_to_ask(guest: Guest) -> None:
    sock, peer = kept_alive(guest)
    guest.cpu.run(9 * SECOND)
    peer.send(ACK | PSH, b"x")
    guest.segments()
    guest.cpu.run(9 * SECOND)
    assert guest.segments() == []
    sock.setsockopt(SO_KEEPALIVE, 0)
    guest.cpu.run(60 * SECOND)
    assert guest.segments() == []


def test_a_connection_is_kept_alive_if_that_was_asked_before_it_began(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    sock.setsockopt(SO_KEEPALIVE, 1)
    sock.setsockopt(TCP_KEEPIDLE, 3)
    connected(guest, sock)
    guest.cpu.run(4 * SECOND)
    assert len(guest.segments()) == 1


@pytest.mark.parametrize(("option", "value"), [(TCP_KEEPIDLE, 0), (TCP_KEEPCNT, 128)])
def test_times_of_keeping_alive_have_limits(guest: Guest, option: str, value: int) -> None:
    with pytest.raises(OSError) as wrong:
        guest.stack.tcp_socket().setsockopt(option, value)
    assert wrong.value.errno == errno.EINVAL


def hasty(guest: Guest, ms: int) -> tuple[TcpSocket, Peer]:
    """A connection that is given up when nothing is answered for ``ms``."""
    sock, peer = connected(guest)
    sock.setsockopt(TCP_USER_TIMEOUT, ms)
    return sock, peer


def test_what_is_sent_is_given_up_when_the_programs_time_is_over(guest: Guest) -> None:
    """``tcp_clamp_rto_to_user_timeout``, ``retransmits_timed_out`` (net/ipv4/tcp_timer.c).

    The time begins when something is sent again for the first time (``retrans_stamp``).
    """
    sock, _ = hasty(guest, 1000)
    began = guest.cpu.now()
    sock.send(b"x")
    guest.cpu.run(1190 * MS)
    # Again after 200 and 600 ms; the next would be after 1.4 s.
    assert sizes(guest) == [1, 1, 1]
    assert sock.state == State.ESTABLISHED
    while sock.state != State.CLOSE:
        guest.cpu.run(MS)
    assert 1_200 <= (guest.cpu.now() - began) // MS <= 1_220
    assert (sock.take_error(), guest.segments()) == (errno.ETIMEDOUT, [])
    assert guest.stack.snmp.tcp_ext["TCPAbortOnTimeout"] == 1
    assert guest.cpu.armed() == []


def test_an_acknowledgement_in_time_is_enough(guest: Guest) -> None:
    sock, peer = hasty(guest, 1000)
    sock.send(b"x")
    guest.cpu.run(900 * MS)
    peer.ack += 1
    peer.send(ACK)
    sock.send(b"y")
    guest.cpu.run(900 * MS)
    assert sock.state == State.ESTABLISHED


def test_a_program_gives_up_to_connect_when_its_time_is_over(guest: Guest) -> None:
    """``tcp_write_timeout``: before the number of SYNs is used up."""
    sock = guest.stack.tcp_socket()
    sock.setsockopt(TCP_USER_TIMEOUT, 2000)
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    guest.cpu.run(5 * SECOND)
    assert len(guest.segments()) == 2
    with pytest.raises(TimeoutError):
        sock.finish_connect()


def test_a_closed_window_is_probed_for_the_programs_time(guest: Guest) -> None:
    """``tcp_probe_timer``: answers that keep the window closed do not help."""
    sock, peer = hasty(guest, 3000)
    peer.window = 0
    peer.send(ACK)
    began = guest.cpu.now()
    sock.send(b"x")
    while sock.state != State.CLOSE:
        guest.cpu.run(10 * MS)
        if guest.segments():
            peer.window = 0
            peer.send(ACK)
        assert guest.cpu.now() - began < 10 * SECOND
    # The time begins at the first probe, 200 ms after the program's call.
    assert 3_200 <= (guest.cpu.now() - began) // MS <= 3_240
    assert sock.take_error() == errno.ETIMEDOUT


def test_a_window_that_opens_and_closes_again_has_the_time_anew(guest: Guest) -> None:
    sock, peer = hasty(guest, 1000)
    for _ in range(3):
        peer.window = 0
        peer.send(ACK)
        sock.send(b"x")
        guest.cpu.run(900 * MS)
        peer.window = 1000
        peer.send(ACK)
        guest.cpu.run(10 * MS)
        peer.ack += 1
        peer.window = 1000
        peer.send(ACK)
    assert sock.state == State.ESTABLISHED


def test_a_window_taken_back_is_tried_for_the_programs_time(guest: Guest) -> None:
    """``tcp_rtx_probe0_timed_out``."""
    sock, peer = hasty(guest, 2000)
    sock.send(b"x")
    guest.segments()
    peer.window = 0
    peer.send(ACK)
    for _ in range(40):
        guest.cpu.run(100 * MS)
        if guest.segments() and sock.state != State.CLOSE:
            peer.window = 0
            peer.send(ACK)
    assert (sock.state, sock.take_error()) == (State.CLOSE, errno.ETIMEDOUT)


def test_the_programs_time_takes_the_place_of_the_number_of_keepalive_probes(guest: Guest) -> None:
    """``tcp_keepalive_timer``: three probes without it, and more with it."""
    sock, _ = kept_alive(guest)
    sock.setsockopt(TCP_USER_TIMEOUT, 19_000)
    guest.cpu.run(18_500 * MS)
    assert len(guest.segments()) == 5
    guest.cpu.run(3 * SECOND)
    (reset,) = guest.segments()
    assert reset.flags & RST
    assert sock.take_error() == errno.ETIMEDOUT


def test_a_negative_time_is_refused_and_a_listeners_is_its_connections(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    with pytest.raises(OSError) as wrong:
        sock.setsockopt(TCP_USER_TIMEOUT, -1)
    assert wrong.value.errno == errno.EINVAL
    sock.setsockopt(TCP_USER_TIMEOUT, 1234)
    child, _ = accepted(guest, sock)
    assert child.getsockopt(TCP_USER_TIMEOUT) == 1234


def test_a_program_may_want_smaller_segments(guest: Guest) -> None:
    """``tcp_connect_init``, ``tcp_parse_options``: what is offered, and what is sent."""
    sock = guest.stack.tcp_socket()
    sock.setsockopt(TCP_MAXSEG, 1000)
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    (syn,) = guest.segments()
    assert syn.mss == 1000
    # Half of the buffer's 131072, in segments of 1000.
    assert syn.window == 65000
    peer = Peer(guest, sport=80, dport=syn.sport, iss=0)
    peer.ack = syn.seq + 1
    peer.send(SYN | ACK, mss=MSS)
    sock.finish_connect()
    assert sock.getsockopt(TCP_MAXSEG) == 1000
    sock.send(bytes(2500))
    assert sizes(guest) == [1000, 1000, 500]


def test_of_two_sizes_the_smaller_counts(guest: Guest) -> None:
    sock = guest.stack.tcp_socket()
    sock.setsockopt(TCP_MAXSEG, 9000)
    child, _ = accepted(guest, sock)
    assert child.getsockopt(TCP_MAXSEG) == MSS


def test_a_listeners_segment_size_is_offered_and_kept(guest: Guest) -> None:
    """``tcp_make_synack``, ``tcp_v4_syn_recv_sock``."""
    sock = guest.stack.tcp_socket()
    sock.setsockopt(TCP_MAXSEG, 700)
    sock.bind(bytes(4), 80)
    sock.listen(1)
    peer = Peer(guest, sport=1000, dport=80, iss=0)
    (answer,) = peer.send(SYN, mss=MSS)
    assert (answer.mss, answer.window) == (700, 65100)
    peer.ack = answer.seq + 1
    peer.send(ACK)
    child = sock.accept()
    assert sock.getsockopt(TCP_MAXSEG) == child.getsockopt(TCP_MAXSEG) == 700
    child.send(bytes(1000))
    assert sizes(guest) == [700, 300]


def test_a_peer_that_offers_nothing_gets_segments_of_536(guest: Guest) -> None:
    """``tcp_parse_options`` compares only with what was offered."""
    sock = guest.stack.tcp_socket()
    sock.setsockopt(TCP_MAXSEG, 100)
    child, _ = accepted(guest, sock, mss=None)
    assert child.getsockopt(TCP_MAXSEG) == 536


@pytest.mark.parametrize("size", [-1, 87, 32768])
def test_a_segment_size_has_limits(guest: Guest, size: int) -> None:
    with pytest.raises(OSError) as wrong:
        guest.stack.tcp_socket().setsockopt(TCP_MAXSEG, size)
    assert wrong.value.errno == errno.EINVAL


def test_a_buffer_smaller_than_a_segment_is_offered_as_it_is(guest: Guest) -> None:
    """``tcp_select_initial_window`` rounds only what holds a segment."""
    sock = guest.stack.tcp_socket()
    sock.setsockopt(SO_RCVBUF, 0)
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    (syn,) = guest.segments()
    assert syn.window == 1152


def test_a_close_that_waits_is_over_when_the_fin_is_acknowledged(guest: Guest) -> None:
    """``sk_stream_wait_close`` (net/core/stream.c): not until the peer closes, too."""
    sock, peer = connected(guest)
    assert sock.begin_close() == 0
    sock.setsockopt(SO_LINGER, 3)
    sock.send(b"x")
    assert sock.begin_close() == 3
    assert [bool(s.flags & FIN) for s in guest.segments()] == [False, True]
    assert sock.closing()
    peer.ack += 2
    peer.send(ACK)
    assert (sock.closing(), sock.state) == (False, State.FIN_WAIT2)
    sock.close()
    # As after any close: the orphan is in TIME_WAIT's table and nothing more is sent.
    assert guest.segments() == []
    (last,) = peer.send(ACK | FIN)
    assert last.flags == ACK


def test_a_close_that_waits_goes_on_as_an_orphan_when_its_time_is_over(guest: Guest) -> None:
    sock, peer = connected(guest)
    sock.setsockopt(SO_LINGER, 1)
    sock.begin_close()
    guest.segments()
    sock.close()
    assert guest.segments() == []
    assert sock.sk.dead
    peer.ack += 1
    peer.send(ACK)
    assert sock.state == State.CLOSE


def test_a_close_with_unread_data_resets_and_does_not_wait(guest: Guest) -> None:
    sock, peer = connected(guest)
    sock.setsockopt(SO_LINGER, 5)
    peer.send(ACK | PSH, b"x")
    sock.begin_close()
    assert [bool(s.flags & RST) for s in guest.segments()] == [True]
    assert not sock.closing()
    sock.close()
    assert guest.stack.sockets() == []


@pytest.mark.parametrize(("rcvbuf", "scale"), [(None, 5), (20_000, 0), (200_000, 2)])
def test_a_chosen_receive_buffer_says_how_windows_are_scaled(
    guest: Guest, rcvbuf: int | None, scale: int
) -> None:
    """``tcp_connect_init``: the window's clamp is the whole buffer if that was chosen."""
    sock = guest.stack.tcp_socket()
    if rcvbuf is not None:
        sock.setsockopt(SO_RCVBUF, rcvbuf)
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    (syn,) = guest.segments()
    assert TcpOptions.parse(syn.options).window_scale == scale
