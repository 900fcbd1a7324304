"""``[[inject]]``: the frames that an injector sends, from hexadecimal text or a capture file."""

from __future__ import annotations

import re
from typing import Any

from desim.scenario.inputs import Inputs
from desim.wire.errors import WireError
from desim.wire.ethernet import HEADER_LEN

MAX_FRAME = 65536
"""Bytes; the net layer takes longer ones, but no capture file does."""

Burst = list[tuple[int, bytes]]
"""Frames with how much later than the first each one is (ns)."""


def read_frames(value: Any) -> Burst:
    """Of hexadecimal text, or a list of texts; they go one behind the other at one instant."""
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("must be the bytes of a frame in hexadecimal, as text, or a list of these")
    return [(0, _frame(re.sub(r"[\s:.-]", "", text))) for text in texts]


def _frame(digits: str) -> bytes:
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raise ValueError("must be hexadecimal: two digits for each byte") from None
    if not HEADER_LEN <= len(raw) <= MAX_FRAME:
        raise ValueError(
            f"a frame has {HEADER_LEN} to {MAX_FRAME} bytes, from its destination on and without "
            f"its checksum; this one has {len(raw)}"
        )
    return raw


def read_pcap(name: str, inputs: Inputs, most: int) -> Burst:
    """Of a capture file (pcap or pcapng), each frame as much later as there; ``most`` of them."""
    from desim.wire import pcapng  # few scenarios have one

    try:
        packets = pcapng.read(inputs.file(name).data, max_packets=most)
    except WireError as error:
        raise ValueError(f"no capture file that can be read: {error}") from None
    if not packets:
        raise ValueError("there is no packet in it")
    begin = packets[0].time_ns
    found: Burst = []
    for number, packet in enumerate(packets, 1):
        if packet.size != len(packet.raw):
            raise ValueError(
                f"packet {number} was cut when it was captured: "
                f"{len(packet.raw)} of {packet.size} bytes are there"
            )
        if not HEADER_LEN <= packet.size <= MAX_FRAME:
            raise ValueError(f"packet {number} has {packet.size} bytes")
        found.append((packet.time_ns - begin, packet.raw))
    # A capture on several interfaces need not be in order.
    return sorted(((max(later, 0), raw) for later, raw in found), key=lambda frame: frame[0])
