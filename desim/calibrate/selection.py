"""Which of the recorded runs tell what a guest's instructions are spent on.

Those in which the processor's work alone decides how long something takes: instructions
are counted, and what answers is inside QEMU. They are taken in the order of their names, so
that the profile does not depend on the order in which they were given.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from desim.calibrate.calibrate import is_used
from desim.calibrate.kernel_trace import parse_trace
from desim.conform.linux.judgement import family
from desim.conform.linux.predict import checked_configuration
from desim.conform.linux.recording import (
    WRONG,
    Run,
    Test,
    parse_run,
    places,
    read_runs,
)
from desim.conform.suite import UNREADABLE, check_regular, told
from desim.data import NamedTuple
from desim.disk import kind_of
from desim.errors import RecordingError

USED = ("det", "sizes", "ftrace", "vt")
"""Families (see ``desim.conform.linux.judgement``)."""

COSTS = "zero"
"""A profile with which a configuration can be checked before there is another."""

_LISTS = ("send_ns", "sent_ns", "krx_ns", "recv_ns", "rtt_ns")
_NUMBERS = ("t0_ns", "t0", "connect_ns", "written_ns", "bytes")


class PassedOver(NamedTuple):
    """A run that is not used."""

    place: str
    why: str


class Selection(NamedTuple):
    """What there is below some paths."""

    runs: list[Run]
    """To be used, by name."""
    passed_over: list[PassedOver]
    mistakes: list[str]
    """What could not be read, one line each."""


def select(paths: Iterable[Path], *, real_time: bool = False) -> Selection:
    """The runs below ``paths``, as ``desim conform linux`` finds them; with ``real_time`` those
    whose instructions were not counted and in which the parts of a ping were measured."""
    found: dict[str, tuple[Run, dict[str, Any]]] = {}
    passed_over: list[PassedOver] = []
    mistakes: list[str] = []
    for path in paths:
        count = 0
        for file in places(path):
            try:
                if kind_of(file) != "folder":
                    check_regular(file)
                for place, documents in read_runs(file):
                    count += 1
                    run = parse_run(documents)
                    why = _why_not_in_real_time(run) if real_time else _why_not(run)
                    if not why and run.name in found:
                        if found[run.name][1] != documents:
                            mistakes.append(f"{place}: another run is called {run.name}, too")
                            continue
                        why = "given twice"
                    if why:
                        passed_over.append(PassedOver(place, why))
                        continue
                    _check(run)
                    found[run.name] = run, documents
            except UNREADABLE as error:
                count += 1
                mistakes.append(told(error, file))
        if not count:
            mistakes.append(f"{path}: no recordings in it")
    runs = [run for _, (run, _) in sorted(found.items())]
    return Selection(runs, passed_over, mistakes)


def _why_not(run: Run) -> str:
    of = family(run)
    if run.shift is None:
        return "its instructions were not counted: real time"
    if of == "idlewarp":
        return "its guest was idle, and the clock jumped"
    if of not in USED:
        return "it shows what the network does, not what work takes"
    if run.not_modelled:
        return f"not modelled: {run.not_modelled[0]}"
    if not run.traces and not any(is_used(test) for test in run.tests):
        return "no ping, TFTP or bulk transfer in it that tells, and no kernel trace"
    return ""


def _why_not_in_real_time(run: Run) -> str:
    if run.shift is not None:
        return "its instructions were counted: not real time"
    if run.not_modelled:
        return f"not modelled: {run.not_modelled[0]}"
    if not any(test.out.get("test") == "ping" and test.components for test in run.tests):
        return "no ping in it of which the parts were measured"
    return ""


def _check(run: Run) -> None:
    """Raises ``RecordingError`` if something that will be used is not as it should be."""
    checked_configuration(run, costs=COSTS)
    for test in run.tests:
        _check_test(run.name, test)
    for trace in run.traces:
        try:
            test = trace.as_test()
            parse_trace(trace.text)
        except WRONG as error:
            raise RecordingError(f"{run.name}: {trace.name}: not a trace ({error!r})") from None
        _check_test(run.name, test)
        checked_configuration(run, costs=COSTS, tests=[test])


def _check_test(name: str, test: Test) -> None:
    for key in _LISTS:
        values = test.samples.get(key, [])
        if not isinstance(values, list) or not all(type(value) is int for value in values):
            raise RecordingError(f"{name}: {test.name}: {key} is not a list of whole numbers")
    for key in _NUMBERS:
        if type(test.out.get(key, 0)) is not int:
            raise RecordingError(f"{name}: {test.name}: {key} is not a whole number")
    lengths = sorted({len(test.samples[key]) for key in _LISTS[:4] if key in test.samples})
    if len(lengths) > 1:
        raise RecordingError(f"{name}: {test.name}: lists of {lengths[0]} and {lengths[-1]} stamps")
