"""What ``ethtool`` shows of a bare driver: its name, whether there is link, its rings."""

from __future__ import annotations

from desim.guest.drivers.bare.card import RING, Card
from desim.guest.drivers.ethtool import EthtoolOps
from desim.userland.ethtool import Rings


class BareEthtool(EthtoolOps):
    """The ``ethtool_ops`` of both bare drivers."""

    link_known = True

    def __init__(self, name: str, card: Card) -> None:
        self._name = name
        self._card = card

    def get_drvinfo(self, kernel_release: str) -> list[tuple[str, str]]:
        return [
            ("driver", self._name),
            ("version", kernel_release),
            ("firmware-version", ""),
            ("expansion-rom-version", ""),
            ("bus-info", "0000:00:02.0"),
            ("supports-statistics", "no"),
            ("supports-test", "no"),
            ("supports-eeprom-access", "no"),
            ("supports-register-dump", "no"),
            ("supports-priv-flags", "no"),
        ]

    def get_link(self) -> bool:
        return self._card.link()

    def get_ringparam(self) -> Rings:
        return Rings(RING, RING, RING, RING)
