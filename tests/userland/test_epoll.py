"""epoll: what is reported, in which order, and what is refused (fs/eventpoll.c of Linux 6.1)."""

from __future__ import annotations

import errno
import itertools

import pytest

from desim.engine.streams import Streams
from desim.host.kernel import HostKernel
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP
from desim.testing import VirtualClock
from desim.userland.errors import failure
from desim.userland.files import File, Null, Quota, Terminal, VirtualTree
from desim.userland.process import Blocked, Process
from desim.userland.program import Call, Program
from desim.userland.uapi import EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLONESHOT

EPOLLET = 1 << 31
SECOND = 1_000_000_000


class Ready(File):
    """Ready for what it is told."""

    can_poll = True
    events = 0

    def __init__(self) -> None:
        super().__init__("ready")

    def poll_events(self) -> int:
        return self.events


class Waiter:
    """A process with an epoll file."""

    def __init__(self) -> None:
        self.kernel = HostKernel(
            now=lambda: 7,
            timer=VirtualClock().timer,
            wake_up=lambda queue: None,
            random=Streams(1),
            touch=lambda: None,
            files=lambda name: {}[name],
            tree=VirtualTree(Quota(1000)),
        )
        self.process: Process = self.kernel.spawn_program(
            "sh", _nothing(), Terminal("t", now=lambda: 0, quota=Quota(1000))
        )
        self.epfd = self.call("epoll_create")

    def call(self, name: str, *arguments: object) -> object:
        return self.kernel.syscall(self.process, Call(name, arguments))

    def add(self, events: int = POLLIN, data: int = 0, ready: int = 0) -> tuple[int, Ready]:
        file = Ready()
        file.events = ready
        fd = self.process.install(file)
        self.call("epoll_ctl", self.epfd, EPOLL_CTL_ADD, fd, events, data)
        return fd, file

    def wait(self, most: int = 8, timeout_ns: int | None = 0) -> object:
        return self.call("epoll_wait", self.epfd, most, timeout_ns)


def _nothing() -> Program:
    yield Call("now", ())
    return 0


@pytest.fixture
def waiter() -> Waiter:
    return Waiter()


def test_what_is_ready_is_told_again_until_it_is_not(waiter: Waiter) -> None:
    _, file = waiter.add(POLLIN, 77)
    assert waiter.wait() == []
    file.events = POLLIN | POLLOUT
    assert waiter.wait() == [(POLLIN, 77)] == waiter.wait()
    file.events = POLLOUT
    assert waiter.wait() == []


def test_errors_are_told_unasked(waiter: Waiter) -> None:
    _, file = waiter.add(0, 1)
    file.events = POLLIN | POLLERR | POLLHUP
    assert waiter.wait() == [(POLLERR | POLLHUP, 1)]


def test_who_was_told_of_goes_behind_the_others(waiter: Waiter) -> None:
    for data in (1, 2, 3):
        waiter.add(POLLIN, data, ready=POLLIN)
    assert [waiter.wait(2), waiter.wait(2)] == [
        [(POLLIN, 1), (POLLIN, 2)],
        [(POLLIN, 3), (POLLIN, 1)],
    ]


def test_an_interest_can_be_changed_and_taken_back(waiter: Waiter) -> None:
    fd, _ = waiter.add(POLLIN, 1, ready=POLLOUT)
    waiter.call("epoll_ctl", waiter.epfd, EPOLL_CTL_MOD, fd, POLLOUT, 2)
    assert waiter.wait() == [(POLLOUT, 2)]
    waiter.call("epoll_ctl", waiter.epfd, EPOLL_CTL_DEL, fd)
    assert waiter.wait() == []


def test_a_closed_file_is_forgotten_and_its_number_is_free(waiter: Waiter) -> None:
    fd, file = waiter.add(POLLIN, 1, ready=POLLIN)
    copy = waiter.process.install(file)
    waiter.call("close", fd)
    assert waiter.wait() == [(POLLIN, 1)]
    waiter.call("close", copy)
    assert waiter.wait() == []
    assert waiter.add(POLLIN, 2, ready=POLLIN)[0] == fd
    assert waiter.wait() == [(POLLIN, 2)]


def test_it_waits_for_all_files_and_for_its_time(waiter: Waiter) -> None:
    files = [waiter.add()[1] for _ in range(2)]
    with pytest.raises(Blocked) as waits:
        waiter.wait(8, SECOND)
    assert [file.queue for file in files] == list(waits.value.queues)[1:]
    assert waits.value.deadline_ns == waiter.kernel.now() + SECOND
    files[1].events = POLLIN
    assert waiter.wait(8, SECOND) == [(POLLIN, 0)]


def test_an_epoll_file_can_be_waited_for_itself(waiter: Waiter) -> None:
    _, file = waiter.add()
    outer = waiter.call("epoll_create")
    waiter.call("epoll_ctl", outer, EPOLL_CTL_ADD, waiter.epfd, POLLIN, 5)
    with pytest.raises(Blocked) as waits:
        waiter.call("poll", [(outer, POLLIN)])
    assert list(waits.value.queues)[1:] == [file.queue]
    waiter.kernel._finish(waiter.process)
    file.events = POLLIN
    assert waiter.call("poll", [(outer, POLLIN)]) == [(outer, POLLIN)]
    assert waiter.call("epoll_wait", outer, 1, 0) == [(POLLIN, 5)]
    with pytest.raises(OSError, match=r"\S") as wrong:
        waiter.call("epoll_ctl", waiter.epfd, EPOLL_CTL_ADD, outer, POLLIN, 0)
    assert wrong.value.errno == errno.ELOOP


