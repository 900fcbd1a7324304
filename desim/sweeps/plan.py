"""The runs of a sweep: which there are, in which order, and which are best made together.

Runs have numbers from 0 on: the last group of keys varies fastest, and the seeds of a point stand
side by side. Nothing is listed beforehand, so a plan of a million runs takes no more memory than
one of ten.

What differs only in what a guest does after its boot (commands, files, ``until``) can share the
boot (:mod:`desim.machine.booted`). So runs are *made* in another order than they are numbered:
those of one boot together. No result shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from desim.data import NamedTuple
from desim.errors import UserError
from desim.scenario.sweep_table import check_together
from desim.scenario.values import Axis

_LATE = re.compile(r"(guest\.run|host\.run|until|expect|description)(?![\w-])")
"""Keys that a boot does not depend on (``desim.machine.booted.boot_alone``)."""

SEED = "seed"


class Point(NamedTuple):
    """One run before it is made."""

    number: int
    values: tuple[object, ...]
    """Of the plan's keys, in order; the seed is the last."""


class Group(NamedTuple):
    """Keys that change together, with as many rows of values."""

    keys: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]

    @property
    def late(self) -> bool:
        """Whether all runs of the group can share a boot."""
        return all(_LATE.match(key) for key in self.keys)


class _Alone(Sequence[tuple[object, ...]]):
    """Rows of one value each, made when they are looked at."""

    def __init__(self, values: Sequence[object]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: Any) -> Any:
        return (self._values[place],)


class Plan:
    """All runs: the product of ``groups``, each point with each of ``seeds``."""

    def __init__(self, groups: Sequence[Group], seeds: Sequence[int]) -> None:
        self.groups = tuple(groups)
        self.seeds = seeds
        self.keys = (*(key for group in self.groups for key in group.keys), SEED)
        self._all = (*self.groups, Group((SEED,), _Alone(seeds)))

    def __len__(self) -> int:
        return prod(len(group.rows) for group in self._all)

    @property
    def points(self) -> int:
        """How many points there are, whatever the seed."""
        return len(self) // len(self.seeds)

    def point(self, number: int) -> Point:
        """The run of this number."""
        rows = []
        rest = number
        for group in reversed(self._all):
            rest, place = divmod(rest, len(group.rows))
            rows.append(group.rows[place])
        return Point(number, tuple(value for row in reversed(rows) for value in row))

    @property
    def share(self) -> int:
        """How many runs have the same boot, each time."""
        return prod(len(group.rows) for group in self.groups if group.late)

    def order(self) -> Iterator[int]:
        """The numbers of all runs in the order in which they are best made."""
        weights: list[tuple[Group, int]] = []
        weight = 1
        for group in reversed(self._all):
            weights.insert(0, (group, weight))
            weight *= len(group.rows)
        early = [(len(group.rows), weight) for group, weight in weights if not group.late]
        late = [(len(group.rows), weight) for group, weight in weights if group.late]
        for base in _numbers(early):
            for offset in _numbers(late):
                yield base + offset

    def described(self) -> str:
        """``guest.modprobe.RxIntDelay (4) x seeds (5)``: what varies, and how much."""
        parts = [f"{' with '.join(group.keys)} ({len(group.rows)})" for group in self.groups]
        if len(self.seeds) > 1 or not parts:
            parts.append(f"{SEED} ({len(self.seeds)})")
        return " x ".join(parts)


def _numbers(sizes: Sequence[tuple[int, int]]) -> Iterator[int]:
    """All sums of a place in each of ``sizes`` times its weight, the last place fastest."""
    if not sizes:
        yield 0
        return
    (size, weight), *rest = sizes
    for place in range(size):
        for number in _numbers(rest):
            yield place * weight + number


def make_plan(vary: Sequence[Axis], zipped: Sequence[Sequence[Axis]], seeds: Sequence[int]) -> Plan:
    """A plan of keys that vary by themselves, and of groups that change together.

    Raises ``UserError`` for a key that is there twice, groups of unequal lengths, and for nothing
    to vary.
    """
    groups = [Group((axis.key,), [(value,) for value in axis.values]) for axis in vary]
    for axes in zipped:
        try:
            check_together(list(axes))
        except ValueError as error:
            raise UserError(str(error)) from None
        rows = list(zip(*(axis.values for axis in axes), strict=True))
        groups.append(Group(tuple(axis.key for axis in axes), rows))
    keys = [key for group in groups for key in group.keys]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise UserError(*(f"{key}: varies twice" for key in twice))
    return Plan(groups, seeds)
