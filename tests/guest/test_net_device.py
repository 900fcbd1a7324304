"""Queue, byte limits, NAPI, GRO and carrier of the guest's interfaces."""

from __future__ import annotations

import pytest
from fakes_net import GUEST_MAC, MS, SLIRP_MAC, Guest, Peer

from desim.guest.cpu.context import NET_RX_SOFTIRQ
from desim.guest.net.device import ALL_HOSTS_MAC, IFF_RUNNING, IFF_UP, Device
from desim.guest.net.dql import Dql
from desim.guest.skb import Skb
from desim.wire.frame import Frame
from desim.wire.tcp import ACK, PSH


@pytest.fixture
def guest() -> Guest:
    return Guest().know_slirp()


def frame_of(size: int, mark: int = 0) -> Skb:
    return Skb(SLIRP_MAC + GUEST_MAC + b"\x88\xb5" + bytes((mark,)) + bytes(size - 15))


def handed_on(guest: Guest) -> list[Skb]:
    """Make the guest note what GRO hands on, instead of delivering it."""
    found: list[Skb] = []

    def keep(batch: list[Skb], device: Device) -> None:
        found.extend(batch)

    guest.stack.core.ip_list_rcv = keep
    return found


# Opening and carrier


def test_open_tells_the_driver_of_each_group() -> None:
    guest = Guest(configured=False)
    guest.stack.dev_open("eth0")
    assert guest.device.mc_list == [ALL_HOSTS_MAC]
    # Once after opening, once for each group.
    assert guest.driver.rx_modes == 2
    assert guest.device.flags & IFF_UP


def test_link_up_is_acted_upon_in_a_kworker() -> None:
    guest = Guest(configured=False)
    guest.stack.dev_open("eth0")
    guest.device.netif_carrier_on()
    assert not guest.device.active
    assert not guest.stack.idle()
    guest.cpu.run(0)
    assert guest.device.active
    assert guest.device.flags & IFF_RUNNING


def test_without_carrier_packets_are_dropped() -> None:
    guest = Guest(configured=False)
    guest.stack.dev_open("eth0")
    assert not guest.stack.core.dev_queue_xmit(frame_of(60), guest.device)
    assert guest.take() == []
    assert guest.device.qdisc_drops == 1


def test_link_down_is_acted_upon_within_a_second() -> None:
    guest = Guest(configured=False)
    guest.stack.dev_open("eth0")
    guest.device.netif_carrier_on()
    guest.cpu.run(0)
    guest.device.netif_carrier_off()
    guest.cpu.run(100 * MS)
    assert guest.device.active
    guest.cpu.run(1100 * MS)
    assert not guest.device.active


def test_close_stops_the_driver(guest: Guest) -> None:
    guest.stack.dev_close("eth0")
    assert not guest.driver.opened
    assert guest.stack.interfaces()[1].flags & (IFF_UP | IFF_RUNNING) == 0


# Sending


def test_a_stopped_queue_is_run_when_the_driver_wakes_it(guest: Guest) -> None:
    guest.device.netif_stop_queue()
    for mark in range(3):
        guest.stack.core.dev_queue_xmit(frame_of(60, mark), guest.device)
    assert guest.take() == []
    guest.device.netif_wake_queue()
    guest.cpu.serve()
    assert [f.raw[14] for f in guest.take()] == [0, 1, 2]


def test_a_refused_packet_goes_first_later(guest: Guest) -> None:
    guest.driver.busy = True
    for mark in range(2):
        guest.stack.core.dev_queue_xmit(frame_of(60, mark), guest.device)
    guest.driver.busy = False
    guest.device.netif_wake_queue()
    guest.cpu.serve()
    assert [f.raw[14] for f in guest.take()] == [0, 1]


def test_the_first_packet_fills_the_byte_limit(guest: Guest) -> None:
    guest.driver.complete_at_once = False
    for mark in range(4):
        guest.stack.core.dev_queue_xmit(frame_of(1000, mark), guest.device)
    assert len(guest.driver.sent) == 1
    guest.driver.interrupt()
    guest.cpu.serve()
    # The limit is now one packet: the next fits it, the one after exceeds it.
    assert [f.raw[14] for f in guest.take()] == [0, 1, 2]
    guest.driver.interrupt()
    guest.cpu.serve()
    assert [f.raw[14] for f in guest.take()] == [3]


def test_packets_that_go_together_are_announced(guest: Guest) -> None:
    guest.device.dql.adj_limit = 10_000
    guest.device.netif_stop_queue()
    for mark in range(3):
        guest.stack.core.dev_queue_xmit(frame_of(1000, mark), guest.device)
    guest.device.netif_wake_queue()
    guest.cpu.serve()
    # The first was refused while the queue was stopped, and goes by itself.
    assert guest.driver.more == [False, True, False]


def test_the_queue_drops_its_head_when_full(guest: Guest) -> None:
    guest.device.netif_stop_queue()
    for _ in range(10240 + 5):
        guest.stack.core.dev_queue_xmit(frame_of(60), guest.device)
    assert len(guest.device.qdisc) + len(guest.device.requeued) <= 10241
    assert guest.device.qdisc_drops > 0


