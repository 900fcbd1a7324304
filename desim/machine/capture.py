"""The frames that pass a capture point."""

from __future__ import annotations

from typing import Any

from desim.data import NamedTuple
from desim.spool import Batches, Spool
from desim.wire.frame import Frame

FRAMES = 64
"""How many are put away together."""


class Captured(NamedTuple):
    """One packet of a capture: when (ns), towards the guest or from it, which."""

    time: int
    to_guest: bool
    frame: Frame


class Capture(Batches[Captured]):
    """The packets of a capture point, in their order: a sequence that takes little memory.

    What is appended are tuples of when, to the guest or not, the frame's number and its bytes.
    The frames are made anew when they are looked at: equal ones, not the same.
    """

    __slots__ = ()

    def __init__(self, spool: Spool) -> None:
        super().__init__(spool, FRAMES)

    def _shown(self, values: list[Any]) -> list[Captured]:
        return [
            Captured(time, to_guest, Frame(raw, number)) for time, to_guest, number, raw in values
        ]
