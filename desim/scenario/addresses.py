"""Addresses as QEMU reads them: inet_aton, inet_pton and net_parse_macaddr.

inet_aton takes more than dotted quads: one to four parts, each decimal, octal
with a leading 0 or hexadecimal with 0x, the last part filling what is left.
The C library's own reading of odd input differs between systems, so these
functions do not ask it.
"""

from __future__ import annotations

import re

_HEX = r"0[xX][0-9a-fA-F]{1,16}"
_OCTAL = r"0[0-7]{0,20}"
_MAX_DIGITS = 19
"""Of a decimal one."""


def parse_number(text: str) -> int | None:
    """A whole unsigned number as strtol reads it with base 0; None if it is not one."""
    if text.isascii() and text.isdigit() and (text[0] != "0" or text == "0"):
        return int(text) if len(text) <= _MAX_DIGITS else None
    if re.fullmatch(_HEX, text):
        return int(text, 16)
    if re.fullmatch(_OCTAL, text):
        return int(text, 8)
    return None


def inet_aton(text: str) -> bytes | None:
    """The packed IPv4 address; None if ``text`` is not one."""
    parts = [parse_number(part) for part in text.split(".")]
    if len(parts) > 4:
        return None
    value = 0
    for part in parts[:-1]:
        if part is None or part > 0xFF:
            return None
        value = value << 8 | part
    last, room = parts[-1], 8 * (5 - len(parts))
    if last is None or last >> room:
        return None
    return (value << room | last).to_bytes(4, "big")


def inet_pton6(text: str) -> bytes | None:
    """The packed IPv6 address; None if ``text`` is not one."""
    if "%" in text:
        return None
    from ipaddress import AddressValueError, IPv6Address  # few scenarios have one

    try:
        return IPv6Address(text).packed
    except AddressValueError:
        return None


def parse_macaddr(text: str) -> bytes | None:
    """The packed MAC from six hexadecimal parts with ``:`` or ``-`` between them.

    A single number stands for the last three bytes behind 52:54:00, as with
    ``-net nic`` (net_parse_macaddr).
    """
    number = parse_number(text)
    if number is not None:
        return b"\x52\x54\x00" + (number & 0xFFFFFF).to_bytes(3, "big")
    match = re.fullmatch(r"[0-9a-fA-F]{1,2}(?:([:-])[0-9a-fA-F]{1,2}){5}", text)
    if match is None:
        return None
    parts = re.split("[:-]", text)
    return bytes(int(part, 16) for part in parts)


def show_ipv4(address: bytes) -> str:
    """Dotted decimal."""
    return ".".join(map(str, address))


def show_mac(mac: bytes) -> str:
    """Six pairs of hexadecimal digits."""
    return mac.hex(":")


def class_mask(net: bytes) -> bytes:
    """The mask of ``net=`` without one, by net_slirp_init's own idea of classes."""
    address = int.from_bytes(net, "big")
    if not address & 0x80000000:
        bits = 8
    elif address & 0xFFF00000 == 0xAC100000:
        bits = 12
    elif address & 0xC0000000 == 0x80000000:
        bits = 16
    elif address & 0xFFFF0000 == 0xC0A80000:
        bits = 16
    elif address & 0xFFFF0000 == 0xC6120000:
        bits = 15
    elif address & 0xE0000000 == 0xE0000000:
        bits = 24
    else:
        bits = 28  # what is left of the old class C
    return prefix_mask(bits)


def prefix_mask(bits: int) -> bytes:
    """The IPv4 mask with ``bits`` leading ones."""
    return (0xFFFFFFFF << 32 - bits & 0xFFFFFFFF).to_bytes(4, "big")
