"""ARP of the guest: states, requests, answers."""

from __future__ import annotations

import errno
import itertools

import pytest
from fakes_net import GUEST, GUEST_MAC, MS, SECOND, SLIRP, SLIRP_MAC, Guest, answer_arp

from desim.guest.net.neigh import (
    NUD_DELAY,
    NUD_FAILED,
    NUD_INCOMPLETE,
    NUD_REACHABLE,
    NUD_STALE,
    Neighbour,
)
from desim.wire.addresses import BROADCAST_MAC, ZERO_MAC, ip
from desim.wire.arp import ARPOP_REPLY, ARPOP_REQUEST, Arp
from desim.wire.ethernet import ETH_P_ARP, Ethernet
from desim.wire.frame import Frame

NOBODY = ip("10.0.2.77")


@pytest.fixture
def guest() -> Guest:
    return Guest()


def entry(guest: Guest, address: bytes = SLIRP) -> Neighbour:
    found = guest.stack.arp.lookup(address, guest.device)
    assert found is not None
    return found


def datagram(guest: Guest, to: bytes = SLIRP) -> None:
    sock = guest.stack.udp_socket()
    sock.sendto(b"ping", (to, 7))
    sock.close()


def resolved(guest: Guest) -> Guest:
    datagram(guest)
    guest.put(answer_arp(guest, guest.take()[0]))
    guest.take()
    return guest


def arp_frame(guest: Guest, arp: Arp, to: bytes = BROADCAST_MAC) -> Frame:
    return Frame(Ethernet(to, arp.sender_mac, ETH_P_ARP, arp.emit()).emit()).padded()


def test_a_first_packet_asks_everybody_and_waits(guest: Guest) -> None:
    datagram(guest)
    (request,) = guest.take()
    assert len(request) == 60
    assert request.raw[:6] == BROADCAST_MAC
    assert Arp.parse(request.raw[14:]) == Arp(ARPOP_REQUEST, GUEST_MAC, GUEST, ZERO_MAC, SLIRP)
    assert entry(guest).nud_state == NUD_INCOMPLETE
    assert not guest.stack.idle()


def test_the_answer_sends_what_waits_in_order(guest: Guest) -> None:
    for _ in range(3):
        datagram(guest)
    (request,) = guest.take()
    guest.put(answer_arp(guest, request))
    sent = guest.take()
    assert [f.raw[:6] for f in sent] == [SLIRP_MAC] * 3
    assert entry(guest).nud_state == NUD_REACHABLE
    assert guest.stack.idle()


def test_no_answer_is_three_requests_and_an_error_that_lets_the_syn_ask_again(
    guest: Guest,
) -> None:
    """``tcp_refused``: requests 1.02 s apart, EHOSTUNREACH after 3.06 s, and a fourth request."""
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(NOBODY, 80)
    times = []
    while not sock.sk.err:
        guest.cpu.run(4 * MS)
        assert guest.cpu.time < 5 * SECOND
    times = guest.driver.sent_at
    assert len(times) == 4
    assert [b - a for a, b in itertools.pairwise(times)] == pytest.approx(
        [1_024_000_000] * 3, abs=32 * MS
    )
    assert guest.cpu.time == pytest.approx(3_076 * MS, abs=40 * MS)
    with pytest.raises(OSError) as unreachable:
        sock.connect(NOBODY, 80)
    assert unreachable.value.errno == errno.EHOSTUNREACH
    assert entry(guest, NOBODY).nud_state == NUD_INCOMPLETE
    guest.cpu.run(4 * SECOND)
    assert len(guest.driver.sent_at) == 6
    assert entry(guest, NOBODY).nud_state == NUD_FAILED
    sock.close()
    assert guest.stack.idle()


def test_the_queue_holds_101_packets(guest: Guest) -> None:
    for _ in range(150):
        datagram(guest)
    assert len(entry(guest).arp_queue) == 101


def test_a_request_for_our_address_is_answered_and_teaches(guest: Guest) -> None:
    ask = Arp(ARPOP_REQUEST, SLIRP_MAC, SLIRP, ZERO_MAC, GUEST)
    guest.put(arp_frame(guest, ask))
    (reply,) = guest.take()
    assert reply.raw[:6] == SLIRP_MAC
    assert Arp.parse(reply.raw[14:]) == Arp(ARPOP_REPLY, GUEST_MAC, GUEST, SLIRP_MAC, SLIRP)
    assert entry(guest).nud_state == NUD_STALE


def test_a_request_for_somebody_else_is_ignored(guest: Guest) -> None:
    guest.put(arp_frame(guest, Arp(ARPOP_REQUEST, SLIRP_MAC, SLIRP, ZERO_MAC, NOBODY)))
    assert guest.take() == []
    assert guest.stack.arp.lookup(SLIRP, guest.device) is None


def test_reachability_ends_and_no_run_waits_for_it(guest: Guest) -> None:
    resolved(guest)
    assert not guest.cpu.wheel.waiting()
    guest.cpu.run(50 * SECOND)
    assert entry(guest).nud_state == NUD_STALE
    assert guest.take() == []


def test_a_stale_address_is_used_and_checked_five_seconds_later(guest: Guest) -> None:
    resolved(guest)
    guest.cpu.run(50 * SECOND)
    datagram(guest)
    assert [f.raw[:6] for f in guest.take()] == [SLIRP_MAC]
    assert entry(guest).nud_state == NUD_DELAY
    guest.cpu.run(5500 * MS)
    (probe,) = guest.take()
    assert probe.raw[:6] == SLIRP_MAC
    guest.put(answer_arp(guest, probe))
    assert entry(guest).nud_state == NUD_REACHABLE


def test_a_stale_address_that_does_not_answer_fails_after_three_probes(guest: Guest) -> None:
    resolved(guest)
    guest.cpu.run(50 * SECOND)
    datagram(guest)
    guest.take()
    guest.cpu.run(20 * SECOND)
    assert [f.raw[:6] for f in guest.take()] == [SLIRP_MAC] * 3
    assert entry(guest).nud_state == NUD_FAILED


def test_an_answer_nobody_asked_for_is_ignored(guest: Guest) -> None:
    guest.put(arp_frame(guest, Arp(ARPOP_REPLY, SLIRP_MAC, SLIRP, GUEST_MAC, GUEST), GUEST_MAC))
    assert guest.stack.arp.lookup(SLIRP, guest.device) is None


def test_rubbish_is_counted(guest: Guest) -> None:
    guest.put(Frame(GUEST_MAC + SLIRP_MAC + b"\x08\x06" + bytes(46)))
    assert guest.stack.snmp.softnet["arp_dropped"] == 1
