"""What an original is: a real program that desim models a part of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from desim.data import NamedTuple, Protocol
from desim.engine.draw import Draw

Input = dict[str, Any]
"""A plain value of JSON; its ``moves`` are a list of ``[name, argument...]``."""
MOVES = "moves"


@dataclass
class Held:
    """What the real thing made of an input."""

    recording: dict[str, Any] | None = None
    """None if there is none, because of ``crash`` or ``error``."""
    crash: str = ""
    """How the real thing ended, if it crashed."""
    error: str = ""
    """Why the input is none, or could not be given."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What is to be counted for people: what was done, what was left out."""


class Judged(NamedTuple):
    """A recording replayed on the model."""

    difference: str
    """The first one, on one line; empty if there is none."""
    shown: str
    """More for people, on lines of its own."""
    marks: frozenset[str]


class Peer(Protocol):
    """The running original."""

    def hold(self, given: Input) -> Held:
        """Give it one input."""

    def close(self) -> None:
        """End it."""


class Original(Protocol):
    """One of ``ORIGINALS`` (table.py). An instance is picklable: it goes to other processes."""

    name: str
    """As ``--against`` has it."""
    version: str
    """The one that is modelled, for people."""
    things: str
    """What inputs are, for people, in the plural."""
    core: str
    """As ``desim conform`` has it."""
    by_chance: int
    """How often an input is given again before its difference counts: what the original's
    surroundings did once by chance is none."""

    def open(self) -> Peer:
        """Start it; raises ``UserError`` if it is missing, or not the version that is modelled."""

    def draw(self, number: int) -> Input:
        """Input ``number``."""

    def changed(self, given: Input, draw: Draw) -> Input:
        """``given`` with something else in place of some of it that is not ``moves``."""

    def is_input(self, given: Mapping[str, Any]) -> bool:
        """Whether it has the form of one, so that it may be given."""

    def judge(self, recording: dict[str, Any], *, watch: bool = True) -> Judged:
        """Replay ``recording`` on the model; without ``watch`` there are no marks."""

    def known_marks(self) -> list[str]:
        """All marks that there are."""
