"""pytest's fixtures ``desim_run`` and ``desim_machine``.

A test that fails shows the scenarios that it ran, the way of the first message in the last run,
and how to run them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from desim.api.result import Result
    from desim.api.running import Machine
    from desim.api.scenario import Scenario

_RESULTS = pytest.StashKey["list[Result]"]()
WIDTH = 80


def _scenario(given: Scenario | str | Mapping[str, Any]) -> Scenario:
    """A scenario, the name of a file or of one that ships, or what a file would say."""
    from desim.api.scenario import load
    from desim.fuzz.scenario import scenario_from

    if isinstance(given, str):
        return load(given)
    if isinstance(given, Mapping):
        return scenario_from(given, "scenario")
    return given


@pytest.fixture
def desim_run(request: pytest.FixtureRequest) -> Callable[..., Result]:
    """``desim_run(SCENARIO, **options)`` is :func:`desim.run`; a failing test shows what it ran.

    SCENARIO is one, or the name of a file or of one that ships, or a table as a file has it.
    """
    results: list[Result] = []
    request.node.stash[_RESULTS] = results

    def run(given: Scenario | str | Mapping[str, Any], **options: Any) -> Result:
        from desim.api.running import run as run_scenario

        results.append(run_scenario(_scenario(given), **options))
        return results[-1]

    return run


@pytest.fixture
def desim_machine() -> Iterator[Callable[..., Machine]]:
    """``desim_machine(SCENARIO, **options)`` is :func:`desim.assemble`; closed after the test."""
    machines: list[Machine] = []

    def assemble(given: Scenario | str | Mapping[str, Any], **options: Any) -> Machine:
        from desim.api.running import assemble as assemble_machine

        machines.append(assemble_machine(_scenario(given), **options))
        return machines[-1]

    yield assemble
    for machine in machines:
        machine.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add what was run to the report of a test that has failed."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for result in item.stash.get(_RESULTS, [])[-1:]:
            report.sections.append(("desim", told(result)))


def told(result: Result) -> str:
    """A run, as a failing test shows it: scenario, journey, how to run it again."""
    from desim.fuzz.toml import text_of

    scenario = result.scenario
    lines = [
        "scenario (in a file of its own: desim run FILE):",
        text_of(scenario._document.data).rstrip(),
        "",
        f"the same from Python: desim.run({scenario!r})",
        f"ended at {result.end_ns} ns: {result.ended}",
    ]
    if result._run.keeps("journeys") and result.journey:
        lines.append("the way of the first message:")
        for row in result.journey:
            lines.append(f"  {row.station}: {row.own_ns} ns of work, {row.waiting_ns} ns of waits")
    return "\n".join(lines)