def test_dql_starved_limit_grows_and_slack_shrinks_it() -> None:
    dql = Dql(0)
    dql.queued(1500)
    assert dql.avail() == -1500
    dql.completed(1500, 0)
    assert dql.limit == 1500
    for jiffy in range(1, 600):
        dql.queued(400)
        dql.queued(400)
        dql.completed(400, jiffy)
        dql.completed(400, jiffy)
    assert dql.limit <= 1500


def test_dql_never_completes_more_than_it_was_given() -> None:
    dql = Dql(0)
    dql.queued(10)
    with pytest.raises(AssertionError):
        dql.completed(11, 0)


# NAPI


def test_a_poll_takes_64_packets_and_comes_again(guest: Guest) -> None:
    found = handed_on(guest)
    peer = Peer(guest, sport=1, dport=2)
    guest.put(*[peer.frame(ACK) for _ in range(200)])
    assert len(found) == 200
    assert guest.device.napi.scheduled is False


def test_a_context_is_polled_once_in_each_soft_interrupt(guest: Guest) -> None:
    handed_on(guest)
    peer = Peer(guest, sport=1, dport=2)
    rounds = []
    action = guest.stack.net_rx_action

    def counted() -> None:
        action()
        rounds.append(len(guest.driver.received))

    guest.cpu.softirqs[NET_RX_SOFTIRQ] = counted
    guest.put(*[peer.frame(ACK) for _ in range(200)])
    assert rounds == [136, 72, 8, 0]


def test_a_disabled_context_is_not_scheduled(guest: Guest) -> None:
    guest.device.napi_disable()
    assert not guest.device.napi_schedule_prep()


# GRO


def test_gro_merges_what_follows(guest: Guest) -> None:
    found = handed_on(guest)
    peer = Peer(guest, sport=1, dport=2)
    frames = []
    for _ in range(5):
        frames.append(peer.frame(ACK, bytes(1460)))
        peer.seq += 1460
    guest.put(*frames)
    (skb,) = found
    assert (skb.gso_segs, skb.gso_size, len(skb.frags)) == (5, 1460, 4)


@pytest.mark.parametrize("what", ["push", "shorter", "hole", "ack", "ident", "other flow"])
def test_gro_ends_a_packet(guest: Guest, what: str) -> None:
    found = handed_on(guest)
    peer = Peer(guest, sport=1, dport=2)
    frames = []
    for number in range(4):
        odd = number == 1
        size = 1000 if odd and what == "shorter" else 1460
        if odd and what == "hole":
            peer.seq += 1
        if odd and what == "ack":
            peer.ack += 1
        if odd and what == "ident":
            peer.ident += 1
        flags = ACK | PSH if odd and what == "push" else ACK
        frames.append(peer.frame(flags, bytes(size)))
        peer.seq += size
    if what == "other flow":
        frames.insert(2, Peer(guest, sport=3, dport=2).frame(ACK, bytes(1460)))
    guest.put(*frames)
    segs = [skb.gso_segs or 1 for skb in found]
    expected = {
        "push": [2, 2], "shorter": [2, 2], "hole": [1, 3], "ack": [1, 3],
        "ident": [1, 3], "other flow": [4, 1],
    }  # fmt: skip
    assert segs == expected[what]


def test_gro_does_not_hold_padded_frames(guest: Guest) -> None:
    found = handed_on(guest)
    peer = Peer(guest, sport=1, dport=2)
    for _ in range(2):
        guest.driver.received.append(peer.frame(ACK, b"x"))
        peer.seq += 1
    guest.driver.interrupt()
    guest.cpu.serve()
    assert [skb.gso_segs for skb in found] == [0, 0]


def test_gro_stays_below_64_kib(guest: Guest) -> None:
    found = handed_on(guest)
    peer = Peer(guest, sport=1, dport=2)
    frames = []
    for _ in range(50):
        frames.append(peer.frame(ACK, bytes(1460)))
        peer.seq += 1460
    guest.put(*frames)
    assert [skb.gso_segs for skb in found] == [44, 6]


# Loopback


def test_loopback_carries_tcp() -> None:
    guest = Guest(configured=False)
    server = guest.stack.tcp_socket()
    server.bind(bytes(4), 80)
    server.listen(1)
    client = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        client.connect(b"\x7f\0\0\x01", 80)
    guest.cpu.serve()
    client.connect(b"\x7f\0\0\x01", 80)
    served = server.accept()
    client.send(bytes(100_000)[:30_000])
    guest.cpu.serve()
    assert len(served.recv(65536)) == 30_000
    assert guest.take() == []
    lo = guest.stack.interfaces()[0]
    assert lo.tx_packets == lo.rx_packets > 3


def test_unknown_protocols_are_counted(guest: Guest) -> None:
    guest.put(Frame(GUEST_MAC + SLIRP_MAC + b"\x86\xdd" + bytes(60)))
    assert guest.stack.snmp.softnet["unhandled"] == 1
