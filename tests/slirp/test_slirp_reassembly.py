"""Where the payload of a reassembled datagram begins, if its fragments' headers differ.

The whole has the header of the fragment at offset 0; the protocol is told the length of the
header of the fragment that arrived last. The frames are libslirp 4.7.0's; those of UDP and
TCP are in the recordings (``frag_options*``).
"""

from __future__ import annotations

import pytest
from hostile import GUEST_MAC, HOST_MAC, Bed, versions

from desim.slirp.version import Version
from desim.wire.addresses import ip
from desim.wire.checksum import checksum
from desim.wire.ipv4 import PROTO_ICMP

DATA = bytes((7 * i + 3) & 255 for i in range(29))
CUT = 16
"""Where the second fragment begins."""


def summed(data: bytes, at: int) -> bytes:
    return data[:at] + checksum(data).to_bytes(2, "big") + data[at + 2 :]


def fragment(options: bytes, offset: int, data: bytes, *, more: bool) -> bytes:
    size = 20 + len(options)
    header = bytes((0x40 | size // 4, 0)) + (size + len(data)).to_bytes(2, "big")
    header += bytes((0, 7)) + (offset // 8 | more << 13).to_bytes(2, "big")
    header += bytes((64, PROTO_ICMP, 0, 0)) + ip("10.0.2.15") + ip("10.0.2.2") + options
    return HOST_MAC + GUEST_MAC + b"\x08\0" + summed(header, 10) + data


@versions
@pytest.mark.parametrize(
    ("first", "last", "answer"),
    [
        (0, 0, "4500003100000000ff01a3bb...000023961f262d34..."),
        (4, 0, "4500002d00000000ff01a3bf...000aa4ff1f262d34..."),
        (8, 0, "4500002900000000ff01a3c3...000aee3a1f262d34..."),
        (8, 4, "4500002d00000000ff01a3bf...000aa4ff1f262d34..."),
        (0, 4, "4500003500000000ff01a3b7...000afff5080067f0..."),
        (0, 8, "4500003900000000ff01a3b3...000ab39b1f262d340800ec82..."),
        (4, 8, "4500003500000000ff01a3b7...000afff5080067f0..."),
    ],
)
def test_an_echo_request_begins_where_the_last_fragments_header_ends(
    version: Version, first: int, last: int, answer: str
) -> None:
    # The bytes that are looked at are made an echo request, wherever they are.
    whole = bytearray(bytes(first) + DATA)
    seen = bytearray(whole[last : last + len(DATA)])
    seen[:4] = b"\x08\0\0\0"
    whole[last : last + len(DATA)] = summed(bytes(seen), 2)
    options, data = bytes(whole[:first]), bytes(whole[first:])
    bed = Bed(version)
    bed.works()
    bed.slirp.ip.ip_id = 0
    assert not bed.guest(fragment(options, 0, data[:CUT], more=True))
    (reply,) = bed.guest(fragment(b"\1" * last, CUT, data[CUT:], more=False))
    found = reply.raw[14:].hex()
    header, message, _ = answer.split("...")
    assert found.startswith(header)
    assert found[40:].startswith(message)
    # All of the buffer goes out, whatever length the header says.
    assert len(reply.raw) == 14 + 20 + len(DATA)


@versions
@pytest.mark.parametrize(
    ("first", "second"),
    [((0, 16), (8, 32)), ((0, 24), (8, 32)), ((16, 32), (0, 24)), ((8, 32), (0, 16))],
)
def test_of_overlapping_fragments_the_older_wins_in_front_and_the_newer_behind(
    version: Version, first: tuple[int, int], second: tuple[int, int]
) -> None:
    """What lies in the overlap of the one that loses is nowhere in the answer."""
    whole = summed(b"\x08\0\0\0" + bytes(range(28)), 2)
    newer_loses = second[0] > first[0]
    bed = Bed(version)
    bed.works()
    replies = []
    for (start, end), loses in ((first, not newer_loses), (second, newer_loses)):
        data = bytearray(whole[start:end])
        if loses:
            shared = range(max(first[0], second[0]), min(first[1], second[1]))
            for at in shared:
                data[at - start] ^= 0xFF
        replies += bed.guest(fragment(b"", start, bytes(data), more=end < len(whole)))
    (reply,) = replies
    assert reply.raw[38:] == whole[4:]
