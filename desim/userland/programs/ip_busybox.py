"""``ip`` of busybox 1.35: addresses, interfaces and routes, in its own words.

Modelled are ``addr show``, ``link show``, ``link set IFACE up|down``, ``route show``, ``route
add|del``, all with ``-4``, ``-6``, ``-f`` and ``-o``; objects and commands may be cut short.
It has neither ``-s`` nor ``-br``, as the real one: both show its usage.

Not modelled (refused when a line is read): everything that sets more than that, ``route get``,
IPv6 routes, ``neigh`` (what the real one says of a neighbour's users and ages), rules, tunnels.
"""

from __future__ import annotations

import errno

from desim.data import NamedTuple
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs.busybox import BANNER
from desim.userland.programs.output import err, put
from desim.userland.uapi import (
    IFF_BROADCAST,
    IFF_LOOPBACK,
    IFF_MULTICAST,
    IFF_RUNNING,
    IFF_UP,
    InetAddress,
    Interface,
    Route,
)
from desim.wire.addresses import (
    IP6_LOOPBACK,
    IP_ANY,
    broadcast_of,
    ip,
    ip_text,
    mac_text,
    mask_from_prefix,
    network_of,
)
from desim.wire.errors import WireError

USAGE = (
    BANNER
    + """
Usage: ip [OPTIONS] address|route|link|tunnel|neigh|rule [ARGS]

OPTIONS := -f[amily] inet|inet6|link | -o[neline]

ip addr add|del IFADDR dev IFACE | show|flush [dev IFACE] [to PREFIX]
ip route list|flush|add|del|change|append|replace|test ROUTE
ip link set IFACE [up|down] [arp on|off] [multicast on|off]
\t[promisc on|off] [mtu NUM] [name NAME] [qlen NUM] [address MAC]
\t[master IFACE | nomaster] [netns PID]
ip tunnel add|change|del|show [NAME]
\t[mode ipip|gre|sit] [remote ADDR] [local ADDR] [ttl TTL]
ip neigh show|flush [to PREFIX] [dev DEV] [nud STATE]
ip rule [list] | add|del SELECTOR ACTION
"""
)
OBJECTS = ("address", "route", "link", "tunnel", "neigh", "rule")
FLAG_NAMES = (
    (IFF_LOOPBACK, "LOOPBACK"),
    (IFF_BROADCAST, "BROADCAST"),
    (IFF_MULTICAST, "MULTICAST"),
    (IFF_UP, "UP"),
)
FAMILIES = ("inet", "inet6", "link")


