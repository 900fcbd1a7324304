"""What every part of a machine is given: time, costs, notes and chance."""

from __future__ import annotations

from typing import NamedTuple

from desim.engine.environment import Environment
from desim.engine.instrument import Instrument
from desim.engine.streams import Streams
from desim.machine.ports import Recorder


class Kit(NamedTuple):
    """One for each machine."""

    env: Environment
    build: Instrument
    recorder: Recorder
    streams: Streams
