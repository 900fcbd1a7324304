"""All laws, by name, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from desim.errors import UserError, nearest
from desim.laws import bytes as of_bytes
from desim.laws import card, frames, same, tcp, time
from desim.laws.law import Law

HOMES = (of_bytes, frames, card, tcp, time, same)

LAWS: Mapping[str, Law] = MappingProxyType(
    {law.name: law for home in HOMES for law in vars(home).values() if isinstance(law, Law)}
)
"""Every law by its name."""


def find(name: str) -> Law:
    """The law called ``name``. Raises ``UserError`` with the nearest ones."""
    if name not in LAWS:
        raise UserError(
            f"{name}: no such law{nearest(name, LAWS)}; desim laws lists all {len(LAWS)}"
        )
    return LAWS[name]
