"""One number as one whole scenario."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from desim.api.scenario import Scenario
from desim.fuzz.bench import LONG, Bench, bench_of
from desim.fuzz.traffic import traffic_of
from desim.scenario.document import Document, Spoken
from desim.scenario.inputs import Inputs

BENCH = 64
"""How many numbers, one behind the other, share a bench: they differ in their traffic only."""


def document_of(number: int, bench: Bench | None = None) -> dict[str, Any]:
    """What the file of example ``number`` says. ``bench`` is its own, if that is at hand."""
    bench = bench or bench_of(number // BENCH)
    machine = bench.document
    made = {"description": f"example {number} of desim fuzz", **machine}
    traffic = traffic_of(number, bench.kinds, long=machine["until"] == LONG)
    for side, commands in traffic.items():
        made[side] = {**made.get(side, {}), **commands}
    return made


def scenario_of(number: int) -> Scenario:
    """Example ``number``, the same for ever."""
    return scenario_from(document_of(number), f"fuzz-{number}")


def scenario_from(data: Mapping[str, Any], name: str) -> Scenario:
    """The scenario that a file with ``data`` would be. Raises ``ScenarioError``."""
    return Scenario(_document(data, name), f"desim.fuzz.scenario_from({data!r}, {name!r})")


def _document(data: Mapping[str, Any], name: str) -> Document:
    return Document(name, data, Spoken({}), Inputs(Path()))
