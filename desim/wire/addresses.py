"""Addresses: packed bytes inside the program, text at its edges.

An address is ``bytes``: 6 for a MAC, 4 for IPv4, 16 for IPv6. Packed addresses
compare, hash and slice faster than any object, and are what headers hold.
"""

from __future__ import annotations

from desim.wire.errors import WireError

Endpoint = tuple[bytes, int]
"""A packed address and a port."""

BROADCAST_MAC = b"\xff" * 6
ZERO_MAC = bytes(6)
IP_ANY = bytes(4)
IP_BROADCAST = b"\xff" * 4
LOOPBACK = b"\x7f\x00\x00\x01"
IP6_ANY = bytes(16)
IP6_LOOPBACK = bytes(15) + b"\x01"

_OCTETS = frozenset(map(str, range(256)))
_HEX = frozenset("0123456789abcdefABCDEF")


def mac(text: str) -> bytes:
    """The 6 bytes of a MAC such as ``52:54:00:12:34:56``."""
    pairs = text.split("-" if "-" in text else ":")
    if len(pairs) != 6 or not all(len(pair) == 2 and _HEX.issuperset(pair) for pair in pairs):
        raise WireError(f"{text!r} is not a MAC address; expected six hex pairs, 52:54:00:12:34:56")
    return bytes.fromhex("".join(pairs))


def mac_text(address: bytes) -> str:
    """``52:54:00:12:34:56`` for its 6 bytes."""
    if len(address) != 6:
        raise WireError(f"a MAC address has 6 bytes, not {len(address)} ({address!r})")
    return address.hex(":")


def ip(text: str) -> bytes:
    """The 4 or 16 bytes of an IPv4 or IPv6 address."""
    if ":" in text:
        return _groups(text) or _ip6(text)
    parts = text.split(".")
    if len(parts) != 4 or not _OCTETS.issuperset(parts):
        raise WireError(f"{text!r} is not an IP address; expected four decimal bytes, 10.0.2.2")
    return bytes(map(int, parts))


def _groups(text: str) -> bytes | None:
    """The bytes of an IPv6 address that is written with groups alone; None for other texts.

    NOTE: ``ipaddress``, which knows all forms and what is wrong with a text, is 0.7 % of a start.
    """
    front, gap, back = text.partition("::")
    first = front.split(":") if front else []
    last = back.split(":") if back else []
    left_out = 8 - len(first) - len(last)
    if left_out < 1 if gap else left_out:
        return None
    groups = [*first, *["0"] * left_out, *last]
    if not all(0 < len(group) <= 4 and _HEX.issuperset(group) for group in groups):
        return None
    return b"".join(int(group, 16).to_bytes(2, "big") for group in groups)


def _ip6(text: str) -> bytes:
    """The bytes of an IPv6 address."""
    import ipaddress

    try:
        address = ipaddress.IPv6Address(text)
    except ValueError as error:
        raise WireError(f"{text!r} is not an IPv6 address ({error})") from None
    if address.scope_id is not None:
        raise WireError(f"{text!r} has a scope (%{address.scope_id}); expected none")
    return address.packed


def ip_text(address: bytes) -> str:
    """``10.0.2.2`` for 4 bytes, RFC 5952 text for 16."""
    if len(address) == 4:
        return ".".join(map(str, address))
    if len(address) == 16:
        return _ip6_text(address)
    raise WireError(f"an IP address has 4 or 16 bytes, not {len(address)} ({address!r})")


def _ip6_text(address: bytes) -> str:
    # Written out because libc and Python versions disagree on addresses that embed IPv4.
    groups = [f"{high << 8 | low:x}" for high, low in zip(address[::2], address[1::2], strict=True)]
    for length in range(8, 1, -1):  # the longest run of zeros, and of several the first
        for at in range(9 - length):
            if groups[at : at + length] == ["0"] * length:
                return f"{':'.join(groups[:at])}::{':'.join(groups[at + length :])}"
    return ":".join(groups)


def mask_from_prefix(prefix: int, size: int = 4) -> bytes:
    """The mask of a prefix length: 24 gives 255.255.255.0 (``size`` 16 is for IPv6)."""
    bits = size * 8
    if not 0 <= prefix <= bits:
        raise WireError(f"{prefix} is not a prefix length; expected 0 to {bits}")
    return (((1 << prefix) - 1) << (bits - prefix)).to_bytes(size, "big")


def prefix_from_mask(mask: bytes) -> int:
    """The prefix length of a mask whose ones are contiguous."""
    prefix = int.from_bytes(mask, "big").bit_count()
    if len(mask) not in (4, 16) or mask != mask_from_prefix(prefix, len(mask)):
        raise WireError(f"{mask!r} is not a network mask; expected ones, then zeros")
    return prefix


def network_of(address: bytes, mask: bytes) -> bytes:
    """``address`` with the host's part cleared."""
    _same_family(address, mask)
    return bytes(a & m for a, m in zip(address, mask, strict=True))


def broadcast_of(network: bytes, mask: bytes) -> bytes:
    """``network`` with all ones in the host's part."""
    _same_family(network, mask)
    return bytes(n | (m ^ 0xFF) for n, m in zip(network, mask, strict=True))


def in_network(address: bytes, network: bytes, mask: bytes) -> bool:
    """Whether ``address`` lies in ``network``/``mask``."""
    return network_of(address, mask) == network_of(network, mask)


def is_multicast_mac(address: bytes) -> bool:
    """Whether the group bit is set (broadcast counts)."""
    return bool(address[0] & 1)


def is_multicast_ip(address: bytes) -> bool:
    """224.0.0.0/4 or ff00::/8."""
    if len(address) == 4:
        return address[0] & 0xF0 == 0xE0
    return address[0] == 0xFF


def multicast_mac(address: bytes) -> bytes:
    """The MAC that a multicast IP address is sent to (RFC 1112 section 6.4, RFC 2464 section 7)."""
    if len(address) == 4:
        return b"\x01\x00\x5e" + bytes((address[1] & 0x7F,)) + address[2:]
    return b"\x33\x33" + address[12:]


def _same_family(address: bytes, mask: bytes) -> None:
    if len(address) != len(mask):
        raise WireError(
            f"address {ip_text(address)} and mask {ip_text(mask)} are of different families"
        )


def is_multicast(address: bytes) -> bool:
    """Whether an IPv4 or IPv6 address stands for a group."""
    return address[0] >> 4 == 14 if len(address) == 4 else address[0] == 0xFF
