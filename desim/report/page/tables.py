"""What a summary has beside the pictures, as tables: programs, figures, interrupts, files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from desim.report.page.figure import Table, trust_of
from desim.report.page.page import Part
from desim.report.page.scale import exact, instant
from desim.report.text import duration, escape
from desim.scenario.metrics import METRICS, unit

INTERVALS = {"boot": "in the boot", "run": "behind it", "transfers": "in transfers"}


def parts(summary: Mapping[str, Any]) -> Iterator[Part]:
    """The tables that have something to show."""
    for title, head, rows, numbers in (
        ("Programs", ("side", "command", "started", "took", "exit"), _programs, (2, 3)),
        ("Figures", ("figure", "value", "unit", "trust", "what it is"), _figures, (1,)),
        ("Interrupts of the card", INTERRUPTS, _interrupts, (1, 2, 3)),
        ("Interrupts that were held back", HELD, _held, (3, 4, 5)),
        ("Frames lost, held, made", ("frames that were", "where", "why", "frames"), _frames, (3,)),
        ("Files that programs wrote", ("file", "bytes", "SHA-256"), _files, (1,)),
    ):
        made: Sequence[tuple[str, ...]] = list(rows(summary))
        if made:
            name = title.lower().replace(",", "").replace(" ", "-")
            yield Part(name, title, Table(head, made, frozenset(head[n] for n in numbers)))


def _programs(summary: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for one in summary["programs"]:
        yield (
            one["side"],
            escape(one["command"]),
            "" if one["started_ns"] is None else instant(one["started_ns"]),
            _took(one),
            "" if one["status"] is None else str(one["status"]),
        )


def _took(program: Mapping[str, Any]) -> str:
    if program["started_ns"] is None:
        return ""
    if program["ended_ns"] is None:
        return "still ran at the end"
    return duration(program["ended_ns"] - program["started_ns"])


def _figures(summary: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in (summary["metrics"] or {}).items():
        if value is not None and name in METRICS:
            metric = METRICS[name]
            said = exact(value) if isinstance(value, int) else str(value)
            exactness = metric.exactness
            trusted = exactness if exactness != "costs" else trust_of(summary["costs"]["status"])
            yield name, said, unit(metric.kind), trusted, escape(metric.about)


INTERRUPTS = ("when", "ns", "taken", "rises of the pin", "causes", "hold-off decided by")


def _interrupts(summary: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, words in INTERVALS.items():
        found = (summary["interrupts"] or {}).get(name)
        if found is not None:
            yield (
                words,
                exact(found["length_ns"]),
                exact(found["taken"]),
                exact(found["rises"]),
                _counted(found["causes"]),
                _counted(found["windows"]),
            )


HELD = ("when", "what", "by", "times", "waited together, ns", "longest, ns", "causes")


def _held(summary: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, words in INTERVALS.items():
        for one in ((summary["interrupts"] or {}).get(name) or {}).get("held", ()):
            yield (
                words,
                one["holds"],
                one["by"],
                exact(one["times"]),
                exact(one["waited_ns"]),
                exact(one["longest_ns"]),
                _counted(one["causes"]),
            )


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _frames(summary: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for what in ("lost", "held", "made"):
        for one in (summary["frames"] or {}).get(what, ()):
            yield what, one["where"], escape(str(one["why"])), exact(one["frames"])


def _files(summary: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, file in summary["files"].items():
        yield escape(name), exact(file["bytes"]), file["sha256"]
