"""Loss as Linux 6.1 sees it without SACK: F-RTO and its undo, reordering, rate reduction.

The values are those of a real 6.1.192; each test names the function that decides.
"""

from __future__ import annotations

import errno

import pytest
from conversations import MSS, RTT, numbers, opening, served
from fakes_net import MS, SECOND, Guest, Peer

from desim.guest.net.socket import TcpSocket
from desim.guest.net.tcp.tcp_sock import INFINITE_SSTHRESH, CaState, State
from desim.wire.tcp import ACK, PSH, SYN


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


def duplicates(guest: Guest, peer: Peer, count: int) -> None:
    for _ in range(count):
        guest.cpu.run(5 * MS)
        guest.put(peer.frame(ACK))


# F-RTO (RFC 5682): tcp_enter_loss, tcp_process_loss


def timed_out(guest: Guest) -> tuple[TcpSocket, Peer, int]:
    sock, peer = served(guest)
    sock.send(bytes(15 * MSS))
    iss = peer.ack
    assert len(guest.segments()) == 10
    guest.cpu.run(300 * MS)
    assert numbers(guest, iss) == [(0, MSS)]
    return sock, peer, iss


def test_the_first_ack_behind_a_timeout_lets_new_data_go(guest: Guest) -> None:
    _, peer, iss = timed_out(guest)
    peer.ack += MSS
    guest.put(peer.frame(ACK))
    assert numbers(guest, iss) == [(10 * MSS, MSS), (11 * MSS, MSS)]


def test_a_spurious_timeout_is_undone(guest: Guest) -> None:
    sock, peer, _ = timed_out(guest)
    assert sock.sk.snd_ssthresh == 7
    for _ in range(2):
        peer.ack += MSS
        peer.send(ACK)
    sk = sock.sk
    assert (sk.ca_state, sk.lost_out, sk.retransmits) == (CaState.OPEN, 0, 0)
    assert sk.snd_cwnd >= 10
    assert sk.snd_ssthresh == INFINITE_SSTHRESH
    assert guest.stack.snmp.tcp_ext["TCPSpuriousRTOs"] == 1


def test_a_duplicate_behind_the_new_data_says_that_the_loss_was_real(guest: Guest) -> None:
    sock, peer, iss = timed_out(guest)
    peer.ack += MSS
    guest.put(peer.frame(ACK))
    numbers(guest, iss)
    guest.put(peer.frame(ACK))
    assert numbers(guest, iss) == [(MSS, MSS)]
    assert sock.sk.snd_ssthresh == 7


def test_without_new_data_the_next_holes_are_sent_again(guest: Guest) -> None:
    """Step 2b needs something new, and a window for it."""
    sock, peer = served(guest)
    sock.send(bytes(6 * MSS))
    iss = peer.ack
    guest.segments()
    guest.cpu.run(300 * MS)
    numbers(guest, iss)
    peer.ack += MSS
    guest.put(peer.frame(ACK))
    assert numbers(guest, iss) == [(MSS, MSS), (2 * MSS, MSS)]
    assert sock.sk.snd_cwnd == 2


def test_a_timeout_within_a_recovery_is_believed(guest: Guest) -> None:
    """F-RTO begins only where no recovery was under way."""
    sock, peer = served(guest)
    sock.send(bytes(10 * MSS))
    iss = peer.ack
    guest.segments()
    duplicates(guest, peer, 3)
    assert numbers(guest, iss) == [(0, MSS)]
    guest.cpu.run(600 * MS)
    assert sock.sk.ca_state == CaState.LOSS
    assert not sock.sk.frto


# Reordering: tcp_check_reno_reordering, tcp_newreno_mark_lost


def test_more_duplicates_than_can_be_teach_the_degree_of_reordering(guest: Guest) -> None:
    sock, peer = served(guest)
    sock.send(bytes(2 * MSS))
    guest.segments()
    duplicates(guest, peer, 2)
    assert sock.sk.sacked_out == 1
    assert sock.tcp_get_info()["reordering"] == 2


def test_and_that_many_duplicates_start_a_recovery(guest: Guest) -> None:
    sock, peer = served(guest)
    sock.send(bytes(2 * MSS))
    iss = peer.ack
    guest.segments()
    duplicates(guest, peer, 2)
    peer.ack += 2 * MSS
    peer.send(ACK)
    sock.send(bytes(5 * MSS))
    guest.segments()
    duplicates(guest, peer, 2)
    assert numbers(guest, iss) == [(2 * MSS, MSS)]


