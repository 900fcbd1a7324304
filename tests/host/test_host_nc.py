"""The flavours of ``nc`` between two processes of one host, as strace saw the real ones."""

from __future__ import annotations

import hashlib

import pytest
from host_bench import SECOND, Host, output

import desim

STRING = "Hello qemu Geust\n"
LONG = "9" * 5000


@pytest.fixture
def host() -> Host:
    return Host()


def test_the_string_arrives_in_the_file(host: Host) -> None:
    server = host.run("nc -lvp 5556 > hello.txt")
    client = host.run('echo "Hello qemu Geust" | nc -N localhost 5556')
    host.settle()
    assert host.written("hello.txt").decode() == STRING
    assert (server.exit_status, client.exit_status) == (0, 0)
    first, second = output(server).splitlines()
    assert first == "Listening on 0.0.0.0 5556"
    assert second.startswith("Connection received on localhost ")


def test_a_plain_openbsd_client_stays_open_after_end_of_input(host: Host) -> None:
    server = host.run("nc -l 5556 > hello.txt")
    client = host.run("echo x | nc localhost 5556")
    host.settle()
    assert client.waits_for_input
    assert server.waits_for_input
    host.kernel.kill(client, "SIGINT")
    host.settle()
    assert output(client) == "^C\n"
    assert (client.exit_status, client.shell_status) == (-2, 130)
    assert server.exit_status == 0


def test_an_openbsd_client_outlives_the_server_until_its_input_ends(host: Host) -> None:
    host.run("echo x | nc.busybox -l -p 5556")
    host.run("nc -l 5557")
    client = host.run("sleep 2 | nc -n 127.0.0.1 5557")
    host.kernel.kill(host.kernel.processes[2], "SIGTERM")
    host.settle()
    assert client.ended_ns == 2 * SECOND
    assert client.exit_status == 0


def test_quit_delays_the_exit_and_shuts_down(host: Host) -> None:
    host.run("nc -l 5556 > out")
    client = host.run("echo x | nc -q 3 localhost 5556")
    host.settle()
    assert (client.exit_status, client.ended_ns) == (0, 3 * SECOND)


def test_quit_does_not_end_a_connection_that_the_peer_keeps_open(host: Host) -> None:
    host.run("sleep 100 | nc.busybox -l -p 5556")
    server = host.kernel.processes[-1]
    client = host.run("nc -q 0 localhost 5556 < /dev/null")
    host.settle(50 * SECOND)
    assert server.exit_status == 0  # busybox leaves at network EOF ...
    assert client.exit_status == 0  # ... and so lets the client go


def test_timeout_ends_an_idle_connection(host: Host) -> None:
    host.run("nc -l 5556")
    client = host.run("nc -w 2 localhost 5556")
    host.settle()
    assert (client.exit_status, client.ended_ns) == (0, 2 * SECOND)


def test_verbose_client_names_what_it_reached(host: Host) -> None:
    host.run("nc -l 5555")
    named = host.run("nc -vN localhost 5555 < /dev/null")
    assert output(named) == "Connection to localhost (127.0.0.1) 5555 port [tcp/*] succeeded!\n"


def test_verbose_client_says_why_it_failed(host: Host) -> None:
    named = host.run("nc -v localhost 5555")
    assert output(named) == (
        "nc: connect to localhost (127.0.0.1) port 5555 (tcp) failed: Connection refused\n"
    )
    assert named.exit_status == 1
    number = host.run("nc -v 127.0.0.1 5555")
    assert output(number) == (
        "nc: connect to 127.0.0.1 port 5555 (tcp) failed: Connection refused\n"
    )
    assert output(host.run("nc localhost 5555")) == ""
    assert "Network is unreachable" in output(host.run("nc -v 10.0.2.2 80"))


def test_keep_listening_serves_one_after_the_other(host: Host) -> None:
    server = host.run("nc -nlkv 5556 > out")
    host.run("echo a | nc -N localhost 5556")
    host.run("echo b | nc.busybox localhost 5556")
    host.settle()
    assert host.written("out") == b"a\nb\n"
    assert output(server).count("Connection received on 127.0.0.1 ") == 2
    assert server.waits_for_input


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nc nosuchhost 5", 'nc: getaddrinfo for host "nosuchhost" port 5: Temporary failure'),
        ("nc -n nosuchhost 5", 'nc: getaddrinfo for host "nosuchhost" port 5: Name or service'),
        ("nc -l", "nc: missing port number\n"),
        ("nc localhost abc", "nc: port number invalid: abc\n"),
        ("nc localhost 70000", "nc: port number too large: 70000\n"),
        (f"nc localhost {LONG}", f"nc: port number too large: {LONG}\n"),
        ("nc -p --5 localhost 1", "nc: port number invalid: --5\n"),
        ("nc -w 1_0 localhost 1", "nc: timeout invalid: 1_0\n"),
        (f"nc.busybox -l -p {LONG}", f"nc: bad port '{LONG}'\n"),
        (f"nc.busybox -w {LONG} localhost 1", f"nc: invalid number '{LONG}'\n"),
        ("nc -w x localhost 1", "nc: timeout invalid: x\n"),
        ("nc -k localhost 5", "nc: must use -l with -k\n"),
        ("nc -J localhost 5", "nc: invalid option -- 'J'\nusage: nc ["),
        ("nc -q", "nc: option requires an argument -- 'q'\nusage: nc ["),
        ("nc", "usage: nc ["),
        ("nc -s 9.9.9.9 localhost 80", "nc: bind failed: Cannot assign requested address\n"),
        ("nc.busybox -v -l -p 5", "nc: invalid option -- 'v'\nBusyBox v1.35.0 (Debian"),
        ("nc.busybox nosuchhost 5", "nc: bad address 'nosuchhost'\n"),
        ("nc.busybox -l -p x", "nc: bad port 'x'\n"),
        ("nc.busybox localhost 5", "nc: can't connect to remote host (127.0.0.1): Connection ref"),
        ("busybox nc", "BusyBox v1.35.0 (Debian"),
        ("nc.busybox -w 2 -l -p 9", "nc: timed out\n"),
    ],
)
def test_the_real_messages(host: Host, line: str, message: str) -> None:
    process = host.run(line)
    host.settle()
    assert output(process).startswith(message)
    assert process.exit_status == 1


