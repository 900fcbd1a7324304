"""Runs for whoever looks at what they have recorded: out of a folder, or made for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from desim.api.running import Costs, assemble
from desim.api.scenario import Scenario
from desim.experiment.run import RunResult
from desim.experiment.saved import Saved, is_run

__all__ = ["Saved", "is_run", "made", "saved"]


def saved(folder: Path) -> Saved:
    """The run in a folder of ``desim run --out``. Raises ``UserError``."""
    return Saved(folder)


def made(
    scenario: Scenario,
    *,
    costs: Costs | None = None,
    seed: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> RunResult:
    """``scenario`` run to its end, with everything recorded; the errors are those of ``run``."""
    with assemble(scenario, costs=costs, seed=seed) as machine:
        return machine.run(progress)._run
