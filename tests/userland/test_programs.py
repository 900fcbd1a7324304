"""Programs, driven call by call by a kernel that answers from a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from desim.ports import POLLIN
from desim.userland.errors import failure
from desim.userland.program import Call, Program
from desim.userland.programs import GUEST_PROGRAMS
from desim.userland.programs.echo import text
from desim.userland.programs.getopt import GetoptError, getopt
from desim.userland.programs.ifconfig import scaled
from desim.userland.programs.small import duration_ns
from desim.userland.shell import parse
from desim.userland.uapi import (
    IFF_BROADCAST,
    IFF_LOOPBACK,
    IFF_MULTICAST,
    IFF_RUNNING,
    IFF_UP,
    Interface,
)
from desim.wire import dhcp
from desim.wire.addresses import BROADCAST_MAC, IP_BROADCAST, ip, mac
from desim.wire.dhcp import Dhcp
from desim.wire.ethernet import ETH_P_IP
from desim.wire.ipv4 import PROTO_UDP, Ipv4
from desim.wire.udp import Udp

MAC = mac("52:54:00:12:34:56")
SECOND = 1_000_000_000


def eth0(*addresses: tuple[bytes, int]) -> Interface:
    return Interface(
        "eth0",
        MAC,
        IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_MULTICAST,
        1500,
        addresses=list(addresses),
        rx_packets=2,
        rx_bytes=1180,
        tx_packets=3,
    )


def loopback() -> Interface:
    flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING
    return Interface("lo", b"", flags, 65536, addresses=[(ip("127.0.0.1"), 8), (ip("::1"), 128)])


class Script:
    """A kernel: ``answers`` by name of call; what is written goes to ``out``."""

    def __init__(self, **answers: Callable[..., Any]) -> None:
        self.answers = answers
        self.out = ""
        self.calls: list[Call] = []
        self.time = 4 * SECOND + 500_000_000

    def run(self, line: str) -> int:
        (command,) = parse(line, GUEST_PROGRAMS)
        program: Program = command.start()
        value: Any = None
        failed: OSError | None = None
        while True:
            try:
                call = program.send(value) if failed is None else program.throw(failed)
            except StopIteration as end:
                status: int = end.value
                return status
            self.calls.append(call)
            value = failed = None
            try:
                value = self.answer(call)
            except OSError as error:
                failed = error

    def answer(self, call: Call) -> Any:
        if call.name == "write":
            self.out += call.args[1].decode()
            return len(call.args[1])
        if call.name == "now":
            return self.time
        if call.name == "sleep_ns":
            self.time += call.args[0]
            return None
        return self.answers[call.name](*call.args)


# echo, as bash 5.2 answered


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["Hello qemu Geust"], b"Hello qemu Geust\n"),
        ([], b"\n"),
        (["-n", "x"], b"x"),
        (["-nx"], b"-nx\n"),
        (["--", "-n"], b"-- -n\n"),
        (["-e", r"a\tb\0101\x41"], b"a\tbAA\n"),
        (["-e", r"a\cb"], b"a"),
        (["-ne", r"\\"], b"\\"),
        (["-e", r"\q\x"], b"\\q\\x\n"),
        (["-eE", r"a\n"], b"a\\n\n"),
        (["-e", r"\u00e9"], "é\n".encode()),
        (["-"], b"-\n"),
    ],
)
def test_echo(words: list[str], written: bytes) -> None:
    assert text(["echo", *words]) == written


def test_echo_says_when_it_cannot_write() -> None:
    class Full(Script):
        def answer(self, call: Call) -> Any:
            if call.args[0] == 1:
                raise failure(28)
            return super().answer(call)

    script = Full()
    assert script.run("echo x") == 1
    assert script.out == "echo: write error: No space left on device\n"


# small programs


@pytest.mark.parametrize(
    ("word", "ns"),
    [("1", SECOND), ("0.25", 250_000_000), (".5m", 30 * SECOND), ("2d", 172_800 * SECOND)],
)
def test_sleep_reads_durations(word: str, ns: int) -> None:
    assert duration_ns(word) == ns


@pytest.mark.parametrize("word", ["", "x", "-1", "1y", "1..2"])
def test_sleep_refuses_what_is_no_duration(word: str) -> None:
    assert duration_ns(word) is None


def test_sleep_adds_its_operands() -> None:
    script = Script()
    assert script.run("sleep 1 1m") == 0
    assert script.calls[0].args == (61 * SECOND,)
    assert script.run("sleep x") == 1
    assert script.out.startswith("sleep: invalid time interval 'x'\n")
    assert script.run("sleep") == 1


def test_true_and_false() -> None:
    assert (Script().run("true"), Script().run("false")) == (0, 1)


def test_getopt_reads_clusters_values_and_operands_in_between() -> None:
    assert getopt(["nc", "-lvp", "5556", "x", "-q1", "--", "-n"], "lvp:q:") == (
        [("l", ""), ("v", ""), ("p", "5556"), ("q", "1")],
        ["x", "-n"],
    )
    with pytest.raises(GetoptError, match="requires an argument -- 'p'"):
        getopt(["nc", "-p"], "p:")


# ifconfig, as busybox 1.35 printed


def test_ifconfig_shows_the_classic_form() -> None:
    script = Script(interfaces=lambda: [eth0((ip("10.0.2.15"), 24), (ip("fec0::1"), 64))])
    assert script.run("ifconfig") == 0
    assert script.out == (
        "eth0      Link encap:Ethernet  HWaddr 52:54:00:12:34:56  \n"
        "          inet addr:10.0.2.15  Bcast:10.0.2.255  Mask:255.255.255.0\n"
        "          inet6 addr: fec0::1/64 Scope:Site\n"
        "          UP BROADCAST RUNNING MULTICAST  MTU:1500  Metric:1\n"
        "          RX packets:2 errors:0 dropped:0 overruns:0 frame:0\n"
        "          TX packets:3 errors:0 dropped:0 overruns:0 carrier:0\n"
        "          collisions:0 txqueuelen:1000 \n"
        "          RX bytes:1180 (1.1 KiB)  TX bytes:0 (0.0 B)\n"
        "\n"
    )


def test_ifconfig_shows_the_loopback_interface() -> None:
    script = Script(interfaces=lambda: [loopback()])
    script.run("ifconfig lo")
    assert script.out.startswith(
        "lo        Link encap:Local Loopback  \n"
        "          inet addr:127.0.0.1  Mask:255.0.0.0\n"
        "          inet6 addr: ::1/128 Scope:Host\n"
        "          UP LOOPBACK RUNNING  MTU:65536  Metric:1\n"
    )


def test_ifconfig_shows_what_is_down_only_on_request() -> None:
    down = eth0()
    down.flags = 0
    script = Script(interfaces=lambda: [down])
    script.run("ifconfig")
    assert script.out == ""
    script.run("ifconfig -a")
    assert "          [NO FLAGS]  MTU:1500" in script.out
    assert script.run("ifconfig eth9") == 1
    assert script.out.endswith(
        "ifconfig: eth9: error fetching interface information: Device not found\n"
    )


def test_ifconfig_sets() -> None:
    done: list[tuple[Any, ...]] = []
    script = Script(
        interfaces=lambda: [eth0((ip("10.0.2.15"), 8))],
        set_link_up=lambda *args: done.append(args),
        set_address=lambda *args: done.append(args),
    )
    script.run("ifconfig eth0 up")
    script.run("ifconfig eth0 10.0.2.15 netmask 255.255.255.0")
    script.run("ifconfig eth0 netmask 255.255.255.0")
    assert done == [
        ("eth0", True),
        ("eth0", ip("10.0.2.15"), 24),
        ("eth0", True),
        ("eth0", ip("10.0.2.15"), 24),
    ]


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0.0 B"),
        (1023, "1023.0 B"),
        (9374, "9.1 KiB"),
        (150626, "147.0 KiB"),
        (81092207, "77.3 MiB"),
        (5 << 30, "5120.0 MiB"),
    ],
)
def test_ifconfig_scales_bytes_as_recorded(count: int, shown: str) -> None:
    assert scaled(count) == f"{count} ({shown})"


# udhcpc, byte for byte as recorded (seed_direct_tcg_busybox_N)

XID = 0x54BEF56B
DISCOVER_SUM = 0xAB69
REQUEST_SUM = 0x8FE8


class Server(Script):
    """A link with slirp's DHCP server on it. ``answer_after`` discards that many messages."""

    def __init__(self, answer_after: int = 0, kinds: tuple[int, ...] = (2, 5)) -> None:
        super().__init__(
            interfaces=lambda: [eth0()],
            socket=lambda kind: 3,
            bind_device=lambda fd, device: None,
            setsockopt=lambda fd, option, value: None,
            close=lambda fd: None,
            random=lambda name, below: XID,
            sendto=self.sendto,
            poll=self.poll,
            recvfrom=lambda fd, size: (self.answers_waiting.pop(0), (MAC, ETH_P_IP)),
            set_address=lambda *args: self.set.append(args),
            add_route=lambda *args: self.set.append(args),
        )
        self.sent: list[tuple[int, bytes]] = []
        self.answers_waiting: list[bytes] = []
        self.answer_after = answer_after
        self.kinds = kinds
        self.set: list[tuple[Any, ...]] = []

    def sendto(self, fd: int, data: bytes, to: tuple[bytes, int]) -> int:
        assert to == (BROADCAST_MAC, ETH_P_IP)
        self.sent.append((self.time, data))
        if len(self.sent) > self.answer_after:
            kind = Dhcp.parse(Ipv4.parse(data).payload[8:]).message_type
            reply = Dhcp(
                dhcp.BOOTREPLY,
                XID,
                MAC,
                [
                    (53, bytes((self.kinds[kind == dhcp.DHCPREQUEST],))),
                    (54, ip("10.0.2.2")),
                    (1, ip("255.255.255.0")),
                    (3, ip("10.0.2.2")),
                    (6, ip("10.0.2.3")),
                    (15, b"lan"),
                    (51, (86400).to_bytes(4, "big")),
                ],
                yiaddr=ip("10.0.2.15"),
            )
            datagram = Udp(67, 68, reply.emit(size=548)).emit(ip("10.0.2.2"), IP_BROADCAST)
            self.answers_waiting.append(
                Ipv4(ip("10.0.2.2"), IP_BROADCAST, PROTO_UDP, datagram).emit()
            )
        return len(data)

    def poll(self, fds: list[tuple[int, int]], timeout_ns: int) -> list[tuple[int, int]]:
        self.time += 960_000_000 if self.answers_waiting else timeout_ns
        return [(fds[0][0], POLLIN if self.answers_waiting else 0)]


