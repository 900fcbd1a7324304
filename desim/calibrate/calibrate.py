"""From recorded runs to a profile, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from desim.calibrate.fit import Fit, fit
from desim.calibrate.kernel_trace import POINTS, parse_trace
from desim.calibrate.meter import Meter
from desim.calibrate.observe import (
    MEASURED,
    Clockwork,
    Observation,
    Waits,
    burst_observations,
    round_observations,
    syn_observation,
    tool_observations,
    trace_observations,
    wire_observations,
)
from desim.calibrate.profile_text import profile_text, uniform
from desim.conform.linux.figures import is_tcp
from desim.conform.linux.predict import configuration, predicted, printed, simulate
from desim.conform.linux.recording import KernelTrace, Run, Test
from desim.data import NamedTuple
from desim.disk import write_whole
from desim.errors import RecordingError
from desim.machine import Machine
from desim.stages import GUEST, known_stages

START = 300
"""Instructions of every stage to begin with."""

ROUNDS = 3
"""Fits, each with the counts of a simulation that uses the figures of the one before."""

KINDS = ("ping", "tftp", "source")
"""Tests of which only the guest's processor decides the length."""

KINDS_WITH_HOST = ("sink", "source")
"""Tests in which a program on the host takes part: not up to the SYN, nor from one ACK to the
next."""

MOST_BYTES = 4 << 20
"""Longer uploads say nothing new, and take long to simulate under observation."""


class Round(NamedTuple):
    """One fit: its number from 1 on, and what came out."""

    number: int
    fit: Fit


def guest_stages() -> Iterator[tuple[str, str]]:
    """Every marked stage of the guest, as file and name."""
    for (stage, file), known in sorted(known_stages().items()):
        if known.owner == GUEST:
            yield file, stage


def is_used(test: Test) -> bool:
    """Whether the test is of a kind that says what work takes."""
    return test.out.get("test") in (KINDS if test.host is None else KINDS_WITH_HOST)


def calibrate(
    runs: Sequence[Run],
    output: Path,
    *,
    comment: str,
    description: str,
    rounds: int = ROUNDS,
    told: Callable[[Round], None] = lambda _: None,
) -> Fit:
    """Fit a profile to ``runs`` and write it to ``output``, anew in every round."""
    write_whole(output, uniform(guest_stages(), START))
    for number in range(1, rounds + 1):
        observations = [o for run in runs for o in observe(run, str(output))]
        if not observations:
            raise RecordingError("nothing in the runs can be set beside the simulation")
        found = fit(observations)
        told(Round(number, found))
        text = profile_text(
            found.figures, description=description, comment=comment, status="measured"
        )
        write_whole(output, text)
    return found


def observe(run: Run, costs: str) -> Iterator[Observation]:
    """The observations of one run, with the counts of its simulation under ``costs``.

    What was measured in ns becomes instructions: each lasts ``2 ** run.shift`` ns.
    """
    ns = 1 << (run.shift or 0)
    for observation in _observe_run(run, costs):
        yield observation._replace(measured=observation.measured / ns)


def _observe_run(run: Run, costs: str) -> Iterator[Observation]:
    tests = [test for test in run.tests if is_used(test) and test.out.get("bytes", 0) <= MOST_BYTES]
    if tests:
        meter = Meter(landmarks=MEASURED)
        machine = simulate(configuration(run, costs=costs, tests=tests), meter)
        clock = Clockwork(meter, machine)
        for test in tests:
            yield from _observe_test(run, test, machine, clock)
    for trace in run.traces:
        yield from _observe_trace(run, trace, costs)


def _observe_test(
    run: Run, test: Test, machine: Machine, clock: Clockwork
) -> Iterator[Observation]:
    name = f"{run.name} {test.name}"
    told = printed(machine, test.name)
    if test.host is None:
        yield from tool_observations(name, test.samples | test.out, told, clock)
    begin, end = (ns // 1000 for ns in test.window_ns)
    recorded = [p for p in run.packets if begin <= p.time_us < end and p.kind == "tcp"]
    found = [p for p in predicted(machine, test).packets if is_tcp(p.frame.raw)]
    if "t0" in test.out and "t0" in told:
        start = run.virtual(test.out["t0"])
        yield from syn_observation(name, start, recorded, told["t0"], found, clock)
    if test.host is not None:
        yield from round_observations(name, recorded, found, clock)
        return
    yield from wire_observations(name, recorded, found, clock)
    yield from burst_observations(name, recorded, found, clock)


def _observe_trace(run: Run, trace: KernelTrace, costs: str) -> Iterator[Observation]:
    meter = Meter(POINTS)
    config = configuration(run, costs=costs, tests=[trace.as_test()])
    machine = simulate(config, meter)
    yield from trace_observations(
        f"{run.name} {trace.name}",
        parse_trace(trace.text),
        meter.since(config.guest[-1].at_ns or 0),
        Waits(machine),
    )
