"""QEMU's face of the host's sockets: descriptors, poll, datagrams."""

from __future__ import annotations

import errno

import pytest
from host_bench import Host, output

from desim.host.sockets import FIRST_FD, QemuSockets
from desim.host.udp import UdpSocket
from desim.host.unix import UnixSocket
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, HostSockets
from desim.userland.files import Terminal
from desim.userland.process import Process
from desim.userland.uapi import IP_RECVTTL, IP_TTL, SO_REUSEADDR
from desim.wire.addresses import IP6_LOOPBACK, IP_ANY, LOOPBACK
from desim.wire.icmp import Icmp


class Bench:
    """A host with a QEMU process on it."""

    def __init__(self) -> None:
        self.host = Host()
        self.woken = 0
        self.children: list[Process] = []
        self.qemu = QemuSockets(
            kernel=self.host.kernel,
            on_ready=self.on_ready,
            start=self.children.append,
            terminal=Terminal("qemu", now=lambda: self.host.time, quota=self.host.quota),
            resolvers=[LOOPBACK],
        )

    def on_ready(self) -> None:
        self.woken += 1

    def poll(self, fd: int, events: int) -> int:
        self.qemu.watch(fd, events)
        self.qemu.collect()
        return self.qemu.revents(fd)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_is_the_port_of_slirp(bench: Bench) -> None:
    port: HostSockets = bench.qemu
    assert port.resolvers() == [LOOPBACK]


def test_a_client_of_the_host_is_accepted_and_read(bench: Bench) -> None:
    qemu = bench.qemu
    listener = qemu.listen(IP_ANY, 5555)
    qemu.watch(listener, POLLIN)
    assert not qemu.ready()
    client = bench.host.run("echo hello | nc -N localhost 5555")
    assert bench.woken >= 1
    assert qemu.ready()
    qemu.collect()
    assert qemu.revents(listener) == POLLIN
    assert not qemu.ready()
    fd, (address, _) = qemu.accept(listener)
    assert (listener, fd, address) == (FIRST_FD, FIRST_FD + 1, LOOPBACK)
    assert bench.poll(fd, POLLIN | POLLOUT) == POLLIN | POLLOUT
    assert qemu.recv(fd, 100) == b"hello\n"
    assert qemu.recv(fd, 100) == b""
    assert qemu.send(fd, b"bye\n") == 4
    qemu.close(fd)
    bench.host.settle()
    assert output(client) == "bye\n"
    assert client.exit_status == 0


def test_watches_last_for_one_poll(bench: Bench) -> None:
    fd = bench.qemu.bind_udp(LOOPBACK, 0)
    assert bench.poll(fd, POLLOUT) == POLLOUT
    bench.qemu.collect()
    assert bench.qemu.revents(fd) == 0


def test_only_a_watched_event_wakes_the_main_loop(bench: Bench) -> None:
    listener = bench.qemu.listen(IP_ANY, 5555)
    bench.host.run("nc localhost 5555")
    assert bench.woken == 0
    bench.qemu.watch(listener, POLLOUT)
    bench.host.run("nc localhost 5555")
    assert bench.woken == 0


def test_a_connection_to_a_program_completes_at_the_next_poll(bench: Bench) -> None:
    server = bench.host.run("nc -l 7777")
    fd = bench.qemu.connect(LOOPBACK, 7777)
    assert bench.poll(fd, POLLOUT) == POLLOUT
    assert not bench.qemu.peer_gone(fd)
    bench.qemu.send_oob(fd, b"ab!")
    bench.qemu.send(fd, b"c\n")
    bench.qemu.shutdown(fd, write=True)
    bench.host.settle()
    assert output(server) == "abc\n"  # the urgent byte is out of band for nc
    assert server.exit_status == 0


def test_a_refused_connection_shows_at_the_next_poll(bench: Bench) -> None:
    fd = bench.qemu.connect(LOOPBACK, 7777)
    assert bench.poll(fd, POLLOUT) & (POLLERR | POLLHUP) == POLLERR | POLLHUP
    with pytest.raises(ConnectionRefusedError):
        bench.qemu.recv(fd, 1)
    assert bench.qemu.peer_gone(fd)


@pytest.mark.parametrize("address", [b"\x08\x08\x08\x08", bytes(15) + b"\x02"])
def test_everything_else_is_unreachable(bench: Bench, address: bytes) -> None:
    with pytest.raises(OSError, match="Network is unreachable"):
        bench.qemu.connect(address, 80)
    fd = bench.qemu.bind_udp(bytes(len(address)), 0)
    with pytest.raises(OSError, match="Network is unreachable"):
        bench.qemu.sendto(fd, b"x", (address, 53), ttl=64)


