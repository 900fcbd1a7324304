"""A corpus: inputs that were the first to hit a mark, in a folder, and changes of them.

What is in the folder when a search begins is what the search changes, so one folder and one seed
are one search. What hits a mark that no file has is put there, for the next search.
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from desim.against.original import MOVES, Input, Original
from desim.engine.draw import Draw
from desim.errors import UserError

TRIES = 8
"""How often another change is tried if one makes no input."""


class Corpus:
    """The inputs of a folder, which is made if need be.

    Raises ``UserError`` for a file that is none of its own.
    """

    def __init__(self, folder: Path, original: Original) -> None:
        self.folder = folder
        self.original = original
        self.entries: list[Input] = []
        self.marks: set[str] = set()
        """Those that its inputs have hit."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.json")):
            try:
                entry = json.loads(path.read_bytes())
                marks, given = entry["marks"], entry[original.name]
            except (ValueError, KeyError, TypeError, RecursionError):
                raise UserError(f"{path}: not of a corpus of --against {original.name}") from None
            if not original.is_input(given):
                raise UserError(f"{path}: not an input of --against {original.name}")
            self.entries.append(given)
            self.marks |= set(marks)

    def keep(self, number: int, given: Input, marks: frozenset[str]) -> None:
        """Put ``given`` into the folder if it has hit a mark that nobody has."""
        new = sorted(marks - self.marks)
        if new:
            self.marks |= marks
            entry = {"marks": sorted(marks), self.original.name: given}
            path = self.folder / f"{new[0]}-{number}.json"
            path.write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")

    def input(self, number: int) -> Input:
        """Input ``number`` of a search: every other one is a change of an entry."""
        drawn = self.original.draw(number)
        if not self.entries or not number & 1:
            return drawn
        draw = Draw(number, "fuzz mutation")
        for _ in range(TRIES):
            made = deepcopy(draw.pick(self.entries))
            for _ in range(draw.between(1, 3)):
                made = self._changed(made, drawn, draw)
            if self.original.is_input(made):
                return made
        return drawn

    def _changed(self, given: Input, drawn: Input, draw: Draw) -> Input:
        moves = given[MOVES]
        first, last = sorted((draw.between(0, len(moves)), draw.between(0, len(moves))))
        way = draw.between(0, 5)
        if way == 0:
            del moves[first:last]
        elif way == 1:
            moves[last:last] = deepcopy(moves[first:last])
        elif way == 2:
            moves[first:first] = drawn[MOVES]
        elif way == 3:
            moves[first:first] = deepcopy(draw.pick(self.entries)[MOVES])
        elif way == 4:
            return self.original.changed(given, draw)
        elif moves:
            _another_number(draw.pick(moves), draw)
        return given


def _another_number(move: list[Any], draw: Draw) -> None:
    places = [at for at, value in enumerate(move) if type(value) is int]
    if places:
        at = draw.pick(places)
        value = move[at]
        move[at] = draw.pick([0, 1, value + 1, max(value - 1, 0), value // 2, value * 2])
