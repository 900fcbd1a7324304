"""Laws about time: order, journeys, and the end of a run."""

from __future__ import annotations

from collections.abc import Iterator

from desim.laws.endless import never_rests
from desim.laws.law import Broken, Run, stated
from desim.machine.conduct import ALL_ENDED, ALL_WAIT, INTERRUPTED, UNTIL

ENDS = (ALL_ENDED, ALL_WAIT, UNTIL, INTERRUPTED)
LIMIT = "stopped: more than "
"""How the end of a run begins that has reached one of its limits."""


@stated(
    test="tests/engine/test_strict_law.py",
    recording="docs/architecture.md, section 2",
)
def time_goes_forward(run: Run) -> Iterator[Broken]:
    """Each thread's records, and each capture, are in the order of time, from 0 to the end.

    And a stage is left after those that were entered within it.
    """
    for record in run.trace.threads.values():
        before = 0
        for chunk in record.times.chunks():
            times = chunk.tolist()
            if times and (times != sorted(times) or times[0] < before):
                yield Broken(f"thread {record.name} goes back in time", before)
                break
            before = times[-1] if times else before
        if before > run.end_ns:
            yield Broken(f"thread {record.name} has gone beyond the end", before)
        yield from _nested(run, record.name)
    for point, packets in run.packets.items():
        before = 0
        for time, _, _ in packets:
            if time < before:
                yield Broken(f"the capture at {point} goes back in time", time)
            before = time


def _nested(run: Run, thread: str) -> Iterator[Broken]:
    record = run.trace.threads[thread]
    stack: list[int] = []
    for chunk in record.codes.chunks():
        for code in chunk:
            if not code & 1:
                stack.append(code)
            elif not stack or stack.pop() != code - 1:
                yield Broken(f"thread {thread} leaves {run.trace.codes.name(code - 1)} too early")
                return


@stated(
    test="tests/experiment (journeys), tests/machine/test_machine_record_law.py",
    recording="docs/architecture.md, section 3",
)
def a_journey_adds_up(run: Run) -> Iterator[str]:
    """The work and the waits on a message's way add up to its time, to the nanosecond."""
    journey = run.journey
    if journey.own_ns + journey.waiting_ns != journey.total_ns:
        yield (
            f"{journey.own_ns} ns of work and {journey.waiting_ns} ns of waits are not "
            f"{journey.total_ns} ns"
        )


@stated(
    test="tests/machine/test_machine_limits.py",
    recording="docs/scenario.md, run.limits",
)
def the_run_ends(run: Run) -> Iterator[str]:
    """A run ends, or the reason for which it was stopped is a limit that has a name.

    Time does not stand still, but where slirp never rests and nothing costs anything: that of QEMU
    2.8 reads the end of a stream again and again, and one that gets its own frames back answers
    its own resets.
    """
    if run.ended not in ENDS and not run.ended.startswith(LIMIT) and not never_rests(run):
        yield f"it ended otherwise: {run.ended}"
