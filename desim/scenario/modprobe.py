"""The line that loads the guest's driver, checked before the run."""

from __future__ import annotations

from desim.config import DEFAULT_MODPROBE
from desim.devices import Nic
from desim.errors import nearest
from desim.guest.drivers.modules import MODULES, modprobe


def check_modprobe(line: str) -> list[str]:
    """What the user should know of ``line``; ``ValueError`` if the driver would not load.

    The kernel takes a parameter that it does not know and ignores it. That is worth
    a word: the run is then not the one that was meant.
    """
    read = modprobe(line)
    known = list(MODULES[read.module].parameters)
    return [
        f"{said}{nearest(name, known)}"
        for name, said in zip(read.unknown, read.log_lines(), strict=True)
    ]


def note_without_card(
    place: str, value: str, nic: Nic | None, *, usual: str = DEFAULT_MODPROBE
) -> list[str]:
    """What the user should know of a ``value`` that no card is there for."""
    if nic is not None or value == usual:
        return []
    return [f"{place} {value!r}: no effect, the machine has no card"]
