"""Randomness with a name.

Each use draws from a stream of its own, seeded from the run's seed and the
stream's name: adding a stream disturbs no other. The generator is SHA-256 over a
counter, so that its numbers are the same in every Python and on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence


class Stream:
    """An endless sequence of bits that depends on a seed and a name only.

    ``given`` are numbers that ``below`` returns first, instead of its own.
    """

    def __init__(self, seed: int, name: str, given: Iterable[int] = ()) -> None:
        self.name = name
        self._given = list(given)
        self._key = f"desim\0{seed}\0{name}\0".encode()
        self._counter = 0
        self._words: list[int] = []

    def u32(self) -> int:
        """The next 32 bits."""
        if not self._words:
            block = hashlib.sha256(self._key + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
            self._words = [int.from_bytes(block[i : i + 4], "big") for i in range(0, 32, 4)]
        return self._words.pop(0)

    def below(self, limit: int) -> int:
        """A number in ``range(limit)``, all equally likely; ``limit`` is at most 2**32."""
        if not 0 < limit <= 1 << 32:
            raise ValueError(f"limit {limit} is not in 1..2**32")
        if self._given:
            number = self._given.pop(0)
            if not 0 <= number < limit:
                raise ValueError(f"{self.name}: {number} was given where 0..{limit - 1} is drawn")
            return number
        bound = (1 << 32) - (1 << 32) % limit
        while (word := self.u32()) >= bound:
            pass
        return word % limit


class Streams:
    """The named streams of one run; ``given`` are the first numbers of some.

    ``within`` stands in front of the names of all: those of a part of the run that is there twice.
    """

    def __init__(
        self, seed: int, given: Mapping[str, Sequence[int]] | None = None, within: str = ""
    ) -> None:
        self.seed = seed
        self._within = within
        self._given = given or {}
        self._streams: dict[str, Stream] = {}

    def __call__(self, name: str) -> Stream:
        """The stream called ``name``; the same object each time."""
        if name not in self._streams:
            self._streams[name] = Stream(self.seed, self._within + name, self._given.get(name, ()))
        return self._streams[name]
