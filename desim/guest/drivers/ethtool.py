"""``struct ethtool_ops``: what a driver may tell ``ethtool`` about itself and its card.

A driver subclasses ``EthtoolOps``, gives what it has and hands it out by its method
``ethtool_ops``; the rest is refused with EOPNOTSUPP, as a missing entry is.
``desim.guest.net.ethtool`` is what asks.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

from desim.userland.errors import failure
from desim.userland.ethtool import LinkSettings, Rings


class EthtoolOps:
    """``struct ethtool_ops``, with every entry missing."""

    features: frozenset[str] = frozenset()
    """Features that are on because of this driver."""
    hw_features: frozenset[str] = frozenset()
    """Those that can be changed."""
    link_known = False
    """Whether ``get_link`` is there."""
    coalesce_params: frozenset[str] = frozenset()
    """``supported_coalesce_params``."""

    def get_drvinfo(self, kernel_release: str) -> list[tuple[str, str]]:
        """``ethtool -i``, line by line."""
        raise failure(errno.EOPNOTSUPP)

    def get_link(self) -> bool:
        """Whether there is link; asked only while the interface is up."""
        raise failure(errno.EOPNOTSUPP)

    def get_link_ksettings(self) -> LinkSettings:
        """``ethtool DEV``."""
        raise failure(errno.EOPNOTSUPP)

    def get_ethtool_stats(self) -> list[tuple[str, int]]:
        """``ethtool -S``; empty if there are none."""
        return []

    def get_ringparam(self) -> Rings:
        """``ethtool -g``."""
        raise failure(errno.EOPNOTSUPP)

    def set_ringparam(self, rx: int, tx: int) -> None:
        """``ethtool -G``."""
        raise failure(errno.EOPNOTSUPP)

    def get_coalesce(self) -> dict[str, int]:
        """``ethtool -c``: what the driver fills in, by the tool's names."""
        raise failure(errno.EOPNOTSUPP)

    def set_coalesce(self, values: Mapping[str, int]) -> None:
        """``ethtool -C``."""
        raise failure(errno.EOPNOTSUPP)
