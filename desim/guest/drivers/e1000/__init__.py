"""The Linux e1000 driver: what ``e1000.ko`` of kernel 6.1 does with an 82540EM."""

from __future__ import annotations

from desim.guest.drivers.e1000.main import E1000Driver
from desim.guest.drivers.e1000.param import PARAMETERS, ModuleOptions

__all__ = ["PARAMETERS", "E1000Driver", "ModuleOptions"]
