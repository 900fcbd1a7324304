"""A bench: the machine of 128 examples, as the part of a scenario file that its boot depends on.

Swarm style: first half of all kinds of things are switched off, then each that is left may be
used. So a bench with faults on the wire and nothing else comes up as often as one with an odd
card and an old slirp, and what two kinds do together is not hidden by a third.
"""

from __future__ import annotations

import re
from typing import Any

from desim.data import NamedTuple
from desim.devices import DEFAULT_MAC
from desim.engine.draw import Draw
from desim.fuzz.commands import BOOT_MS
from desim.slirp.arp import special_ethaddr
from desim.wire.addresses import ip
from desim.wire.ethernet import ETH_P_IP, Ethernet
from desim.wire.ipv4 import PROTO_UDP, Ipv4

TCP_FORWARDS = {5000: 5000, 5001: 5001, 5002: 5002}
"""Ports of the host and of the guest that they lead to."""
UDP_FORWARDS = {5100: 5100, 5101: 5101}
"""For single datagrams, and for bursts."""
SMALL_BUFFER = "net.ipv4.tcp_rmem=4096 4096 4096"
TCP_SERVED = 6000
"""The first port of those that the host's programs listen on."""
UDP_SERVED = 6100
OUTSIDE = "10.0.2.2"
GUEST = "10.0.2.15"
UNTIL = ("6s", "9s", "20s", "45s")
"""The last is longer than the guest keeps the fragments of a datagram."""
LONG = "1h"
"""When a bench stops that has the time to show what a connection leaves behind."""
UNTILS = (*UNTIL, LONG)

ALONE = 11
"""One hub in so many (and one) has nothing but the card: nobody has connected it."""
GUESTS, NAMES = 127, 63
"""One bench in so many (and one) has a second guest, or a name server: each run takes a fork."""

RATES = (0, 0, 1, 3, 4, 100, 100, 500, 8000, 100000)
"""Of interrupts. 100 holds them back until the driver has seen for long that the link is gone."""

MACHINE_KINDS = (
    "card",
    "costs",
    "datasheet",
    "driver",
    "events",
    "faults",
    "hub",
    "injector",
    "ipv6 off",
    "monitor",
    "network",
    "old slirp",
    "rings",
    "sysctl",
    "throttle",
)
TRAFFIC_KINDS = (
    "bursts",
    "chats",
    "closing",
    "down",
    "interface",
    "large",
    "late",
    "noise",
    "ping",
    "resets",
    "reuse",
    "rushes",
    "services",
    "several",
    "slow readers",
    "stalls",
    "udp",
)
KINDS = (*MACHINE_KINDS, *TRAFFIC_KINDS)


class Bench(NamedTuple):
    """A machine, and which kinds of traffic it gets."""

    document: dict[str, Any]
    """What a scenario file of it says, without commands."""
    kinds: frozenset[str]
    """The kinds that are not switched off."""
    later_ms: int = 0
    """How much later the traffic starts, as the boot may take longer."""


def bench_of(number: int) -> Bench:
    """The bench ``number``."""
    draw = Draw(number, "fuzz bench")
    kinds = frozenset(kind for kind in KINDS if draw.chance(2))
    made: dict[str, Any] = {"qemu": _options(draw, kinds), "until": draw.pick(UNTIL)}
    boot_fails = _boot_fails(made["qemu"])
    if boot_fails:  # it takes long, and a buffer's interval ticks
        made["qemu"] = [line for line in made["qemu"] if "filter-buffer" not in line]
    if "old slirp" in kinds and draw.chance(2):
        made["slirp"] = "2.8"
    if "datasheet" in kinds and draw.chance(2):
        made["semantics"] = "datasheet"
    if "costs" in kinds:
        made["costs"] = draw.pick(["study-2016", "icount", "tcg", "zero"])
    made["seed"] = draw.between(1, 999)
    nets = _nets(made["qemu"])
    guest = _guest(draw, kinds)
    if "u" not in nets:
        guest["address"] = f"{GUEST}/24"
    if guest:
        made["guest"] = guest
    if "monitor" in kinds:
        made["monitor"] = {"run": _monitor(draw, nets)}
    if kinds >= {"hub", "injector"}:
        made["inject"] = _injections(draw)
    if "events" in kinds and draw.chance(2):
        made["at"] = _events(draw, made["qemu"], nets)
    if not draw.between(0, GUESTS):
        _second_guest(draw, made)
    elif not draw.between(0, NAMES):
        made["dns"] = {"resolver": "127.0.0.53", "record": [{"name": "a.lan", "a": OUTSIDE}]}
    if _ticks(made):
        made["until"] = "6s"
    elif not draw.between(0, 7):
        made["until"] = LONG
    if boot_fails:
        made["until"] = max(made["until"], "45s", key=UNTILS.index)
        return Bench(made, kinds, BOOT_MS)
    return Bench(made, kinds)


