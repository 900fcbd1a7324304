"""What a kernel answers to ``ethtool``: what can be asked through ``sys.ethtool``, and the records.

Names are those of include/uapi/linux/ethtool.h and ethtool_netlink.h, shortened.
"""

from __future__ import annotations

from collections.abc import Mapping

from desim.data import NamedTuple, Protocol


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


class EthtoolDevice(Protocol):
    """One interface, as the kernel lets the tool ask. OSErrors are the kernel's and the
    driver's: EOPNOTSUPP for what the driver does not have."""

    def drvinfo(self) -> list[tuple[str, str]]:
        """``-i``: the lines, as name and value."""

    def settings(self) -> LinkSettings:
        """Without an option."""

    def link(self) -> bool | None:
        """Whether the link is up; None if the driver cannot tell."""

    def stats(self) -> list[tuple[str, int]]:
        """``-S``; empty if there are none."""

    def rings(self) -> Rings:
        """``-g``."""

    def set_rings(self, wanted: Mapping[str, int]) -> None:
        """``-G``: numbers of descriptors, in the order of the command."""

    def coalesce(self) -> dict[str, int]:
        """``-c``: what the driver fills in, by the tool's names."""

    def set_coalesce(self, wanted: Mapping[str, int]) -> None:
        """``-C``, in the order of the command."""

    def features(self) -> list[Feature]:
        """``-k``: every feature that the kernel knows."""
