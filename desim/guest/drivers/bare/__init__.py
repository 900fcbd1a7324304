"""Two bare drivers for the card, to compare Linux's own with: one plain, one that polls."""

from __future__ import annotations

from desim.guest.drivers.bare.plain import PlainDriver
from desim.guest.drivers.bare.polling import DEFAULT_PERIOD_US, PARAMETERS, PollingDriver

__all__ = ["DEFAULT_PERIOD_US", "PARAMETERS", "PlainDriver", "PollingDriver"]