def _boot_fails(options: list[str]) -> bool:
    """Whether a fault may fall on a frame of the boot."""
    return any(
        "first=" not in line and "frames=" not in line
        for line in options
        if "filter-" in line and "buffer" not in line
    )


def _ticks(document: dict[str, Any]) -> bool:
    """Whether something happens so often that a long run would take long."""
    said = repr(document)
    return any(often in said for often in ("polling", "filter-buffer", "mcast="))


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
        lines.append("-netdev hubport,id=p0,hubid=0,netdev=u")
        if not draw.between(0, ALONE):
            lines.clear()
        lines += ["-netdev hubport,id=p1,hubid=0", f"{card},netdev=p1"]
    else:
        lines.append(f"{card},netdev=u")
    if "faults" in kinds:
        lines += [f"-object {fault}" for fault in _faults(draw, _nets(lines))]
    return lines


def _nets(options: list[str]) -> list[str]:
    """The user network and the card's port of a hub, as far as there are these."""
    return re.findall(r"\bid=(u|p1)\b", " ".join(options))


def _network(draw: Draw) -> list[str]:
    return draw.some(
        ["ipv6=off", "restrict=on", "hostname=box", "dhcpstart=10.0.2.20"],
        0,
        2,
    )


def _faults(draw: Draw, nets: list[str]) -> list[str]:
    """One to three filters."""
    made: list[str] = []
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
                *(["buffer"] if not any("buffer" in one for one in made) else []),
            ]
        )
        queue = draw.pick(["all", "rx", "tx"])
        words = f"filter-{kind},id=f{number},netdev={draw.pick(nets)},queue={queue}"
        if kind == "buffer":
            made.append(
                f"{words},interval={draw.pick([5000, 40000, 70000, 70000, 100000, 100000])}"
            )
        else:
            made.append(f"{words},{_choice(draw)}")
    return made


def _choice(draw: Draw) -> str:
    """Which packets a fault falls on: mostly none of the boot, which has a dozen at most."""
    way = draw.between(0, 5)
    if not draw.between(0, 15):
        return f"probability={draw.pick([5, 20, 40])}%"
    if way < 3:
        return f"probability={draw.pick([1, 2, 5, 10, 20, 40])}%,first={draw.pick([13, 13, 20])}"
    if way == 3:
        return f"every={draw.between(2, 30)},first={draw.between(13, 30)}"
    if way == 4:
        first = draw.between(13, 20)
        return f"frames={first}-{first + draw.between(0, 30)}"
    return f"probability=1,first={draw.between(13, 30)}"  # it breaks for good


# What happens beside the traffic


def _injections(draw: Draw) -> list[dict[str, Any]]:
    """Frames that nobody of the traffic sends: broken ones, for others, for nobody, parts."""
    made: list[dict[str, Any]] = []
    for _ in range(draw.between(1, 3)):
        at = f"{draw.between(3_900, 4_300)}ms"
        if draw.chance(2):
            made.append({"at": at, "frames": _fragments(draw)})
            continue
        to = draw.pick(["ffffffffffff", "525400123456", "525500000000", "01005e000001"])
        kind = draw.pick(["0800", "0806", "86dd", "88f8", "0001"])
        body = bytes(draw.between(0, 255) for _ in range(draw.pick([0, 1, 20, 46, 46, 200])))
        if kind == "0800" and draw.chance(2):
            body = b"\x45\0" + body[2:]
        frame = f"{to}525400abcdef{kind}{body.hex()}"
        sent: dict[str, Any] = {"at": at, "frames": frame}
        if draw.chance(2):
            sent |= {"every": draw.pick(["1us", "100us", "5ms"]), "times": draw.pick([2, 3, 3, 40])}
        made.append(sent)
    return made