def test_busybox_shuts_down_at_end_of_input_and_leaves_at_network_eof(host: Host) -> None:
    server = host.run("busybox nc -l -p 5557 < /dev/null")
    client = host.run("sleep 1 | nc.busybox localhost 5557")
    calls = [call for pid, call in host.calls if pid == server.pid]
    names = [call.name for call in calls]
    at = names.index("accept")
    assert names[at : at + 6] == ["accept", "close", "poll", "read", "shutdown", "poll"]
    assert calls[at + 3].args == (0, 1024)
    host.settle()
    assert (server.exit_status, client.exit_status) == (0, 0)


def test_openbsd_makes_the_calls_that_strace_saw(host: Host) -> None:
    server = host.run("nc -lvp 5556 < /dev/null")
    host.run("echo Hello | nc -N localhost 5556")
    host.settle()
    calls = [call for pid, call in host.calls if pid == server.pid]
    names = [call.name for call in calls]
    at = names.index("accept")
    tail = [call for call in calls[at:] if call.name in ("read", "write", "shutdown", "close")]
    assert [repr(call) for call in tail[1:]] == [
        "read(0, 16384)",
        "read(4, 16384)",
        "read(4, 16378)",
        "shutdown(4, 0)",
        "write(1, b'Hello\\n')",
        "close(4)",
        "close(3)",
    ]


def test_port_in_use(host: Host) -> None:
    host.run("nc.busybox -l -p 5556")
    assert output(host.run("nc.busybox -l -p 5556")) == "nc: bind: Address already in use\n"
    assert output(host.run("nc -l 5556")) == "nc: Address already in use\n"
    # openbsd sets SO_REUSEPORT: two of them share a port.
    host.run("nc -l 5558")
    assert host.run("nc -l 5558").exit_status is None


def test_busybox_without_a_port_prints_the_one_it_got(host: Host) -> None:
    port = int(output(host.run("nc.busybox -l")))
    assert 32768 <= port <= 60999
    assert port % 2 == 1


def test_a_large_file_passes_a_blocking_writer_unchanged() -> None:
    data = bytes(range(256)) * 40_000
    host = Host(files={"big": data})
    host.run("nc -l 5556 > big.out")
    host.run("nc -N localhost 5556 < big")
    host.settle()
    assert hashlib.sha256(host.written("big.out")).digest() == hashlib.sha256(data).digest()


def test_calls_meet_the_others_first(host: Host) -> None:
    host.run("true")
    assert host.touched >= 2


def test_a_writer_without_a_reader_is_killed(host: Host) -> None:
    process = host.start("cat | true")[0]
    assert process.exit_status is None
    host.files["big"] = bytes(1_000_000)
    writer = host.start("cat < big | true")[0]
    host.settle()
    assert (writer.exit_status, writer.shell_status) == (-13, 141)


def test_a_file_that_is_missing_fails_the_command(host: Host) -> None:
    process = host.run("cat < nothing")
    assert output(process) == "sh: nothing: No such file or directory\n"
    assert process.exit_status == 1


def test_netstat_prints_net_tools_table(host: Host) -> None:
    host.run("nc -l 5603")
    table = output(host.run("sudo netstat -natp"))
    assert table == (
        "Active Internet connections (servers and established)\n"
        "Proto Recv-Q Send-Q Local Address           Foreign Address         State      "
        " PID/Program name    \n"
        "tcp        0      0 0.0.0.0:5603            0.0.0.0:*               LISTEN     "
        f" {host.kernel.processes[0].pid}/nc            \n"
    )
    host.run("nc localhost 5603")
    lines = output(host.run("netstat -at")).splitlines()[2:]
    assert [line.split()[-1] for line in lines] == ["LISTEN", "ESTABLISHED", "ESTABLISHED"]
    assert "localhost:5603" in lines[1]
    assert output(host.run("netstat -nlt")).splitlines()[0].endswith("(only servers)")
    assert "Active UNIX domain sockets" in output(host.run("netstat -n"))


def test_a_fin_that_nobody_has_read_counts_as_a_byte(host: Host) -> None:
    host.run("nc -lk 5604 > out")
    host.run("nc localhost 5604")
    host.run("echo x | nc -N localhost 5604")
    lines = [line.split()[:3] for line in output(host.run("ss -tanH | cat")).splitlines()]
    assert lines[0] == ["LISTEN", "1", "1"]
    assert ["CLOSE-WAIT", "3", "0"] in lines
    assert ["FIN-WAIT-2", "0", "0"] in lines


def test_what_waits_in_a_pipe_whose_writer_has_gone_is_sent() -> None:
    """nc has no room for it at that moment, so it has not asked whether there is something."""
    result = desim.run(
        desim.from_qemu(
            "-nic user,model=e1000,hostfwd=tcp::5555-:5556",
            guest=["nc -l -p 5556 > got"],
            host=["head -c 1000000 /dev/zero | nc -N localhost 5555"],
        )
    )
    assert result.files["guest/got"] == bytes(1_000_000)
