"""What a law about a part draws: other numbers for each run, the same for the same run."""

from __future__ import annotations

from desim.engine.draw import Draw
from desim.laws.law import Run


def drawn(run: Run, name: str) -> Draw:
    """What the law ``name`` draws for ``run``: what it said, and when it ended, decide."""
    return Draw(run.config.seed << 64 | run.end_ns, f"law {name}")