def _fragments(draw: Draw) -> list[str]:
    """Some of a datagram's fragments, for either end: some are missing, others overlap."""
    guest, slirp = (DEFAULT_MAC, ip(GUEST)), (special_ethaddr(ip(OUTSIDE)), ip(OUTSIDE))
    (to_mac, to), (from_mac, source) = (guest, slirp) if draw.chance(2) else (slirp, guest)
    ident, step = draw.between(0, 0xFFFF), 8 * draw.between(1, 100)
    made = []
    for _ in range(draw.between(1, 5)):
        packet = Ipv4(
            source,
            to,
            PROTO_UDP,
            bytes([draw.between(0, 255)]) * draw.pick([8, step, step, step + 8]),
            ident,
            offset=step * draw.between(0, 3),
            mf=not draw.chance(4),
        )
        frame = Ethernet(to_mac, from_mac, ETH_P_IP, packet.emit())
        made.append(frame.emit().hex())
    return made


def _events(draw: Draw, options: list[str], nets: list[str]) -> list[dict[str, Any]]:
    """Links that go and come, filters that rest, by ``[[at]]``."""
    filters = re.findall(
        r"filter-(?:loss|delay|duplicate|corrupt|reorder).*?,id=(f\d)", " ".join(options)
    )
    made = []
    at_ms = draw.between(4_050, 4_200)
    for _ in range(draw.between(1, 3)):
        event: dict[str, Any] = {"at": f"{at_ms}ms"}
        if filters and draw.chance(2):
            event["filter"] = {draw.pick(filters): draw.pick(["on", "off"])}
        else:
            event["link"] = {draw.pick(nets): draw.pick(["on", "on", "off"])}
        made.append(event)
        at_ms += draw.pick([1, 10, 300, 1_500])
    return made


def _second_guest(draw: Draw, made: dict[str, Any]) -> None:
    """One more machine, on the first one's hub if there is one, or not joined at all."""
    socket = draw.pick([*3 * ["listen=127.0.0.1:1234"], "mcast=230.0.0.1:1234"])
    theirs = socket.replace("listen", "connect")
    if any("hubid=0" in line for line in made["qemu"]):
        made["qemu"] += [
            f"-netdev socket,id=s,{socket}",
            "-netdev hubport,id=p2,hubid=0,netdev=s",
        ]
        backend = f"socket,id=s,{theirs}"
    else:
        backend = "user,id=s"
    made["machine"] = {
        "b": {
            "qemu": f"-netdev {backend} -device e1000,netdev=s,mac=52:54:00:12:34:57",
            "guest": {"run": [{"at": "4500ms", "command": f"ping -c 1 {OUTSIDE}"}]},
        }
    }


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
        modprobe.append(f"InterruptThrottleRate={draw.pick(RATES)}")
        modprobe += draw.pick(
            [
                [],
                ["RxIntDelay=32", "RxAbsIntDelay=64"],
                ["RxIntDelay=1000", "RxAbsIntDelay=20000"],
                ["TxIntDelay=64", "TxAbsIntDelay=60000"],
                ["TxIntDelay=60000", "TxAbsIntDelay=60000"],
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
                SMALL_BUFFER,
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
    if "stalls" in kinds and draw.chance(2):
        # A small receive buffer is full at once: zero windows, and what comes all the same.
        said = made.setdefault("sysctl", [])
        said += [line for line in (SMALL_BUFFER,) if line not in said]
    return made


def _monitor(draw: Draw, nets: list[str]) -> list[dict[str, str]]:
    """Commands between the boot and the end of most transfers, in the order of time."""
    runs = []
    at_ms = draw.between(3_700, 4_300)
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
