"""Files: pipes, terminals, and the tree that programs write into."""

from __future__ import annotations

import errno
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desim.engine.streams import Streams
from desim.host.kernel import HostKernel
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT
from desim.spool import Log
from desim.testing import VirtualClock
from desim.userland.calls import sys
from desim.userland.errors import TEXTS
from desim.userland.files import (
    PIPE_BUF,
    PIPE_SIZE,
    ByteQueue,
    InputFile,
    Null,
    Pipe,
    PipeReader,
    PipeWriter,
    Quota,
    Terminal,
    VirtualTree,
    normalise,
)
from desim.userland.process import Blocked, Process
from desim.userland.program import Call, Part, Program
from desim.userland.uapi import O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY, FileStatus
from desim.userland.waitqueue import WaitQueue

T = TypeVar("T")

WRITE = O_WRONLY | O_CREAT | O_TRUNC


class Ends:
    """A pipe and who was woken by it."""

    def __init__(self) -> None:
        self.woken: list[WaitQueue] = []
        pipe = Pipe(self.woken.append)
        assert pipe.reader is not None
        assert pipe.writer is not None
        self.reader: PipeReader = pipe.reader
        self.writer: PipeWriter = pipe.writer


def test_an_empty_pipe_makes_its_reader_wait() -> None:
    ends = Ends()
    assert ends.reader.poll_events() == 0
    with pytest.raises(BlockingIOError):
        ends.reader.read(1)


def test_a_pipe_hangs_up_behind_its_last_byte() -> None:
    ends = Ends()
    ends.writer.write(b"ab")
    ends.writer.close()
    assert ends.reader.poll_events() == POLLIN | POLLHUP
    assert ends.reader.read(10) == b"ab"
    assert ends.reader.poll_events() == POLLHUP
    assert ends.reader.read(10) == b""
    assert ends.woken == [ends.reader.queue] * 3


def test_a_pipe_without_a_reader_breaks() -> None:
    ends = Ends()
    ends.reader.close()
    assert ends.writer.poll_events() & POLLERR
    with pytest.raises(BrokenPipeError):
        ends.writer.write(b"x")


def test_small_writes_are_atomic_and_large_ones_are_cut() -> None:
    ends = Ends()
    assert ends.writer.write(bytes(PIPE_SIZE - 10)) == PIPE_SIZE - 10
    assert ends.writer.poll_events() == 0
    with pytest.raises(BlockingIOError):
        ends.writer.write(bytes(11))
    assert ends.writer.write(bytes(PIPE_BUF + 1)) == 10
    with pytest.raises(BlockingIOError):
        ends.writer.write(b"x")


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(1, 70)))
def test_a_byte_queue_keeps_order(chunks: list[bytes], sizes: list[int]) -> None:
    queue = ByteQueue()
    model = b""
    for chunk in chunks:
        queue.push(chunk)
        model += chunk
        for size in sizes[:1]:
            assert queue.pop(size) == model[:size]
            model = model[size:]
        sizes = sizes[1:]
        assert queue.size == len(model)
    assert queue.pop(1 << 20) == model


@given(st.binary(max_size=200_000), st.lists(st.integers(1, 70_000), min_size=1))
def test_bytes_pass_a_pipe_in_order(data: bytes, sizes: list[int]) -> None:
    ends = Ends()
    out = []
    sent = turn = 0
    while sent < len(data):
        size = sizes[turn % len(sizes)]
        turn += 1
        try:
            sent += ends.writer.write(data[sent : sent + size])
        except BlockingIOError:
            out.append(ends.reader.read(size))
    ends.writer.close()
    while chunk := ends.reader.read(sizes[0]):
        out.append(chunk)
    assert b"".join(out) == data


def test_a_terminal_stamps_every_write_and_never_has_input() -> None:
    times = iter([5, 9])
    terminal = Terminal("t", now=lambda: next(times), quota=Quota(100))
    terminal.write(b"a")
    terminal.write(b"b")
    assert terminal.writes == [(5, b"a"), (9, b"b")]
    assert terminal.output() == b"ab"
    assert terminal.poll_events() == POLLOUT
    with pytest.raises(BlockingIOError):
        terminal.read(1)


