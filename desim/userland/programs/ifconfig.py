"""``ifconfig`` of busybox 1.35, which prints the classic form of net-tools 1.

Showing (all that are up, ``-a`` for all, or one), ``up``, ``down``, an IPv4 address, and
``netmask``. A new address brings the interface up, as SIOCSIFADDR does.

Not modelled: every other word (refused when a line is read); interrupt and I/O base.
"""

from __future__ import annotations

import errno

from desim.userland.calls import sys
from desim.userland.errors import failure
from desim.userland.program import Part, Program
from desim.userland.programs.output import Step, err, put
from desim.userland.uapi import (
    IFF_BROADCAST,
    IFF_LOOPBACK,
    IFF_MULTICAST,
    IFF_PROMISC,
    IFF_RUNNING,
    IFF_UP,
    Interface,
)
from desim.wire.addresses import (
    IP6_LOOPBACK,
    broadcast_of,
    ip,
    ip_text,
    mac_text,
    mask_from_prefix,
    network_of,
    prefix_from_mask,
)
from desim.wire.errors import WireError

FLAG_NAMES = (
    (IFF_UP, "UP"),
    (IFF_BROADCAST, "BROADCAST"),
    (IFF_LOOPBACK, "LOOPBACK"),
    (IFF_RUNNING, "RUNNING"),
    (IFF_PROMISC, "PROMISC"),
    (IFF_MULTICAST, "MULTICAST"),
)
INDENT = " " * 10


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    words = argv[1:]
    if words == ["-a"] or len(words) <= 1:
        return None if words == ["-a"] or not words or words[0][0] != "-" else _refusal(words[0])
    settings = iter(words[1:])
    for word in settings:
        if word == "netmask":
            word = next(settings, "")
            if _netmask(word) is None:
                return f"ifconfig: netmask: {word!r} is not a network mask"
        elif word not in ("up", "down") and _address(word) is None:
            return _refusal(word)
    return None


def _refusal(word: str) -> str:
    return (
        f"ifconfig: {word!r} is not modelled; there are -a, up, down, an IPv4 address and netmask"
    )


def _address(word: str) -> bytes | None:
    try:
        address = ip(word)
    except WireError:
        return None
    return address if len(address) == 4 else None


def _netmask(word: str) -> int | None:
    address = _address(word)
    try:
        return None if address is None else prefix_from_mask(address)
    except WireError:
        return None


def ifconfig(argv: list[str]) -> Program:
    """Show or set interfaces."""
    words = argv[1:]
    interfaces = yield from sys.interfaces()
    if not words or words == ["-a"]:
        shown = [one for one in interfaces if words or one.flags & IFF_UP]
        yield from put("".join(f"{describe(one)}\n" for one in shown))
        return 0
    device = words[0]
    if len(words) == 1:
        for one in interfaces:
            if one.name == device:
                yield from put(f"{describe(one)}\n")
                return 0
        yield from err(
            f"ifconfig: {device}: error fetching interface information: Device not found\n"
        )
        return 1
    return (yield from _set(device, words[1:]))


def _set(device: str, words: list[str]) -> Program:
    address: bytes | None = None
    prefix: int | None = None
    settings = iter(words)
    request = "SIOCGIFFLAGS"
    try:
        for word in settings:
            request = "SIOCGIFFLAGS"
            if word in ("up", "down"):
                yield from sys.set_link_up(device, word == "up")
                continue
            request = "SIOCSIFADDR"
            if word == "netmask":
                prefix = _netmask(next(settings))
            else:
                address = _address(word)
        if address is not None:
            yield from sys.set_address(
                device, address, _class(address) if prefix is None else prefix
            )
            yield from sys.set_link_up(device, True)
        elif prefix is not None:
            request = "SIOCSIFNETMASK"
            yield from _renumber(device, prefix)
    except OSError as error:
        yield from err(f"ifconfig: {request}: {error.strerror}\n")
        return 1
    return 0


def _renumber(device: str, prefix: int) -> Step:
    address = yield from _current(device)
    yield from sys.set_address(device, address, prefix)


def _current(device: str) -> Part[bytes]:
    interfaces = yield from sys.interfaces()
    for one in interfaces:
        if one.name == device:
            for address, _ in one.addresses:
                if len(address) == 4:
                    return address
    raise failure(errno.EADDRNOTAVAIL)


def _class(address: bytes) -> int:
    """The prefix length of an address's class (RFC 791 section 2.3)."""
    if address == bytes(4):
        return 0
    return 8 if address[0] < 128 else 16 if address[0] < 192 else 24


def describe(one: Interface) -> str:
    """What ``ifconfig`` prints about one interface."""
    lines = [f"{one.name:<9} " + _link(one)]
    lines += [INDENT + _inet(one, *pair) for pair in one.addresses]
    flags = " ".join(name for bit, name in FLAG_NAMES if one.flags & bit) or "[NO FLAGS]"
    lines += [
        f"{INDENT}{flags}  MTU:{one.mtu}  Metric:1",
        f"{INDENT}RX packets:{one.rx_packets} errors:{one.rx_errors} dropped:{one.rx_dropped} "
        f"overruns:{one.rx_overruns} frame:{one.rx_frame}",
        f"{INDENT}TX packets:{one.tx_packets} errors:{one.tx_errors} dropped:{one.tx_dropped} "
        f"overruns:{one.tx_overruns} carrier:{one.tx_carrier}",
        f"{INDENT}collisions:{one.collisions} txqueuelen:{one.txqueuelen} ",
        f"{INDENT}RX bytes:{scaled(one.rx_bytes)}  TX bytes:{scaled(one.tx_bytes)}",
    ]
    return "\n".join(lines) + "\n"


def _link(one: Interface) -> str:
    if one.flags & IFF_LOOPBACK:
        return "Link encap:Local Loopback  "
    return f"Link encap:Ethernet  HWaddr {mac_text(one.hardware).upper()}  "


def _inet(one: Interface, address: bytes, prefix: int) -> str:
    if len(address) == 16:
        return f"inet6 addr: {ip_text(address)}/{prefix} Scope:{_scope(address)}"
    mask = mask_from_prefix(prefix)
    text = f"inet addr:{ip_text(address)}  "
    if one.flags & IFF_BROADCAST:
        text += f"Bcast:{ip_text(broadcast_of(network_of(address, mask), mask))}  "
    return text + f"Mask:{ip_text(mask)}"


def _scope(address: bytes) -> str:
    if address == IP6_LOOPBACK:
        return "Host"
    if address[0] == 0xFE and address[1] & 0xC0 == 0x80:
        return "Link"
    if address[0] == 0xFE and address[1] & 0xC0 == 0xC0:
        return "Site"
    return "Global"


def scaled(count: int) -> str:
    """A count of bytes with its rounded form: ``1234 (1.2 KiB)``; always cut, never rounded up."""
    whole, tenths, unit = count, 0, ""
    for larger in ("Ki", "Mi"):
        if whole >= 1024:
            tenths = (whole % 1024) * 10 // 1024
            whole //= 1024
            unit = larger
    return f"{count} ({whole}.{tenths} {unit}B)"
