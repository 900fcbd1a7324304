"""What a picture of the page consists of, whatever it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup

from desim.data import NamedTuple
from desim.report.page.places import WAITING, WAITING_CSS, Place

Trust = Literal["verified", "modelled", "assumed"]
"""How far a figure can be relied on: see ``TRUST``."""

TRUST: dict[Trust, str] = {
    "verified": "recordings of the real thing are replayed in desim's tests, and this is compared",
    "modelled": "follows the real code, or is fitted to recorded runs; not compared one by one",
    "assumed": "rests on guesses: shares and orders of magnitude, no prediction for your machine",
}


def trust_of(status: str) -> Trust:
    """How far times go, by what a cost profile says of itself."""
    return "modelled" if status == "measured" else "assumed"


class Basis(NamedTuple):
    """What of a picture can be relied on how far: ``order of events``, ``verified``."""

    what: str
    trust: Trust


class Key(NamedTuple):
    """An entry of a legend: a class of the style, and what it stands for."""

    css: str
    what: str


@dataclass(frozen=True)
class Table:
    """The figures behind a picture, as text; columns named in ``numbers`` are set to the right."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: frozenset[str] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """One picture."""

    name: str
    """Of its place in the page: ``waterfall``."""
    kind: str
    """What sort of picture it is, for the list at the top."""
    title: str
    """The answer."""
    picture: Markup
    table: Table
    basis: tuple[Basis, ...] = ()
    legend: tuple[Key, ...] = ()
    notes: tuple[str, ...] = ()
    """What to know when reading it."""
    zooms: bool = False
    """Whether the script may zoom and move it."""
    help: str = ""
    """How to zoom and move it; not on paper."""
    wide: bool = False
    """Whether it needs more width than a telephone has, and is moved sideways there."""
    extra: tuple[Figure, ...] = field(default=())
    """Pictures that belong to it, below it."""


def keys_of(places: Sequence[Place], *, waiting: bool) -> tuple[Key, ...]:
    """The legend of the places that a picture has, in the order of a packet's way."""
    found = [Key(place.css, place.value) for place in Place if place in places]
    return (*found, Key(WAITING_CSS, WAITING)) if waiting else tuple(found)
