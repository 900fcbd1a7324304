"""How the guest's TCP sends: packets, windows, loss, probes, and what a lock defers."""

from __future__ import annotations

import itertools

import pytest
from fakes_net import MS, SECOND, SLIRP, Guest, Peer

from desim.guest.net.socket import TcpSocket
from desim.guest.net.tcp.tcp_cong import Cubic, cubic_root
from desim.guest.net.tcp.tcp_sock import CaState, State
from desim.ports import POLLOUT
from desim.wire.tcp import ACK, FIN, PSH, SYN

MSS = 1460


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


def connected(guest: Guest, window: int = 65535) -> tuple[TcpSocket, Peer]:
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    (syn,) = guest.segments()
    peer = Peer(guest, sport=80, dport=syn.sport, iss=0)
    peer.window = window
    peer.ack = syn.seq + 1
    peer.send(SYN | ACK, mss=1460)
    sock.connect(SLIRP, 80)
    # The first segment behind a SYN always counts as a window update.
    peer.send(ACK)
    return sock, peer


def closed_window(guest: Guest) -> tuple[TcpSocket, Peer]:
    """A connection whose peer takes nothing more; only an ACK of something can say so."""
    sock, peer = connected(guest)
    sock.send(b"x")
    peer.ack += len(guest.segments()[0].payload)
    peer.window = 0
    peer.send(ACK)
    return sock, peer


def sizes(guest: Guest) -> list[int]:
    return [len(s.payload) for s in guest.segments()]


def acknowledge(peer: Peer, size: int) -> list[int]:
    peer.ack += size
    return [len(s.payload) for s in peer.send(ACK)]


def fill(sock: TcpSocket) -> None:
    """Write until the buffer is full."""
    while True:
        sock.send(bytes(65536))


# Packets


def test_a_write_leaves_as_few_packets(guest: Guest) -> None:
    sock, _ = connected(guest)
    sock.send(bytes(5 * MSS))
    (packet,) = [skb for skb in guest.driver.packets if skb.frags]
    assert (packet.gso_size, packet.gso_segs) == (MSS, 5)
    segments = guest.segments()
    assert [len(s.payload) for s in segments] == [MSS] * 5
    assert [s.flags for s in segments] == [ACK] * 4 + [ACK | PSH]
    assert [b.ident - a.ident for a, b in itertools.pairwise(segments)] == [1] * 4


def test_identification_goes_on_behind_a_large_packet(guest: Guest) -> None:
    sock, peer = connected(guest)
    sock.send(bytes(5 * MSS))
    last = guest.segments()[-1].ident
    acknowledge(peer, 5 * MSS)
    sock.send(b"x")
    assert guest.segments()[0].ident == (last + 1) & 0xFFFF


def test_the_first_flight_is_ten_segments(guest: Guest) -> None:
    sock, peer = connected(guest)
    assert sock.send(bytes(40 * MSS)) == 40 * MSS
    assert sizes(guest) == [MSS] * 10
    assert acknowledge(peer, 2 * MSS) == [MSS] * 4


def test_the_windows_edge_may_cut_a_segment(guest: Guest) -> None:
    """As in the ``vt_`` recordings, where 1295 bytes fill slirp's window again and again."""
    sock, _ = connected(guest)
    sock.sk.snd_cwnd = 100
    sock.send(bytes(MSS))
    sock.send(bytes(65536))
    assert sizes(guest) == [MSS] * 44 + [1295]


def test_a_small_peer_window_limits_the_segment(guest: Guest) -> None:
    sock, _ = connected(guest, window=1000)
    sock.send(bytes(2000))
    assert sizes(guest) == [500, 500]


def test_a_full_buffer_would_block_until_a_third_is_free(guest: Guest) -> None:
    sock, peer = connected(guest)
    taken = 0
    while sock.poll_events() & POLLOUT:
        taken += sock.send(bytes(65536))
    with pytest.raises(BlockingIOError):
        fill(sock)
    assert not sock.poll_events() & POLLOUT
    guest.cpu.woken.clear()
    sent = sum(sizes(guest))
    while not sock.poll_events() & POLLOUT:
        sent += sum(acknowledge(peer, min(10 * MSS, sent - (peer.ack - sock.sk.snd_una))))
    assert "tcp socket" in guest.cpu.woken
    assert taken >= 65536


