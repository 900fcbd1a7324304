"""Virtual time: the environment, threads with their own clock, costs, trace.

What users of the Python API need is reached from here (``from desim.kernel import
Environment``); a process written for SimPy runs on that environment unchanged.

The names are looked up when they are first used: a core imports only the mark of a
stage from this room, and must not load SimPy by that.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from desim.kernel.environment import TOUCH_POINTS as TOUCH_POINTS
    from desim.kernel.environment import CirclingError as CirclingError
    from desim.kernel.environment import Environment as Environment
    from desim.kernel.environment import KernelError as KernelError
    from desim.kernel.environment import TooManyEventsError as TooManyEventsError
    from desim.kernel.instrument import Instrument as Instrument
    from desim.kernel.lock import BigLock as BigLock
    from desim.kernel.profile import Cost as Cost
    from desim.kernel.profile import Profile as Profile
    from desim.kernel.profile import ProfileError as ProfileError
    from desim.kernel.streams import Stream as Stream
    from desim.kernel.streams import Streams as Streams
    from desim.kernel.thread import Thread as Thread
    from desim.kernel.trace import Fingerprint as Fingerprint
    from desim.kernel.trace import Trace as Trace

_HOMES = {
    "environment": (
        "TOUCH_POINTS",
        "CirclingError",
        "Environment",
        "KernelError",
        "TooManyEventsError",
    ),
    "instrument": ("Instrument",),
    "lock": ("BigLock",),
    "profile": ("Cost", "Profile", "ProfileError"),
    "streams": ("Stream", "Streams"),
    "thread": ("Thread",),
    "trace": ("Fingerprint", "Trace"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"desim.kernel.{home}"), name)
    raise AttributeError(f"module 'desim.kernel' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(name for names in _HOMES.values() for name in names)
