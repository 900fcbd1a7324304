"""Runs for whoever looks at what they have recorded: out of a folder, or made for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from desim.api.running import Costs, assemble
from desim.api.scenario import Scenario
from desim.costs.profile import shipped
from desim.experiment.output import SCENARIO
from desim.experiment.run import RunResult
from desim.experiment.saved import Saved, is_run
from desim.scenario.shipped import shipped_folder, shipped_scenarios
from desim.scenario.written import read

__all__ = ["Saved", "is_run", "made", "remade", "saved"]


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


def remade(
    run: Saved, *, files: Path | None = None, costs: Costs | None = None
) -> RunResult | None:
    """What a folder's run was, run again; None if the folder does not say what it was.

    ``files`` is where the files are that its scenario reads; None: where they come with desim,
    or in the current folder. ``costs`` is the profile, if it was none that ships. Raises
    ``ScenarioError`` for a scenario that cannot be read any more.
    """
    written = run.scenario
    if written is None:
        return None
    known = shipped_folder()
    document = read(
        written,
        str(run.folder / SCENARIO),
        folder=files or (known if run.name in shipped_scenarios() else Path.cwd()),
        allowed=(known,),
    )
    profile = run.summary["costs"]["profile"]
    if costs is None and profile in shipped():
        costs = profile
    return made(Scenario(document, f"desim.load({run.name!r})"), costs=costs)
