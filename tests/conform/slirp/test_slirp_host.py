"""The host of a recording: what is added to ``desim.host`` for a replay, and nothing else."""

from __future__ import annotations

import pytest

from desim.conform.slirp.host import Ports, RecordedHost
from desim.host.loopback import FIRST_PORT
from desim.ports import POLLOUT
from desim.testing import VirtualClock
from desim.wire.addresses import LOOPBACK


@pytest.fixture
def host() -> RecordedHost:
    return RecordedHost(VirtualClock(7))


def seen(host: RecordedHost) -> list[tuple[object, ...]]:
    host.run()
    return [tuple(event.values())[1:] for event in host.events]


def test_programs_note_what_they_see_in_their_order(host: RecordedHost) -> None:
    host.host_listen("s", (LOOPBACK, 80))
    fd = host.sockets.connect(LOOPBACK, 80)
    host.sockets.send(fd, b"hello")
    host.sockets.close(fd)
    assert seen(host) == [
        ("accept", "s", "s.1"),
        ("host_data", "s.1", b"hello"),
        ("host_eof", "s.1"),
    ]
    assert {event["t"] for event in host.events} == {7}


def test_a_program_that_takes_so_many_bytes_takes_no_more(host: RecordedHost) -> None:
    host.host_listen("s", (LOOPBACK, 80))
    fd = host.sockets.connect(LOOPBACK, 80)
    host.run()
    host.host_accept_bytes("s.1", 3)
    assert host.sockets.send(fd, b"hello") == 3
    assert not host.sockets.state(fd) & POLLOUT
    with pytest.raises(BlockingIOError):
        host.sockets.send(fd, b"lo")
    assert host.sockets.send(fd, b"") == 0
    host.host_accept_bytes("s.1", None)
    assert host.sockets.send(fd, b"lo") == 2
    assert seen(host)[1:] == [("host_data", "s.1", b"hello")]


def test_a_close_with_reset_is_seen_as_one(host: RecordedHost) -> None:
    listener = host.sockets.listen(LOOPBACK, 5555)
    host.host_connect("c", (LOOPBACK, 40_000), (LOOPBACK, 5555))
    fd, client = host.sockets.accept(listener)
    assert client == (LOOPBACK, 40_000)
    host.host_close("c", reset=True)
    with pytest.raises(ConnectionResetError):
        host.sockets.recv(fd, 1)
    host.host_connect("d", (LOOPBACK, 40_001), (LOOPBACK, 5556))
    assert seen(host) == [("host_connected", "c"), ("host_refused", "d")]


def test_a_connection_that_a_full_queue_leaves_out_is_no_event(host: RecordedHost) -> None:
    host.sockets.listen(LOOPBACK, 5555, backlog=1)
    for number in range(3):
        host.host_connect(f"c{number}", (LOOPBACK, 40_000 + number), (LOOPBACK, 5555))
    assert [event["conn"] for event in host.events] == ["c0", "c1"]


def test_datagrams_are_labelled_by_port_unless_somebody_asked_for_it(host: RecordedHost) -> None:
    host.udp_bind("u", (LOOPBACK, 9000))
    session = host.sockets.bind_udp(bytes(4), 0)
    rule = host.sockets.bind_udp(LOOPBACK, 5000)
    host.sockets.sendto(session, b"a", (LOOPBACK, 9000), ttl=5)
    host.sockets.sendto(rule, b"b", (LOOPBACK, 9000))
    assert seen(host) == [
        ("udp", "u", "port-1", 5, b"a"),
        ("udp", "u", ["127.0.0.1", 5000], 64, b"b"),
    ]
    assert host.udp_send("u", "port-1", b"c") is None
    assert host.udp_send("u", "port-2", b"d") == "no peer"
    assert host.sockets.recvfrom(session, 9) == (b"c", (LOOPBACK, 9000))
    assert host.udp_send("u", "peer", b"e") is None
    assert host.sockets.recvfrom(rule, 9)[0] == b"e"


def test_free_ports_are_none_that_the_recording_names() -> None:
    ports = Ports([FIRST_PORT + 2, FIRST_PORT + 5])
    assert [ports.below(100) for _ in range(3)] == [0, 3, 4]
