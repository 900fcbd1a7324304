"""The domain search list as a DHCP option (slirp/dnssearch.c, RFC 3397).

Names are sequences of labels; a name that ends as an earlier one does points there
(RFC 1035 section 4.1.4). The result is cut into options of at most 255 bytes.
"""

from __future__ import annotations

OPT_DOMAIN_SEARCH = 119
MAX_OPT_LEN = 255
POINTER_MAX = 0x3FFF
POINTER_LEN = 2


def translate_dnssearch(names: list[str]) -> bytes:
    """The options for ``names``; a name that cannot be written is left out."""
    encoded = [_labels(name.encode()) for name in names]
    placed: list[tuple[int, int]] = []
    out = bytearray()
    for index, labels in enumerate(encoded):
        length = len(labels)
        common, target = _reference(encoded, index)
        kept = labels
        if common:
            at, compact = placed[target]
            # slirp counts from the end of what is left of the other name.
            offset = at + compact - common
            if 0 <= offset < POINTER_MAX:
                kept = labels[: length - common] + (0xC000 | offset).to_bytes(2, "big")
        placed.append((len(out), len(kept)))
        out += kept
    return b"".join(
        bytes((OPT_DOMAIN_SEARCH, len(block))) + block
        for block in (out[at : at + MAX_OPT_LEN] for at in range(0, len(out), MAX_OPT_LEN))
    )


def _labels(name: bytes) -> bytes:
    """``name`` in the form of RFC 1035, closed by a zero; b"" if it has a bad label."""
    parts = name.split(b".")
    if not name or b"" in parts[:-1] or any(len(part) > 63 for part in parts):
        return b""
    if parts[-1] == b"":
        del parts[-1]
    return b"".join(bytes((len(part),)) + part for part in parts) + b"\0"


def _reference(encoded: list[bytes], index: int) -> tuple[int, int]:
    """The longest end that name ``index`` shares with an earlier one, and the first that has it."""
    shared = [_common(encoded[index], earlier) for earlier in encoded[:index]]
    longest = max(shared, default=0)
    if longest <= POINTER_LEN:
        return 0, 0
    return longest, next(i for i, common in enumerate(shared) if common >= longest)


def _common(a: bytes, b: bytes) -> int:
    """How many bytes of whole labels ``a`` and ``b`` have in common at the end."""
    if not a or not b:
        return 0
    same = 0
    limit = min(len(a), len(b))
    while same < limit and a[-1 - same] == b[-1 - same]:
        same += 1
    at = 0
    while a[at] and at < len(a) - same:
        at += a[at] + 1
    return len(a) - at
