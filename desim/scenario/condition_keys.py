"""Keys of conditions on figures of a run (``desim.scenario.metrics``): ``expect.ping.p99``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from desim.scenario.metrics import METRICS
from desim.scenario.schema import ExpectedFiles, condition_on
from desim.scenario.tables import Inner, Table, key


def _conditions(group: str, names: Sequence[str]) -> type[Table]:
    """``[expect.GROUP]``: conditions on the metrics of one group."""
    keys = {name: key(condition_on(METRICS[f"{group}.{name}"].kind), None) for name in names}
    return type(f"Expected{group.title()}", (Table,), {"__doc__": f"``[expect.{group}]``", **keys})


def _metric_keys() -> dict[str, Any]:
    """A key for each metric that is in no group, and one for each group."""
    groups: dict[str, list[str]] = {}
    made: dict[str, Any] = {}
    for name, metric in METRICS.items():
        group, dot, rest = name.partition(".")
        if dot:
            groups.setdefault(group, []).append(rest)
        else:
            made[name] = key(condition_on(metric.kind), None)
    return made | {group: key(Inner(_conditions(group, names))) for group, names in groups.items()}


class _Figures(ExpectedFiles):
    def conditions(self) -> dict[str, str]:
        """The conditions on metrics, by the metric's name."""
        found = {}
        for name in METRICS:
            at: Any = self
            for part in name.split("."):
                at = getattr(at, part)
            if at is not None:
                found[name] = at
        return found


WithFigures = type("WithFigures", (_Figures,), {"__doc__": "``[expect]``", **_metric_keys()})
