"""TCP sockets of the host, one behaviour each, as Linux shows them on loopback."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from host_bench import SECOND, Host
from hypothesis import given
from hypothesis import strategies as st

from desim.host.tcp import RCVBUF, SNDBUF, TcpSocket
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDHUP, Endpoint
from desim.userland.calls import sys
from desim.userland.program import Program
from desim.userland.uapi import (
    SO_KEEPALIVE,
    SO_LINGER,
    SO_OOBINLINE,
    SO_REUSEADDR,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
)
from desim.wire.addresses import IP_ANY, LOOPBACK

PORT = 5555


class Pair:
    """A listener, a client and the server's end of one connection."""

    def __init__(self, observer: Watch | None = None) -> None:
        self.host = Host(observer=observer)
        self.listener = self.socket()
        self.listener.bind(IP_ANY, PORT)
        self.listener.listen(1)
        self.client = self.socket()
        self.client.connect(LOOPBACK, PORT)
        self.server, self.peer = self.listener.accept()

    def socket(self) -> TcpSocket:
        return TcpSocket(self.host.kernel.tcp, (1, "test"))


class Watch:
    """An observer that notes what it is told."""

    def __init__(self) -> None:
        self.notes: list[tuple[object, ...]] = []

    def connecting(self, client: Endpoint, server: Endpoint) -> None:
        self.notes.append(("connecting", server))

    def connected(self, conn: int, client: Endpoint, server: Endpoint) -> None:
        self.notes.append(("connected", conn, server))

    def sent(self, conn: int, first_byte: int, count: int, by: str, resumed: bool) -> None:
        self.notes.append(("sent", conn, first_byte, count, by, resumed))

    def received(self, conn: int, first_byte: int, count: int, by: str) -> None:
        self.notes.append(("received", conn, first_byte, count, by))

    def closed(self, conn: int, by: str, how: str) -> None:
        self.notes.append(("closed", conn, by, how))

    def datagram_sent(
        self, number: int, local: Endpoint, remote: Endpoint, data: bytes, queued: bool
    ) -> None:
        self.notes.append(("datagram sent", number, remote, data, queued))

    def datagram_received(self, number: int, local: Endpoint, remote: Endpoint, count: int) -> None:
        self.notes.append(("datagram received", number, local, count))


@pytest.fixture
def pair() -> Pair:
    return Pair()


def raised(function: Callable[..., object], *args: object) -> int | None:
    try:
        function(*args)
    except OSError as error:
        return error.errno
    return None


def test_both_ends_know_each_other(pair: Pair) -> None:
    assert pair.server.getpeername() == pair.client.getsockname() == pair.peer
    assert pair.client.getpeername() == pair.server.getsockname() == (LOOPBACK, PORT)
    assert 32768 <= pair.peer[1] <= 60999
    assert pair.peer[1] % 2 == 0


def test_nothing_listens(pair: Pair) -> None:
    assert raised(pair.socket().connect, LOOPBACK, 1) == errno.ECONNREFUSED


def test_two_ends_have_one_connection(pair: Pair) -> None:
    again = pair.socket()
    for socket in (pair.client, again):
        socket.setsockopt(SO_REUSEADDR, 1)
    again.bind(*pair.client.getsockname())
    assert raised(again.connect, LOOPBACK, PORT) == errno.EADDRNOTAVAIL
    other = pair.socket()
    other.bind(LOOPBACK, PORT + 1)
    other.listen(1)
    again.connect(LOOPBACK, PORT + 1)


def test_only_loopback_is_reachable(pair: Pair) -> None:
    assert raised(pair.socket().connect, b"\x0a\0\2\2", 1) == errno.ENETUNREACH


def test_a_refused_nonblocking_connect_shows_in_poll(pair: Pair) -> None:
    socket = pair.socket()
    socket.nonblocking = True
    assert raised(socket.connect, LOOPBACK, 1) == errno.EINPROGRESS
    assert socket.poll_events() == POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP
    error = socket.take_error()
    assert error is not None
    assert error.errno == errno.ECONNREFUSED
    assert socket.take_error() is None


def test_a_nonblocking_connect_is_done_by_the_next_poll(pair: Pair) -> None:
    socket = pair.socket()
    socket.nonblocking = True
    assert raised(socket.connect, LOOPBACK, PORT) == errno.EINPROGRESS
    assert socket.poll_events() == POLLOUT


def test_a_half_closed_connection_still_carries_the_other_direction(pair: Pair) -> None:
    pair.client.shutdown(write=True)
    assert pair.server.poll_events() == POLLIN | POLLOUT | POLLRDHUP
    assert pair.server.read(10) == b""
    assert pair.server.write(b"answer") == 6
    assert pair.client.read(10) == b"answer"
    assert raised(pair.client.write, b"x") == errno.EPIPE
    assert (pair.client.state, pair.server.state) == ("FIN_WAIT2", "CLOSE_WAIT")


