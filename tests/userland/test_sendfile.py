"""sendfile(2): what it takes and refuses, how much it moves. The table is what a real one said."""

from __future__ import annotations

import errno

import pytest

from desim.engine.streams import Streams
from desim.host.kernel import HostKernel
from desim.spool import Log
from desim.testing import VirtualClock
from desim.userland.epoll import Epoll
from desim.userland.errors import TEXTS
from desim.userland.files import InputFile, Null, Pipe, PipeReader, Quota, Terminal, VirtualTree
from desim.userland.pages import PAGE_SIZE
from desim.userland.process import Blocked, Process
from desim.userland.program import Call, Program
from desim.userland.uapi import O_CREAT, O_TRUNC, O_WRONLY
from desim.wire.addresses import LOOPBACK

SIZE = 102_400
DATA = bytes(range(256)) * (SIZE // 256)
HUGE = (1 << 63) - 1
MOST = 0x7FFFF000


class Task:
    """A process of the host with one of each kind of file, by name."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.kernel = HostKernel(
            now=self.clock.now,
            timer=self.clock.timer,
            wake_up=lambda queue: None,
            random=Streams(1),
            touch=lambda: None,
            files=lambda name: {"data": Log.of(DATA)}[name],
            tree=VirtualTree(Quota(1 << 20)),
        )
        self.terminal = Terminal("t", now=self.clock.now, quota=Quota(1 << 20))
        self.process: Process = self.kernel.spawn_program("sh", _nothing(), self.terminal)
        self.process.ignores_sigpipe = True
        self.pipe = Pipe(lambda queue: None)
        assert self.pipe.reader is not None
        assert self.pipe.writer is not None
        self.reader: PipeReader = self.pipe.reader
        self.fds = {
            "data": self("open", "data"),
            "out": self("open", "out", O_WRONLY | O_CREAT | O_TRUNC),
            "null": self.process.install(Null()),
            "reader": self.process.install(self.pipe.reader),
            "writer": self.process.install(self.pipe.writer),
            "epoll": self.process.install(Epoll()),
            "terminal": 1,
            "none": 99,
        }
        listener, client = self("socket", "tcp"), self("socket", "tcp")
        self("bind", listener, LOOPBACK, 80)
        self("listen", listener, 1)
        self("connect", client, LOOPBACK, 80)
        accepted = self("accept", listener)
        assert isinstance(accepted, tuple)
        self.fds |= {"listener": listener, "client": client, "server": accepted[0]}
        self.fds |= {"new": self("socket", "tcp"), "udp": self("socket", "udp")}

    def __call__(self, name: str, *arguments: object) -> object:
        return self.kernel.syscall(self.process, Call(name, arguments))

    def send(self, out: str, source: str, offset: int | None, count: int) -> object:
        return self("sendfile", self.fds[out], self.fds[source], offset, count)

    @property
    def position(self) -> int:
        file = self.process.files[self.fds["data"]]
        assert isinstance(file, InputFile)
        return file.position


def _nothing() -> Program:
    yield Call("now", ())


@pytest.fixture
def task() -> Task:
    return Task()


@pytest.mark.parametrize(
    ("out", "source", "offset", "count", "answer"),
    [
        ("client", "none", None, 1, "EBADF"),
        ("none", "data", None, 1, "EBADF"),
        ("client", "out", None, 1, "EBADF"),
        ("data", "data", None, 1, "EBADF"),
        ("client", "writer", None, 1, "EBADF"),
        ("reader", "data", None, 1, "EBADF"),
        ("client", "reader", 0, 1, "ESPIPE"),
        ("client", "reader", None, 1, "EINVAL"),
        ("client", "server", 0, 1, "ESPIPE"),
        ("client", "server", None, 1, "EINVAL"),
        ("client", "terminal", 0, 1, "ESPIPE"),
        ("client", "null", None, 1, "EINVAL"),
        ("client", "null", 0, 1, "EINVAL"),
        ("epoll", "data", 0, 5, "EINVAL"),
        ("client", "epoll", None, 5, "EINVAL"),
        ("client", "epoll", 0, 5, "ESPIPE"),
        ("client", "data", -1, 1, "EINVAL"),
        ("client", "data", 0, -1, "EINVAL"),
        ("null", "data", 1, HUGE, "EINVAL"),
        ("new", "data", 0, 1, "EPIPE"),
        ("listener", "data", 0, 1, "EPIPE"),
        ("client", "data", 0, 0, 0),
        ("new", "data", 0, 0, 0),
        ("client", "data", SIZE, 5, 0),
        ("client", "data", 500_000, 5, 0),
        ("client", "data", 0, 10, 10),
        ("client", "data", 0, HUGE, SIZE),
        ("null", "data", 0, 200_000, SIZE),
        ("out", "data", 0, 1 << 40, SIZE),
        ("terminal", "data", 100, 1000, 1000),
        ("writer", "data", 0, 1 << 20, 65536),
    ],
)
def test_it_answers_as_the_real_one(
    task: Task, out: str, source: str, offset: int | None, count: int, answer: str | int
) -> None:
    if isinstance(answer, int):
        assert task.send(out, source, offset, count) == answer
        return
    with pytest.raises(OSError, match=TEXTS[getattr(errno, answer)]):
        task.send(out, source, offset, count)


def test_datagrams_are_refused_where_they_are_not_modelled(task: Task) -> None:
    with pytest.raises(OSError, match="not supported") as refused:
        task.send("udp", "data", 0, 1)
    assert refused.value.errno == errno.EOPNOTSUPP


def test_without_an_offset_the_files_position_moves(task: Task) -> None:
    assert task.send("terminal", "data", None, 10) == 10
    assert task.send("terminal", "data", 700, 5) == 5
    assert task.position == 10
    assert task("read", task.fds["data"], 3) == DATA[10:13]
    assert task.send("terminal", "data", None, 4) == 4
    assert task.terminal.output() == DATA[:10] + DATA[700:705] + DATA[13:17]


def test_a_file_that_is_written_has_the_bytes_and_a_new_date(task: Task) -> None:
    task.clock.advance_to(7)
    task.send("out", "data", 50, SIZE)
    written = task.kernel.filesystem.tree.files["out"]
    assert (written.content(), written.modified_ns) == (DATA[50:], 7)


def test_a_pipe_takes_what_it_has_room_for(task: Task) -> None:
    task.process.files[task.fds["writer"]].nonblocking = True
    assert task.send("writer", "data", 0, 65_000) == 65_000
    assert task.send("writer", "data", 65_000, 1000) == 536
    with pytest.raises(BlockingIOError):
        task.send("writer", "data", 65_536, 1)
    assert task.reader.read(SIZE) == DATA[:65_536]
    task.process.close(task.fds["reader"])
    with pytest.raises(BrokenPipeError):
        task.send("writer", "data", 0, 1)


def test_a_full_pipe_makes_it_wait(task: Task) -> None:
    task.send("writer", "data", 0, 65_536)
    with pytest.raises(Blocked) as waits:
        task.send("writer", "data", 0, 1)
    assert task.reader.queue in waits.value.queues


def test_no_call_moves_more_than_two_gigabytes(task: Task) -> None:
    asked = []
    file = task.process.files[task.fds["data"]]

    class Endless(InputFile):
        def splice_read(self, start: int, size: int) -> list:  # type: ignore[type-arg]  # none is made
            asked.append((start, size))
            return []

    assert isinstance(file, InputFile)
    task.fds["endless"] = task.process.install(Endless("endless", Log.of(b"")))
    task.send("null", "endless", 5, HUGE - 5)
    assert asked == [(5, 65_536)]


@pytest.mark.parametrize(
    ("start", "size", "lengths"),
    [
        (0, 65_536, [4096] * 16),
        (100, 65_536, [3996] + [4096] * 15),  # sixteen slots, whatever the first holds
        (4095, 2, [1, 1]),
        (SIZE - 5, 100, [5]),
    ],
)
def test_the_pipe_has_sixteen_pages(task: Task, start: int, size: int, lengths: list[int]) -> None:
    source = InputFile("data", Log.of(DATA))
    pieces = task.kernel.generic_file_splice_read(source, start, size)
    assert [len(piece.data) for piece in pieces] == lengths
    assert pieces[0].offset == start % PAGE_SIZE
    assert b"".join(piece.data for piece in pieces) == DATA[start : start + sum(lengths)]
    again = task.kernel.generic_file_splice_read(source, start, size)
    assert all(a.pages is b.pages for a, b in zip(pieces, again, strict=True))


def test_an_error_behind_bytes_is_not_told_by_sendfile_but_by_the_call_after_write(
    task: Task,
) -> None:
    """do_sendfile() has taken the error off the socket; tcp_sendmsg() leaves it there."""
    client, server = task.fds["client"], task.process.files[task.fds["server"]]
    big = bytes(1 << 24)
    with pytest.raises(Blocked):
        task("write", client, big)
    filled = task.process.progress
    server.close()
    assert task("write", client, big) == filled
    with pytest.raises(ConnectionResetError):
        task("write", client, b"x")
    with pytest.raises(BrokenPipeError):
        task("write", client, b"x")
