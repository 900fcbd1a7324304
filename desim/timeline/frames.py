"""The frames of a run by their numbers, wherever they were captured."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from desim.machine.capture import Capture


class Frames:
    """Bytes of frames by number; of each frame it knows the place in a capture, no more."""

    def __init__(self, captures: Mapping[str, Capture]) -> None:
        self._captures = list(captures.values())
        self._where = array("q")
        for which, capture in enumerate(self._captures):
            for place, (_, _, number, _) in enumerate(capture.appended()):
                if number >= len(self._where):
                    self._where.extend([-1] * (number + 1 - len(self._where)))
                if self._where[number] < 0:
                    self._where[number] = place * len(self._captures) + which

    def __len__(self) -> int:
        """One more than the highest number."""
        return len(self._where)

    def raw(self, number: int) -> bytes | None:
        """The frame's bytes; None if it passed no capture point."""
        found = self._where[number] if 0 <= number < len(self._where) else -1
        if found < 0:
            return None
        place, which = divmod(found, len(self._captures))
        return self._captures[which][place].frame.raw