def test_nagle_holds_a_second_short_segment_back(guest: Guest) -> None:
    sock, peer = connected(guest)
    sock.send(b"a")
    sock.send(b"b")
    sock.send(b"c")
    assert sizes(guest) == [1]
    assert acknowledge(peer, 1) == [2]


def test_nodelay_sends_at_once(guest: Guest) -> None:
    sock, _ = connected(guest)
    sock.set_nodelay(True)
    for _ in range(3):
        sock.send(b"a")
    assert sizes(guest) == [1, 1, 1]


def test_a_short_write_waits_for_the_card(guest: Guest) -> None:
    sock, _ = connected(guest)
    sock.set_nodelay(True)
    guest.driver.complete_at_once = False
    sock.send(bytes(MSS))
    sock.send(b"a")
    sock.send(b"b")
    assert sizes(guest) == [MSS]
    assert guest.stack.snmp.tcp_ext["TCPAutoCorking"] == 1
    guest.driver.interrupt()
    guest.cpu.serve()
    assert sizes(guest) == [2]


# Loss


def test_three_duplicates_retransmit_the_first_segment(guest: Guest) -> None:
    sock, peer = connected(guest)
    sock.send(bytes(8 * MSS))
    first = guest.segments()[0]
    assert [peer.send(ACK), peer.send(ACK)] == [[], []]
    assert sock.sk.ca_state == CaState.DISORDER
    (again,) = peer.send(ACK)
    assert (again.seq, len(again.payload)) == (first.seq, MSS)
    assert sock.sk.ca_state == CaState.RECOVERY
    assert sock.sk.snd_ssthresh == 7


def test_a_partial_ack_retransmits_the_next_hole(guest: Guest) -> None:
    sock, peer = connected(guest)
    sock.send(bytes(8 * MSS))
    flight = guest.segments()
    for _ in range(3):
        peer.send(ACK)
    guest.take()
    peer.ack += 2 * MSS
    again = peer.send(ACK)
    assert again[0].seq == flight[2].seq
    peer.ack = flight[-1].seq + MSS
    peer.send(ACK)
    assert guest.stack.snmp.tcp["RetransSegs"] == 2
    assert sock.sk.packets_out == 0
    # The state holds until something above is acknowledged (RFC 6582).
    sock.send(b"x")
    guest.take()
    acknowledge(peer, 1)
    assert sock.sk.ca_state == CaState.OPEN


def test_a_timeout_starts_again_from_one_segment(guest: Guest) -> None:
    sock, peer = connected(guest)
    sock.send(bytes(8 * MSS))
    guest.take()
    guest.cpu.run(250 * MS)
    assert sizes(guest) == [MSS]
    assert (sock.sk.ca_state, sock.sk.snd_cwnd) == (CaState.LOSS, 1)
    assert acknowledge(peer, MSS) == [MSS, MSS]
    assert sock.sk.retransmits == 0


def test_a_dead_connection_is_given_up(guest: Guest) -> None:
    sock, _ = connected(guest)
    sock.send(b"x")
    guest.cpu.run(1100 * SECOND)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    assert guest.cpu.armed() == []
    assert 15 <= len(guest.segments()) <= 17


def test_an_orphan_is_given_up_sooner(guest: Guest) -> None:
    sock, _ = connected(guest)
    sock.send(b"x")
    sock.close()
    guest.cpu.run(200 * SECOND)
    assert guest.stack.sockets() == []
    assert guest.cpu.armed() == []


# A closed window


def test_a_closed_window_is_probed(guest: Guest) -> None:
    sock, peer = closed_window(guest)
    sock.send(b"waits")
    assert sizes(guest) == []
    guest.cpu.run(250 * MS)
    (probe,) = guest.segments()
    assert (len(probe.payload), probe.seq) == (0, (peer.ack - 1) & 0xFFFFFFFF)
    guest.cpu.run(500 * MS)
    assert len(guest.segments()) == 1
    peer.window = 65535
    assert [s.payload for s in peer.send(ACK)] == [b"waits"]


