"""A bench: the machine of 64 examples, as the part of a scenario file that its boot depends on.

Swarm style: first half of all kinds of things are switched off, then each that is left may be
used. So a bench with faults on the wire and nothing else comes up as often as one with an odd
card and an old slirp, and what two kinds do together is not hidden by a third.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from desim.fuzz.draw import Draw

TCP_FORWARDS = {5000: 5000, 5001: 5001, 5002: 5002}
"""Ports of the host and of the guest that they lead to."""
UDP_FORWARDS = {5100: 5100}
TCP_SERVED = 6000
"""The first port of those that the host's programs listen on."""
UDP_SERVED = 6100
OUTSIDE = "10.0.2.2"
LONG = "1h"
"""When a bench stops that has the time to show what a connection leaves behind."""

MACHINE_KINDS = (
    "card",
    "costs",
    "datasheet",
    "driver",
    "faults",
    "hub",
    "ipv6 off",
    "monitor",
    "network",
    "old slirp",
    "rings",
    "sysctl",
    "throttle",
)
TRAFFIC_KINDS = (
    "closing",
    "down",
    "large",
    "late",
    "noise",
    "ping",
    "resets",
    "several",
    "slow readers",
    "udp",
)
KINDS = (*MACHINE_KINDS, *TRAFFIC_KINDS)


class Bench(NamedTuple):
    """A machine, and which kinds of traffic it gets."""

    document: dict[str, Any]
    """What a scenario file of it says, without commands."""
    kinds: frozenset[str]
    """The kinds that are not switched off."""


def bench_of(number: int) -> Bench:
    """The bench ``number``."""
    draw = Draw(number, "bench")
    kinds = frozenset(kind for kind in KINDS if draw.chance(2))
    made: dict[str, Any] = {"qemu": _options(draw, kinds), "until": "20s"}
    if "old slirp" in kinds and draw.chance(2):
        made["slirp"] = "2.8"
    if "datasheet" in kinds and draw.chance(2):
        made["semantics"] = "datasheet"
    if "costs" in kinds:
        made["costs"] = draw.pick(["study-2016", "icount", "tcg", "zero"])
    made["seed"] = draw.between(1, 999)
    guest = _guest(draw, kinds)
    if guest:
        made["guest"] = guest
    if "monitor" in kinds:
        made["monitor"] = {"run": _monitor(draw, kinds)}
    if not draw.between(0, 7) and not _ticks(made):
        made["until"] = LONG
    return Bench(made, kinds)


def _ticks(document: dict[str, Any]) -> bool:
    """Whether something happens so often that a long run would take long."""
    said = repr(document)
    return "polling" in said or "filter-buffer" in said


# QEMU's options


def _options(draw: Draw, kinds: frozenset[str]) -> list[str]:
    user = ["user", "id=u"]
    if "network" in kinds:
        user += _network(draw)
    user += [f"hostfwd=tcp::{host}-:{guest}" for host, guest in TCP_FORWARDS.items()]
    user += [f"hostfwd=udp::{host}-:{guest}" for host, guest in UDP_FORWARDS.items()]
    lines = [f"-netdev {','.join(user)}"]
    card = "-device e1000"
    if "card" in kinds:
        card += draw.pick(
            [
                "",
                "-82545em",
                ",mitigation=off",
                ",mitigation=off",
                ",autonegotiation=off",
                ",extra_mac_registers=off",
                ",mac=52:54:00:00:00:fe",
            ]
        )
    if "hub" in kinds:
        lines += [
            "-netdev hubport,id=p0,hubid=0,netdev=u",
            "-netdev hubport,id=p1,hubid=0",
            f"{card},netdev=p1",
        ]
    else:
        lines.append(f"{card},netdev=u")
    if "faults" in kinds:
        lines += [f"-object {fault}" for fault in _faults(draw)]
    return lines


def _network(draw: Draw) -> list[str]:
    return draw.some(
        ["ipv6=off", "restrict=on", "hostname=box", "dhcpstart=10.0.2.20"],
        0,
        2,
    )


