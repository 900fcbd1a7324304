"""Settings of TCP: which are obeyed, which are refused, and what the obeyed ones do."""

from __future__ import annotations

import pytest
from conversations import MSS, asking, listening, numbers, opening, served
from fakes_net import MS, SECOND, Guest

from desim.data import fields
from desim.guest.net.tcp.sysctl import DEFAULTS, LIMITS, NOT_OBEYED, TcpSysctl, read
from desim.userland.uapi import SO_KEEPALIVE, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL
from desim.wire.tcp import ACK, RST, SYN, TcpOptions


def guest_with(*lines: str) -> Guest:
    return Guest(sysctl=read(f"net.ipv4.{line}" for line in lines)).know_slirp()


# Reading


def test_nothing_said_is_what_was_recorded() -> None:
    assert read([]) == DEFAULTS


def test_every_setting_has_limits_and_its_own_value_is_within() -> None:
    names = set(fields(TcpSysctl))
    assert names == set(LIMITS)
    assert not names & NOT_OBEYED
    for name, (low, high) in LIMITS.items():
        value = getattr(DEFAULTS, name)
        assert all(low <= n <= high for n in (value if isinstance(value, tuple) else (value,)))


def test_the_last_value_counts_and_spaces_are_sysctls() -> None:
    made = read(["net.ipv4.tcp_frto=0", " net.ipv4.tcp_frto = 1 ", "net.ipv4.tcp_rmem=1 2\t3"])
    assert (made.tcp_frto, made.tcp_rmem) == (1, (1, 2, 3))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("net.ipv4.tcp_ecn=1", "Linux has this setting, the modelled guest does not obey it"),
        ("net.ipv4.tcp_frt0=1", "did you mean 'net.ipv4.tcp_frto'?"),
        ("tcp_frto=1", "did you mean 'net.ipv4.tcp_frto'?"),
        ("net.core.somaxconn=1", "no setting of the modelled guest"),
        ("net.ipv4.tcp_frto", "expected NAME=VALUE"),
        ("net.ipv4.tcp_frto=256", "expected a number from 0 to 255"),
        ("net.ipv4.tcp_frto=-1", "expected a number from 0 to 255"),
        ("net.ipv4.tcp_frto=1 2", "expected a number from 0 to 255"),
        ("net.ipv4.tcp_rmem=4096", "expected three numbers"),
        ("net.ipv4.tcp_fin_timeout=61", "expected a number from 0 to 60"),
        ("net.ipv4.tcp_rmem=1 2 " + "9" * 5000, "expected three numbers"),
    ],
)
def test_what_is_not_obeyed_or_out_of_range_is_refused(line: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        read([line])
    assert told in str(caught.value)
    assert len(str(caught.value)) < 1500


# Effects


def test_syn_retries() -> None:
    guest = guest_with("tcp_syn_retries=1")
    opening(guest)
    guest.cpu.run(10 * SECOND)
    assert len(guest.segments()) == 1


def test_keepalive_of_sockets_that_choose_no_times() -> None:
    """``keepalive_time_when`` and its like (include/net/tcp.h)."""
    guest = guest_with("tcp_keepalive_time=20", "tcp_keepalive_intvl=3", "tcp_keepalive_probes=2")
    sock, _ = served(guest)
    times = (TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT)
    assert [sock.getsockopt(option) for option in times] == [20, 3, 2]
    sock.setsockopt(SO_KEEPALIVE, 1)
    sock.setsockopt(TCP_KEEPINTVL, 5)
    guest.segments()
    guest.cpu.run(24 * SECOND)
    assert len(guest.segments()) == 1
    guest.cpu.run(7 * SECOND)
    assert [bool(s.flags & RST) for s in guest.segments()] == [False, True]


def test_synack_retries() -> None:
    guest = guest_with("tcp_synack_retries=1")
    listening(guest)
    asking(guest)
    guest.cpu.run(20 * SECOND)
    assert len(guest.segments()) == 1


def test_retries2() -> None:
    guest = guest_with("tcp_retries2=2")
    sock, _ = served(guest)
    sock.send(b"x")
    guest.cpu.run(60 * SECOND)
    assert len(guest.segments()) == 3
    with pytest.raises(TimeoutError):
        sock.recv(1)


def test_orphan_retries() -> None:
    guest = guest_with("tcp_orphan_retries=1")
    sock, _ = served(guest)
    sock.send(b"x")
    guest.segments()
    sock.close()
    guest.cpu.run(60 * SECOND)
    assert len(numbers(guest, 0)) == 2


def test_fin_timeout() -> None:
    guest = guest_with("tcp_fin_timeout=5")
    sock, peer = served(guest)
    sock.close()
    peer.ack = guest.segments()[0].seq + 1
    peer.send(ACK)
    guest.cpu.run(7 * SECOND)
    assert [row.state for row in guest.stack.sockets()] == ["LISTEN"]


@pytest.mark.parametrize(("value", "cwnd"), [(0, 40), (1, 10)])
def test_slow_start_after_idle(value: int, cwnd: int) -> None:
    guest = guest_with(f"tcp_slow_start_after_idle={value}")
    sock, _ = served(guest, window=65000)
    sock.sk.snd_cwnd = 40
    guest.cpu.run(10 * SECOND)
    sock.send(b"x")
    assert sock.sk.snd_cwnd == cwnd


def test_frto() -> None:
    guest = guest_with("tcp_frto=0")
    sock, peer = served(guest)
    sock.send(bytes(15 * MSS))
    iss = peer.ack
    guest.segments()
    guest.cpu.run(300 * MS)
    numbers(guest, iss)
    peer.ack += MSS
    guest.put(peer.frame(ACK))
    assert numbers(guest, iss) == [(MSS, MSS), (2 * MSS, MSS)]


@pytest.mark.parametrize("value", [1, 2])
def test_reordering(value: int) -> None:
    guest = guest_with(f"tcp_reordering={value}")
    sock, peer = served(guest)
    sock.send(bytes(10 * MSS))
    iss = peer.ack
    guest.segments()
    for duplicate in range(1, value + 1):
        guest.put(peer.frame(ACK))
        assert bool(numbers(guest, iss)) == (duplicate == value)


def test_max_reordering() -> None:
    guest = guest_with("tcp_max_reordering=4")
    sock, peer = served(guest)
    sock.send(bytes(10 * MSS))
    guest.segments()
    sock.sk.reordering = 300
    for _ in range(12):
        guest.cpu.run(MS)
        guest.put(peer.frame(ACK))
    assert sock.sk.reordering == 4


@pytest.mark.parametrize(("value", "sizes"), [(0, [300]), (1, [500])])
def test_retrans_collapse(value: int, sizes: list[int]) -> None:
    guest = guest_with(f"tcp_retrans_collapse={value}")
    sock, _ = served(guest)
    sock.set_nodelay(True)
    sock.send(bytes(300))
    sock.send(bytes(200))
    guest.segments()
    guest.cpu.run(300 * MS)
    assert [len(s.payload) for s in guest.segments()] == sizes


def test_min_tso_segs() -> None:
    guest = guest_with("tcp_min_tso_segs=5")
    sock, _ = served(guest)
    sock.send(bytes(10 * MSS))
    assert [skb.gso_segs for skb in guest.driver.packets[-2:]] == [5, 5]


def test_tso_rtt_log() -> None:
    """A round trip of 40 ms counts as none: the largest packet is as large as can be."""
    guest = guest_with("tcp_tso_rtt_log=20")
    sock, _ = served(guest)
    sock.send(bytes(10 * MSS))
    assert guest.driver.packets[-1].gso_segs == 5


def test_invalid_ratelimit() -> None:
    guest = guest_with("tcp_invalid_ratelimit=0")
    _, peer = served(guest)
    for _ in range(3):
        guest.put(peer.frame(ACK, ack=peer.ack - 1))
    assert len(guest.segments()) == 3


def test_abort_on_overflow() -> None:
    guest = guest_with("tcp_abort_on_overflow=1")
    listening(guest, backlog=1)
    asking(guest, 50001).send(ACK)
    second, third = asking(guest, 50002), asking(guest, 50003)
    second.send(ACK)
    assert [s.flags for s in third.send(ACK)] == [RST]


@pytest.mark.parametrize(("value", "left"), [(0, 0), (1, 1)])
def test_rfc1337(value: int, left: int) -> None:
    guest = guest_with(f"tcp_rfc1337={value}")
    sock, peer = served(guest)
    sock.close()
    peer.ack = guest.segments()[0].seq + 1
    peer.send(ACK | 1)
    guest.put(peer.frame(RST | ACK))
    assert sum(row.state == "TIME_WAIT" for row in guest.stack.sockets()) == left


def test_what_a_syn_offers() -> None:
    guest = guest_with("tcp_timestamps=0", "tcp_sack=0", "tcp_window_scaling=0")
    guest.stack.tcp_socket()
    sock = guest.stack.tcp_socket()
    with pytest.raises(BlockingIOError):
        sock.connect(guest.gateway, 80)
    (syn,) = guest.segments()
    assert (syn.flags, TcpOptions.parse(syn.options)) == (SYN, TcpOptions(mss=1460))


def test_buffers() -> None:
    guest = guest_with("tcp_rmem=4096 8000 1000000", "tcp_wmem=4096 9000 9001")
    sock, _ = served(guest)
    assert (sock.sk.rcvbuf, sock.sk.sndbuf) == (8000, 9001)
