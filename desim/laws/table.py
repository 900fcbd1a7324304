"""All laws, by name, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from desim.errors import UserError, nearest
from desim.laws import bytes as of_bytes
from desim.laws import card, frames, same, tcp, time
from desim.laws.law import Law
from desim.laws.parts import card as part_card
from desim.laws.parts import driver as part_driver
from desim.laws.parts import engine as part_engine
from desim.laws.parts import guest as part_guest
from desim.laws.parts import host as part_host
from desim.laws.parts import net as part_net
from desim.laws.parts import slirp as part_slirp

HOMES = (
    of_bytes,
    frames,
    card,
    tcp,
    time,
    part_net,
    part_card,
    part_driver,
    part_slirp,
    part_guest,
    part_host,
    part_engine,
    same,
)

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
