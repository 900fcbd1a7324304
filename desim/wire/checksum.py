"""The Internet checksum (RFC 1071), on whole byte strings at once.

The ones' complement sum of 16-bit words is arithmetic modulo 65535, and 65536 is
1 modulo 65535; so the sum of a byte string is the string itself, read as one
big-endian number, modulo 65535. One division in C replaces the loop. Two things
need care: a remainder of 0 stands for 0xFFFF unless every byte is zero, and an
odd length is padded with a zero byte on the right.

Dividing a long number takes longer than reading it. So it is folded first, which
the same law allows: what stands above a whole number of words is added to what
stands below them. ``python -m benchmarks wire`` shows what that gains.
"""

from __future__ import annotations

from functools import cache

from desim.wire.errors import WireError

Octets = bytes | bytearray | memoryview
"""What can be summed where it lies, without a copy."""

_FRAME = tuple((8 * size, (1 << 8 * size) - 1) for size in (184 << n for n in range(3, -1, -1)))
"""Bits and mask: by halves, from the length of a frame to what is divided as fast as folded again.

A multiple of 184 a little above half of 1460, because that is how long most of it is.
"""
_SHORT = 1 << 8 * 2 * 184
"""Below, a number is not worth folding."""
_LONG = 1 << 8 * 16 * 184
"""Below, a number is that of one frame."""


@cache
def _long() -> tuple[tuple[int, int], ...]:
    """The same from 64 KiB on: 100 KiB, and few runs have a number that long."""
    more = ((8 * size, (1 << 8 * size) - 1) for size in (184 << n for n in range(8, 3, -1)))
    return (*more, *_FRAME)


def remainder(number: int) -> int:
    """``number % 0xFFFF``, for numbers as long as a packet."""
    if number >= _SHORT:
        for bits, mask in _long() if number >= _LONG else _FRAME:
            if number > mask:
                number = (number >> bits) + (number & mask)
    return number % 0xFFFF


def ones_sum(data: Octets) -> int:
    """The folded ones' complement sum of ``data`` as big-endian 16-bit words, not inverted."""
    number = int.from_bytes(data, "big")
    total = remainder(number)
    if len(data) & 1:
        total = (total << 8) % 0xFFFF
    # "or" picks 0xFFFF for a multiple of 65535 and 0 only where there is nothing but zeros.
    return total or (0xFFFF if number else 0)


def checksum(data: Octets, initial: int = 0) -> int:
    """The checksum to store over ``data``; ``initial`` is a sum to start from (pseudo header)."""
    number = int.from_bytes(data, "big")
    total = remainder(number)
    if len(data) & 1:
        total <<= 8
    # -n % 65535 is the inverse of the sum: 0 where that is 0xFFFF.
    return -(total + initial) % 0xFFFF if number or initial else 0xFFFF


def pseudo_sum(src: bytes, dst: bytes, protocol: int, length: int) -> int:
    """The sum of the pseudo header of ``length`` bytes of TCP, UDP or ICMPv6.

    For 4-byte addresses as in RFC 9293 section 3.1, for 16-byte ones as in RFC
    8200 section 8.1. The result is not folded to 16 bits; pass it as ``initial``.
    A driver that leaves the sum to its card stores it folded: ``% 0xFFFF``.
    """
    if len(src) != len(dst) or len(src) not in (4, 16):
        raise WireError(f"a pseudo header needs two addresses of one family, not {src!r}, {dst!r}")
    return int.from_bytes(src, "big") + int.from_bytes(dst, "big") + protocol + length
