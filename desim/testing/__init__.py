"""What one needs to drive one core alone, without a machine: a clock, memory, a wire, a peer.

For tests, benchmarks, the replay of recordings, and for whoever wants to see what a bare
card, a bare slirp or a bare guest does, from a few lines of Python. Nothing here knows
SimPy. Names are looked up when they are first used. ``docs/api.md`` has worked examples.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from desim.testing.bus import Memory as Memory
    from desim.testing.bus import MemoryBus as MemoryBus
    from desim.testing.card import Card as Card
    from desim.testing.clock import VirtualClock as VirtualClock
    from desim.testing.clock import VirtualTimer as VirtualTimer
    from desim.testing.guest import Guest as Guest
    from desim.testing.guest import GuestCard as GuestCard
    from desim.testing.guest import GuestCpu as GuestCpu
    from desim.testing.host import Host as Host
    from desim.testing.peer import Connection as Connection
    from desim.testing.peer import Peer as Peer
    from desim.testing.wire import Ledger as Ledger
    from desim.testing.wire import NoLoop as NoLoop
    from desim.testing.wire import Wire as Wire

_HOMES = {
    "bus": ("Memory", "MemoryBus"),
    "card": ("Card",),
    "clock": ("VirtualClock", "VirtualTimer"),
    "guest": ("Guest", "GuestCard", "GuestCpu"),
    "host": ("Host",),
    "peer": ("Connection", "Peer"),
    "wire": ("Ledger", "NoLoop", "Wire"),
}

__all__ = [
    "Card",
    "Connection",
    "Guest",
    "GuestCard",
    "GuestCpu",
    "Host",
    "Ledger",
    "Memory",
    "MemoryBus",
    "NoLoop",
    "Peer",
    "VirtualClock",
    "VirtualTimer",
    "Wire",
]


if not TYPE_CHECKING:  # a checker is to refuse a name that is not there

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(f"desim.testing.{home}"), name)
        raise AttributeError(f"module 'desim.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
