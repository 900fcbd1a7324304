"""A corpus: scenarios that were the first to hit a mark, in a folder, and changes of them.

Each is a file that ``desim run`` runs, with its marks in the first comment. What is in the folder
when a search begins is what the search changes, so one folder and one seed are one search. What
hits a mark that no file has is put there, for the next search.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from desim.engine.draw import Draw
from desim.errors import ScenarioError, UserError
from desim.fuzz.bench import KINDS
from desim.fuzz.campaign import Example
from desim.fuzz.scenario import scenario_from
from desim.fuzz.toml import text_of
from desim.fuzz.traffic import traffic_of

HEAD = "# marks: "
_NUMBER = re.compile(r"\b[0-9]+\b")


class Corpus:
    """The scenarios of a folder, which is made if need be.

    Raises ``UserError`` for a file that is none of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[dict[str, Any]] = []
        self.marks: set[str] = set()
        """Those that its scenarios have hit."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.toml")):
            text = path.read_text(encoding="utf-8")
            first = text.partition("\n")[0]
            try:
                self.entries.append(tomllib.loads(text))
            except tomllib.TOMLDecodeError as error:
                raise UserError(f"{path}: {error}") from None
            if not first.startswith(HEAD):
                raise UserError(f"{path}: not of a corpus: its first line is not {HEAD!r}...")
            self.marks |= set(first.removeprefix(HEAD).split())

    def keep(self, example: Example, marks: frozenset[str]) -> None:
        """Put ``example`` into the folder if it has hit a mark that nobody has."""
        new = sorted(marks - self.marks)
        if new:
            self.marks |= marks
            text = text_of(example.data)
            path = self.folder / f"{new[0]}-{example.number}.toml"
            path.write_text(f"{HEAD}{' '.join(sorted(marks))}\n\n{text}", encoding="utf-8")

    def examples(self, drawn: Iterator[Example]) -> Iterator[Example]:
        """Every other one of ``drawn``, and in place of the rest changes of the scenarios."""
        entries = list(self.entries)
        for example in drawn:
            if not entries or not example.number & 1:
                yield example
            else:
                draw = Draw(example.number, "fuzz mutation")
                data = changed(draw.pick(entries), draw, example.number)
                yield Example(example.number, data, drawn=False)


def changed(entry: Mapping[str, Any], draw: Draw, number: int) -> dict[str, Any]:
    """``entry`` with one to three things changed; with another seed if nothing else can be."""
    for _ in range(8):
        data = deepcopy(dict(entry))
        for _ in range(draw.between(1, 3)):
            draw.pick(CHANGES)(data, draw, number)
        try:
            scenario_from(data, "changed")
        except ScenarioError:
            continue
        return data
    return {**entry, "seed": draw.between(1, 999)}


def _another_seed(data: dict[str, Any], draw: Draw, number: int) -> None:
    data["seed"] = draw.between(1, 999)


def _other_traffic(data: dict[str, Any], draw: Draw, number: int) -> None:
    traffic = traffic_of(number, frozenset(KINDS), long=False)
    for side in ("guest", "host"):
        table = {key: value for key, value in data.get(side, {}).items() if key != "run"}
        data[side] = {**table, **traffic.get(side, {})}


def _another_number(data: dict[str, Any], draw: Draw, number: int) -> None:
    """One number in one command."""
    runs = [run for side in ("guest", "host") for run in data.get(side, {}).get("run", ())]
    if not runs:
        return
    run = draw.pick(runs)
    found = list(_NUMBER.finditer(run["command"]))
    if found:
        one = draw.pick(found)
        value = int(one[0])
        other = draw.pick([0, value + 1, max(value - 1, 0), value // 2, value * 2])
        run["command"] = f"{run['command'][: one.start()]}{other}{run['command'][one.end() :]}"


def _a_command_less(data: dict[str, Any], draw: Draw, number: int) -> None:
    side = draw.pick(["guest", "host"])
    runs = data.get(side, {}).get("run", [])
    if len(runs) > 1:
        runs.pop(draw.between(0, len(runs) - 1))


CHANGES = (_another_seed, _other_traffic, _another_number, _another_number, _a_command_less)