def test_an_answered_probe_keeps_the_connection(guest: Guest) -> None:
    sock, peer = closed_window(guest)
    sock.send(b"waits")
    for _ in range(300):
        guest.cpu.run(10 * SECOND)
        if guest.take():
            peer.send(ACK)
    assert sock.state == State.ESTABLISHED


# Idle, and the end


def test_after_idle_the_window_is_ten_again(guest: Guest) -> None:
    sock, _ = connected(guest)
    sock.sk.snd_cwnd = 40
    guest.cpu.run(10 * SECOND)
    sock.send(bytes(30 * MSS))
    assert sizes(guest) == [MSS] * 10


def test_the_fin_rides_on_the_last_segment(guest: Guest) -> None:
    sock, peer = connected(guest, window=2 * MSS)
    sock.send(bytes(3 * MSS))
    sock.close()
    assert sum(sizes(guest)) == 2 * MSS
    peer.ack += 2 * MSS
    last = peer.send(ACK)[-1]
    assert (len(last.payload), last.flags & FIN) == (MSS, FIN)


# What a program's lock defers


def test_segments_wait_while_a_program_owns_the_socket(guest: Guest) -> None:
    sock, peer = connected(guest)
    tcp = guest.stack.tcp
    tcp.lock_sock(sock.sk)
    assert peer.send(ACK | PSH, b"abc") == []
    assert peer.send(ACK | PSH, b"def") == []
    assert len(sock.sk.backlog) == 1
    tcp.release_sock(sock.sk)
    assert [s.ack for s in guest.segments()] == [7]
    assert sock.recv(10) == b"abcdef"
    assert guest.cpu.touched[-2:] == ["lock_sock", "release_sock"]


def test_acks_in_the_backlog_count_as_one(guest: Guest) -> None:
    sock, peer = connected(guest)
    sock.send(bytes(4 * MSS))
    tcp = guest.stack.tcp
    tcp.lock_sock(sock.sk)
    for _ in range(4):
        peer.ack += MSS
        peer.send(ACK)
    assert guest.stack.snmp.tcp_ext["TCPBacklogCoalesce"] == 3
    tcp.release_sock(sock.sk)
    assert sock.sk.snd_una == sock.sk.snd_nxt


def test_a_timer_that_fires_under_the_lock_is_made_up_for(guest: Guest) -> None:
    sock, _ = connected(guest)
    sock.send(b"x")
    guest.take()
    tcp = guest.stack.tcp
    tcp.lock_sock(sock.sk)
    guest.cpu.run(300 * MS)
    assert guest.take() == []
    tcp.release_sock(sock.sk)
    assert sizes(guest) == [1]


# Congestion control


def test_hystart_ends_slow_start_when_acks_come_in_a_long_train(guest: Guest) -> None:
    sock, _ = connected(guest)
    sk = sock.sk
    ca = sk.ca = Cubic(0, 0)
    sk.snd_cwnd = 20
    found = [ca.acked(sk, 200, 0, at) for at in range(0, 600, 20)]
    assert 1 in found
    assert sk.snd_ssthresh == 20


def test_hystart_counts_its_rounds_from_the_first_ack_on(guest: Guest) -> None:
    """Linux 6.1.129 and later: the window only says from when on they may end slow start."""
    sock, _ = connected(guest)
    sk = sock.sk
    sk.ca = ca = Cubic(0, sk.snd_una)
    sk.snd_cwnd = 10
    sk.snd_una += 1460
    sk.snd_nxt = sk.snd_una + 20 * 1460
    assert ca.acked(sk, 200, 0, 100) == 0
    assert (ca.round_start_us, ca.end_seq) == (100, sk.snd_nxt)
    sk.snd_cwnd = 20
    assert ca.acked(sk, 200, 0, 100 + 2_000) == 1


@pytest.mark.parametrize("value", [0, 1, 7, 8, 26, 27, 10**12, 2**50 - 1])
def test_cubic_root(value: int) -> None:
    root = cubic_root(value)
    assert root**3 <= value < (root + 1) ** 3
