"""One number as one whole scenario."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from desim.api.scenario import Scenario
from desim.config import MachineConfig
from desim.data import replace
from desim.fuzz.bench import LONG, Bench, bench_of
from desim.fuzz.traffic import traffic_of
from desim.scenario.document import Document, Spoken
from desim.scenario.inputs import Inputs

SIDES = "guest", "host"
BENCH = 128
"""How many numbers, one behind the other, share a bench: they differ in their traffic only."""


def document_of(number: int, bench: Bench | None = None) -> dict[str, Any]:
    """What the file of example ``number`` says. ``bench`` is its own, if that is at hand."""
    bench = bench or bench_of(number // BENCH)
    machine = bench.document
    made = {"description": f"example {number} of desim fuzz", **machine}
    traffic = traffic_of(
        number, bench.kinds, long=machine["until"] == LONG, later_ms=bench.later_ms
    )
    for side, commands in traffic.items():
        made[side] = {**made.get(side, {}), **commands}
    return made


def scenario_of(number: int) -> Scenario:
    """Example ``number``, the same for ever."""
    return scenario_from(document_of(number), f"fuzz-{number}")


def scenario_from(data: Mapping[str, Any], name: str) -> Scenario:
    """The scenario that a file with ``data`` would be. Raises ``ScenarioError``."""
    return Scenario(_document(data, name), f"desim.fuzz.scenario_from({data!r}, {name!r})")


class Configurations:
    """The configurations of examples that come one behind the other.

    What the file of an example says is read as any file is; but the machine of a bench, which all
    its examples share, is read once.
    """

    def __init__(self) -> None:
        self._bench: int | None = None
        self._shared: MachineConfig | None = None

    def of(self, number: int, data: Mapping[str, Any]) -> MachineConfig:
        """That of ``data``, the file of example ``number``: nobody may change it."""
        machine = {key: value for key, value in data.items() if key not in SIDES}
        machine |= {side: _without_commands(data[side]) for side in SIDES if side in data}
        if self._shared is None or self._bench != number // BENCH:
            self._bench, self._shared = number // BENCH, _document(machine, "bench").read()
        commands = {
            side: {"run": data[side]["run"]} for side in SIDES if "run" in data.get(side, ())
        }
        commands |= {key: data[key] for key in ("seed",) if key in data}
        read = _document({"qemu": "-nodefaults", **commands}, f"fuzz-{number}").read()
        return replace(
            self._shared,
            name=read.name,
            description=data.get("description", ""),
            guest=read.guest,
            host=read.host,
        )


def _without_commands(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != "run"}


def _document(data: Mapping[str, Any], name: str) -> Document:
    return Document(name, data, Spoken({}), Inputs(Path()))