def test_udhcpc_obtains_a_lease() -> None:
    server = Server()
    assert server.run("udhcpc -i eth0 -n -q -f") == 0
    assert server.out == (
        "udhcpc: started, v1.35.0\n"
        "udhcpc: broadcasting discover\n"
        "udhcpc: broadcasting select for 10.0.2.15, server 10.0.2.2\n"
        "udhcpc: lease of 10.0.2.15 obtained from 10.0.2.2, lease time 86400\n"
    )
    assert server.set == [
        ("eth0", ip("10.0.2.15"), 24, "search lan\nnameserver 10.0.2.3\n"),
        (bytes(4), 0, ip("10.0.2.2"), "eth0"),
    ]


def test_udhcpc_sends_the_recorded_packets() -> None:
    server = Server()
    server.run("busybox udhcpc -q")
    (_, discover), (_, request) = server.sent
    # The recorded checksums cover every byte of both messages.
    assert [int.from_bytes(data[26:28], "big") for data in (discover, request)] == [
        DISCOVER_SUM,
        REQUEST_SUM,
    ]
    assert discover[:20].hex() == "45000148000000004011" + "79a6" + "00000000" + "ffffffff"
    assert [code for code, _ in Dhcp.parse(request[28:]).options] == [53, 50, 54, 57, 55, 60, 61]


