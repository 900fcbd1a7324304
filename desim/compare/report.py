"""Two runs beside each other, as text: where they part, why, and what comes of it.

First what was asked for and differs (scenario, options, costs, seed), then the first thing that is
not the same in both, with what led there; then the figures that differ, the largest change first.
A message's time comes with the stations that the change comes from, interrupts that were held back
with the registers that decided.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from desim.compare.align import Item, Parting, differing, parting
from desim.compare.causes import Cause, Causes
from desim.data import NamedTuple, Protocol
from desim.engine.trace import Fingerprint, Trace
from desim.events import KINDS, MitigationEnded
from desim.experiment.journey import Journey, Row
from desim.experiment.journey.journeys import Journeys
from desim.experiment.journey.statistics import Statistics, statistics
from desim.experiment.ran import Ran
from desim.experiment.trace_lines import named
from desim.report.stations import group_rows
from desim.report.text import amount, cut, duration, escape
from desim.scenario.metrics import METRICS, Metric, show_value

WIDTH = 80
FIRST, SECOND = "A", "B"
ASKED = ("scenario", "qemu", "slirp", "card", "costs", "seed", "desim")
"""Keys of a summary that say what was run, and with what."""
INSTANTS = ("until_ns", "begin_ns")
"""Data of events that are instants, not durations."""
Way = tuple[int, Iterable[Row]]
"""Stations of the ways of so many messages together."""
FIRST_MESSAGE = "tcp host to guest"
STATIONS = 3
"""How many stations a change is traced to, at most."""


class Compared(Ran, Protocol):
    """A run that can be compared."""

    @property
    def fingerprint(self) -> Fingerprint:
        """The hashes of all that happened."""

    @property
    def journey(self) -> Journey:
        """The way of the first message into the guest."""

    @property
    def journeys(self) -> Journeys:
        """All messages and their ways."""


class Change(NamedTuple):
    """A figure that is not the same in both runs."""

    name: str
    first: Fraction | None
    second: Fraction | None

    @property
    def size(self) -> Fraction:
        """How large the change is, as a part of the larger value: 1 for one that came or went."""
        if self.first is None or self.second is None:
            return Fraction(1)
        return abs(self.second - self.first) / max(abs(self.first), abs(self.second))


def same(first: Compared, second: Compared) -> bool:
    """Whether both runs have done the same."""
    return first.fingerprint == second.fingerprint


def _wrapped(text: str, width: int, *, initial_indent: str, subsequent_indent: str) -> list[str]:
    """Lines of ``width`` columns; options with hyphens stay whole."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=initial_indent,
        subsequent_indent=subsequent_indent,
        break_on_hyphens=False,
    )


def lines(
    first: Compared,
    second: Compared,
    names: tuple[str, str] = (FIRST, SECOND),
    width: int = WIDTH,
) -> Iterator[str]:
    """What differs; ``names`` is what the runs are called."""
    for letter, name, run in zip((FIRST, SECOND), names, (first, second), strict=True):
        print_ = run.fingerprint.whole[:8]
        yield f"{letter}  {cut(escape(name), width - 16):<{width - 16}}  id {print_}"
    if same(first, second):
        yield "the same: every time, every function, every byte"
        return
    yield from _asked(first.summary, second.summary, width)
    parted = parting(first.trace, second.trace)
    yield ""
    if parted is None:
        yield "they part in nothing that was recorded of their threads; frames or files differ"
    else:
        yield from _parting(parted, first, second, width)
    changes = list(changed(first.summary, second.summary))
    yield ""
    if not changes:
        yield "no figure differs"
        return
    yield "figures, the largest change first"
    for change in changes:
        yield from _change(change, first, second, width)
    yield from _messages(first, second, width)


def _asked(first: Mapping[str, Any], second: Mapping[str, Any], width: int) -> Iterator[str]:
    """What was asked for, and differs."""
    told: list[tuple[str, Any, Any]] = [(key, first[key], second[key]) for key in ASKED]
    told += _programs(first["programs"], second["programs"])
    for key, a, b in told:
        if a != b:
            yield ""
            yield f"{key}"
            yield from _both(_text(a), _text(b), width)


