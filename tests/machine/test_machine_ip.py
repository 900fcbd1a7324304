"""busybox's ip in a whole machine, in the form that the real 1.35.0 prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from desim.experiment.run import run
from desim.scenario.command_line import machine_from_options
from desim.userland.programs import GUEST_PROGRAMS
from desim.userland.shell import ShellError, parse

LO = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
"""
ETH0 = """\
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq_codel qlen 1000
    link/ether 52:54:00:12:34:56 brd ff:ff:ff:ff:ff:ff
"""
FOREVER = "       valid_lft forever preferred_lft forever\n"
LO4 = f"    inet 127.0.0.1/8 scope host lo\n{FOREVER}"
LO6 = f"    inet6 ::1/128 scope host \n{FOREVER}"
ETH4 = f"    inet 10.0.2.15/24 brd 10.0.2.255 scope global eth0\n{FOREVER}"
ETH6 = (
    "    inet6 fec0::5054:ff:fe12:3456/64 scope site dynamic flags 100 \n"
    "       valid_lft 86391sec preferred_lft 14391sec\n"
    f"    inet6 fe80::5054:ff:fe12:3456/64 scope link \n{FOREVER}"
)
ROUTES = "default via 10.0.2.2 dev eth0 \n10.0.2.0/24 dev eth0 scope link  src 10.0.2.15 \n"


Answers = dict[str, tuple[str, int | None]]


def first(text: str) -> str:
    """The first line."""
    return text.partition("\n")[0] + "\n"


def aged(text: str, seconds: int) -> str:
    """``text`` with the lifetimes of so much later."""
    return re.sub(r"([0-9]+)sec", lambda match: f"{int(match[1]) - seconds}sec", text)


@pytest.fixture(scope="module")
def answers() -> Answers:
    """What each line showed, and its status; all in one machine, one after the other."""
    lines = [
        "ip addr",
        "ip -4 a",
        "ip -6 addr show dev eth0",
        "ip -o -4 addr show eth0",
        "ip link show",
        "busybox ip -o link show eth0",
        "ip route",
        "ip r list dev eth0",
        "ip -s link",
        "ip -br addr",
        "ip addr show eth9",
        "ip link show eth9",
        "ip link set eth9 up",
        "ip route del default && ip route",
        "ip route del default",
        "ip route add default via 10.9.9.9",
        "ip route add default via 10.0.2.2 dev eth0; ip route add default via 10.0.2.2",
        "ip route add 10.1.0.0/16 dev eth0; ip route show",
        "ip link set dev eth0 down; ip link show eth0; ip route; ip addr show up",
        "ip link set eth0 up && ip link show eth0",
    ]
    config = machine_from_options(["-nic", "user"], guest=lines, host=[], folder=Path())
    config.costs = "zero"
    for number, command in enumerate(config.guest):
        command.at_ns = (12 + number) * 1_000_000_000
    shown = run(config).transcripts[1:]
    return {t.command: (t.output.decode(), t.status) for t in shown}


DOWN = (
    "2: eth0: <BROADCAST,MULTICAST> mtu 1500 qdisc fq_codel qlen 1000\n" + ETH0.partition("\n")[2]
)
LOST = ETH0.replace("<", "<NO-CARRIER,").replace(",LOWER_UP", "")
USAGE = "BusyBox v1.35.0 (Debian 1:1.35.0-4+deb12u1+b1) multi-call binary.\n\nUsage: ip [OPTIONS]"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("ip addr", LO + LO4 + LO6 + ETH0 + ETH4 + ETH6),
        ("ip -4 a", first(LO) + LO4 + first(ETH0) + ETH4),
        ("ip -6 addr show dev eth0", first(ETH0).replace("qdisc fq_codel ", "") + aged(ETH6, 2)),
        ("ip -o -4 addr show eth0", "2: eth0" + ETH4.replace("eth0\n", "eth0\\")),
        ("ip link show", LO + ETH0),
        ("busybox ip -o link show eth0", ETH0.replace("\n", "\\", 1)),
        ("ip route", ROUTES),
        ("ip r list dev eth0", ROUTES),
        ("ip route del default && ip route", ROUTES.partition("\n")[2]),
        (
            "ip route add 10.1.0.0/16 dev eth0; ip route show",
            f"{ROUTES}10.1.0.0/16 dev eth0 scope link \n",
        ),
        (
            "ip link set dev eth0 down; ip link show eth0; ip route; ip addr show up",
            DOWN + LO + LO4 + LO6,
        ),
        ("ip link set eth0 up && ip link show eth0", LOST),
    ],
)
def test_what_is_shown(answers: Answers, line: str, text: str) -> None:
    assert answers[line] == (text, 0)


@pytest.mark.parametrize(
    ("line", "text", "status"),
    [
        ("ip addr show eth9", "ip: can't find device 'eth9'\n", 1),
        ("ip link show eth9", "ip: can't find device 'eth9'\n", 2),
        ("ip link set eth9 up", "ip: SIOCGIFFLAGS: No such device\n", 2),
        ("ip route del default", "ip: RTNETLINK answers: No such process\n", 2),
        ("ip route add default via 10.9.9.9", "ip: RTNETLINK answers: Network is unreachable\n", 2),
        (
            "ip route add default via 10.0.2.2 dev eth0; ip route add default via 10.0.2.2",
            "ip: RTNETLINK answers: File exists\n",
            2,
        ),
        ("ip -s link", USAGE, 1),
        ("ip -br addr", USAGE, 1),
    ],
)
def test_what_fails(answers: Answers, line: str, text: str, status: int) -> None:
    shown, ended = answers[line]
    assert (shown[: len(text)], ended) == (text, status)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ip addr add 10.0.2.16/24 dev eth0", "ifconfig IFACE ADDRESS netmask MASK"),
        ("ip link set eth0 mtu 1400", "set IFACE up|down are modelled"),
        ("ip neigh", "arp -an shows the neighbours"),
        ("ip rule", "rule is not modelled"),
        ("ip -6 route", "IPv6"),
        ("ip route get 8.8.8.8", "of route, show, add and del"),
        ("ip addr show to 10/8", "to is not modelled"),
    ],
)
def test_what_is_refused(line: str, says: str) -> None:
    with pytest.raises(ShellError) as caught:
        parse(line, GUEST_PROGRAMS)
    assert says in caught.value.message
