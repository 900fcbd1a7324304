"""Which settings of the driver are best: those that nothing beats in two figures at once.

What is tried is the driver's InterruptThrottleRate, with and without what may end a window of it
early: TADV, which counts for sent frames unless ``TxIntDelay`` is 0, and RADV, which counts for
received ones if ``RxIntDelay`` is not 0 (``desim/experiment/rates.py``). A setting is beaten by
another that is better in one figure and no worse in the other. Of settings with the same two
figures the first one stands for all: the one that says least.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product

from desim.config import DEFAULT_MODPROBE
from desim.data import NamedTuple
from desim.errors import UserError
from desim.scenario.conditions import Wanted
from desim.scenario.metrics import Value
from desim.scenario.settings import setting_at
from desim.scenario.values import Axis
from desim.sweeps.row import Sample
from desim.sweeps.search import Point, Search, chosen
from desim.sweeps.sweep import Progress

MODPROBE = "guest.modprobe"
RATES = (None, 0, 1, 8000, 6000, 4000, 2000, 1000, 500, 250, 100)
"""Of InterruptThrottleRate; None: as it was."""
SENT: tuple[dict[str, int], ...] = ({}, {"TxIntDelay": 0})
RECEIVED: tuple[dict[str, int], ...] = ({}, {"RxIntDelay": 32, "RxAbsIntDelay": 128})
EXPLAINED = 20
"""Of so many settings it is looked at what held them up."""
SLOWEST = 100
"""The slowest of so many samples says what holds the slow ones up."""


class Choice(NamedTuple):
    """One setting that nothing beats."""

    values: tuple[object, ...]
    """Of the keys that vary."""
    target: Value
    cost: Value
    meets: bool
    alike: int
    """How many other settings have the same two figures."""
    reason: str
    """Where the slow ones were longest, and what for; "" if that is not known."""


class Advice(NamedTuple):
    """What came of it."""

    keys: tuple[str, ...]
    target: Wanted
    cost: str
    tried: int
    front: list[Choice]
    """By cost, the lowest first."""
    best: Choice | None
    """The one with the lowest cost that meets the target; None: none meets it."""
    now: Choice | None
    """The scenario as it is; None: what varies was given."""
    runs: int


class Advise:
    """A search for the best settings. ``steps`` makes it, and leaves ``advice``."""

    advice: Advice

    def __init__(
        self, search: Search, target: Sequence[Wanted], cost: Sequence[str], vary: Sequence[Axis]
    ) -> None:
        """``target`` and ``cost``: each figure that may be meant. Raises ``UserError``."""
        self.search = search
        self.target = {one.name: one for one in target}
        self.cost = list(cost)
        self.given = bool(vary)
        self.axes = list(vary) or [Axis(MODPROBE, tuple(lines(self._line())))]
        self._keys = tuple(axis.key for axis in self.axes)
        orders = {one.condition.order for one in target if one.condition.last is None}
        if len(orders) != 1 or "==" in orders:
            raise UserError("the target must be a limit, such as 'ping.p99 < 300us'")
        self.more_is_better = ">" in orders.pop()

    def _line(self) -> str:
        line = self.search.document.read().modprobe
        if line.split()[0] != DEFAULT_MODPROBE:
            raise UserError(
                f"{line.split()[0]} has no settings to try; --vary says what is to be tried"
            )
        return line

    def steps(self) -> Iterator[Progress]:
        """Try all settings. Raises ``UserError``."""
        first, points = list[Point](), list[Point]()
        metrics = list(dict.fromkeys([*self.target, *self.cost]))
        begin = [Axis(axis.key, axis.values[:1]) for axis in self.axes]
        yield from self.search.tried(begin, metrics, first)  # before many are made in vain
        name, cost = chosen(list(self.target), first), chosen(self.cost, first)
        yield from self.search.tried(self.axes, [name, cost], points)
        choices = [one for point in points if (one := self._choice(point, name, cost))]
        front = self._front(choices)
        because: list[Point] = []
        if front:
            explained = zip(*(choice.values for choice in front[:EXPLAINED]), strict=True)
            axes = [Axis(key, values) for key, values in zip(self._keys, explained, strict=True)]
            yield from self.search.tried(axes, [name, cost], because, kept="causes", together=True)
        reasons = [reason(point.samples, name.partition(".")[0]) for point in because]
        reasons += [""] * (len(front) - len(reasons))
        front = [one._replace(reason=why) for one, why in zip(front, reasons, strict=True)]
        self.advice = Advice(
            self._keys,
            self.target[name],
            cost,
            len(points),
            front,
            next((choice for choice in front if choice.meets), None),
            None if self.given else self._choice(points[0], name, cost),
            self.search.runs,
        )

    def _choice(self, point: Point, name: str, cost: str) -> Choice | None:
        target, price = point.figures[name], point.figures[cost]
        if target is None or price is None:
            return None
        meets = self.target[name].condition.holds(target)
        return Choice(point.values, target, price, meets, 0, "")

    def _front(self, choices: Sequence[Choice]) -> list[Choice]:
        def worth(choice: Choice) -> tuple[Value, Value]:
            return choice.cost, -choice.target if self.more_is_better else choice.target

        alike = Counter(worth(choice) for choice in choices)
        first = {worth(choice): choice for choice in reversed(choices)}
        front: list[Choice] = []
        least: Value | None = None
        for at in sorted(first):
            if least is None or at[1] < least:
                least = at[1]
                front.append(first[at]._replace(alike=alike[at] - 1))
        return front


def lines(line: str) -> Iterator[str]:
    """The lines of modprobe that are tried: first the one that there is."""
    seen = [line]
    for words, received, rate in product(SENT, RECEIVED, RATES):
        settings = {} if rate is None else {"InterruptThrottleRate": rate}
        made: object = line
        for name, value in {**settings, **received, **words}.items():
            setting = setting_at(("guest", "modprobe", name))
            assert setting is not None
            made = setting.put(made, value)
        if made not in seen:
            seen.append(str(made))
    yield from seen


def reason(samples: Sequence[Sample], kind: str) -> str:
    """What holds up the slowest hundredth of samples of this kind, in words; "" if unknown."""
    ordered = sorted(
        (sample for sample in samples if sample.kind == kind), key=lambda one: -one.time_ns
    )
    slow = ordered[: max(1, len(ordered) // SLOWEST)]
    found = Counter((one.place, one.reason) for one in slow if one.place is not None)
    if not found:
        return ""
    (place, why), _ = found.most_common(1)[0]
    return f"{place}: {why}" if why else str(place)
