"""Keys of conditions on figures of a run (``desim.scenario.metrics``): ``expect.ping.p99``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from desim.scenario.metrics import METRICS, Kind
from desim.scenario.tables import Inner, Place, Spelled, Table, key


class Figure(Spelled):
    """A condition on a figure of the run, as text: it is kept as it is written."""


@cache
def condition(kind: Kind) -> Figure:
    """The key of a condition on a figure of that kind."""

    def check(value: Any, place: Place) -> str:
        if not isinstance(value, str):
            shown = f'; did you mean "{value}"?' if type(value) is int else ""
            raise ValueError(f'a condition is text such as "< 400us" or "1 .. 3"{shown}')
        from desim.scenario.conditions import read_condition  # few runs have one

        return read_condition(value, kind).text

    return Figure(check)


def _conditions(group: str, names: Sequence[str]) -> type[Table]:
    """``[expect.GROUP]``: conditions on the metrics of one group."""
    keys = {name: key(condition(METRICS[f"{group}.{name}"].kind), None) for name in names}
    return type(f"Expected{group.title()}", (Table,), {"__doc__": f"``[expect.{group}]``", **keys})


def metric_keys() -> dict[str, Any]:
    """A key for each metric that is in no group, and one for each group."""
    groups: dict[str, list[str]] = {}
    made: dict[str, Any] = {}
    for name, metric in METRICS.items():
        group, dot, rest = name.partition(".")
        if dot:
            groups.setdefault(group, []).append(rest)
        else:
            made[name] = key(condition(metric.kind), None)
    return made | {group: key(Inner(_conditions(group, names))) for group, names in groups.items()}