def test_a_closed_file_makes_no_epoll_file_ready(waiter: Waiter) -> None:
    fd, _ = waiter.add(POLLIN, 1, ready=POLLIN)
    outer = waiter.call("epoll_create")
    waiter.call("epoll_ctl", outer, EPOLL_CTL_ADD, waiter.epfd, POLLIN, 5)
    assert waiter.call("epoll_wait", outer, 8, 0) == [(POLLIN, 5)]
    waiter.call("close", fd)
    assert waiter.call("epoll_wait", outer, 8, 0) == []


@pytest.mark.parametrize("inwards", [False, True])
def test_five_epoll_files_may_stand_in_each_other(waiter: Waiter, inwards: bool) -> None:
    """``ep_loop_check``: four below the outermost, whichever way they are joined."""
    row = [waiter.call("epoll_create") for _ in range(6)]
    pairs = list(itertools.pairwise(row))
    *fine, too_many = pairs if inwards else pairs[::-1]
    for outer, inner in fine:
        waiter.call("epoll_ctl", outer, EPOLL_CTL_ADD, inner, POLLIN)
    with pytest.raises(OSError, match=r"\S") as wrong:
        waiter.call("epoll_ctl", too_many[0], EPOLL_CTL_ADD, too_many[1], POLLIN)
    assert wrong.value.errno == errno.ELOOP
    waiter.call("epoll_ctl", fine[0][0], EPOLL_CTL_DEL, fine[0][1])
    waiter.call("epoll_ctl", too_many[0], EPOLL_CTL_ADD, too_many[1], POLLIN)


def test_oneshot_is_told_once_and_again_when_it_is_asked_for(waiter: Waiter) -> None:
    """``ep_send_events``: nothing is left, not even errors, until EPOLL_CTL_MOD."""
    fd, file = waiter.add(POLLIN | EPOLLONESHOT, data=7, ready=POLLIN)
    assert waiter.wait() == [(POLLIN, 7)]
    file.events = POLLIN | POLLERR | POLLHUP
    assert waiter.wait() == []
    waiter.call("epoll_ctl", waiter.epfd, EPOLL_CTL_MOD, fd, POLLIN | EPOLLONESHOT, 8)
    assert waiter.wait() == [(POLLIN | POLLERR | POLLHUP, 8)]
    assert waiter.wait() == []
    with pytest.raises(OSError, match=r"\S") as there:
        waiter.call("epoll_ctl", waiter.epfd, EPOLL_CTL_ADD, fd, POLLIN)
    assert there.value.errno == errno.EEXIST


def test_the_end_of_the_peers_stream_is_told_to_who_asks(waiter: Waiter) -> None:
    waiter.add(POLLIN | POLLRDHUP, ready=POLLIN | POLLRDHUP)
    waiter.add(POLLIN, data=1, ready=POLLIN | POLLRDHUP)
    assert waiter.wait() == [(POLLIN | POLLRDHUP, 0), (POLLIN, 1)]


def test_what_is_refused(waiter: Waiter) -> None:
    fd, _ = waiter.add()
    null = waiter.process.install(Null())
    other = waiter.process.install(Ready())
    refused = [
        (("epoll_ctl", waiter.epfd, EPOLL_CTL_ADD, null, POLLIN), errno.EPERM),
        (("epoll_ctl", fd, EPOLL_CTL_ADD, null, POLLIN), errno.EPERM),
        (("epoll_ctl", waiter.epfd, EPOLL_CTL_ADD, fd, POLLIN), errno.EEXIST),
        (("epoll_ctl", waiter.epfd, EPOLL_CTL_MOD, other, POLLIN), errno.ENOENT),
        (("epoll_ctl", waiter.epfd, EPOLL_CTL_DEL, other), errno.ENOENT),
        (("epoll_ctl", waiter.epfd, EPOLL_CTL_ADD, 99, POLLIN), errno.EBADF),
        (("epoll_ctl", 99, EPOLL_CTL_ADD, fd, POLLIN), errno.EBADF),
        (("epoll_ctl", fd, EPOLL_CTL_ADD, other, POLLIN), errno.EINVAL),
        (("epoll_ctl", waiter.epfd, EPOLL_CTL_ADD, waiter.epfd, POLLIN), errno.EINVAL),
        (("epoll_ctl", waiter.epfd, EPOLL_CTL_ADD, other, POLLIN | EPOLLET), errno.EINVAL),
        (("epoll_ctl", waiter.epfd, 9, other, POLLIN), errno.EINVAL),
        (("epoll_wait", fd, 1, 0), errno.EINVAL),
        (("epoll_wait", waiter.epfd, 0, 0), errno.EINVAL),
    ]
    for (name, *arguments), number in refused:
        with pytest.raises(OSError, match=r"\S") as wrong:
            waiter.call(name, *arguments)
        assert (wrong.value.errno, str(wrong.value)) == (number, str(failure(number))), arguments
