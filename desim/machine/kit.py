"""What every part of a machine is given: time, costs, notes and chance."""

from __future__ import annotations

from desim.data import NamedTuple
from desim.engine.environment import Environment
from desim.engine.instrument import Instrument
from desim.engine.streams import Streams
from desim.machine.ports import Recorder


class Kit(NamedTuple):
    """One for each machine; the first has no ``machine``'s name."""

    env: Environment
    build: Instrument
    recorder: Recorder
    streams: Streams
    machine: str = ""
    prefix: str = ""
    """In front of what a thread or a terminal of a further machine is called: its name, a space."""
    point: str = ""
    """The same in front of capture points, which become names of files."""
