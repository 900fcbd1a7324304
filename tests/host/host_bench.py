"""The public host without costs, and what tests of it share."""

from __future__ import annotations

from desim.testing import Host
from desim.userland.process import Process

SECOND = 1_000_000_000

__all__ = ["SECOND", "Host", "output"]


def output(process: Process) -> str:
    return process.terminal.output().decode()
