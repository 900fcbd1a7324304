"""``[[inject]]``: the frames that an injector sends, from hexadecimal text or a capture file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from desim.config import Train
from desim.engine.streams import Stream
from desim.scenario.inputs import Inputs
from desim.scenario.schema import INSTANT, comes_again, reading_of
from desim.scenario.tables import Place, Spelled, Table, Text, Whole, key
from desim.wire.errors import WireError
from desim.wire.ethernet import HEADER_LEN

if TYPE_CHECKING:
    from desim.scenario.arrivals import Arrivals

MAX_FRAMES = 100_000
"""Of one table ``[[inject]]``, with all repetitions."""
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


def _frames(value: Any, place: Place) -> Burst:
    return read_frames(value)


def _pcap(value: str, place: Place) -> Burst:
    reading = reading_of(place)
    burst = read_pcap(value, reading.inputs, MAX_FRAMES)
    reading.files["guest"][value] = reading.inputs.file(value)
    return burst


class Inject(Table):
    """``[[inject]]``: what the injector sends, and when."""

    at: int = key(INSTANT)
    frames: Burst | None = key(Spelled(_frames, "texts"), None)
    pcap: Burst | None = key(Text(empty=False, check=_pcap), None)
    every: Arrivals | None = key(Spelled(comes_again), None)
    times: int | None = key(Whole(2, most=MAX_FRAMES), None)

    def contradictions(self) -> list[str]:
        """There must be something to send, and not too much of it."""
        if (self.frames is None) == (self.pcap is None):
            return ["needs frames or pcap, one of them"]
        if (self.every is None) != (self.times is None):
            return ['every and times go together, such as every = "1ms" and times = 10']
        if len(self.burst) * (self.times or 1) > MAX_FRAMES:
            return [f"would send more than {MAX_FRAMES} frames"]
        return []

    @property
    def burst(self) -> Burst:
        """What is sent each time."""
        return self.frames or self.pcap or []

    def trains(self, stream: Stream) -> list[Train]:
        """What is sent when; chance is drawn from ``stream``."""
        instants = [self.at]
        if self.every is not None and self.times is not None:
            instants = self.every.instants(self.at, self.times, stream)
        return [Train(at_ns=instant, frames=self.burst) for instant in instants]
