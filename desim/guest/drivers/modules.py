"""The drivers that the guest can load for the card, by the names of their modules.

Those beside Linux's own are imported when a guest loads them, because few do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from desim.data import NamedTuple, Protocol
from desim.guest.cpu.context import Cpu
from desim.guest.drivers import e1000
from desim.guest.drivers.modprobe import Modprobe, Parameter, read_modprobe
from desim.guest.drivers.netdevice import NetDriver
from desim.guest.mm.memory import Memory
from desim.guest.net.device import Device
from desim.ports import Mmio
from desim.stages import Build


class CardDriver(NetDriver, Protocol):
    """A driver as a module: it can be loaded."""

    def init_module(self) -> None:
        """What loading it does: say hello, probe the card."""

    def unpolled(self) -> bool:
        """Whether a received frame waits and no interrupt will tell of it."""


class Surroundings(NamedTuple):
    """What a driver is given, whichever it is."""

    cpu: Cpu
    mmio: Mmio
    memory: Memory
    device: Device
    log: Callable[[str], None]
    build: Build


def _e1000(values: Mapping[str, int], here: Surroundings) -> CardDriver:
    return here.build(e1000.E1000Driver)(options=e1000.ModuleOptions(**values), **here._asdict())


def _plain(values: Mapping[str, int], here: Surroundings) -> CardDriver:
    from desim.guest.drivers.bare.plain import PlainDriver

    return here.build(PlainDriver)(**here._asdict())


def _polling(values: Mapping[str, int], here: Surroundings) -> CardDriver:
    from desim.guest.drivers.bare.polling import DEFAULT_PERIOD_US, PollingDriver

    period_us = values.get("period_us", DEFAULT_PERIOD_US)
    return here.build(PollingDriver)(period_us=period_us, **here._asdict())


class Module(NamedTuple):
    """A driver's module: its parameters, with the numbers they hold, and what it makes."""

    parameters: Mapping[str, Parameter]
    make: Callable[[Mapping[str, int], Surroundings], CardDriver]


MODULES = {
    "e1000": Module(e1000.PARAMETERS, _e1000),
    "e1000_plain": Module({}, _plain),
    "e1000_polling": Module({"period_us": Parameter(range(1, 1_000_001))}, _polling),
}


def modprobe(line: str) -> Modprobe:
    """Read a line such as ``e1000 RxIntDelay=32``. Raises ``ModuleError`` if it would not load."""
    return read_modprobe(line, {name: module.parameters for name, module in MODULES.items()})
