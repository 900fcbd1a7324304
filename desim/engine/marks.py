"""Marks: the entry or exit of a stage or wait, as one ``int``: ``instant (ns) << 16 | code``.

A code is even for an entry and odd for the matching exit; ``Codes`` knows the names. Stages
and waits share the numbers: a wait is a stage named ``(poll)``.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence

from desim.stages import Landmark, Owner

CODE_BITS = 16
CODE_MASK = (1 << CODE_BITS) - 1


class Codes:
    """The numbers of stages and waits; given out in order of first use."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.files: list[str] = []
        self.owners: list[Owner | None] = []
        self.landmarks: list[Landmark | None] = []
        self._codes: dict[tuple[str, str], int] = {}

    def stage(
        self,
        name: str,
        file: str,
        owner: Owner | None = None,
        landmark: Landmark | None = None,
    ) -> int:
        """The (even) code of a stage; ``owner`` and ``landmark`` are those of its mark."""
        key = (name, file)
        if key not in self._codes:
            self._codes[key] = 2 * len(self.names)
            self.names.append(name)
            self.files.append(file)
            self.owners.append(owner)
            self.landmarks.append(landmark)
            assert self._codes[key] < CODE_MASK, "too many stages for 16 bits"
        return self._codes[key]

    def known(self, name: str, file: str) -> int | None:
        """The code of a stage, if it has one."""
        return self._codes.get((name, file))

    def wait(self, reason: str) -> int:
        """The (even) code of a wait, called ``(reason)``."""
        return self.stage(f"({reason})", "")

    def name(self, code: int) -> str:
        """The name behind an entry or exit code."""
        return self.names[code >> 1]

    def file(self, code: int) -> str:
        """The file behind an entry or exit code; "" for a wait."""
        return self.files[code >> 1]

    def owner(self, code: int) -> Owner | None:
        """Whose code is behind an entry or exit code; None for a wait."""
        return self.owners[code >> 1]

    def landmark(self, code: int) -> Landmark | None:
        """What an entry or exit code means for a message on its way."""
        return self.landmarks[code >> 1]

    def entries(self, landmark: Landmark) -> frozenset[int]:
        """The codes of entry of all stages that are this landmark."""
        return frozenset(2 * n for n, found in enumerate(self.landmarks) if found is landmark)

    def is_wait(self, code: int) -> bool:
        """Whether the code is that of a wait."""
        return not self.files[code >> 1]


class Row:
    """Marks that are made together each time, with times counted from their begin."""

    # NOTE: a begin is added to all times at one go: they are one long number of 64 bits for each
    # (0.3 of the instructions that a list of marks takes until it is split, and no page faults).

    __slots__ = ("_ones", "_times", "codes", "marks")

    def __init__(self, marks: Sequence[int]) -> None:
        self.marks = marks
        times, self.codes = split(marks)
        self._times = int.from_bytes(times.tobytes(), sys.byteorder)
        ones = array("q", [1]) * len(marks)
        self._ones = int.from_bytes(ones.tobytes(), sys.byteorder)

    def times(self, begin: int) -> bytes:
        """The times (ns), as an array of "q" has them, if the row begins then."""
        times = self._times + begin * self._ones
        return times.to_bytes(8 * len(self.marks), sys.byteorder)


_EIGHT_BYTES = "L" if array("L").itemsize == 8 else "Q"
"""An array of these takes a third of the instructions of one of "Q", where both are the same."""


def split(marks: Sequence[int]) -> tuple[array[int], array[int]]:
    """The times of ``marks`` (ns), and their codes."""
    # NOTE: cut as bytes and not by arithmetic, which takes four times as long: a mark is four
    # numbers of 16 bits, the lowest of which is its code.
    try:
        parts = array("H", array(_EIGHT_BYTES, marks).tobytes())
    except OverflowError:  # after 78 hours of virtual time
        parts = array("H")
    if sys.byteorder == "big" or not parts:
        times = array("q", [mark >> CODE_BITS for mark in marks])
        return times, array("H", [mark & CODE_MASK for mark in marks])
    codes = parts[::4]
    # One part further on there is the time, with the next mark's code above it.
    del parts[0]
    parts.append(0)
    parts[3::4] = array("H", bytes(2 * len(codes)))
    return array("q", parts.tobytes()), codes
