"""send() and recv() with flags, as every kernel answers them, between two programs."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from host_bench import SECOND, Host

from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.uapi import (
    IP_TTL,
    MSG_DONTWAIT,
    MSG_MORE,
    MSG_PEEK,
    MSG_WAITALL,
    SO_ATTACH_FILTER,
    SO_BROADCAST,
    SO_LINGER,
    SO_OOBINLINE,
    SO_RCVBUF,
    SO_RCVTIMEO,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SO_TIMESTAMP,
    TCP_NODELAY,
)
from desim.wire.addresses import IP_ANY, LOOPBACK

PORT = 7000


def between(client: Callable[[int], Part[None]], server: Callable[[int], Part[None]]) -> Host:
    """A connection; each side is told its descriptor."""
    host = Host()

    def serves() -> Program:
        listener = yield from sys.socket("tcp")
        yield from sys.bind(listener, IP_ANY, PORT)
        yield from sys.listen(listener, 1)
        fd, _ = yield from sys.accept(listener)
        yield from server(fd)
        return 0

    def asks() -> Program:
        fd = yield from sys.socket("tcp")
        yield from sys.connect(fd, LOOPBACK, PORT)
        yield from client(fd)
        return 0

    host.serve(serves())
    host.serve(asks())
    host.settle()
    assert [process.exit_status for process in host.kernel.processes] == [0, 0]
    return host


def in_pieces(fd: int) -> Part[None]:
    for piece in (b"one", b"two", b"three"):
        yield from sys.send(fd, piece)
        yield from sys.sleep_ns(SECOND)
    yield from sys.close(fd)


def test_waiting_for_all_gives_all_of_it_or_what_came_before_the_end() -> None:
    seen: list[tuple[bytes, int]] = []

    def server(fd: int) -> Part[None]:
        for size in (8, 100, 5):
            data = yield from sys.recv(fd, size, MSG_WAITALL)
            seen.append((data, (yield from sys.now()) // SECOND))

    between(in_pieces, server)
    assert seen == [(b"onetwoth", 2), (b"ree", 3), (b"", 3)]


def test_waiting_for_all_ends_with_the_time_to_wait() -> None:
    seen: list[bytes] = []

    def server(fd: int) -> Part[None]:
        yield from sys.setsockopt(fd, SO_RCVTIMEO, SECOND * 3 // 2)
        seen.append((yield from sys.recv(fd, 100, MSG_WAITALL)))
        seen.append((yield from sys.recv(fd, 100, MSG_WAITALL)))

    between(in_pieces, server)
    assert seen == [b"onetwo", b"three"]


def test_what_is_peeked_at_is_read_again_and_counted() -> None:
    seen: list[object] = []

    def server(fd: int) -> Part[None]:
        seen.append((yield from sys.recv(fd, 2, MSG_PEEK)))
        seen.append((yield from sys.inq(fd)))
        seen.append((yield from sys.recv(fd, 10)))
        for flags in (MSG_DONTWAIT, MSG_PEEK | MSG_DONTWAIT, MSG_WAITALL | MSG_DONTWAIT):
            with pytest.raises(BlockingIOError):
                yield from sys.recv(fd, 10, flags)
        seen.append((yield from sys.inq(fd)))
        seen.append((yield from sys.recv(fd, 100, MSG_WAITALL)))

    between(in_pieces, server)
    assert seen == [b"on", 3, b"one", 0, b"twothree"]


def test_flags_that_are_not_modelled_are_refused() -> None:
    codes: list[int | None] = []

    def client(fd: int) -> Part[None]:
        for call in (
            sys.recv(fd, 1, 1),
            sys.recv(fd, 1, MSG_PEEK | MSG_WAITALL),
            sys.send(fd, b"x", 1),
            sys.send(fd, b"x", MSG_MORE),
            sys.getsockopt(fd, SO_ATTACH_FILTER),
        ):
            try:
                yield from call
            except OSError as error:
                codes.append(error.errno)

    def server(fd: int) -> Part[None]:
        yield from sys.getpid()

    between(client, server)
    assert codes == [errno.EINVAL] * 3 + [errno.EOPNOTSUPP, errno.ENOPROTOOPT]


def test_a_send_that_must_not_wait_takes_what_there_is_room_for() -> None:
    taken: list[int] = []

    def client(fd: int) -> Part[None]:
        taken.append((yield from sys.send(fd, bytes(1 << 24), MSG_DONTWAIT)))
        with pytest.raises(BlockingIOError):
            yield from sys.send(fd, b"x", MSG_DONTWAIT)

    def server(fd: int) -> Part[None]:
        yield from sys.sleep_ns(SECOND)

    between(client, server)
    assert 0 < taken[0] < 1 << 24


@pytest.mark.parametrize(
    ("kind", "option", "at_first", "given", "then"),
    [
        ("tcp", SO_REUSEADDR, 0, 1, 1),
        ("tcp", SO_REUSEPORT, 0, 1, 1),
        ("tcp", SO_OOBINLINE, 0, 1, 1),
        ("tcp", SO_LINGER, -1, 0, 0),
        ("tcp", TCP_NODELAY, 0, 1, 1),
        ("tcp", SO_RCVTIMEO, 0, 5, 5),
        ("udp", SO_BROADCAST, 0, 1, 1),
        ("udp", SO_TIMESTAMP, 0, 1, 1),
        ("udp", IP_TTL, 64, 9, 9),
        ("udp", SO_RCVBUF, 212_992, 10_000, 20_000),
    ],
)
def test_what_is_set_can_be_asked_for(
    kind: str, option: str, at_first: int, given: int, then: int
) -> None:
    seen: list[int] = []

    def program() -> Program:
        fd = yield from sys.socket(kind)
        seen.append((yield from sys.getsockopt(fd, option)))
        yield from sys.setsockopt(fd, option, given)
        seen.append((yield from sys.getsockopt(fd, option)))
        return 0

    Host().serve(program())
    assert seen == [at_first, then]
