"""One bare card on a bus and a wire."""

from __future__ import annotations

from typing import Any

from desim.devices import DEFAULT_MAC, Nic
from desim.e1000.card import E1000
from desim.testing.bus import MemoryBus
from desim.testing.clock import VirtualClock
from desim.testing.wire import Ledger, Wire


class Card:
    """A card with memory space and bus master on (PCI's command register), and all around it.

    ``card[RCTL]`` reads a register, and ``card[RCTL] = value`` writes it: by the index of
    ``desim.e1000.registers``, a quarter of its offset. ``properties`` are those of
    ``desim.devices.Nic``; ``observer`` is told what the card does (``E1000``).
    """

    def __init__(
        self, mac: bytes = DEFAULT_MAC, *, observer: Any = None, **properties: Any
    ) -> None:
        self.clock = VirtualClock()
        self.bus = MemoryBus(self.clock)
        self.memory = self.bus.memory
        self.wire = Wire()
        self.losses = Ledger()
        self.card = E1000(
            clock=self.clock,
            pci=self.bus,
            net=self.wire,
            ledger=self.losses,
            nic=Nic(mac=mac, **properties),
            observer=observer,
        )
        self.card.config_write(4, 0x7)

    def __getitem__(self, index: int) -> int:
        return self.card.mmio_read(index * 4)

    def __setitem__(self, index: int, value: int) -> None:
        self.card.mmio_write(index * 4, value)
