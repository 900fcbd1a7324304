"""What ``-netdev user`` says is what the guest meets: whole machines, end to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Ether

from desim.config import MachineConfig
from desim.errors import UserError
from desim.experiment.run import RunResult, run
from desim.machine import Machine
from desim.scenario.command_line import machine_from_options
from desim.userland.calls import sys
from desim.userland.program import Program
from desim.userland.programs import GUEST_PROGRAMS, HOST_PROGRAMS
from desim.userland.shell import ProgramFile
from desim.wire.addresses import ip
from desim.wire.ethernet import ETH_P_IPV6, Ethernet
from desim.wire.frame import Frame

SERVE = "echo page | nc -l -N 8000"
SECOND = 10**9


def machine(
    user: str, guest: Sequence[str], host: Sequence[str] = (), folder: Path = Path()
) -> MachineConfig:
    config = machine_from_options(
        ["-netdev", f"user,id=u,{user}", "-device", "e1000,netdev=u"],
        guest=guest,
        host=host,
        folder=folder,
    )
    config.costs = "zero"
    # The host's programs are there before the guest's.
    for command in config.host:
        command.at_ns = SECOND
    return config


def output(result: RunResult, terminal: str) -> str:
    return next(t.output.decode() for t in result.transcripts if t.name == terminal)


def advertisements(result: RunResult) -> list[bytes]:
    """The router advertisements that slirp sent."""
    packets = (Ethernet.parse(p.frame.raw) for p in result.packets["slirp"] if p.to_guest)
    found = (p.payload for p in packets if p.ethertype == ETH_P_IPV6)
    return [raw for raw in found if raw[6] == 58 and raw[40] == 134]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "address", "gateway"),
    [
        ("net=10.1.0.0/16", "10.1.2.15", "10.1.2.2"),
        ("net=10.1.0.0/16,host=10.1.9.9", "10.1.2.15", "10.1.9.9"),
        ("ip=192.168.5.0,dhcpstart=192.168.5.77", "192.168.5.77", "192.168.5.2"),
        ("net=192.168.7.0/255.255.255.0", "192.168.7.15", "192.168.7.2"),
        ("net=172.20.0.0", "172.16.2.15", "172.16.2.2"),
        ("hostname=vm,restrict=off", "10.0.2.15", "10.0.2.2"),
    ],
)
def test_addresses_are_where_the_options_put_them(user: str, address: str, gateway: str) -> None:
    result = run(machine(user, [f"nc {gateway} 8000 > page"], [SERVE]))
    guest = result.summary["guest"]
    assert guest is not None
    assert guest["address"] == address
    assert result.files == {"guest/page": b"page\n"}


def test_without_ipv4_no_lease_is_given() -> None:
    result = run(machine("ipv4=off", []))
    guest = result.summary["guest"]
    assert guest is not None
    assert guest["address"] is None
    assert "no lease" in output(result, "guest console")


def test_advertisements_name_prefix_length_and_name_server() -> None:
    user = "ipv6-prefix=fd00:7::,ipv6-prefixlen=80,ipv6-dns=fd00:7::53"
    config = machine(user, ["sleep 650"])
    config.dns.resolvers = [ip("::1")]
    sent = advertisements(run(config))
    assert sent
    assert all(ip("fd00:7::") in raw and bytes((3, 4, 80)) in raw for raw in sent)
    assert all(ip("fd00:7::53") in raw for raw in sent)


def test_without_an_ipv6_name_server_on_the_host_none_is_named() -> None:
    sent = advertisements(run(machine("ipv6-net=fd00:8::/64", ["sleep 650"])))
    assert sent
    assert all(ip("fd00:8::") in raw for raw in sent)
    assert not any(ip("fd00:8::3") in raw for raw in sent)


def test_slirps_own_ipv6_addresses_answer_for_themselves() -> None:
    config = machine("ipv6-net=fd00:8::/64,ipv6-host=fd00:8::99,ipv6-dns=fd00:8::98", [])
    done = Machine(config)
    slirp = done.qemu.slirp
    assert slirp is not None

    def answered(address: str) -> bool:
        before = len(done.captures()["slirp"])
        question = Ether(src="52:54:00:12:34:56", dst="33:33:ff:00:00:99")
        question /= IPv6(src="fd00:8::15", dst="ff02::1:ff00:99", hlim=255)
        question /= ICMPv6ND_NS(tgt=address) / ICMPv6NDOptSrcLLAddr(lladdr="52:54:00:12:34:56")
        slirp.slirp_input(Frame(bytes(question)))
        return len(done.captures()["slirp"]) > before

    found = {number: answered(f"fd00:8::{number}") for number in (2, 3, 98, 99)}
    done.close()
    assert found == {2: False, 3: False, 98: True, 99: True}


def test_without_ipv6_nothing_is_advertised() -> None:
    assert advertisements(run(machine("ipv6=off", ["sleep 650"]))) == []


def test_a_forwarded_port_listens_at_its_address_only() -> None:
    result = run(
        machine(
            "hostfwd=tcp:127.0.0.2:5555-10.0.2.15:5556",
            ["nc -l 5556 > got"],
            ["sleep 5", "nc -v -N 127.0.0.1 5555", "sleep 4 | nc -v -N 127.0.0.2 5555"],
        )
    )
    assert "Connection refused" in output(result, "host 2")
    assert "succeeded" in output(result, "host 3")


def test_host_port_0_is_a_free_port() -> None:
    result = run(machine("hostfwd=tcp:127.0.0.1:0-:22", ["sleep 1"], ["netstat -natp"]))
    (line,) = [row for row in output(result, "host 1").splitlines() if "LISTEN" in row]
    assert 32768 <= int(line.split()[3].rpartition(":")[2]) <= 60999


def echo(argv: list[str]) -> Program:
    """Send the first datagram for port 5556 back."""
    fd = yield from sys.socket("udp")
    yield from sys.bind(fd, bytes(4), 5556)
    data, client = yield from sys.recvfrom(fd, 2000)
    yield from sys.sendto(fd, data + b" back", client)
    return 0


def ask(argv: list[str]) -> Program:
    """Ask port 5555 of the host and print the answer."""
    fd = yield from sys.socket("udp")
    yield from sys.connect(fd, ip("127.0.0.1"), 5555)
    yield from sys.sleep_ns(5 * SECOND)
    yield from sys.write(fd, b"there and")
    answer = yield from sys.read(fd, 2000)
    yield from sys.write(1, answer)
    return 0


@pytest.fixture
def datagrams(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(program: Callable[[list[str]], Program]) -> ProgramFile:
        return ProgramFile(program, lambda argv: None)

    monkeypatch.setitem(GUEST_PROGRAMS.files, "echo-datagram", lambda: entry(echo))
    monkeypatch.setitem(HOST_PROGRAMS.files, "ask-datagram", lambda: entry(ask))


@pytest.mark.usefixtures("datagrams")
@pytest.mark.parametrize("version", ["4.7", "2.8"])
def test_datagrams_are_forwarded_both_ways(version: str) -> None:
    config = machine("hostfwd=udp::5555-:5556", ["echo-datagram"], ["ask-datagram > answer"])
    assert config.user is not None
    config.user.version = "2.8" if version == "2.8" else "4.7"
    assert run(config).files == {"host/answer": b"there and back"}


# TFTP


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "pxe").mkdir(parents=True)
    (tmp_path / "root" / "pxe" / "menu").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "secret").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [
        ["-netdev", "user,id=u,tftp=root", "-device", "e1000,netdev=u"],
        ["-nic", "user,model=e1000,tftp=root"],
        ["-tftp", "root"],
    ],
)
def test_the_guest_fetches_a_file_by_tftp(options: list[str], root: Path) -> None:
    config = machine_from_options(
        options, guest=["tftp -g -r pxe/menu -l menu 10.0.2.2"], host=(), folder=root
    )
    config.costs = "zero"
    assert run(config).files == {"guest/menu": bytes(range(256)) * 20}


def test_larger_blocks_mean_fewer_packets_today(root: Path) -> None:
    def packets(version: str) -> int:
        line = "tftp -b 1024 -g -r pxe/menu -l menu 10.0.2.2"
        config = machine("tftp=root", [line], folder=root)
        assert config.user is not None
        config.user.version = "2.8" if version == "2.8" else "4.7"
        result = run(config)
        assert result.files == {"guest/menu": bytes(range(256)) * 20}
        return len(result.packets["slirp"])

    assert packets("4.7") < packets("2.8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "name"), [("tftp=root", "nosuch"), ("tftp=root", "../secret"), ("hostname=x", "a")]
)
def test_what_is_not_there_is_not_served(user: str, name: str, root: Path) -> None:
    result = run(machine(user, [f"tftp -g -r {name} -l got 10.0.2.2"], folder=root))
    assert result.files == {}
    assert "tftp: " in output(result, "guest 1")


def test_a_forwarding_that_the_host_refuses_is_quoted_as_it_was_written() -> None:
    line = "-nic user,model=e1000,hostfwd=tcp:192.168.7.7:5555-:22"
    config = machine_from_options(line.split(), guest=[], host=[], folder=Path())
    with pytest.raises(UserError) as caught:
        Machine(config)
    assert caught.value.messages == [
        f"{line}: Could not set up host forwarding rule 'tcp:192.168.7.7:5555-:22' "
        "(Cannot assign requested address)"
    ]