def test_a_taken_port_is_refused(bench: Bench) -> None:
    bench.host.run("nc -l 5555")
    with pytest.raises(OSError, match="Address already in use") as caught:
        bench.qemu.listen(IP_ANY, 5555)
    assert caught.value.errno == errno.EADDRINUSE


def test_netstat_shows_qemu_as_in_the_study(bench: Bench) -> None:
    bench.qemu.listen(IP_ANY, 5555)
    assert output(bench.host.run("netstat -natp")).splitlines()[2] == (
        "tcp        0      0 0.0.0.0:5555            0.0.0.0:*               LISTEN     "
        " 29642/qemu-system-x "
    )


def test_a_datagram_goes_there_and_back(bench: Bench) -> None:
    program = UdpSocket(bench.host.kernel.udp, (1, "test"))
    program.bind(LOOPBACK, 9999)
    fd = bench.qemu.bind_udp(IP_ANY, 0)
    bench.qemu.watch(fd, POLLIN)
    assert bench.qemu.sendto(fd, b"ping", (LOOPBACK, 9999), ttl=64) == 4
    data, source = program.recvfrom(100)
    assert (data, source) == (b"ping", (LOOPBACK, bench.qemu.sockname(fd)[1]))
    program.sendto(b"pong", source)
    assert bench.woken == 1
    assert bench.qemu.recvfrom(fd, 100) == (b"pong", (LOOPBACK, 9999))
    with pytest.raises(BlockingIOError):
        bench.qemu.recvfrom(fd, 100)


def test_a_closed_udp_port_leaves_an_icmp_error(bench: Bench) -> None:
    fd = bench.qemu.bind_udp(IP_ANY, 0)
    bench.qemu.sendto(fd, b"x", (LOOPBACK, 9999))
    assert bench.poll(fd, POLLIN) == POLLERR
    with pytest.raises(ConnectionRefusedError):
        bench.qemu.recvfrom(fd, 100)
    assert bench.qemu.recv_error(fd) == (3, 3, LOOPBACK)
    assert bench.qemu.recv_error(fd) is None
    assert bench.poll(fd, POLLIN) == 0


def test_an_old_error_is_told_only_where_there_is_a_route(bench: Bench) -> None:
    fd = bench.qemu.bind_udp(IP_ANY, 0)
    bench.qemu.sendto(fd, b"x", (LOOPBACK, 9999))
    with pytest.raises(OSError, match="unreachable"):
        bench.qemu.sendto(fd, b"x", (b"\xc0\x00\x02\x01", 9))
    with pytest.raises(OSError, match="too long"):
        bench.qemu.sendto(fd, bytes(65508), (LOOPBACK, 9999))
    with pytest.raises(ConnectionRefusedError):
        bench.qemu.sendto(fd, b"x", (LOOPBACK, 9999))
    assert bench.qemu.sendto(fd, b"x", (LOOPBACK, 9999)) == 1


def test_a_full_receive_queue_drops(bench: Bench) -> None:
    program = UdpSocket(bench.host.kernel.udp, (1, "test"))
    program.bind(LOOPBACK, 9999)
    fd = bench.qemu.bind_udp(IP_ANY, 0)
    for _ in range(1000):
        bench.qemu.sendto(fd, bytes(1000), (LOOPBACK, 9999))
    assert len(program.datagrams) + program.dropped == 1000
    assert program.dropped > 0


def test_the_host_answers_an_echo_request(bench: Bench) -> None:
    fd = bench.qemu.open_ping(4)
    bench.qemu.sendto(fd, Icmp.echo(7, 3, b"payload").emit(), (b"\x7f\0\0\5", 0))
    data, source = bench.qemu.recvfrom(fd, 100)
    reply = Icmp.parse(data)
    assert (reply.type, reply.sequence, reply.payload, reply.sum_ok) == (0, 3, b"payload", True)
    assert source == (b"\x7f\0\0\5", 0)
    six = bench.qemu.open_ping(6)
    bench.qemu.sendto(six, b"\x80\0\0\0\0\7\0\3ab", (IP6_LOOPBACK, 0))
    assert bench.qemu.recvfrom(six, 100)[0][:2] == b"\x81\0"


