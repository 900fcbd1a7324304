"""The recorded runs of a Linux guest, predicted and judged: ``desim conform linux``.

Each run's machine is built as it was, with its tests at their recorded times, and
simulated once; its figures are set beside the measured ones. Where the costs come from:

* runs with counted instructions: profile ``icount``, guest instructions as ns;
* runs in real time: profile ``tcg``.

A run of a family that is judged and cannot be predicted is a mistake; of the others it is
only said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from desim.conform.linux.figures import Figures, ipv6_sent, measured, simulated
from desim.conform.linux.judgement import (
    Compared,
    Verdict,
    family,
    is_judged,
    judge,
    record,
)
from desim.conform.linux.predict import checked_configuration, predicted, simulate
from desim.conform.linux.recording import (
    WRONG,
    Run,
    Test,
    parse_run,
    places,
    read_runs,
)
from desim.conform.linux.table import table
from desim.conform.suite import Outcome, Suite
from desim.costs.profile import shipped
from desim.errors import RecordingError
from desim.machine import Machine

COUNTED, REAL_TIME = "icount", "tcg"


class LinuxSuite(Suite):
    """For a Linux 6.1 guest in QEMU 7.2; with ``costs``, all runs use that profile."""

    def __init__(self, costs: str | None = None) -> None:
        self.costs = costs

    def places(self, path: Path) -> Iterator[Path]:
        """Folders with a run, and archives."""
        return places(path)

    def read(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """The runs of one folder or archive."""
        return read_runs(path)

    def check(self, place: str, recording: dict[str, Any]) -> Outcome:
        """Predict one run, and judge that."""
        run = parse_run(recording)
        of = family(run)
        try:
            costs = self.costs or _profile(run)
            verdict = _predict(run, costs)
        except RecordingError as error:
            if is_judged(of):
                raise
            return _not_predicted(place, of, str(error))
        details = {"costs": costs, **record(verdict)}
        return Outcome(
            place=place,
            judged=verdict.judged,
            difference=verdict.why,
            fields={"what": verdict.why},
            shown=table(place, costs, verdict),
            errors=verdict.errors(),
            details=details,
        )


def _not_predicted(place: str, of: str, why: str) -> Outcome:
    return Outcome(
        place=place,
        judged=False,
        shown=f"{place} ({of}): not predicted: {why}",
        details={"family": of, "not_predicted": why},
    )


def _profile(run: Run) -> str:
    """The shipped profile that the run's clock asks for."""
    name = REAL_TIME if run.shift is None else COUNTED
    if name not in shipped():
        clock = "in real time" if run.shift is None else "with counted instructions"
        raise RecordingError(
            f"{run.name}: runs {clock} need the cost profile {name!r}, which does not ship; "
            "--costs names another"
        )
    return name


def _predict(run: Run, costs: str) -> Verdict:
    if run.not_modelled:
        raise RecordingError(f"{run.name}: not modelled: {run.not_modelled[0]}")
    if not run.tests:
        raise RecordingError(f"{run.name}: no test in it that printed figures")
    config = checked_configuration(run, costs=costs)
    known = [(test, _measured(run, test)) for test in run.tests]
    machine = simulate(config)
    if machine.failed:
        raise RecordingError(f"{run.name}: {machine.ended}")
    for test in run.tests:
        _check_said(run, test, machine)
    return judge(run, [_compared(test, figures, machine) for test, figures in known])


def _compared(test: Test, figures: Figures, machine: Machine) -> Compared:
    found = predicted(machine, test)
    return Compared(test, figures, simulated(test, found), test.ipv6[1] + ipv6_sent(found))


def _measured(run: Run, test: Test) -> Figures:
    try:
        found = measured(test)
        good = all(figure is None or (math.isfinite(figure) and figure >= 0) for figure in found)
    except WRONG as error:
        raise RecordingError(
            f"{run.name}: {test.name}: a field is missing or wrong ({error!r})"
        ) from None
    if not good:
        raise RecordingError(f"{run.name}: {test.name}: figures {found} are not all numbers")
    return found


def _check_said(run: Run, test: Test, machine: Machine) -> None:
    """A program that does not know its arguments says so, and that is no figure."""
    for transcript in machine.transcripts():
        if transcript.name in (test.name, f"host:{test.name}") and transcript.status:
            text = transcript.output.decode(errors="replace")
            if "{" not in text:
                line = text.partition("\n")[0]
                raise RecordingError(f"{run.name}: {transcript.command!r} ended with: {line}")
