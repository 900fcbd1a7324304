"""All reasons of a machine, by code: those that its rooms declare."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType, ModuleType

import desim.e1000.reasons
import desim.net.reasons
import desim.slirp.reasons
from desim.reasons import Reason

ROOMS = (desim.slirp.reasons, desim.net.reasons, desim.e1000.reasons)


def declared(room: ModuleType) -> list[Reason]:
    """The reasons that a module declares, in its order."""
    return [value for value in vars(room).values() if isinstance(value, Reason)]


@cache
def all_reasons() -> Mapping[str, Reason]:
    """Every reason for which a frame of a machine can be lost, held or made, by its code."""
    found: dict[str, Reason] = {}
    for room in ROOMS:
        for reason in declared(room):
            assert reason.code not in found, f"two reasons have the code {reason.code}"
            found[reason.code] = reason
    return MappingProxyType(found)
