"""When received data is acknowledged, and what it costs meanwhile (Linux 6.1)."""

from __future__ import annotations

import pytest
from conversations import asking, listening
from fakes_net import MS, Guest, Peer

from desim.guest.net.socket import TcpSocket
from desim.wire.tcp import ACK, FIN, PSH

FULL = 1000
RTT = 150 * MS


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


def settled(guest: Guest) -> tuple[TcpSocket, Peer]:
    """A connection with a round trip of 150 ms that has used its quick ACKs up.

    The peer's segments have 1000 bytes.
    """
    listener = listening(guest)
    peer = asking(guest)
    guest.cpu.run(RTT)
    peer.send(ACK)
    sock = listener.accept()
    for _ in range(30):
        guest.cpu.run(10 * MS)
        guest.put(peer.frame(ACK, bytes(FULL)))
        peer.seq += FULL
        sock.recv(FULL)
    guest.cpu.run(300 * MS)
    guest.segments()
    assert (sock.sk.ack_rcv_mss, sock.sk.ack_quick) == (FULL, 0)
    return sock, peer


def arrive(guest: Guest, peer: Peer, size: int = FULL, flags: int = ACK) -> int:
    """One more segment; how many ACKs it causes at once."""
    guest.put(peer.frame(flags, bytes(size)))
    peer.seq += size
    return len(guest.segments())


# Every second full segment: __tcp_ack_snd_check, tcp_cleanup_rbuf


def test_one_full_segment_is_acknowledged_later(guest: Guest) -> None:
    """More than one: the first waits, the second does not, nor does a byte behind the first."""
    sock, peer = settled(guest)
    for size in (FULL, 1):
        assert arrive(guest, peer) == 0
        sock.recv(FULL)
        assert guest.segments() == []
        assert arrive(guest, peer, size) == 1
        sock.recv(FULL)
        guest.segments()


def test_while_nobody_reads_the_window_decides(guest: Guest) -> None:
    """Two full segments that fill the buffer are no reason: the window would shrink."""
    _, peer = settled(guest)
    assert [arrive(guest, peer) for _ in range(2)] == [0, 0]


def test_reading_one_full_segment_acknowledges_nothing(guest: Guest) -> None:
    sock, peer = settled(guest)
    assert arrive(guest, peer) == 0
    assert sock.recv(FULL) == bytes(FULL)
    assert guest.segments() == []
    guest.cpu.run(200 * MS)
    assert len(guest.segments()) == 1


def test_reading_one_full_segment_with_psh_does(guest: Guest) -> None:
    """The end of a write that happens to fill a segment (6.1.57)."""
    sock, peer = settled(guest)
    assert arrive(guest, peer, flags=ACK | PSH) == 0
    sock.recv(FULL)
    assert len(guest.segments()) == 1


# The delayed ACK: tcp_delack_timer_handler, tcp_send_delayed_ack


def delays(guest: Guest, peer: Peer, count: int) -> list[int]:
    """How many ms the ACK of a lone segment takes, one segment after the other."""
    found = []
    for _ in range(count):
        assert arrive(guest, peer) == 0
        waited = 0
        while not guest.segments():
            guest.cpu.run(MS)
            waited += 1
        found.append(waited)
        # Less than an RTO, so that there are no quick ACKs; more than ato, so that it stays.
        guest.cpu.run((200 - waited) * MS)
    return found


def test_an_ack_that_nothing_carried_waits_longer_next_time(guest: Guest) -> None:
    sock, peer = settled(guest)
    sock.sk.ack_ato = 10  # jiffies: 40 ms
    first, second, third = delays(guest, peer, 3)
    assert 40 <= first <= 48
    assert 80 <= second <= 88
    # At most a round trip.
    assert 148 <= third <= 160


def test_an_ack_in_a_conversation_does_not(guest: Guest) -> None:
    sock, peer = settled(guest)
    sock.sk.ack_ato = 10
    arrive(guest, peer, 10)
    sock.recv(FULL)
    guest.segments()
    for _ in range(2):
        sock.sk.ack_pingpong = True
        (waited,) = delays(guest, peer, 1)
        assert 40 <= waited <= 48
        assert not sock.sk.ack_pingpong


# Memory: tcp_fin purges what lies beyond a hole


@pytest.mark.parametrize("hole", [False, True])
def test_a_fin_gives_the_memory_of_what_lies_beyond_it_back(guest: Guest, hole: bool) -> None:
    sock, peer = settled(guest)
    sk = sock.sk
    while True:
        try:
            sock.recv(1 << 20)
        except BlockingIOError:
            break
    beyond = peer.frame(ACK, bytes(FULL), seq=peer.seq + 2 * FULL)
    guest.put(beyond)
    assert sk.rmem_alloc > 0
    if hole:
        # The FIN waits beyond a hole, too, and is taken from there.
        guest.put(peer.frame(ACK | FIN, bytes(10), seq=peer.seq + 10))
        guest.put(peer.frame(ACK, bytes(10)))
    else:
        guest.put(peer.frame(ACK | FIN, bytes(10)))
    assert sk.ofo_queue == []
    assert sk.rmem_alloc == sum(skb.truesize for skb in sk.receive_queue)
    sock.recv(100)
    assert sk.rmem_alloc == 0


# The edge of the window: tcp_data_queue


@pytest.mark.parametrize(("beyond", "kept"), [(-1, True), (0, False), (1, False)])
def test_what_begins_at_the_windows_end_is_not_kept(guest: Guest, beyond: int, kept: bool) -> None:
    sock, peer = settled(guest)
    window = guest_window(guest, peer)
    assert window == sock.sk.receive_window()
    end = peer.seq
    peer.seq += window + beyond
    guest.put(peer.frame(ACK, b"?"))
    (ack,) = guest.segments()
    assert ack.ack == end
    assert len(sock.sk.ofo_queue) == kept


def guest_window(guest: Guest, peer: Peer) -> int:
    """What the guest offers, from the ACK of one more byte."""
    arrive(guest, peer, 1)
    guest.cpu.run(300 * MS)
    return guest.segments()[-1].window
