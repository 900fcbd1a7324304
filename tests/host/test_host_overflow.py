"""More connections than a listener's queue holds: SYNs, half-open connections, retries."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from host_bench import SECOND, Host

from desim.host.tcp import TcpSocket
from desim.host.timers import JIFFY_NS
from desim.ports import POLLOUT
from desim.wire.addresses import IP_ANY, LOOPBACK

PORT = 5555
MS = 1_000_000
FIRST_RETRY = 1_024 * MS
"""One second, on a timer wheel whose buckets are 32 ms wide there."""


class Bench:
    """A listener with a backlog of 1, which so holds two, and clients that do not block."""

    def __init__(self) -> None:
        self.host = Host()
        self.listener = self.socket()
        self.listener.bind(IP_ANY, PORT)
        self.listener.listen(1)

    def socket(self) -> TcpSocket:
        return TcpSocket(self.host.kernel.tcp, (1, "test"))

    def clients(self, count: int) -> list[TcpSocket]:
        made = [self.socket() for _ in range(count)]
        for client in made:
            client.nonblocking = True
            assert raised(client.connect, LOOPBACK, PORT) == errno.EINPROGRESS
        return made

    def accept_all(self) -> list[TcpSocket]:
        accepted = []
        while self.listener.accept_queue:
            accepted.append(self.listener.accept()[0])
        return accepted

    def next_tick(self) -> int | None:
        """Let time pass to the next tick that has something to do; when that is."""
        due = self.host.kernel.net.timers.next_ns()
        if due is not None:
            self.host.clock.pass_by(due - self.host.time)
        return due


@pytest.fixture
def bench() -> Bench:
    return Bench()


def raised(function: Callable[..., object], *args: object) -> int | None:
    try:
        function(*args)
    except OSError as error:
        return error.errno
    return None


def states(sockets: list[TcpSocket]) -> list[str]:
    return [socket.state for socket in sockets]


def test_a_queue_holds_one_more_than_the_backlog_and_further_syns_are_ignored(
    bench: Bench,
) -> None:
    clients = bench.clients(4)
    assert states(clients) == ["ESTABLISHED", "ESTABLISHED", "SYN_SENT", "SYN_SENT"]
    assert [client.poll_events() for client in clients] == [POLLOUT, POLLOUT, 0, 0]
    assert len(bench.accept_all()) == 2


def test_all_syns_of_one_tick_are_answered_however_many_fit(bench: Bench) -> None:
    clients = bench.clients(12)
    bench.accept_all()
    assert bench.next_tick() == FIRST_RETRY
    assert states(clients) == ["ESTABLISHED"] * 12
    assert len(bench.listener.accept_queue) == 2
    rows = [row.state for row in bench.host.kernel.tcp.rows()]
    assert rows.count("SYN_RECV") == 8
    # The one that was armed last is the first in its bucket of the wheel.
    assert [end.remote for end in bench.accept_all()] == [
        client.getsockname() for client in (clients[11], clients[10])
    ]


def test_data_of_a_half_open_connection_is_sent_again_until_there_is_room(bench: Bench) -> None:
    clients = bench.clients(4)
    bench.accept_all()
    blocked = bench.clients(2)
    # A full queue: the retries find it so, too.
    bench.next_tick()
    assert states(clients) == ["SYN_SENT" if c in clients[2:] else "ESTABLISHED" for c in clients]
    bench.accept_all()
    assert states(blocked) == ["ESTABLISHED", "ESTABLISHED"]


def half_open(bench: Bench, count: int = 1) -> list[TcpSocket]:
    """Clients that think they are connected, at a listener whose queue is full."""
    clients = bench.clients(2 + 2 + count)
    bench.accept_all()
    assert bench.next_tick() == FIRST_RETRY
    return [c for c in clients if c.peer is not None and c.peer.state == "SYN_RECV"]


def test_first_data_makes_it_a_connection_if_there_is_room(bench: Bench) -> None:
    (client,) = half_open(bench)
    bench.accept_all()
    assert client.write(b"hello") == 5
    (server,) = bench.accept_all()
    assert server.read(9) == b"hello"
    assert server.write(b"back") == 4
    assert client.read(9) == b"back"
    assert bench.next_tick() is None


def test_data_that_found_no_room_is_sent_again_a_fifth_of_a_second_later_and_twice_and_so_on(
    bench: Bench,
) -> None:
    (client,) = half_open(bench)
    client.write(b"hello")
    assert client.queues()[1] == 5
    waits = []
    for _ in range(3):
        before = bench.host.time
        tick = bench.next_tick()
        assert tick is not None
        waits.append((tick - before) // JIFFY_NS)
    # A tail loss probe, and then the timeouts: 0.2, 0.4 and 0.8 s after it was sent first.
    assert [waits[0], waits[1]] == [51, 51]
    assert 100 <= waits[2] <= 108
    assert client.peer is not None
    bench.accept_all()
    bench.next_tick()
    (server,) = [end for end in bench.accept_all() if end.peer is client]
    assert server.read(9) == b"hello"


def test_a_server_repeats_its_syn_ack_and_then_forgets_the_request(bench: Bench) -> None:
    (client,) = half_open(bench)
    start = bench.host.time
    seconds = []
    while (tick := bench.next_tick()) is not None:
        seconds.append((tick - start) // SECOND)
    assert seconds == [1, 3, 7, 15, 31, 64]
    assert client.state == "ESTABLISHED"
    assert client.write(b"late") == 4
    assert raised(client.read, 1) == errno.ECONNRESET


def test_a_repeated_syn_ack_completes_a_connection_of_a_silent_client(bench: Bench) -> None:
    (client,) = half_open(bench)
    bench.accept_all()
    tick = bench.next_tick()
    assert tick is not None
    assert tick - FIRST_RETRY >= SECOND
    (server,) = bench.accept_all()
    assert server.peer is client
    assert bench.next_tick() is None


def test_a_fin_of_a_half_open_connection_waits_for_room_as_data_does(bench: Bench) -> None:
    (client,) = half_open(bench)
    client.write(b"all")
    client.close()
    bench.accept_all()
    assert client.state == "FIN_WAIT1"
    bench.next_tick()
    (server,) = bench.accept_all()
    assert (server.read(9), server.read(9)) == (b"all", b"")
    assert (client.state, server.state) == ("FIN_WAIT2", "CLOSE_WAIT")


def test_a_listener_that_is_gone_answers_with_a_reset(bench: Bench) -> None:
    (client,) = half_open(bench)
    bench.listener.close()
    assert client.write(b"x") == 1
    assert raised(client.read, 1) == errno.ECONNRESET
    assert bench.next_tick() is None


def test_syns_end_in_a_timeout(bench: Bench) -> None:
    clients = bench.clients(3)
    waits = []
    before = 0
    while (tick := bench.next_tick()) is not None:
        waits.append((tick - before) / SECOND)
        before = tick
    # Never early, and late by a bucket of the wheel, at most an eighth.
    assert [round(wait) for wait in waits[:4]] == [1, 2, 4, 8]
    assert all(1 <= wait / (1 << n) <= 1.125 for n, wait in enumerate(waits))
    assert len(waits) == 7
    assert raised(clients[2].connected) == errno.ETIMEDOUT


def test_a_program_that_waits_for_its_connection_is_woken_by_the_tick(bench: Bench) -> None:
    bench.clients(2)
    waiting = bench.host.run("echo hi | nc -N localhost 5555")
    bench.accept_all()
    bench.host.settle(2 * SECOND)
    assert waiting.exit_status is None
    (server,) = bench.accept_all()
    assert server.read(9) == b"hi\n"
    server.close()
    bench.host.settle(2 * SECOND)
    assert waiting.exit_status == 0
