"""What whoever looks at a run asks of it, whether it has just ended or lies in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from desim.data import Protocol
from desim.engine.trace import Trace
from desim.machine.capture import Capture


class Ran(Protocol):
    """What a run has left: ``RunResult``, or ``Saved``."""

    @property
    def end_ns(self) -> int:
        """When it ended, in virtual ns since power-on."""

    @property
    def summary(self) -> dict[str, Any]:
        """The figures of the run (``docs/summary.md``)."""

    @property
    def trace(self) -> Trace:
        """What the threads have recorded."""

    @property
    def packets(self) -> Mapping[str, Capture]:
        """The frames that passed each capture point."""
