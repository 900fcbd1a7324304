"""The card's interrupts by interval, by cause, and by what held them back, from a run's trace.

* The pin *rises* for the causes that are pending and not masked; one rise may have several.
* The guest *takes* an interrupt. That may be later, and two rises may be taken as one.
* A *window* of mitigation begins at a rise, for as long as one register asks, or QEMU's floor.
  A rise is *held* if it comes only because a window has ended. With the datasheet's timing a
  delay (RDTR, TIDV and what limits them) holds one cause, and not the pin.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import Any

from desim.data import NamedTuple
from desim.e1000.interrupts import LINE
from desim.engine.trace import E, Happened, Trace
from desim.events import MitigationBegun, MitigationEnded, Raised
from desim.stages import Landmark

Stretches = Sequence[tuple[int, int]]
"""Stretches of time (ns), both ends included, in order and apart."""


class Held(NamedTuple):
    """What one register has held back."""

    holds: str
    """``line``, or the one cause that is delayed."""
    by: str
    """The register, or ``floor``."""
    times: int
    """How often it has held something back."""
    waited_ns: int
    """For how long in all."""
    longest_ns: int
    causes: dict[str, int]
    """How often each cause was among those that waited."""


class Interrupts(NamedTuple):
    """What there was in one interval."""

    length_ns: int
    taken: int
    """Interrupts that the guest's processor took."""
    rises: int
    """Times that the card raised its pin."""
    causes: dict[str, int]
    """How many rises each cause had a part in."""
    windows: dict[str, int]
    """How many windows of mitigation began, by what decided their length."""
    held: list[Held]

    @property
    def held_back(self) -> int:
        """How many rises of the pin had to wait for a window to end."""
        return sum(held.times for held in self.held if held.holds == LINE)

    def as_json(self) -> dict[str, Any]:
        """The same with names, for the summary."""
        return self._asdict() | {"held": [held._asdict() for held in self.held]}


def by_interval(
    trace: Trace, intervals: Mapping[str, Stretches], threads: Collection[str] | None = None
) -> dict[str, Interrupts]:
    """The interrupts of each of ``intervals``, which may overlap.

    ``threads`` are those of the card's machine, by name; None: all.
    """
    ours = trace.threads.keys() if threads is None else threads
    counts = {name: _Counts() for name in intervals}

    def at(time: int) -> Iterator[_Counts]:
        return (counts[name] for name, stretches in intervals.items() if lies(time, stretches))

    for time in _times(trace, ours, Landmark.INTERRUPT):
        for count in at(time):
            count.taken += 1
    for rise in _of(trace.happened(Raised), ours):
        for count in at(rise.time):
            count.rises += 1
            count.causes.update(rise.event.causes)
    for begun in _of(trace.happened(MitigationBegun), ours):
        if begun.event.holds == LINE:
            for count in at(begun.time):
                count.windows[begun.event.by] += 1
    for ended in _of(trace.happened(MitigationEnded), ours):
        if ended.event.causes and not ended.event.cut:
            for count in at(ended.time):
                count.held.setdefault((ended.event.holds, ended.event.by), []).append(ended.event)
    return {
        name: count.result(sum(end - begin for begin, end in intervals[name]))
        for name, count in counts.items()
    }


def lies(time: int, stretches: Stretches) -> bool:
    """Whether an instant lies in one of ``stretches``."""
    number = bisect_right(stretches, time, key=lambda stretch: stretch[0])
    return number > 0 and time <= stretches[number - 1][1]


def together(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of time in order, those that overlap made one."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


class _Counts:
    """One interval, as its figures come together."""

    def __init__(self) -> None:
        self.taken = self.rises = 0
        self.causes: Counter[str] = Counter()
        self.windows: Counter[str] = Counter()
        self.held: dict[tuple[str, str], list[MitigationEnded]] = {}

    def result(self, length_ns: int) -> Interrupts:
        """All of it, in alphabetical order."""
        return Interrupts(
            length_ns,
            self.taken,
            self.rises,
            dict(sorted(self.causes.items())),
            dict(sorted(self.windows.items())),
            [_held(*key, ends) for key, ends in sorted(self.held.items())],
        )


def _held(holds: str, by: str, ends: Sequence[MitigationEnded]) -> Held:
    waits = [end.waited_ns for end in ends]
    causes = Counter(cause for end in ends for cause in end.causes)
    return Held(holds, by, len(ends), sum(waits), max(waits), dict(sorted(causes.items())))


def _of(happened: Iterable[Happened[E]], threads: Collection[str]) -> Iterator[Happened[E]]:
    """What has happened on ``threads``."""
    return (one for one in happened if one.record.name in threads)


def _times(trace: Trace, threads: Collection[str], landmark: Landmark) -> Iterator[int]:
    """When the functions of a landmark were entered, thread by thread."""
    wanted = trace.codes.entries(landmark)
    for record in trace.threads.values():
        if record.name not in threads:
            continue
        for position in merge(*map(record.codes.places, wanted)):
            yield record.times[position]