def _faults(draw: Draw) -> list[str]:
    """One to three filters, mostly behind the four frames of the guest's DHCP."""
    made = []
    for number in range(draw.between(1, 3)):
        kind = draw.pick(
            [
                "loss",
                "loss",
                "duplicate",
                "corrupt",
                f"reorder,behind={draw.between(1, 4)}",
                f"delay,delay={draw.pick(['100us', '2ms', '60ms', '700ms'])}"
                f",jitter={draw.pick(['0ms', '1ms', '50ms'])}",
                "buffer",
            ]
        )
        words = f"filter-{kind},id=f{number},netdev=u,queue={draw.pick(['all', 'rx', 'tx'])}"
        if kind == "buffer":
            made.append(f"{words},interval={draw.pick([5000, 40000])}")
        else:
            made.append(f"{words},{_choice(draw)}")
    return made


def _choice(draw: Draw) -> str:
    """Which packets a fault falls on."""
    way = draw.between(0, 5)
    if way < 3:
        first = draw.pick([5, 5, 5, 9, 20, 1])
        return f"probability={draw.pick([1, 2, 5, 10, 20, 40])}%,first={first}"
    if way == 3:
        return f"every={draw.between(2, 30)},first={draw.between(5, 40)}"
    if way == 4:
        first = draw.between(5, 20)
        return f"frames={first}-{first + draw.between(0, 40)}"
    return f"probability=1,first={draw.between(10, 40)}"  # it breaks for good


# The guest and the monitor


def _guest(draw: Draw, kinds: frozenset[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    modprobe = ["e1000"]
    if "rings" in kinds:
        modprobe += draw.pick(
            [
                ["RxDescriptors=48"],
                ["TxDescriptors=48"],
                ["RxDescriptors=48", "TxDescriptors=48"],
                ["RxDescriptors=80"],
            ]
        )
    if "throttle" in kinds:
        modprobe.append(f"InterruptThrottleRate={draw.pick([0, 1, 3, 4, 100, 500, 8000, 100000])}")
        modprobe += draw.pick(
            [
                [],
                ["RxIntDelay=32", "RxAbsIntDelay=64"],
                ["RxIntDelay=1000", "RxAbsIntDelay=20000"],
                ["TxIntDelay=64", "TxAbsIntDelay=60000"],
                ["TxIntDelay=0"],
            ]
        )
    if "driver" in kinds and draw.chance(3):
        modprobe = [draw.pick(["e1000_plain", "e1000_plain", "e1000_polling period_us=40000"])]
    if len(modprobe) > 1 or modprobe != ["e1000"]:
        made["modprobe"] = " ".join(modprobe)
    if "ipv6 off" in kinds:
        made["ipv6"] = False
    if "sysctl" in kinds:
        made["sysctl"] = draw.some(
            [
                "net.ipv4.tcp_rmem=4096 4096 4096",
                "net.ipv4.tcp_wmem=4096 4096 4096",
                "net.ipv4.tcp_retries2=3",
                "net.ipv4.tcp_orphan_retries=1",
                "net.ipv4.tcp_fin_timeout=5",
                "net.ipv4.tcp_syn_retries=2",
                "net.ipv4.tcp_synack_retries=1",
                "net.ipv4.tcp_abort_on_overflow=1",
                "net.ipv4.tcp_slow_start_after_idle=0",
                "net.ipv4.tcp_frto=0",
                "net.ipv4.tcp_autocorking=0",
                "net.ipv4.tcp_moderate_rcvbuf=0",
                "net.ipv4.tcp_rfc1337=1",
            ],
            1,
            3,
        )
    return made


def _monitor(draw: Draw, kinds: frozenset[str]) -> list[dict[str, str]]:
    """Commands between the boot and the end of most transfers, in the order of time."""
    nets = ["u", "p1"] if "hub" in kinds else ["u"]
    runs = []
    at_ms = draw.between(3_700, 5_200)
    for _ in range(draw.between(1, 4)):
        command = draw.pick(
            [
                f"set_link {draw.pick(nets)} off",
                f"set_link {draw.pick(nets)} on",
                f"set_link {draw.pick(nets)} on",
                "hostfwd_add tcp::5009-:5009",
                f"hostfwd_remove tcp::{draw.pick(list(TCP_FORWARDS))}",
                "info usernet",
                "info network",
            ]
        )
        runs.append({"at": f"{at_ms}ms", "command": command})
        at_ms += draw.pick([1, 20, 300, 2_000])
    return runs
