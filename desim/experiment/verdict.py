"""Whether a run came to what its scenario expects: files, programs, figures, the fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from desim.config import MachineConfig, RunCommand
from desim.errors import UserError
from desim.machine import Transcript
from desim.scenario import expectations

if TYPE_CHECKING:
    from desim.experiment.again import Again
    from desim.experiment.run import RunResult

STOPPED = 130
"""The exit status of a program that Ctrl-C has ended, as the scenario wanted."""


def failures(result: RunResult, run: Callable[[MachineConfig], RunResult]) -> list[str]:
    """One text for each expectation of the scenario that ``result`` does not meet.

    ``run`` makes the second run, where a law is about a pair of them.
    One that cannot be judged, because the run has not recorded what it is about, is not met.
    """
    expect = result.config.expect
    found = expectations.failures(expect, result.written)
    shown = {transcript.name: transcript for transcript in result.transcripts}
    for command in result.config.commands:
        found += _program(command, shown.get(command.terminal))
    if expect.metrics:
        found += _metrics(result)
    if expect.fingerprint:
        found += _fingerprint(result, expect.fingerprint)
    if expect.laws:
        from desim.experiment.again import Again  # few scenarios name laws

        found += _laws(result, expect.laws, Again(run))
    return found


def expects_something(config: MachineConfig) -> bool:
    """Whether a scenario says what must come of it."""
    expect = config.expect
    return bool(
        expect.guest_files
        or expect.host_files
        or expect.other_files
        or expect.metrics
        or expect.fingerprint
        or expect.laws
    ) or any(
        (run.expect_exit, run.expect_output, run.expect_time) != (None, None, None)
        for run in config.commands
    )


def failed(transcript: Transcript, config: MachineConfig) -> bool:
    """Whether a program ended with a status other than 0, and neither somebody stopped it nor
    its scenario expects that status."""
    expected = {command.terminal: command.expect_exit for command in config.commands}
    return transcript.ended_ns is not None and transcript.status not in (
        0,
        STOPPED,
        expected.get(transcript.name),
    )


def failed_programs(result: RunResult) -> Iterator[str]:
    """One text for each program that failed."""
    for transcript in result.transcripts:
        if failed(transcript, result.config):
            yield f"{transcript.where} {transcript.command!r}: exit {transcript.status}"


def called(command: RunCommand) -> str:
    """How a text calls a command: its side and its words."""
    return f"{command.machine or command.side} {command.command!r}"


def _program(command: RunCommand, shown: Transcript | None) -> Iterator[str]:
    wants = command.expect_exit, command.expect_output, command.expect_time
    if wants == (None, None, None):
        return
    name = called(command)
    if shown is None:
        yield f"{name}: was never started"
        return
    if command.expect_exit is not None and shown.status != command.expect_exit:
        status = "still running at the end" if shown.status is None else f"exit {shown.status}"
        yield f"{name}: {status}, expected exit {command.expect_exit}"
    if command.expect_output is not None:
        output = shown.output.replace(b"\r\n", b"\n").decode("utf-8", "backslashreplace")
        if command.expect_output not in output:
            yield f"{name}: its output has no {command.expect_output!r}"
    if command.expect_time is not None:
        from desim.scenario.conditions import read_condition
        from desim.scenario.metrics import show_value

        condition = read_condition(command.expect_time, "time")
        if shown.ended_ns is None:
            yield f"{name}: still running at the end, expected {condition.text}"
        elif not condition.holds(took := shown.ended_ns - shown.started_ns):
            yield f"{name}: took {show_value(took, 'time')}, expected {condition.text}"


def _metrics(result: RunResult) -> Iterator[str]:
    from desim.scenario.conditions import read_condition  # few scenarios have conditions
    from desim.scenario.metrics import METRICS, show_value

    for name, text in result.config.expect.metrics.items():
        kind = METRICS[name].kind
        condition = read_condition(text, kind)
        try:
            value = result.metrics.value(name)
        except UserError as error:
            yield f"{name}: cannot be judged: {error}"
            continue
        if value is None:
            yield f"{name}: there is none in this run, expected {condition.text}"
        elif not condition.holds(value):
            yield f"{name}: {show_value(value, kind)}, expected {condition.text}"


def _fingerprint(result: RunResult, wanted: str) -> Iterator[str]:
    try:
        whole = result.fingerprint.whole
    except UserError as error:
        yield f"fingerprint: cannot be judged: {error}"
        return
    if not whole.startswith(wanted):
        yield f"fingerprint: {whole[: len(wanted)]}, expected {wanted}"


def _laws(result: RunResult, names: Iterable[str], again: Again) -> Iterator[str]:
    """One text for each law that the run breaks."""
    from desim.laws.table import find

    for name in names:
        if not result.has_fingerprint:
            yield f"law {name}: cannot be judged: a law looks at the whole trace and all frames"
            continue
        for broken in find(name).broken(result, again):
            when = "" if broken.at_ns is None else f"{broken.at_ns} ns: "
            yield f"law {name}: {when}{broken.text}"
