"""The Ethernet frame that travels: bytes once, and what is known about them beside."""

from __future__ import annotations

MIN_FRAME = 60
"""Bytes of the shortest frame on a real wire, without its FCS."""


class Frame:
    """One Ethernet frame without preamble and FCS. Changed bytes are a new Frame.

    ``number`` is given at the first capture point it passes and stays with it
    through copies that only pad; 0 means it has not been seen yet.
    """

    __slots__ = ("number", "raw")

    def __init__(self, raw: bytes, number: int = 0) -> None:
        self.raw = raw
        self.number = number

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"Frame({self.raw!r})"

    def padded(self, size: int = MIN_FRAME) -> Frame:
        """This frame, or one filled up with zeros to ``size`` bytes."""
        if len(self.raw) >= size:
            return self
        return Frame(self.raw.ljust(size, b"\0"), self.number)
