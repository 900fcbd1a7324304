"""Unix stream sockets of the host: what happens to one end the other knows at once."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from host_bench import Host

from desim.host.unix import SNDBUF, UnixSocket
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT

NAME = b"/run/socket"


class Pair:
    """A listener, a client and the server's end of one connection."""

    def __init__(self) -> None:
        self.host = Host()
        self.listener = self.socket()
        self.listener.bind(NAME, 0)
        self.listener.listen(1)
        self.client = self.socket()
        self.client.connect(NAME, 0)
        self.server, _ = self.listener.accept()

    def socket(self) -> UnixSocket:
        return UnixSocket(self.host.kernel.unix)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def raised(function: Callable[..., object], *args: object) -> int | None:
    try:
        function(*args)
    except OSError as error:
        return error.errno
    return None


def test_a_connection_is_there_at_once(pair: Pair) -> None:
    assert pair.client.getpeername() == (NAME, 0)
    assert pair.server.getpeername() == (b"", 0)
    assert pair.client.poll_events() == pair.server.poll_events() == POLLOUT


def test_a_name_that_nobody_has_is_no_file_and_one_without_a_listener_refuses(pair: Pair) -> None:
    assert raised(pair.socket().connect, b"/run/other", 0) == errno.ENOENT
    bound = pair.socket()
    bound.bind(b"/run/other", 0)
    assert raised(pair.socket().connect, b"/run/other", 0) == errno.ECONNREFUSED
    assert raised(pair.socket().bind, b"/run/other", 0) == errno.EADDRINUSE


def test_a_full_queue_of_a_listener_says_so_at_once(pair: Pair) -> None:
    for _ in range(2):
        pair.socket().connect(NAME, 0)
    assert raised(pair.socket().connect, NAME, 0) == errno.EAGAIN
    assert pair.listener.poll_events() == POLLIN


def test_bytes_go_both_ways(pair: Pair) -> None:
    assert pair.client.write(b"there") == 5
    assert pair.server.poll_events() == POLLIN | POLLOUT
    assert pair.server.read(3) == b"the"
    assert pair.server.read(9) == b"re"
    assert raised(pair.server.read, 9) == errno.EAGAIN
    pair.server.write(b"back")
    assert pair.client.read(9) == b"back"


def test_a_full_buffer_takes_no_more_and_is_writeable_at_a_quarter(pair: Pair) -> None:
    assert pair.client.write(bytes(SNDBUF + 5)) == SNDBUF
    assert raised(pair.client.write, b"x") == errno.EAGAIN
    pair.server.read(SNDBUF * 3 // 4 - 1)
    assert not pair.client.poll_events() & POLLOUT
    pair.server.read(1)
    assert pair.client.poll_events() & POLLOUT


def test_who_shuts_the_writing_side_may_still_read(pair: Pair) -> None:
    pair.client.write(b"last")
    pair.client.shutdown(write=True)
    assert pair.server.poll_events() == POLLIN | POLLOUT
    assert (pair.server.read(9), pair.server.read(9)) == (b"last", b"")
    assert pair.server.write(b"answer") == 6
    assert pair.client.read(9) == b"answer"
    assert raised(pair.client.write, b"x") == errno.EPIPE


def test_a_peer_that_reads_no_more_breaks_the_pipe_before_anything_is_sent(pair: Pair) -> None:
    pair.client.shutdown(read=True)
    assert raised(pair.server.write, b"x") == errno.EPIPE
    assert pair.client.write(b"still") == 5
    assert pair.server.read(9) == b"still"


def test_a_closed_peer_is_known_at_once(pair: Pair) -> None:
    pair.client.write(b"last")
    pair.client.close()
    assert pair.server.poll_events() == POLLIN | POLLOUT | POLLHUP
    assert raised(pair.server.write, b"x") == errno.EPIPE
    assert (pair.server.read(9), pair.server.read(9)) == (b"last", b"")
    # Unlike TCP's, it goes on naming its peer.
    assert pair.server.getpeername() == (b"", 0)


def test_unread_data_makes_a_close_a_reset(pair: Pair) -> None:
    pair.server.write(b"unread")
    pair.client.write(b"before")
    pair.client.close()
    assert pair.server.poll_events() & POLLERR
    assert pair.server.read(9) == b"before"
    assert raised(pair.server.read, 9) == errno.ECONNRESET
    assert pair.server.read(9) == b""


def test_a_listener_that_closes_resets_who_waits_and_leaves_its_file_behind(pair: Pair) -> None:
    waiting = pair.socket()
    waiting.connect(NAME, 0)
    pair.listener.close()
    assert raised(waiting.read, 9) == errno.ECONNRESET
    assert pair.client.write(b"x") == 1
    again = pair.socket()
    assert raised(again.connect, NAME, 0) == errno.ECONNREFUSED
    assert raised(again.bind, NAME, 0) == errno.EADDRINUSE
    again.unix.unlink(NAME)
    assert raised(again.unix.unlink, NAME) == errno.ENOENT
    assert raised(again.connect, NAME, 0) == errno.ENOENT
    again.bind(NAME, 0)


def test_without_a_peer_there_is_nobody_to_hear_of_anything(pair: Pair) -> None:
    alone = pair.socket()
    assert alone.poll_events() == POLLOUT | POLLHUP
    assert raised(alone.read, 1) == errno.EINVAL
    assert raised(alone.write, b"x") == errno.ENOTCONN
    alone.shutdown(read=True, write=True)