class _Failed(Exception):  # noqa: N818 - an end with a message, as the C function is
    """``bb_error_msg_and_die``, with the exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class _Line(NamedTuple):
    """The words of a command line, sorted."""

    family: str
    """inet, inet6, link, or "" for all."""
    oneline: bool
    what: str
    """One of OBJECTS; "" for one that there is not, or an option that there is not."""
    rest: list[str]


def _read(argv: list[str]) -> _Line:
    words = argv[1:]
    family, oneline = "", False
    while words and words[0].startswith("-"):
        option = words.pop(0).removeprefix("-").removeprefix("-")
        if option in ("4", "6", "0"):
            family = {"4": "inet", "6": "inet6", "0": "link"}[option]
        elif option and "oneline".startswith(option):
            oneline = True
        elif option and "family".startswith(option) and words[:1] and words[0] in FAMILIES:
            family = words.pop(0)
        else:
            return _Line(family, oneline, "", [])
    what = next((o for o in OBJECTS if words and words[0] and o.startswith(words[0])), "")
    return _Line(family, oneline, what, words[1:])


def _command(rest: list[str], names: tuple[str, ...]) -> str:
    """Which of ``names`` the first word begins; "" for none."""
    return next((name for name in names if name.startswith(rest[0])), "") if rest else names[0]


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    line = _read(argv)
    if line.what in ("tunnel", "rule"):
        return f"ip: {line.what} is not modelled"
    if line.what == "neigh":
        return "ip: neigh is not modelled; arp -an shows the neighbours"
    shown = _command(line.rest, ("show", "list", "lst"))
    if line.what == "address" and not shown:
        return "ip: of addr, show is modelled; ifconfig IFACE ADDRESS netmask MASK sets an address"
    words = line.rest[1:]
    if line.what == "link" and not shown:
        words = [word for word in words if word != "dev"]
        if line.rest[0] != "set" or len(words) > 2 or words[1:] not in ([], ["up"], ["down"]):
            return "ip: of link, show and set IFACE up|down are modelled"
        return None
    if line.what == "route" and not shown:
        verb = _command(line.rest, ("add", "delete"))
        if not verb or any(word not in ("via", "dev") for word in words[1::2]):
            return "ip: of route, show, add and del are modelled, with via and dev"
        return None
    if line.what == "route" and line.family == "inet6":
        return "ip: routes of IPv6 are not modelled"
    odd = [word for word in words if word in ("to", "scope", "label", "table", "proto", "via")]
    return f"ip: {odd[0]} is not modelled" if odd else None


def ip_program(argv: list[str]) -> Program:
    """``ip_main``."""
    line = _read(argv)
    try:
        if line.what == "address":
            yield from _addr(line)
        elif line.what == "link" and _command(line.rest, ("show", "list", "lst")):
            yield from _link(line)
        elif line.what == "link":
            yield from _set(line.rest[1:])
        elif line.what == "route" and _command(line.rest, ("show", "list", "lst")):
            yield from _routes(line)
        elif line.what == "route":
            yield from _route(line.rest)
        else:
            yield from err(USAGE)
            return 1
    except _Failed as failed:
        yield from err(f"ip: {failed}\n")
        return failed.status
    return 0


def _filter(words: list[str], status: int, interfaces: list[Interface]) -> tuple[str, bool]:
    """The interface that is asked for ("" for all), and whether it must be up."""
    device, up = "", False
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "up":
            up = True
            continue
        if word == "dev":
            if not waiting:
                raise _Failed('"dev" requires an argument', status)
            word = waiting.pop(0)
        device = word
    if device and device not in {one.name for one in interfaces}:
        raise _Failed(f"can't find device '{device}'", status)
    return device, up


def _numbered() -> Part[list[Interface]]:
    """In the order of their indices: loopback is the first."""
    interfaces = yield from sys.interfaces()
    return sorted(interfaces, key=lambda one: not one.flags & IFF_LOOPBACK)


def _addr(line: _Line) -> Part[None]:
    interfaces = yield from _numbered()
    device, up = _filter(line.rest[1:], 1, interfaces)
    addresses = yield from sys.addresses()
    text = ""
    for index, one in enumerate(interfaces, 1):
        size = {"inet": 4, "inet6": 16}.get(line.family, 0)
        wanted = (size,) if size else (4, 16)
        held = [a for a in addresses if a.device == one.name and len(a.address) in wanted]
        if (device and one.name != device) or (up and not one.flags & IFF_UP):
            continue
        if size and not held:
            continue
        if line.family == "link":
            held = []
        if not line.oneline:
            text += _head(index, one, line)
        for address in held:
            begin = f"{index}: {one.name}" if line.oneline else ""
            text += begin + _address(one, address, "\\" if line.oneline else "\n")
    yield from put(text)


def _link(line: _Line) -> Part[None]:
    interfaces = yield from _numbered()
    device, up = _filter(line.rest[1:], 2, interfaces)
    text = ""
    for index, one in enumerate(interfaces, 1):
        if device in ("", one.name) and (not up or one.flags & IFF_UP):
            text += _head(index, one, line._replace(family=""))
    yield from put(text)


def _head(index: int, one: Interface, line: _Line) -> str:
    flags = [name for bit, name in FLAG_NAMES if one.flags & bit]
    if one.flags & IFF_UP:
        flags = [*flags, "LOWER_UP"] if one.flags & IFF_RUNNING else ["NO-CARRIER", *flags]
    loopback = bool(one.flags & IFF_LOOPBACK)
    queue = "" if line.family == "inet6" else f"qdisc {'noqueue' if loopback else 'fq_codel'} "
    text = f"{index}: {one.name}: <{','.join(flags)}> mtu {one.mtu} {queue}qlen {one.txqueuelen}"
    if line.family not in ("inet", "inet6"):
        hardware = bytes(6) if loopback else one.hardware
        everybody = bytes(6) if loopback else b"\xff" * 6
        text += "\\" if line.oneline else "\n"
        text += f"    link/{'loopback' if loopback else 'ether'} {mac_text(hardware)}"
        text += f" brd {mac_text(everybody)}"
    return text + "\n"


def _address(one: Interface, held: InetAddress, end: str) -> str:
    family = "inet" if len(held.address) == 4 else "inet6"
    text = f"    {family} {ip_text(held.address)}/{held.prefix} "
    dynamic = held.valid_s is not None
    if len(held.address) == 4:
        if one.flags & IFF_BROADCAST:
            mask = mask_from_prefix(held.prefix)
            text += f"brd {ip_text(broadcast_of(network_of(held.address, mask), mask))} "
        text += f"scope {'host' if held.address[0] == 127 else 'global'} {one.name}"
    else:
        text += f"scope {_scope(held.address)} "
        text += "dynamic flags 100 " if dynamic else ""
        text += "tentative " if held.tentative else ""
    valid, preferred = (
        "forever" if seconds is None else f"{seconds}sec"
        for seconds in (held.valid_s, held.preferred_s)
    )
    return f"{text}{end}       valid_lft {valid} preferred_lft {preferred}\n"


def _scope(address: bytes) -> str:
    if address == IP6_LOOPBACK:
        return "host"
    if address[0] == 0xFE:
        return "link" if address[1] & 0xC0 == 0x80 else "site"
    return "global"


def _set(words: list[str]) -> Part[None]:
    names = [word for word in words if word not in ("dev", "up", "down")]
    if not names:
        raise _Failed('"dev" requires an argument', 2)
    wishes = [word for word in words if word in ("up", "down")]
    for wish in wishes:
        try:
            yield from sys.set_link_up(names[0], wish == "up")
        except OSError as error:
            raise _Failed(f"SIOCGIFFLAGS: {error.strerror}", 2) from None


def _routes(line: _Line) -> Part[None]:
    interfaces = yield from _numbered()
    device, _ = _filter(line.rest[1:], 1, interfaces)
    routes = yield from sys.routes()
    up = {one.name for one in interfaces if one.flags & IFF_UP}
    rows = [route for route in routes if device in ("", route.device) and route.device in up]
    yield from put("".join(f"{_route_text(route)}\n" for route in rows))


def _route_text(route: Route) -> str:
    text = "default " if not route.prefix else ip_text(route.network)
    if route.prefix:
        text += " " if route.prefix == 32 else f"/{route.prefix} "
    if route.gateway is not None:
        return f"{text}via {ip_text(route.gateway)} dev {route.device} "
    text += f"dev {route.device} scope link "
    return text if route.source is None else f"{text} src {ip_text(route.source)} "


def _route(rest: list[str]) -> Part[None]:
    words = dict(zip(rest[2::2], rest[3::2], strict=False))
    target = _target(rest[1]) if len(rest) > 1 else None
    gateway = _target(words["via"]) if "via" in words else None
    interfaces = yield from _numbered()
    device = words.get("dev", "")
    if device:
        _filter([device], 1, interfaces)
    try:
        if target is None:
            raise OSError(errno.ENODEV, "No such device")
        if _command(rest, ("add", "delete")) == "delete":
            yield from sys.del_route(*target)
            return
        if gateway is None and not device:
            raise OSError(errno.ENODEV, "No such device")
        names = [device] if device else [one.name for one in interfaces if one.hardware]
        yield from sys.add_route(*target, gateway[0] if gateway else None, names[0])
    except OSError as error:
        text = error.strerror
        if error.errno == errno.ENETUNREACH:
            text = "Network is unreachable"
        raise _Failed(f"RTNETLINK answers: {text}", 2) from None


def _target(word: str) -> tuple[bytes, int]:
    """A network and its prefix."""
    if word in ("default", "any", "all"):
        return IP_ANY, 0
    text, slash, bits = word.partition("/")
    try:
        address = ip(text)
    except WireError:
        address = b""
    prefix = int(bits) if bits.isdigit() and len(bits) < 3 else 32
    if len(address) != 4 or prefix > 32 or (slash and not bits.isdigit()):
        raise _Failed(f'an inet prefix is expected rather than "{word}"', 1)
    return address, prefix
