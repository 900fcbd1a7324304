"""Every figure that desim is held to, bench by bench."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import engine
from benchmarks.calls import COUNTS, measure
from benchmarks.runner import Bench, Row, at_least, at_most

CALL_TARGETS = {
    "host to guest, 16 KiB reads, zero, none": at_most(150),
    "host to guest, 16 KiB reads, study-2016, none": at_most(220),
    "host to guest, 16 KiB reads, zero, trace": at_most(330),
    "host to guest, 16 KiB reads, study-2016, trace": at_most(450),
}
ENGINE_TARGETS = {
    "Timeout in a process": 1.25,
    "Timeout with a callback": 1.25,
    "Store": 1.1,
    "plain call": 2.0,
    "sleep for an int": 2.0,
}


def _calls() -> Iterator[Row]:
    for what, count in COUNTS.items():
        yield Row(what, measure(count), f"a {count.unit}", CALL_TARGETS.get(what))


def _engine() -> Iterator[Row]:
    for name, (ours, theirs) in engine.BENCHES.items():
        _, times = engine.ratio(ours, theirs, 30_000, 15)
        yield Row(name, times, "of SimPy", at_least(ENGINE_TARGETS[name]))


BENCHES: dict[str, Bench] = {
    "calls": Bench("Python and builtin calls per unit of work", _calls),
    "engine": Bench("the engine's primitives beside stock SimPy's", _engine),
}