def test_null_and_input_files() -> None:
    assert Null().read(5) == b""
    assert Null().write(b"abc") == 3
    file = InputFile("f", Log.of(b"abcd"))
    assert [file.read(3), file.read(3), file.read(3)] == [b"abc", b"d", b""]
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.write(b"x")


def test_a_tree_truncates_or_appends() -> None:
    tree = VirtualTree(Quota(100))
    tree.open("a/./b").write(b"one")
    tree.open("a//b", append=True).write(b"two")
    assert tree.files["a/b"].content() == b"onetwo"
    tree.open("a/b").write(b"x")
    assert {name: file.content() for name, file in tree.files.items()} == {"a/b": b"x"}


def test_a_tree_has_a_total_limit() -> None:
    quota = Quota(5)
    tree = VirtualTree(quota)
    tree.open("a").write(b"123")
    with pytest.raises(OSError, match="No space left on device"):
        tree.open("b").write(b"123")
    tree.open("a")
    assert quota.left == 5


def test_a_file_is_no_folder_and_a_folder_no_file() -> None:
    tree = VirtualTree(Quota(5))
    tree.open("a/b")
    for name, code in (("a", errno.EISDIR), ("a/b/c", errno.ENOTDIR)):
        with pytest.raises(OSError, match="directory") as caught:
            tree.open(name)
        assert caught.value.errno == code


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "..",
        "a/../b",
        "a\0b",
        ".",
        "a/",
        "x" * 256,
        "é" * 128,
        "a/" * 2500 + "b",
        "\ud800",
    ],
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValueError):
        VirtualTree(Quota(1)).open(name)


@given(st.text(max_size=30))
def test_a_normalised_name_stays_inside(name: str) -> None:
    try:
        path = normalise(name)
    except ValueError:
        return
    parts = path.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert normalise(path) == path


# files by name


def kernel(**files: bytes) -> HostKernel:
    return HostKernel(
        now=lambda: 7,
        timer=VirtualClock().timer,
        wake_up=lambda queue: None,
        random=Streams(1),
        touch=lambda: None,
        files=lambda name: Log.of(files[name]),
        tree=VirtualTree(Quota(1000)),
    )


def process(kernel: HostKernel) -> Process:
    def program() -> Program:
        yield from sys.now()
        return 0

    terminal = Terminal("t", now=lambda: 0, quota=Quota(1000))
    return kernel.spawn_program("sh", program(), terminal)


def call(kernel: HostKernel, part: Part[T]) -> T:
    """What a single call gives to the first process."""
    value = kernel.syscall(kernel.processes[0], next(part))
    with pytest.raises(StopIteration) as end:
        part.send(value)
    return end.value.value


def opened(kernel: HostKernel, name: str) -> bytes:
    return call(kernel, sys.read(call(kernel, sys.open(name)), 1000))


def test_a_name_means_what_a_program_wrote_else_the_users_file() -> None:
    host = kernel(a=b"mine", b=b"other")
    process(host)
    assert opened(host, "./a") == b"mine"
    call(host, sys.write(call(host, sys.open("a", WRITE)), b"new"))
    assert opened(host, "a") == b"new"
    assert opened(host, "b") == b"other"


def test_stat_tells_size_time_and_folders() -> None:
    host = kernel(**{"www/": b"i.html\nsub/x\n", "www/i.html": b"12345"})
    process(host)
    call(host, sys.write(call(host, sys.open("d/f", WRITE)), b"abc"))
    assert call(host, sys.stat("d/f")) == FileStatus(3, 7, False)
    assert call(host, sys.stat("www//i.html")) == FileStatus(5, 0, False)
    for folder in (".", "d", "www", "www/", "www/sub"):
        assert call(host, sys.stat(folder)).folder, folder


@pytest.mark.parametrize(
    ("name", "flags", "code"),
    [
        ("none", O_RDONLY, errno.ENOENT),
        ("www/su", O_RDONLY, errno.ENOENT),
        ("/etc/passwd", O_RDONLY, errno.ENOENT),
        ("www", O_RDONLY, errno.EISDIR),
        ("/tmp/x", WRITE, errno.EACCES),
        ("../x", WRITE, errno.EACCES),
    ],
)
def test_what_cannot_be_opened(name: str, flags: int, code: int) -> None:
    host = kernel(**{"www/": b"sub/x\n"})
    process(host)
    with pytest.raises(OSError, match=TEXTS[code]) as raised:
        call(host, sys.open(name, flags))
    assert raised.value.errno == code


