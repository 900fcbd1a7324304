"""The Ethernet frame that travels: bytes once, and what is known about them beside."""

from __future__ import annotations

from typing import Literal

from desim.wire.parsed import Segment, parse_segment

MIN_FRAME = 60
"""Bytes of the shortest frame on a real wire, without its FCS (IEEE 802.3, minFrameSize)."""
FCS_LEN = 4
"""Bytes of the checksum behind each frame on a real wire."""


class Frame:
    """One Ethernet frame without preamble and FCS. Changed bytes are a new Frame.

    ``number`` is given at the first capture point it passes and stays with it
    through copies that only pad; 0 means it has not been seen yet.
    """

    __slots__ = ("known", "number", "raw")

    known: Segment | Literal[False] | None
    """What ``segment`` has found; False while nobody has asked.

    NOTE: looked at first where every frame comes by: a property is a call each time (2 a frame).
    """

    def __init__(self, raw: bytes, number: int = 0) -> None:
        self.raw = raw
        self.number = number
        self.known = False

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"Frame({self.raw!r})"

    @property
    def segment(self) -> Segment | None:
        """Its TCP segment, read at the first call; None if it is not plain TCP over IPv4."""
        known = self.known
        if known is False:
            known = self.known = parse_segment(self.raw)
        return known

    def padded(self, size: int = MIN_FRAME) -> Frame:
        """This frame, or one filled up with zeros to ``size`` bytes."""
        if len(self.raw) >= size:
            return self
        frame = Frame(self.raw.ljust(size, b"\0"), self.number)
        # IPv4 carries its own length, so padding does not change what is in it. It can
        # complete a frame that was cut short, so "nothing found" does not carry over.
        frame.known = self.known or False
        return frame