def test_after_both_fins_the_socket_is_not_connected(pair: Pair) -> None:
    pair.client.shutdown(write=True)
    pair.server.close()
    assert pair.client.poll_events() == POLLIN | POLLOUT | POLLHUP | POLLRDHUP
    assert pair.client.read(10) == b""
    assert raised(pair.client.getpeername) == errno.ENOTCONN
    with pytest.raises(OSError, match="not connected"):
        pair.client.shutdown(read=True)


def test_who_closes_first_rests_in_time_wait(pair: Pair) -> None:
    pair.client.close()
    pair.server.close()
    rows = [(row.local, row.state) for row in pair.host.kernel.tcp.rows()]
    assert (pair.peer, "TIME_WAIT") in rows
    pair.host.time += 60 * SECOND
    assert [row.state for row in pair.host.kernel.tcp.rows()] == ["LISTEN"]


def test_data_for_a_closed_socket_is_taken_and_then_reset(pair: Pair) -> None:
    pair.client.close()
    assert pair.server.write(b"late") == 4
    assert pair.server.poll_events() & (POLLERR | POLLHUP) == POLLERR | POLLHUP
    assert raised(pair.server.write, b"x") == errno.EPIPE
    assert raised(pair.server.getpeername) == errno.ENOTCONN


def test_data_for_a_socket_that_is_shut_both_ways_resets_that_one_too(pair: Pair) -> None:
    pair.client.shutdown(read=True, write=True)
    assert pair.server.write(b"late") == 4
    for socket in (pair.client, pair.server):
        assert socket.poll_events() == POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP


def test_closing_with_unread_data_resets(pair: Pair) -> None:
    pair.client.write(b"before")
    pair.server.write(b"unread")
    pair.client.close()
    # What has arrived can still be read; then the error, once; then the end.
    assert pair.server.read(100) == b"before"
    assert raised(pair.server.read, 100) == errno.ECONNRESET
    assert pair.server.read(100) == b""


def test_a_socket_that_does_not_linger_resets_when_it_is_closed(pair: Pair) -> None:
    pair.client.write(b"before")
    pair.client.setsockopt(SO_LINGER, 0)
    pair.client.close()
    assert pair.server.read(100) == b"before"
    assert raised(pair.server.read, 100) == errno.ECONNRESET


def test_an_empty_send_probes_for_an_error(pair: Pair) -> None:
    assert pair.server.write(b"") == 0
    pair.server.write(b"unread")
    pair.client.close()
    assert raised(pair.server.write, b"") == errno.ECONNRESET


def test_closing_a_listener_resets_who_was_not_accepted(pair: Pair) -> None:
    waiting = pair.socket()
    waiting.connect(LOOPBACK, PORT)
    pair.listener.close()
    assert raised(waiting.read, 1) == errno.ECONNRESET
    assert raised(pair.socket().connect, LOOPBACK, PORT) == errno.ECONNREFUSED


