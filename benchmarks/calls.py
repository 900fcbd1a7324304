"""Calls per data segment, free of noise: a count is the difference of two sizes.

What a run does once (building, booting, connecting, ending) is the same for both sizes and
cancels; for that the texts of wrappers are written at their first calls. Counted is every start or
resumption of a Python function and every call of a builtin one, as ``cProfile`` sees them (its
tables by code object: those of ``pstats`` merge functions of one name and line, as are the methods
that dataclasses make).
"""

from __future__ import annotations

import cProfile
import gc
import re
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import desim
import desim.data
from benchmarks.workloads import MSS, READERS, boot, bulk, exchanges, pings
from desim.config import MachineConfig
from desim.engine import wrappers
from desim.machine import Machine
from desim.record import Record

DESIM = Path(desim.__file__).resolve().parent
SMALL, LARGE = 200_000, 600_000
"""Bytes of the two transfers."""
FEW, MANY = 5, 25
"""Pings, or exchanges, of the two runs."""

Counts = Counter[str]
"""How often each was called."""

Entries = list[Any]
"""A profiler's entries, one for each code object or builtin function."""


class Count(NamedTuple):
    """One line of the budget."""

    what: str
    unit: str
    make: Callable[[int], MachineConfig]
    sizes: tuple[int, int]
    """The two runs; one whose first is 0 is a whole run, not a difference."""
    units: float
    """How many units lie between the two."""


def _bulk(costs: str, level: Record, to_guest: bool, reader: Any) -> Count:
    way = "host to guest" if to_guest else "guest to host"
    return Count(
        f"{way}, {READERS[reader][1]} reads, {costs}, {level}",
        "segment",
        lambda size: bulk(size, costs, level, to_guest=to_guest, reader=reader),
        (SMALL, LARGE),
        (LARGE - SMALL) / MSS,
    )


def _boot(_: int, costs: str, level: Record) -> MachineConfig:
    return boot(costs, level)


def _small(
    what: str, unit: str, make: Callable[[int, str, Record], MachineConfig], level: Record
) -> Count:
    sizes = (0, 1) if make is _boot else (FEW, MANY)
    return Count(
        f"one {what}, study-2016, {level}",
        unit,
        lambda count: make(count, "study-2016", level),
        sizes,
        sizes[1] - sizes[0],
    )


def _all() -> list[Count]:
    levels: tuple[Record, ...] = ("none", "trace")
    found = [
        _bulk(costs, level, to_guest, reader)
        for to_guest, reader in ((True, "nc"), (True, "busybox nc"), (False, "nc"))
        for costs in ("zero", "study-2016")
        for level in levels
    ]
    for level in levels:
        found += [
            _small("ping of the guest", "ping", pings, level),
            _small("byte each way", "exchange", exchanges, level),
            _small("boot", "boot", _boot, level),
        ]
    return found


COUNTS = {count.what: count for count in _all()}
"""What is counted, by what it is."""


def functions(count: Count) -> dict[str, float]:
    """How often each function is called per unit. What costs nothing is left out."""
    return _per_unit(count, _by_function)


def rooms(count: Count) -> dict[str, float]:
    """How many calls the functions of each room of desim are and make of builtin ones, per unit."""
    return _per_unit(count, _by_room)


def _per_unit(count: Count, sort: Callable[[Entries], Counts]) -> dict[str, float]:
    small, large = count.sizes
    few, few_objects = wrappers.FEW, desim.data.FEW
    # A run takes SIGINT only where it is not ignored, as it is in the background of a shell.
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if small:
            wrappers.FEW = 0
        desim.data.FEW = 0
        # What is loaded, or made once for all runs of a kind (a constructor, too), does not count.
        Machine(count.make(large)).run()
        counts = sort(_profiled(count.make(large)))
        if small:
            counts.subtract(sort(_profiled(count.make(small))))
    finally:
        signal.signal(signal.SIGINT, interrupt)
        wrappers.FEW, desim.data.FEW = few, few_objects
    return {name: calls / count.units for name, calls in counts.items() if calls}


def measure(count: Count) -> float:
    """Calls per unit, to a hundredth."""
    return round(sum(functions(count).values()), 2)


def _profiled(config: MachineConfig) -> Entries:
    """What building a machine and its run called."""
    profile = cProfile.Profile()
    made = []

    def run() -> None:
        made.append(Machine(config))
        made[0].run()

    # What an earlier machine leaves is taken apart before, and this one's parts afterwards: the
    # collector comes when memory says so, and a generator that it closes runs code.
    gc.collect()
    gc.disable()
    try:
        profile.runcall(run)
    finally:
        gc.enable()
    return [entry for entry in profile.getstats() if not _is_abstract(entry.code)]


def _is_abstract(code: Any) -> bool:
    """How often isinstance() asks an abstract class depends on when memory is collected."""
    return "_abc." in code if isinstance(code, str) else code.co_filename == "<frozen abc>"


def _by_function(entries: Entries) -> Counts:
    counts: Counts = Counter()
    for entry in entries:
        code = entry.code
        if isinstance(code, str):
            name = re.sub(r" object at 0x\w+", "", code)
        else:
            name = f"{_place(code.co_filename)}: {code.co_qualname}"
        counts[name] += entry.callcount
    return counts


def _by_room(entries: Entries) -> Counts:
    counts: Counts = Counter()
    for entry in entries:
        if not isinstance(entry.code, str):
            room = _room(entry.code.co_filename)
            counts[room] += entry.callcount
            for called in entry.calls or ():
                if isinstance(called.code, str) and not _is_abstract(called.code):
                    counts[room] += called.callcount
    return counts


def _room(filename: str) -> str:
    """The room of a file; code that is written out for a shape has no file."""
    parts = Path(_place(filename)).parts
    if parts[0].startswith("<"):
        return "written out"
    return parts[1].removesuffix(".py") if parts[0] == "desim" else "other"


def _place(filename: str) -> str:
    """A file of desim as seen from where it is installed, another by its last two parts."""
    path = Path(filename)
    if path.is_relative_to(DESIM):
        return str(path.relative_to(DESIM.parent))
    return "/".join(path.parts[-2:])
