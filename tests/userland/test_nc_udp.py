"""nc -u and nc -z, as netcat-openbsd 1.219-1 behaved on loopback: what it said, when it ended."""

from __future__ import annotations

import pytest

from desim.testing.host import Host
from desim.userland.process import Process

SECOND = 1_000_000_000


def ended(process: Process) -> int | None:
    return process.ended_ns


def seen(process: Process) -> str:
    return process.terminal.output().decode()


def test_a_server_takes_the_first_sender_and_waits_for_ever() -> None:
    host = Host()
    (server,) = host.start("nc -luv 5556")
    client = host.run("echo hi | nc -u -q 1 127.0.0.1 5556")
    host.settle()
    assert seen(server) == "Bound on 0.0.0.0 5556\nConnection received on localhost 39867\nhi\n"
    assert (ended(server), server.waits_for_input) == (None, True)
    assert (client.shell_status, ended(client)) == (0, SECOND)


def test_a_client_does_not_end_with_its_input_but_with_q_or_w() -> None:
    host = Host()
    host.start("nc -luk 5557")
    jobs = {
        option: host.start(f"echo x | nc -u {option} 127.0.0.1 5557")[-1]
        for option in ("-N", "-q 0", "-q 2", "-w 1")
    }
    host.settle()
    ends = {option: ended(process) for option, process in jobs.items()}
    assert ends == {"-N": None, "-q 0": 0, "-q 2": 2 * SECOND, "-w 1": SECOND}


def test_each_read_of_input_is_a_datagram_and_k_takes_all_senders() -> None:
    host = Host()
    (server,) = host.start("nc -lukv 5557 > o")
    host.start("echo a | nc -u -q 0 127.0.0.1 5557; sleep 1; echo b | nc -u -w 1 localhost 5557")
    host.settle()
    assert seen(server) == "Bound on 0.0.0.0 5557\n"
    assert host.written("o") == b"a\nb\n"


def test_v_tests_with_an_x_every_second() -> None:
    host = Host()
    host.start("nc -luk 5557 > o")
    client = host.start("echo hi3 | nc -uv -w 2 127.0.0.1 5557")[-1]
    host.settle()
    assert seen(client) == "Connection to 127.0.0.1 5557 port [udp/*] succeeded!\n"
    assert host.written("o") == b"XXXXhi3\n"
    assert ended(client) == 4 * SECOND + 2 * 50_000  # two sleeps with their slack


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("nc -uz 127.0.0.1 5557", 0, ""),
        ("nc -uvz 127.0.0.1 5557", 0, "Connection to 127.0.0.1 5557 port [udp/*] succeeded!\n"),
        ("echo ref | nc -u 127.0.0.1 5999", 0, ""),
        ("echo ref | nc -uv 127.0.0.1 5999", 1, ""),
        ("nc -uz 127.0.0.1 5999", 1, ""),
        (
            "nc -vz 127.0.0.1 5998",
            1,
            "nc: connect to 127.0.0.1 port 5998 (tcp) failed: Connection refused\n",
        ),
        ("nc -vz 127.0.0.1 5558", 0, "Connection to 127.0.0.1 5558 port [tcp/*] succeeded!\n"),
        ("nc -z 127.0.0.1 5558", 0, ""),
        ("nc -lz 5558", 1, "nc: cannot use -z and -l\n"),
    ],
)
def test_scans_and_refusals(line: str, status: int, text: str) -> None:
    host = Host()
    host.start("nc -luk 5557 > o")
    host.start("nc -lk 5558 > p")
    client = host.start(line)[-1]
    host.settle()
    assert (client.shell_status, seen(client)) == (status, text)


def test_a_server_with_w_ends_when_nothing_more_comes() -> None:
    host = Host()
    (server,) = host.start("nc -lu -w 1 5561 > o")
    host.start("sleep 2; echo x | nc -u -w 1 127.0.0.1 5561")
    host.settle()
    assert (server.shell_status, ended(server)) == (0, 3 * SECOND)
    assert host.written("o") == b"x\n"


def test_both_sides_talk() -> None:
    host = Host()
    host.start("echo pong | nc -lu 5556 > server")
    host.start("echo ping | nc -u -w 3 127.0.0.1 5556 > client")
    host.settle()
    assert (host.written("server"), host.written("client")) == (b"ping\n", b"pong\n")