def test_a_full_buffer_blocks_until_a_third_is_free(pair: Pair) -> None:
    capacity = SNDBUF + RCVBUF
    assert pair.client.write(bytes(capacity + 5)) == capacity
    assert raised(pair.client.write, b"x") == errno.EAGAIN
    assert pair.client.poll_events() == 0
    pair.server.read(SNDBUF // 3 - 1)
    assert pair.client.poll_events() == 0
    pair.server.read(2)
    assert pair.client.poll_events() == POLLOUT
    assert pair.client.queues()[1] + pair.server.queues()[0] == capacity - SNDBUF // 3 - 1


def test_a_fin_arrives_behind_the_data(pair: Pair) -> None:
    pair.client.write(bytes(RCVBUF + 10))
    pair.client.close()
    assert pair.client.state == "FIN_WAIT1"
    pair.server.read(10)
    assert (pair.client.state, pair.server.state) == ("FIN_WAIT2", "CLOSE_WAIT")
    assert len(pair.server.read(1 << 20)) == RCVBUF
    assert pair.server.read(1) == b""


def test_urgent_data_is_read_in_its_place_with_oobinline(pair: Pair) -> None:
    pair.server.setsockopt(SO_OOBINLINE, 1)
    pair.client.write(b"ab")
    pair.client.send_oob(b"cd")
    assert pair.server.poll_events() & POLLPRI
    assert pair.server.read(100) == b"abc"
    assert pair.server.read(100) == b"d"
    assert not pair.server.poll_events() & POLLPRI


def test_urgent_data_is_skipped_without_oobinline(pair: Pair) -> None:
    pair.client.send_oob(b"abc")
    pair.client.write(b"def")
    assert pair.server.read(100) == b"ab"
    assert pair.server.read(100) == b"def"


def test_urgent_data_alone_is_nothing_to_read(pair: Pair) -> None:
    pair.client.send_oob(b"!")
    assert raised(pair.server.read, 100) == errno.EAGAIN


def test_reuseaddr_permits_a_port_that_only_connections_use(pair: Pair) -> None:
    pair.listener.close()
    plain, reusing = pair.socket(), pair.socket()
    assert raised(plain.bind, IP_ANY, PORT) == errno.EADDRINUSE
    pair.server.reuse_address = True
    reusing.setsockopt(SO_REUSEADDR, 1)
    reusing.bind(IP_ANY, PORT)
    reusing.listen(1)


def test_bind_wants_an_own_address(pair: Pair) -> None:
    assert raised(pair.socket().bind, b"\x09\x09\x09\x09", 80) == errno.EADDRNOTAVAIL


def test_an_observer_can_follow_every_byte() -> None:
    watch = Watch()
    pair = Pair(watch)
    pair.client.write(b"abcd")
    pair.server.read(3)
    pair.server.read(3)
    pair.client.close()
    assert watch.notes == [
        ("connecting", (LOOPBACK, PORT)),
        ("connected", 1, (LOOPBACK, PORT)),
        ("sent", 1, 0, 4, "client", False),
        ("received", 1, 0, 3, "server"),
        ("received", 1, 3, 1, "server"),
        ("closed", 1, "client", "fin"),
    ]


@given(
    chunks=st.lists(st.binary(max_size=3000), max_size=30),
    reads=st.lists(st.integers(1, 5000), min_size=1, max_size=30),
    close_first=st.booleans(),
)
def test_bytes_arrive_in_order_and_complete(
    chunks: list[bytes], reads: list[int], close_first: bool
) -> None:
    pair = Pair()
    out = b""
    sizes = iter(reads)
    for chunk in chunks:
        assert pair.client.write(chunk) == len(chunk)
        if not close_first and pair.server.receive.size:
            out += pair.server.read(next(sizes, 1))
    pair.client.close()
    while data := pair.server.read(next(sizes, 4096)):
        out += data
    assert out == b"".join(chunks)
    assert pair.server.received_total == pair.client.sent_total == len(out)


@pytest.mark.parametrize(("reads_after_s", "closed_after_s"), [(2, 2), (9, 5)])
def test_a_close_that_lingers_waits_for_who_has_no_room(
    reads_after_s: int, closed_after_s: int
) -> None:
    host, second = Host(), 1_000_000_000
    closed: list[int] = []
    got: list[bytes] = []

    def server() -> Program:
        listener = yield from sys.socket("tcp")
        yield from sys.bind(listener, LOOPBACK, PORT)
        yield from sys.listen(listener, 1)
        fd, _ = yield from sys.accept(listener)
        yield from sys.sleep_ns(reads_after_s * second)
        while data := (yield from sys.read(fd, 1 << 20)):
            got.append(data)
        return 0

    def client() -> Program:
        fd = yield from sys.socket("tcp")
        yield from sys.connect(fd, LOOPBACK, PORT)
        yield from sys.setsockopt(fd, SO_LINGER, 5)
        yield from sys.write(fd, bytes(RCVBUF + 1))
        yield from sys.close(fd)
        closed.append((yield from sys.now()))
        return 0

    host.serve(server())
    host.serve(client())
    host.settle()
    assert closed == [closed_after_s * second]
    assert sum(map(len, got)) == RCVBUF + 1


def test_a_close_that_lingers_is_over_at_once_if_all_has_arrived(pair: Pair) -> None:
    pair.client.setsockopt(SO_LINGER, 5)
    pair.client.write(b"all")
    pair.client.begin_close()
    assert not pair.client.closing()


def test_a_close_that_lingers_resets_with_unread_data(pair: Pair) -> None:
    pair.client.setsockopt(SO_LINGER, 5)
    pair.server.write(b"unread")
    pair.client.begin_close()
    assert not pair.client.closing()
    assert raised(pair.server.read, 1) == errno.ECONNRESET


def test_what_has_not_begun_does_not_linger(pair: Pair) -> None:
    for socket in (pair.listener, pair.socket()):
        socket.setsockopt(SO_LINGER, 5)
        assert socket.begin_close() == 0


def test_keeping_alive_is_taken_and_told_and_changes_nothing(pair: Pair) -> None:
    client = pair.client
    names = (SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT)
    assert [client.getsockopt(name) for name in names] == [0, 7200, 75, 9]
    for name, value in zip(names, (9, 10, 1, 3), strict=True):
        client.setsockopt(name, value)
    assert [client.getsockopt(name) for name in names] == [1, 10, 1, 3]
    for name, value in ((TCP_KEEPIDLE, 0), (TCP_KEEPINTVL, 32768), (TCP_KEEPCNT, 128)):
        assert raised(client.setsockopt, name, value) == errno.EINVAL


def test_poll_says_of_a_new_socket_what_a_real_one_says(pair: Pair) -> None:
    """Linux 6.1.192: EPOLLOUT and EPOLLHUP."""
    assert pair.socket().poll_events() == POLLOUT | POLLHUP
    assert pair.listener.poll_events() == 0