def test_the_degree_of_reordering_grows_with_what_is_under_way(guest: Guest) -> None:
    sock, peer = served(guest)
    sock.send(bytes(2 * MSS))
    guest.segments()
    peer.ack += 2 * MSS
    duplicates(guest, peer, 1)
    sock.send(bytes(10 * MSS))
    guest.segments()
    sock.sk.reordering = 300
    duplicates(guest, peer, 12)
    assert sock.sk.reordering == 10


# Rate reduction: tcp_cwnd_reduction, tcp_end_cwnd_reduction


def test_a_partial_ack_that_shows_a_loss_lets_one_segment_go(guest: Guest) -> None:
    """What counts as newly lost is counted over ``tp->lost`` (ever marked), not ``lost_out``.

    The ACK takes one lost segment away and marks the next: ``lost_out`` is the same.
    """
    sock, peer = served(guest)
    sock.send(bytes(6 * MSS))
    iss = peer.ack
    guest.segments()
    duplicates(guest, peer, 3)
    assert numbers(guest, iss) == [(0, MSS)]
    sock.send(bytes(4 * MSS))
    guest.cpu.run(RTT)
    peer.ack += MSS
    guest.put(peer.frame(ACK))
    assert numbers(guest, iss) == [(MSS, MSS)]
    assert sock.sk.snd_cwnd == 2


def test_behind_a_drop_of_our_own_the_window_is_the_threshold(guest: Guest) -> None:
    """A reduction in CWR ends there, although it cannot be undone."""
    sock, peer = served(guest)
    sk = sock.sk
    sock.send(bytes(10 * MSS))
    guest.segments()
    guest.stack.tcp.ack.tcp_enter_cwr(sk)
    assert sk.snd_ssthresh == 7
    sock.send(bytes(10 * MSS))
    for _ in range(12):
        peer.ack += MSS
        peer.send(ACK)
    assert (sk.ca_state, sk.snd_ssthresh) == (CaState.OPEN, 7)
    assert 7 <= sk.snd_cwnd <= 9


def test_what_cannot_be_measured_counts_as_a_jiffy(guest: Guest) -> None:
    """tcp_update_rtt_min: ``rtt_us ? : jiffies_to_usecs(1)``."""
    sock, peer = opening(guest)
    peer.send(SYN | ACK, mss=MSS)
    assert sock.sk.min_rtt_us == 4000


# Packets of several segments: __tcp_transmit_skb


def test_every_packet_of_several_segments_ends_with_psh(guest: Guest) -> None:
    sock, _ = served(guest)
    sock.send(bytes(14 * MSS))
    flags = [s.flags for s in guest.segments()]
    assert flags == [ACK, ACK | PSH] * 5


def test_psh_of_a_large_packet_is_not_remembered(guest: Guest) -> None:
    """It is set on the copy that leaves; what is sent again of it has none."""
    sock, peer = served(guest)
    sock.send(bytes(3 * MSS))
    guest.segments()
    guest.cpu.run(300 * MS)
    guest.segments()
    peer.ack += MSS
    (second, *_) = peer.send(ACK)
    assert (len(second.payload), second.flags) == (MSS, ACK)


# Windows: tcp_may_update_window, tcp_rtx_probe0_timed_out


def test_an_ack_that_is_not_new_does_not_close_the_window(guest: Guest) -> None:
    """The same seq and ack only ever open it (until 6.5)."""
    sock, peer = served(guest)
    sock.send(bytes(2 * MSS))
    guest.segments()
    peer.window = 0
    guest.put(peer.frame(ACK))
    assert sock.sk.snd_wnd == 30000
    sock.send(bytes(MSS))
    assert [len(s.payload) for s in guest.segments()] == [MSS]


def test_data_beyond_a_window_that_was_taken_back_is_tried_for_four_minutes(guest: Guest) -> None:
    sock, peer = served(guest)
    sock.send(bytes(2 * MSS))
    guest.segments()
    peer.window = 0
    peer.ack += MSS
    peer.send(ACK)
    guest.cpu.run(200 * SECOND)
    assert sock.state == State.ESTABLISHED
    guest.cpu.run(200 * SECOND)
    assert sock.state == State.CLOSE
    assert sock.take_error() == errno.ETIMEDOUT