def test_udhcpc_gives_up_after_three_discovers() -> None:
    server = Server(answer_after=99)
    assert server.run("udhcpc -n -q") == 1
    assert [time for time, _ in server.sent] == [4_500_000_000 + 3 * n * SECOND for n in range(3)]
    assert server.out.endswith("udhcpc: no lease, failing\n")


def test_udhcpc_tries_again_later_without_n() -> None:
    server = Server(answer_after=4)
    assert server.run("udhcpc -q -t 2 -T 1 -A 10") == 0
    starts = [time // SECOND for time, _ in server.sent]
    assert starts[:5] == [4, 5, 16, 17, 28]


def test_udhcpc_starts_again_after_a_nak() -> None:
    server = Server(kinds=(2, 6))

    def relent(fd: int, data: bytes, to: tuple[bytes, int]) -> int:
        if len(server.sent) >= 2:
            server.kinds = (2, 5)
        return server.sendto(fd, data, to)

    server.answers["sendto"] = relent
    assert server.run("udhcpc -q") == 0
    assert "udhcpc: received DHCP NAK\nudhcpc: broadcasting discover\n" in server.out


def test_udhcpc_ignores_what_is_not_for_it() -> None:
    server = Server()
    noise = [b"", b"E", bytes(40)]
    server.answers_waiting += noise
    assert server.run("udhcpc -q") == 0


def test_udhcpc_needs_its_interface() -> None:
    script = Script(interfaces=list)
    assert script.run("udhcpc -q -i eth7") == 1
    assert script.out == "udhcpc: SIOCGIFINDEX: No such device\n"


def test_cat_shows_files_and_says_which_it_cannot_open() -> None:
    contents = {"a": [b"one\n", b""], "b": [b"two\n", b""]}
    names: dict[int, str] = {}

    def opened(name: str) -> int:
        if name not in contents:
            raise failure(2)
        names[len(names) + 3] = name
        return len(names) + 2

    script = Script(
        open=opened, read=lambda fd, size: contents[names[fd]].pop(0), close=lambda fd: None
    )
    assert script.run("cat a none b") == 1
    assert script.out == "one\ncat: none: No such file or directory\ntwo\n"
