"""Protocol buffers' wire format, as far as Perfetto's trace needs it: fields are only written.

A field is its number and its kind, then a varint, 8 bytes, or a length and bytes. Messages lie in
bytes fields. The order of fields is that of the calls.
"""

from __future__ import annotations

import struct

VARINT, FIXED64, BYTES = 0, 1, 2


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


_SMALL = tuple(_varint(value) for value in range(1 << 12))
"""Most numbers are small: fields, lengths, numbers of names."""


def varint(value: int) -> bytes:
    """7 bits a byte, lowest first; negative numbers as 64 bits of two's complement."""
    return _SMALL[value] if 0 <= value < len(_SMALL) else _varint(value)


def number(field: int, value: int) -> bytes:
    """An integer, a bool or an enum."""
    return _SMALL[field << 3 | VARINT] + varint(value)


def fixed64(field: int, value: int) -> bytes:
    """An integer of 8 bytes."""
    return _SMALL[field << 3 | FIXED64] + struct.pack("<Q", value)


def message(field: int, *parts: bytes) -> bytes:
    """A message, made of its fields; or bytes."""
    body = b"".join(parts)
    return _SMALL[field << 3 | BYTES] + varint(len(body)) + body


def text(field: int, value: str) -> bytes:
    """A string."""
    return message(field, value.encode("utf-8", "backslashreplace"))
