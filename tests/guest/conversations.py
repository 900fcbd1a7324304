"""Connections as tests of TCP need them: MSS 900, a round trip of 40 ms.

With these numbers packets of more than one segment have two (``tcp_tso_autosize``), and the
first window of ten leaves at once.
"""

from __future__ import annotations

import pytest
from fakes_net import MS, SLIRP, Guest, Peer

from desim.guest.net.socket import TcpSocket
from desim.wire.tcp import ACK, SYN

MSS = 900
RTT = 40 * MS
PORT = 7000


def listening(guest: Guest, backlog: int = 4) -> TcpSocket:
    """A listener on ``PORT``."""
    sock = guest.stack.tcp_socket()
    sock.bind(bytes(4), PORT)
    sock.listen(backlog)
    return sock


def asking(guest: Guest, port: int = 50000) -> Peer:
    """A peer whose SYN has been answered, and who has not answered that."""
    peer = Peer(guest, sport=port, dport=PORT, iss=0)
    peer.window = 30000
    (answer,) = peer.send(SYN, mss=MSS)
    peer.ack = answer.seq + 1
    return peer


def served(guest: Guest, *, window: int = 30000) -> tuple[TcpSocket, Peer]:
    """A connection that a peer has opened."""
    listener = listening(guest)
    peer = asking(guest)
    guest.cpu.run(RTT)
    peer.window = window
    peer.send(ACK)
    return listener.accept(), peer


def opening(guest: Guest) -> tuple[TcpSocket, Peer]:
    """A connect() whose SYN is on its way."""
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(SLIRP, 80)
    (syn,) = guest.segments()
    peer = Peer(guest, sport=80, dport=syn.sport, iss=0)
    peer.window = 30000
    peer.ack = syn.seq + 1
    return sock, peer


def numbers(guest: Guest, iss: int) -> list[tuple[int, int]]:
    """First byte (from 0) and length of every data segment that has left."""
    return [((s.seq - iss) & 0xFFFFFFFF, len(s.payload)) for s in guest.segments() if s.payload]


__all__ = ["MSS", "PORT", "RTT", "asking", "listening", "numbers", "opening", "served"]