def test_the_systems_own_files() -> None:
    host = kernel()
    process(host)
    host.filesystem.resolv_conf = "nameserver 10.0.2.3\n"
    assert opened(host, "/etc/resolv.conf") == b"nameserver 10.0.2.3\n"
    assert opened(host, "/etc/hosts") == b"127.0.0.1\tlocalhost\n"
    assert opened(host, "/dev/null") == b""


def test_a_process_that_catches_ctrl_c_lives_on() -> None:
    host = kernel()
    made = process(host)
    call(host, sys.catch_sigint())
    host.kill(made, "SIGINT")
    assert made.exit_status is None
    assert made.terminal.output() == b"^C\n"
    host.kill(made, "SIGTERM")
    assert made.exit_status == -15


class SlowToClose(Null):
    """As a connection whose program has set SO_LINGER to a second."""

    waits = True
    closed = 0

    def begin_close(self) -> int:
        return 1_000_000_000

    def closing(self) -> bool:
        return self.waits

    def close(self) -> None:
        self.closed += 1


def slow() -> tuple[HostKernel, Process, SlowToClose, int]:
    """A process in the middle of a close() that waits."""
    host = kernel()
    made = process(host)
    file = SlowToClose()
    fd = made.install(file)
    with pytest.raises(Blocked) as waits:
        host.syscall(made, Call("close", (fd,)))
    assert waits.value.deadline_ns == host.now() + 1_000_000_000
    assert fd not in made.files
    assert file.closed == 0
    return host, made, file, fd


def test_a_close_that_waits_ends_when_the_file_is_done() -> None:
    host, made, file, fd = slow()
    file.waits = False
    assert host.syscall(made, Call("close", (fd,))) is None
    assert (file.closed, made.closing, made.deadline_ns) == (1, None, None)
    with pytest.raises(OSError, match=TEXTS[errno.EBADF]):
        host.syscall(made, Call("close", (fd,)))


def test_a_close_that_waits_ends_with_its_time() -> None:
    host, made, file, fd = slow()
    made.deadline_ns = host.now()
    assert host.syscall(made, Call("close", (fd,))) is None
    assert file.closed == 1


def test_only_the_last_descriptor_of_a_file_waits() -> None:
    host = kernel()
    made = process(host)
    file = SlowToClose()
    first, second = made.install(file), made.install(file)
    assert host.syscall(made, Call("close", (first,))) is None
    with pytest.raises(Blocked):
        host.syscall(made, Call("close", (second,)))


@pytest.mark.parametrize("catches", [False, True])
def test_a_signal_ends_the_wait_of_a_close_and_the_file_is_closed(catches: bool) -> None:
    host, made, file, _ = slow()
    made.catches_sigint = catches
    host.kill(made, "SIGINT")
    assert (file.closed, made.closing) == (1, None)


def test_a_process_that_ends_closes_without_waiting() -> None:
    host = kernel()
    made = process(host)
    file = SlowToClose()
    made.install(file)
    host.kill(made, "SIGTERM")
    assert file.closed == 1


def test_what_waits_in_a_pipe_or_file_can_be_asked_for() -> None:
    """FIONREAD: ``pipe_ioctl`` (fs/pipe.c), ``file_ioctl`` (fs/ioctl.c)."""
    host = kernel(f=b"hello")
    made = process(host)
    ends = Ends()
    reader, writer = made.install(ends.reader), made.install(ends.writer)
    call(host, sys.write(writer, b"abc"))
    assert (call(host, sys.inq(reader)), call(host, sys.inq(writer))) == (3, 3)
    fd = call(host, sys.open("f"))
    call(host, sys.read(fd, 2))
    assert call(host, sys.inq(fd)) == 3
    assert made.terminal.inq() == 0
    for name, flags in (("/dev/null", O_RDONLY), ("g", WRITE)):
        with pytest.raises(OSError, match=TEXTS[errno.ENOTTY]):
            call(host, sys.inq(call(host, sys.open(name, flags))))
