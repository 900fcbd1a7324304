"""A scenario that breaks a law, as a file: readable, and ``desim run`` replays it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from desim.data import NamedTuple
from desim.fuzz.judge import GOES_ON, MARKS, MODELS, Breach
from desim.fuzz.toml import text_of
from desim.laws.table import LAWS

WIDTH = 92


class Finding(NamedTuple):
    """One law broken by one scenario."""

    number: int | None
    """Of the example; None if it is one that was changed, or somebody's file."""
    data: Mapping[str, Any]
    """The scenario."""
    breach: Breach
    story: tuple[str, ...] = ()
    """The first lines of how it came about."""
    drawn: bool = True
    """Whether the number alone says what the scenario is."""

    @property
    def name(self) -> str:
        """A name for its file, without ``.toml``."""
        return self.breach.law if self.number is None else f"{self.breach.law}-{self.number}"

    def text(self, laws_file: str = "") -> str:
        """The file: law, seed and story in comments, then the scenario that expects the law."""
        law = self.breach.law
        known = LAWS.get(law)
        comments = [f"Breaks the law {law}:"]
        if known is not None:
            comments += _wrapped(known.summary)
        comments += ["Seen:", *_wrapped(self.breach.text)]
        if self.number is not None and self.drawn:
            comments.append(f"Found by: desim fuzz --seed {self.number} --examples 1")
        replay = f"desim run {self.name}.toml"
        if known is not None and known.process:
            replay = f"PYTHONHASHSEED=1 {replay}, and =2: their ids differ"
        if known is None and law not in MODELS:
            replay += f" --laws {laws_file}"
        comments.append(f"Replay:   {replay}")
        if self.story:
            comments += ["How it came about:", *(f"  {line}" for line in self.story)]
        return text_of(expecting(self.data, law), tuple(comments))

    def short(self, name: str, laws_file: str = "") -> str:
        """The file in as few lines as can be, for one that was made small."""
        theirs = self.breach.law not in (*LAWS, *MODELS) and laws_file
        replay = f"desim run {name}.toml" + (f" --laws {laws_file}" if theirs else "")
        comments = (f"{self.breach.law}: {self.breach.text}", replay)
        return text_of(expecting(self.data, self.breach.law), comments)

    def save(self, folder: Path, laws_file: str = "") -> Path:
        """Write the file into ``folder``, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.toml"
        path.write_text(self.text(laws_file), encoding="utf-8")
        return path


def expecting(data: Mapping[str, Any], law: str) -> dict[str, Any]:
    """The scenario, which is to keep ``law`` (if that is one that a file can name)."""
    made = dict(data)
    if law == GOES_ON:
        made["run"] = {"limits": {"marks": MARKS}, **made.get("run", {})}
    if law in LAWS and not LAWS[law].process:
        expect = dict(made.get("expect", {}))
        expect["laws"] = [law]
        made["expect"] = expect
    return made


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")