def test_a_unix_socket_is_connected_to_by_its_name(bench: Bench) -> None:
    with pytest.raises(FileNotFoundError):
        bench.qemu.connect_unix("/run/socket")
    program = UnixSocket(bench.host.kernel.unix)
    program.bind(b"/run/socket", 0)
    program.listen(1)
    fd = bench.qemu.connect_unix("/run/socket")
    ours, _ = program.accept()
    bench.qemu.watch(fd, POLLIN)
    ours.write(b"hello")
    assert bench.woken == 1
    assert bench.qemu.recv(fd, 9) == b"hello"
    ours.close()
    assert not bench.qemu.peer_gone(fd)
    with pytest.raises(OSError, match="not supported"):
        bench.qemu.send_oob(fd, b"!")


def test_a_datagram_to_port_zero_is_invalid_whoever_could_be_reached(bench: Bench) -> None:
    fd = bench.qemu.bind_udp(IP_ANY, 0)
    for address in (LOOPBACK, b"\x08\x08\x08\x08"):
        with pytest.raises(OSError, match="Invalid argument"):
            bench.qemu.sendto(fd, b"x", (address, 0))


@pytest.mark.parametrize(("address", "most"), [(LOOPBACK, 65_507), (IP6_LOOPBACK, 65_527)])
def test_the_longest_datagram_of_each_family(bench: Bench, address: bytes, most: int) -> None:
    fd = bench.qemu.bind_udp(bytes(len(address)), 0)
    assert bench.qemu.sendto(fd, bytes(most), (address, 9999)) == most
    assert bench.qemu.recv_error(fd) is not None
    with pytest.raises(OSError, match="too long"):
        bench.qemu.sendto(fd, bytes(most + 1), (address, 9999))


def test_a_program_sees_the_ttl_that_slirp_has_set(bench: Bench) -> None:
    program = UdpSocket(bench.host.kernel.udp, (1, "test"))
    program.bind(LOOPBACK, 9999)
    fd = bench.qemu.bind_udp(IP_ANY, 0)
    seen = []
    for option, ttl in ((0, 3), (1, None), (1, 63), (1, None)):
        program.setsockopt(IP_RECVTTL, option)
        bench.qemu.sendto(fd, b"x", (LOOPBACK, 9999), ttl=ttl)
        seen.append(program.recvmsg(9).ttl)
    assert seen == [None, 3, 63, 63]
    program.setsockopt(IP_TTL, 9)
    program.sendto(b"x", (LOOPBACK, 9999))
    assert program.recvmsg(9).ttl == 9
    with pytest.raises(OSError, match="Protocol not available"):
        program.setsockopt(IP_TTL, 0)


def test_a_forwarded_udp_port_may_be_shared_once_it_is_bound(bench: Bench) -> None:
    bench.qemu.bind_udp(IP_ANY, 5000)
    with pytest.raises(OSError, match="Address already in use"):
        bench.qemu.bind_udp(IP_ANY, 5000)
    program = UdpSocket(bench.host.kernel.udp, (1, "test"))
    program.setsockopt(SO_REUSEADDR, 1)
    program.bind(LOOPBACK, 5000)


def test_a_closed_descriptor_is_gone(bench: Bench) -> None:
    fd = bench.qemu.listen(IP_ANY, 5555)
    bench.qemu.watch(fd, POLLIN)
    bench.qemu.close(fd)
    assert not bench.qemu.ready()
    with pytest.raises(OSError, match="Bad file descriptor"):
        bench.qemu.recv(fd, 1)


def test_a_spawned_program_talks_through_its_standard_descriptors(bench: Bench) -> None:
    fd = bench.qemu.spawn("cat -")
    (process,) = bench.children
    assert (process.name, process.argv) == ("cat", ["cat", "-"])
    bench.qemu.send(fd, b"there and back")
    bench.host.settle()
    assert bench.poll(fd, POLLIN) == POLLIN
    assert bench.qemu.recv(fd, 100) == b"there and back"


def test_what_a_spawned_program_complains_about_comes_through_its_socket(bench: Bench) -> None:
    fd = bench.qemu.spawn("sleep")
    bench.host.settle()
    assert bench.qemu.recv(fd, 22) == b"sleep: missing operand"


def test_a_spawned_program_ends_with_its_connection_and_the_other_way_round(bench: Bench) -> None:
    fd = bench.qemu.spawn("cat")
    bench.qemu.shutdown(fd, write=True)
    bench.host.settle()
    assert bench.children[0].exit_status == 0
    assert bench.qemu.recv(fd, 100) == b""
    # All three descriptors are closed, and nothing listens any more.
    assert [row.state for row in bench.host.kernel.tcp.rows()] == ["TIME_WAIT"]