def _programs(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> Iterator[tuple[str, str, str]]:
    """Commands that are not the same, terminal by terminal."""
    ones = {program["terminal"]: program["command"] for program in first}
    others = {program["terminal"]: program["command"] for program in second}
    for terminal in dict.fromkeys((*ones, *others)):
        of = ones.get(terminal, "nothing"), others.get(terminal, "nothing")
        yield f"{terminal} started", *of


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return "none" if value in (None, "") else str(value)


def _both(first: str, second: str, width: int) -> Iterator[str]:
    for letter, text in ((FIRST, first), (SECOND, second)):
        yield from _wrapped(
            escape(text), width, initial_indent=f"  {letter}  ", subsequent_indent="     "
        )


# --- where they part


def _parting(parted: Parting, first: Ran, second: Ran, width: int) -> Iterator[str]:
    at = f"{parted.time // 10**9}.{parted.time % 10**9:09d} s"
    yield f"they part at {at} on {parted.thread}; up to there all is the same"
    yield from _both(*_told(parted), width)
    kinds = dict.fromkeys(
        item.event[2] for item in parted[1:] if item is not None and item.event is not None
    )
    for kind in kinds:
        about = " ".join((inspect.getdoc(KINDS[kind]) or "").split())
        yield from _wrapped(
            f"({kind}: {about})", width, initial_indent="     ", subsequent_indent="     "
        )
    chains = [
        _chain(run, parted.thread, item)
        for run, item in ((first, parted.first), (second, parted.second))
    ]
    if chains[0] == chains[1]:
        yield from _because("what led there, in both", chains[0], width)
        return
    for letter, chain in zip((FIRST, SECOND), chains, strict=True):
        yield from _because(f"what led there in {letter}", chain, width)


def _chain(run: Ran, thread: str, item: Item | None) -> list[Cause]:
    if item is None:
        return []
    return Causes(run).chain(thread, item.time, item.position)


def _because(title: str, chain: list[Cause], width: int) -> Iterator[str]:
    if not chain:
        return
    yield title
    for cause in chain:
        at = f"{cause.time // 10**9}.{cause.time % 10**9:09d}"
        head = f"  {at:>14}  {cause.thread:<10}  "
        yield from _wrapped(
            escape(cause.what), width, initial_indent=head, subsequent_indent=" " * len(head)
        )


def _told(parted: Parting) -> tuple[str, str]:
    """What comes next in each: of two events of one kind only what differs."""
    a, b = parted.first, parted.second
    if a is not None and b is not None and a.event is not None and b.event is not None:
        if a.event[2] == b.event[2] and (found := list(differing(a.event, b.event))):
            at = ("", "") if a.time == b.time else (f" at {a.time} ns", f" at {b.time} ns")
            one = ", ".join(_valued(name, value) for name, value, _ in found)
            two = ", ".join(_valued(name, value) for name, _, value in found)
            return f"{a.event[2]}{at[0]}: {one}", f"{b.event[2]}{at[1]}: {two}"
    return _item(a, b), _item(b, a)


def _item(item: Item | None, other: Item | None) -> str:
    if item is None:
        return "nothing more on this thread"
    late = "" if other is not None and other.time == item.time else f" at {item.time} ns"
    if item.event is not None:
        data = ", ".join(_valued(name, value) for name, value in named(item.event).items())
        return f"{item.event[2]}{late}: {data}"
    if not item.file:
        return f"{'ends' if item.leaves else 'begins'} to wait {item.name}{late}"
    return f"{'leaves' if item.leaves else 'enters'} {item.name} at {item.file}{late}"


def _valued(name: str, value: Any) -> str:
    """A datum of an event: ``until 0.333370680 s``, ``itr 49.92 us``, ``by floor``."""
    if not name.endswith("_ns") or not isinstance(value, int):
        return f"{name} {_plain(value)}"
    if name in INSTANTS:
        return f"{name.removesuffix('_ns')} {value // 10**9}.{value % 10**9:09d} s"
    return f"{name.removesuffix('_ns')} {duration(value)}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return str(value["text"])
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return str(value) if value != "" else "none"


# --- what comes of it


def changed(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Change]:
    """The figures of two summaries that differ, the largest change first."""
    found = []
    for name in METRICS:
        a, b = (_value(summary, name) for summary in (first, second))
        if a != b:
            found.append(Change(name, a, b))
    order = {name: number for number, name in enumerate(METRICS)}
    yield from sorted(found, key=lambda change: (-change.size, order[change.name]))


def _value(summary: Mapping[str, Any], name: str) -> Fraction | None:
    value = (summary.get("metrics") or {}).get(name)
    return None if value is None else Fraction(value)


def _change(change: Change, first: Compared, second: Compared, width: int) -> Iterator[str]:
    metric = METRICS[change.name]
    values = f"{_shown(change.first, metric)} -> {_shown(change.second, metric)}"
    line = f"  {change.name:<24}  {values:<28}"
    if change.first is not None and change.second is not None:
        line += f"  {_difference(change.second - change.first, metric)}"
    yield line.rstrip()
    if change.name == "message.time":
        ways = ((1, first.journey), (1, second.journey))
        yield from _traced(_stations(*ways), width)
    if change.name == "irq_held":
        for text in _held_back(first.trace, second.trace):
            yield f"    {text}"


def _held_back(first: Trace, second: Trace) -> Iterator[str]:
    """How often and how long interrupts waited, by the register that decided."""
    both: list[dict[str, tuple[int, int]]] = []
    for trace in (first, second):
        found: dict[str, tuple[int, int]] = {}
        for ended in trace.happened(MitigationEnded):
            if (waited := ended.event.waited_ns) > 0:
                times, ns = found.get(ended.event.by, (0, 0))
                found[ended.event.by] = times + 1, ns + waited
        both.append(found)
    for by in sorted({*both[0], *both[1]}):
        a, b = (one.get(by, (0, 0)) for one in both)
        if a != b:
            yield f"by {by}: {_times(*a)} -> {_times(*b)}"


def _times(count: int, ns: int) -> str:
    return f"{count} time{'s' * (count != 1)}, {duration(ns)}" if count else "never"


def _shown(value: Fraction | None, metric: Metric) -> str:
    if value is None:
        return "none"
    if metric.kind == "time":
        return duration(int(value))
    if metric.kind == "rate":
        return f"{amount(int(value))}/s"
    return show_value(value, metric.kind)


def _difference(value: Fraction, metric: Metric) -> str:
    return f"{'+' if value > 0 else '-'}{_shown(abs(value), metric)}"


def _stations(first: Way, second: Way) -> list[tuple[str, Fraction]]:
    """How much longer each part of the way takes in the second run, the largest change first."""
    found: dict[str, Fraction] = {}
    for sign, (messages, rows) in ((-1, first), (1, second)):
        for group in group_rows(rows):
            for row in group.rows:
                where = _where(group.title, row.waits_for if group.lies else "")
                ns = Fraction(sign * (row.own_ns + row.waiting_ns), messages)
                found[where] = found.get(where, Fraction(0)) + ns
    changes = [(where, ns) for where, ns in found.items() if ns]
    return sorted(changes, key=lambda one: -abs(one[1]))


def _traced(stations: list[tuple[str, Fraction]], width: int) -> Iterator[str]:
    for where, ns in stations[:STATIONS]:
        text = f"{_difference(ns, METRICS['message.time'])} {where}"
        yield from _wrapped(text, width, initial_indent="    ", subsequent_indent="      ")


def _messages(first: Compared, second: Compared, width: int) -> Iterator[str]:
    """How long all messages took, kind by kind, where that differs."""
    both = [{(s.kind, s.direction): s for s in statistics(run.journeys)} for run in (first, second)]
    told: list[str] = []
    for key in dict.fromkeys((*both[0], *both[1])):
        a, b = (found.get(key) for found in both)
        told += _statistics(" ".join(key), a, b, width)
    if told:
        yield ""
        yield "all messages, and where the mean of their times comes from"
        yield from told


def _statistics(
    name: str, first: Statistics | None, second: Statistics | None, width: int
) -> Iterator[str]:
    a, b = (0 if one is None else one.arrived for one in (first, second))
    times = [_times_of(one) for one in (first, second)]
    if a == b and times[0] == times[1]:
        return
    if a == b == 1 and name == FIRST_MESSAGE:
        return  # the figure message.time is about this one
    yield f"  {name}: {a}" + (
        f" -> {b} messages" if a != b else " messages" if a > 1 else " message"
    )
    for percentile in ("p50", "p99", "mean"):
        one, other = (found.get(percentile) for found in times)
        if one is not None and other is not None and one != other:
            change = _difference(other - one, METRICS["message.time"])
            values = f"{duration(int(one))} -> {duration(int(other))}"
            yield f"    {percentile:<22}  {values:<28}  {change}"
    if first is not None and second is not None and a and b:
        yield from _traced(_stations((a, first.rows), (b, second.rows)), width)


def _times_of(found: Statistics | None) -> dict[str, Fraction]:
    if found is None or found.mean_ns is None:
        return {}
    times = {name: Fraction(ns) for name, ns in found.percentiles.items()}
    return times | {"mean": found.mean_ns}


def _where(title: str, why: str) -> str:
    """A heading of the journey, and for what the message waited there."""
    place = title.removeprefix("waiting ").removesuffix(" for")
    return f"{place}: {why}" if why else f"in {place}" if title == place else place
