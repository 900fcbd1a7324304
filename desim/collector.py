"""How a process of desim collects garbage.

Objects of a run live as long as it does, or die by themselves, so that looking for circles
finds next to nothing: it was 3 % of ``desim run hello``, and the interpreter's own last search,
at the end, as much again.
"""

from __future__ import annotations

import gc

RARELY = 100_000, 20, 100
"""Not at all in a small run, and rarely else."""


def collect_rarely() -> None:
    """From now on, in a process that is desim's own."""
    gc.set_threshold(*RARELY)


def collect_no_more() -> None:
    """What there is now dies with the process: its end looks for no circles in it."""
    gc.disable()
    gc.freeze()
