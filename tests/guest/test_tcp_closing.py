"""The ends of a connection in Linux 6.1: FINs that wait, old ACKs, orphans, TIME_WAIT."""

from __future__ import annotations

import pytest
from conversations import MSS, served
from fakes_net import MS, SECOND, Guest, Peer

from desim.guest.net.socket import TcpSocket
from desim.guest.net.tcp.tcp_sock import State
from desim.userland.uapi import SHUT_WR
from desim.wire.tcp import ACK, FIN, PSH, RST


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


def states(guest: Guest) -> list[str]:
    return [row.state for row in guest.stack.sockets() if row.state != "LISTEN"]


# A FIN and the window: tcp_snd_wnd_test looks at end_seq, in which a FIN counts for one


@pytest.mark.parametrize("closed", [True, False])
def test_a_fin_waits_for_the_window_as_data_does(guest: Guest, closed: bool) -> None:
    sock, peer = served(guest, window=3 * MSS)
    sock.send(bytes(3 * MSS))
    assert len(guest.segments()) == 3
    if closed:
        peer.window = 0
        peer.ack += 3 * MSS
        assert peer.send(ACK) == []
    sock.close()
    assert guest.segments() == []
    if closed:
        guest.cpu.run(300 * MS)
        (probe,) = guest.segments()
        assert (probe.flags, probe.seq) == (ACK, (peer.ack - 1) & 0xFFFFFFFF)
    else:
        peer.ack += 3 * MSS
    peer.window = 3 * MSS
    (fin,) = peer.send(ACK)
    assert fin.flags == FIN | ACK


def test_a_probe_sends_data_up_to_the_edge_and_leaves_the_fin(guest: Guest) -> None:
    sock, peer = served(guest, window=3 * MSS)
    sock.send(bytes(3 * MSS))
    guest.segments()
    peer.window = 400
    peer.ack += 3 * MSS
    peer.send(ACK)
    sock.send(bytes(400))
    sock.close()
    sent = guest.segments()
    if not sent:
        guest.cpu.run(300 * MS)
        sent = guest.segments()
    assert [(len(s.payload), s.flags & FIN) for s in sent] == [(400, 0)]
    peer.ack += 400
    (fin,) = peer.send(ACK)
    assert (len(fin.payload), fin.flags & FIN) == (0, FIN)


# Old ACKs: tcp_rcv_state_process


def half_closed(guest: Guest) -> tuple[TcpSocket, Peer]:
    sock, peer = served(guest)
    sock.shutdown(SHUT_WR)
    (fin,) = guest.segments()
    peer.ack = fin.seq + 1
    assert peer.send(ACK) == []
    assert sock.state == State.FIN_WAIT2
    return sock, peer


def test_data_with_an_ack_that_is_out_of_date_is_taken_while_closing(guest: Guest) -> None:
    sock, peer = half_closed(guest)
    guest.put(peer.frame(ACK | PSH, bytes(120), ack=peer.ack - 1))
    assert sock.recv(1000) == bytes(120)


def test_a_fin_with_an_ack_that_is_out_of_date_is_taken_while_closing(guest: Guest) -> None:
    sock, peer = half_closed(guest)
    guest.put(peer.frame(ACK | FIN, ack=peer.ack - 1))
    (answer,) = guest.segments()
    assert (answer.flags, answer.ack) == (ACK, (peer.seq + 1) & 0xFFFFFFFF)
    assert sock.recv(10) == b""


def test_an_ack_of_what_was_never_sent_is_still_challenged_while_closing(guest: Guest) -> None:
    sock, peer = half_closed(guest)
    guest.put(peer.frame(ACK | PSH, bytes(120), ack=peer.ack + 1))
    assert [(s.flags, len(s.payload)) for s in guest.segments()] == [(ACK, 0)]
    with pytest.raises(BlockingIOError):
        sock.recv(10)


# Orphans


def test_data_for_an_orphan_that_acknowledges_its_fin_is_reset(guest: Guest) -> None:
    sock, peer = served(guest)
    sock.close()
    (fin,) = guest.segments()
    guest.put(peer.frame(ACK | PSH, bytes(70), ack=fin.seq + 1))
    (reset,) = guest.segments()
    assert (reset.flags, reset.seq) == (RST, (fin.seq + 1) & 0xFFFFFFFF)
    assert states(guest) == []


def test_an_orphan_waits_a_minute_for_the_peers_fin(guest: Guest) -> None:
    """FIN_WAIT2 without a program ends after tcp_fin_timeout (``tcp_fin_time``)."""
    sock, peer = served(guest)
    sock.close()
    (fin,) = guest.segments()
    peer.ack = fin.seq + 1
    peer.send(ACK)
    guest.cpu.run(59 * SECOND)
    assert states(guest) == ["FIN_WAIT2"]
    guest.cpu.run(6 * SECOND)  # the timer wheel is coarse there
    assert states(guest) == []
    (reset,) = peer.send(ACK | FIN)
    assert reset.flags == RST


def test_an_orphan_tries_as_long_as_eight_doublings_take(guest: Guest) -> None:
    """tcp_orphan_retries: 8, that is 102.2 s (``tcp_model_timeout``) since the first repetition."""
    sock, peer = served(guest)
    sock.send(b"x")
    sock.close()
    first, *_ = guest.segments()
    sent = []
    for _ in range(200):
        guest.cpu.run(SECOND)
        sent += [s for s in guest.segments() if s.seq == first.seq]
    assert len(sent) == 8
    assert states(guest) == []
    peer.send(ACK)


# TIME_WAIT: tcp_time_wait


def test_time_wait_is_a_minute_however_long_the_timeout_had_become(guest: Guest) -> None:
    sock, peer = served(guest)
    sock.close()
    (fin,) = guest.segments()
    guest.cpu.run(40 * SECOND)
    guest.segments()
    peer.ack = fin.seq + 1
    peer.send(ACK | FIN)
    guest.cpu.run(59 * SECOND)
    assert states(guest) == ["TIME_WAIT"]
    guest.cpu.run(7 * SECOND)  # the timer wheel is coarse there
    assert states(guest) == []
