"""``[sweep]`` of a scenario file: which keys vary, together or each with all others, how often.

``desim sweep`` and ``desim.sweep`` read it (:mod:`desim.sweeps`); a single run does not look at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from desim.errors import nearest
from desim.scenario.key_names import dotted, read_key
from desim.scenario.metrics import METRICS
from desim.scenario.tables import Kind, Place, Several, Spelled, Table, Text, Whole, key

if TYPE_CHECKING:
    from desim.scenario.values import Axis

SEED = Whole(0)
MAX_ZIPPED = 16
MAX_SHOWN = 64
MAX_REPEAT = 10_000_000


class Varied(Kind):
    """Keys of the scenario, each with its values. A key may stand in quotes or as tables."""

    def read(self, value: Any, place: Place) -> list[Axis]:
        if not isinstance(value, dict):
            raise ValueError("must be a table: a key of the scenario, and its values")
        return list(self._axes(value, place))

    def _axes(self, given: Mapping[str, Any], place: Place, way: str = "") -> Iterator[Axis]:
        from desim.scenario.values import Axis, is_range, values_of  # runs have no use for it

        for name, values in given.items():
            inside = place.inside(name)
            try:
                key = read_key(name) if not way else (*read_key(way), *read_key(name))
                if isinstance(values, dict) and not is_range(values):
                    yield from self._axes(values, inside, dotted(key))
                else:
                    yield Axis(dotted(key), values_of(place.context.kind_at(key), values))
            except ValueError as error:
                inside.note(str(error))


class Zipped(Varied):
    """The same of keys that change together, so with equally many values each."""

    def read(self, value: Any, place: Place) -> list[Axis]:
        axes = super().read(value, place)
        check_together(axes)
        return axes


def check_together(axes: list[Axis]) -> None:
    """Raises ``ValueError`` if ``axes`` cannot change together."""
    if len({len(axis.values) for axis in axes}) > 1:
        counts = ", ".join(f"{axis.key} has {len(axis.values)}" for axis in axes)
        raise ValueError(f"what changes together needs equally many values: {counts}")


def read_seeds(value: Any) -> list[int]:
    """Seeds as text (``1:5``), or a list. Raises ``ValueError``."""
    from desim.scenario.values import read_values

    values = read_values(SEED, value) if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)) or not values:
        raise ValueError('must be a range or a list of seeds, such as "1:5"')
    wrong = [seed for seed in values if type(seed) is not int or not 0 <= seed < 1 << 63]
    if wrong:
        raise ValueError(f"{wrong[0]}: a seed is a whole number from 0 on")
    return list(values)


def metric_name(name: str) -> str:
    """A figure's name, if there is one of it. Raises ``ValueError``."""
    if name not in METRICS:
        raise ValueError(
            f"{name}: no such metric; there are {', '.join(METRICS)}{nearest(name, METRICS)}"
        )
    return name


_METRICS = Several(Text(check=lambda value, place: metric_name(value)), at_most=len(METRICS))


class Sweep(Table):
    """``[sweep]``"""

    vary: list[Axis] = key(Varied(), [])
    zip: list[list[Axis]] = key(Several(Zipped(), at_most=MAX_ZIPPED), [])
    seeds: list[int] = key(Spelled(lambda value, place: read_seeds(value), "texts"), [])
    repeat: int = key(Whole(1, most=MAX_REPEAT), 1)
    metrics: list[str] = key(_METRICS, [])
    show: list[str] = key(
        Several(Text(check=lambda value, place: metric_name(value)), at_most=MAX_SHOWN), []
    )

    def contradictions(self) -> list[str]:
        """Seeds are given, or counted."""
        if self.seeds and self.repeat > 1:
            return ["seeds and repeat: one of them says which seeds there are"]
        return []
