"""Virtual time: the environment, threads with their own clock, instruments, trace.

What users of the Python API need is reached from here (``from desim.engine import
SimPyEnvironment``); a process written for SimPy runs on that environment unchanged.

The names are looked up when they are first used: a core imports only the mark of a
stage from this room, and must not load SimPy by that.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from desim.engine.environment import TOUCH_POINTS as TOUCH_POINTS
    from desim.engine.environment import Environment as Environment
    from desim.engine.instrument import Instrument as Instrument
    from desim.engine.simpy_environment import SimPyEnvironment as SimPyEnvironment
    from desim.engine.streams import Stream as Stream
    from desim.engine.streams import Streams as Streams
    from desim.engine.thread import Thread as Thread
    from desim.engine.trace import Fingerprint as Fingerprint
    from desim.engine.trace import Trace as Trace

_HOMES = {
    "environment": (
        "TOUCH_POINTS",
        "Environment",
    ),
    "instrument": ("Instrument",),
    "simpy_environment": ("SimPyEnvironment",),
    "streams": ("Stream", "Streams"),
    "thread": ("Thread",),
    "trace": ("Fingerprint", "Trace"),
}


if not TYPE_CHECKING:  # a checker is to refuse a name that is not there

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(f"desim.engine.{home}"), name)
        raise AttributeError(f"module 'desim.engine' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(name for names in _HOMES.values() for name in names)
