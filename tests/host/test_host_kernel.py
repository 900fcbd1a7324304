"""Processes and their calls, on the host's kernel with a scheduler as simple as can be."""

from __future__ import annotations

import pytest
from host_bench import SECOND, Host, output

from desim.host.kernel import HostKernel
from desim.host.sockets import QemuSockets
from desim.ports import POLLIN, POLLOUT
from desim.stages import marks_of
from desim.userland.calls import sys
from desim.userland.process import Process
from desim.userland.program import Program
from desim.userland.shell import Command, ProgramFile
from desim.userland.uapi import POLLNVAL
from desim.wire.addresses import LOOPBACK


@pytest.fixture
def host() -> Host:
    return Host()


def run(host: Host, program: Program) -> Process:
    """Run a generator as a process of its own."""
    entry = ProgramFile(lambda argv: program, lambda argv: None)
    terminal = host.start("true")[0].terminal
    (process,) = host.kernel.spawn([Command(["test"], entry, [])], terminal)
    host.settle()
    return process


def test_the_lowest_free_descriptor_is_used(host: Host) -> None:
    def program() -> Program:
        first = yield from sys.socket("tcp")
        second = yield from sys.socket("udp")
        yield from sys.close(first)
        third = yield from sys.socket("tcp")
        return int(first == third == 3 and second == 4)

    assert run(host, program()).exit_status == 1


def test_poll_answers_for_every_entry_in_order(host: Host) -> None:
    found = []

    def program() -> Program:
        found.append((yield from sys.poll([(0, POLLIN), (-1, POLLIN), (1, POLLOUT), (9, POLLIN)])))
        found.append((yield from sys.poll([(0, POLLIN), (0, 0)], 5)))
        found.append((yield from sys.poll([(0, POLLIN)], 0)))
        return 0

    run(host, program())
    assert found == [
        [(0, 0), (-1, 0), (1, POLLOUT), (9, POLLNVAL)],
        [(0, 0), (0, 0)],
        [(0, 0)],
    ]
    assert host.time == 5


def test_errors_are_thrown_into_the_program(host: Host) -> None:
    caught = []

    def program() -> Program:
        fd = yield from sys.socket("tcp")
        for call in (
            sys.read(77, 1),
            sys.bind(0, LOOPBACK, 1),
            sys.socket("packet"),
            sys.socket("sctp"),
            sys.connect(fd, b"\1\2\3\4", 5),
            sys.getpeername(fd),
            sys.sendto(fd, b"x", (LOOPBACK, 1)),
            sys.set_address("lo", LOOPBACK, 8),
            sys.resolve("example.org"),
        ):
            try:
                yield from call
            except OSError as error:
                caught.append(error.strerror)
        return 0

    run(host, program())
    assert caught == [
        "Bad file descriptor",
        "Socket operation on non-socket",
        "Operation not permitted",
        "Protocol not supported",
        "Network is unreachable",
        "Transport endpoint is not connected",
        "Operation not supported",
        "Operation not permitted",
        "Name or service not known",
    ]


def test_a_nonblocking_read_does_not_wait(host: Host) -> None:
    def program() -> Program:
        yield from sys.set_nonblocking(0, True)
        try:
            yield from sys.read(0, 1)
        except BlockingIOError:
            return 7
        return 0

    assert run(host, program()).exit_status == 7


def test_exit_ends_the_program_where_it_is(host: Host) -> None:
    def program() -> Program:
        yield from sys.exit(3)
        raise AssertionError("not reached")

    assert run(host, program()).exit_status == 3


def test_udp_between_two_descriptors(host: Host) -> None:
    def program() -> Program:
        receiver = yield from sys.socket("udp")
        yield from sys.bind(receiver, LOOPBACK, 5000)
        sender = yield from sys.socket("udp")
        yield from sys.connect(sender, LOOPBACK, 5000)
        yield from sys.write(sender, b"datagram")
        data, source = yield from sys.recvfrom(receiver, 4)
        own = yield from sys.getsockname(sender)
        return int(data == b"data" and source == own)

    assert run(host, program()).exit_status == 1


def test_names_and_interfaces(host: Host) -> None:
    seen = []

    def program() -> Program:
        seen.append((yield from sys.resolve("localhost")))
        seen.append((yield from sys.resolve("10.0.2.2")))
        seen.append((yield from sys.name_of(LOOPBACK)))
        seen.append((yield from sys.name_of(b"\x0a\0\2\2")))
        seen.append([one.name for one in (yield from sys.interfaces())])
        seen.append((yield from sys.random("x", 1)))
        return 0

    run(host, program())
    assert seen == [LOOPBACK, b"\x0a\0\2\2", "localhost", None, ["lo"], 0]


def test_standard_error_can_follow_standard_output(host: Host) -> None:
    host.run("sleep x > out 2>&1")
    assert host.written("out").startswith(b"sleep: invalid time interval 'x'")
    lost = host.run("sleep x 2>&1 > out2 | cat > piped")
    assert output(lost) == ""
    assert host.written("piped").startswith(b"sleep:")
    assert host.written("out2") == b""


def test_append_and_truncate(host: Host) -> None:
    host.run("echo one > f")
    host.run("echo two >> f")
    assert host.written("f") == b"one\ntwo\n"
    host.run("echo three > f")
    assert host.written("f") == b"three\n"


def test_ctrl_c_ends_a_whole_job_and_is_echoed_once(host: Host) -> None:
    job = host.start("sleep 100 | cat | cat")
    host.settle(SECOND)
    for process in job:
        host.kernel.kill(process, "SIGINT")
        host.kernel.kill(process, "SIGINT")
    assert [process.shell_status for process in job] == [130] * 3
    assert output(job[0]) == "^C\n"
    assert [process.ended_ns for process in job] == [SECOND] * 3


def test_a_sleeping_process_does_not_wait_for_input(host: Host) -> None:
    sleeper, reader = host.start("sleep 100 | cat")
    host.settle(SECOND)
    assert (sleeper.waits_for_input, reader.waits_for_input) == (False, True)


def test_the_calls_that_strace_shows_are_stages() -> None:
    for cls, names in (
        (
            HostKernel,
            {
                *("read", "write", "sendfile", "poll", "accept", "connect"),
                *("sendto", "recvfrom", "recvmsg"),
            },
        ),
        (QemuSockets, {"recv", "send", "accept", "connect", "sendto", "recvfrom", "fork"}),
    ):
        marks = [mark for _, mark in marks_of(cls)]
        assert {mark.names[0] for mark in marks} == names
        assert {mark.file for mark in marks} == {"host kernel"}
