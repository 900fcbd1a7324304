"""What a kernel answers to ``ethtool``: the records that travel through ``sys.ethtool``.

Names are those of include/uapi/linux/ethtool.h and ethtool_netlink.h, shortened.
"""

from __future__ import annotations

from typing import NamedTuple


class LinkSettings(NamedTuple):
    """``ethtool DEV``: link modes, link information, wake-on-LAN, messages, link state.

    What the driver does not tell is None, and the tool does not print it.
    """

    supported: list[str]
    """Link modes by name, slowest first; empty if there are none to report."""
    advertised: list[str]
    autoneg: bool
    speed: int | None
    """Mb/s; None without link."""
    full_duplex: bool | None
    mdix: bool | None
    """Whether the pairs are crossed; None without link."""
    port: str = "Twisted Pair"
    phy_address: int = 0
    wol_supported: str | None = None
    """Letters of the kinds of wake-up; "" for none at all."""
    wol: str = ""
    msg_level: int | None = None


class Rings(NamedTuple):
    """``ethtool -g``: numbers of descriptors."""

    rx_max: int
    tx_max: int
    rx: int
    tx: int


class Feature(NamedTuple):
    """One line of ``ethtool -k``."""

    name: str
    on: bool
    fixed: bool


class NetlinkError(OSError):
    """An error with the kernel's own words to it, and the place in the request they speak of."""

    def __init__(self, number: int, text: str, message: str, offset: int) -> None:
        super().__init__(number, text)
        self.message = message
        self.offset = offset
