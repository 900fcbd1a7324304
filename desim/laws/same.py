"""Laws about pairs of runs: what changes nothing must change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from desim.config import MachineConfig
from desim.devices import HostFwd
from desim.filters import Chosen, LossFilter
from desim.laws.law import Again, Run, stated

UNUSED_PORT = 65_123
"""A port that no scenario uses, we hope; one that does is not judged."""
NEVER = 4_000_000_000
"""The number of a packet that no run gets to."""
LOOKS_AROUND = ("netstat", "ss ", "info ")
"""Commands whose output tells of a forward that nobody uses."""


@stated(
    test="tests/machine/test_machine_determinism.py",
    recording="docs/architecture.md, What must be true",
)
def a_run_is_the_same_again(run: Run, again: Again) -> Iterator[str]:
    """Two runs of one scenario have the same fingerprint."""
    yield from _different(run, again(_copy(run.config)), "again")


@stated(
    test="tests/machine/test_machine_strict_law.py",
    recording="docs/architecture.md, section 2",
)
def a_strict_run_is_the_same(run: Run, again: Again) -> Iterator[str]:
    """A run in which every charge of time is a meeting of all threads has the same fingerprint."""
    yield from _different(
        run, again(_copy(run.config, strict=not run.config.strict)), "strict and lazy"
    )


@stated(
    test="tests/machine/test_machine_determinism.py",
    recording="docs/architecture.md, What must be true",
    process=True,
)
def another_hash_seed_is_the_same(run: Run, again: Again) -> Iterator[str]:
    """A run in a Python whose hashes have another seed has the same fingerprint."""
    mine = run.fingerprint.whole
    theirs = again.fingerprint(_copy(run.config), hash_seed=1 + run.config.seed % 1000)
    if mine != theirs:
        yield f"fingerprint {mine[:16]} here, {theirs[:16]} with other hashes"


@stated(
    test="tests/machine/test_machine_record_law.py",
    recording="docs/architecture.md, section 3",
)
def an_observer_changes_nothing(run: Run, again: Again) -> Iterator[str]:
    """What happens is the same whatever of it is kept: frames, trace, counters or nothing."""
    for record, capture in (("none", True), ("counters", False), ("journeys", True)):
        less = again(_copy(run.config, record=record, capture=capture))
        yield from _otherwise(run, less, f'record="{record}"', capture=capture)
        if record == "counters" and less.frame_counts != run.frame_counts:
            yield "the counts of frames are others with record=counters"


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="docs/scenario.md, Faults on the wire",
)
def a_filter_that_does_nothing_changes_nothing(run: Run, again: Again) -> Iterator[str]:
    """With one more filter at the netdev that chooses no packet every frame is as it was."""
    if run.config.user is None or run.config.nic is None:
        return
    if any("info network" in " ".join(one.words) for one in run.config.monitor):
        return  # it lists filters
    made = _copy(run.config)
    chosen = Chosen(frames=[(NEVER, NEVER)])
    made.filters = [*made.filters, LossFilter(id="nothing", chosen=chosen)]
    yield from _otherwise(run, again(made), "with a filter that does nothing")


@stated(
    test="tests/laws/test_laws_broken.py",
    recording="docs/scenario.md, Keys of -netdev user",
)
def an_unused_forward_changes_nothing(run: Run, again: Again) -> Iterator[str]:
    """With one more forward that nobody uses every frame has the bytes that it had."""
    config = run.config
    words = [c.command for c in (*config.guest, *config.host)]
    words += [" ".join(c.words) for c in config.monitor]
    said = " ".join(words)
    if config.user is None or str(UNUSED_PORT) in said or any(w in said for w in LOOKS_AROUND):
        return
    made = _copy(config)
    assert made.user is not None
    made.user.hostfwd = [
        *made.user.hostfwd,
        HostFwd(host_port=UNUSED_PORT, guest_port=UNUSED_PORT),
    ]
    yield from _otherwise(run, again(made), "with a forward that nobody uses")


def _copy(config: MachineConfig, **changes: Any) -> MachineConfig:
    made = deepcopy(config)
    made.record, made.capture = "trace", True
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def _different(run: Run, other: Run, how: str) -> Iterator[str]:
    """What differs of two fingerprints."""
    mine, theirs = run.fingerprint, other.fingerprint
    if mine.whole == theirs.whole:
        if (run.ended, run.end_ns) != (other.ended, other.end_ns):
            yield f"{how}: ended {run.ended}, and {other.ended}"
        return
    parts = [
        name for name in ("times", "names", "bytes") if getattr(mine, name) != getattr(theirs, name)
    ]
    yield f"{how}: another fingerprint: its {' and '.join(parts)}{_first_thread(run, other)}"


def _first_thread(run: Run, other: Run) -> str:
    """The first mark that is another, for people."""
    first: tuple[int, str] | None = None
    for name, record in run.trace.threads.items():
        theirs = other.trace.threads.get(name)
        if theirs is None:
            return f"; one has no thread {name}"
        marks = zip(record.times, record.codes, strict=True)
        others = zip(theirs.times, theirs.codes, strict=True)
        for mark, another in zip(marks, others, strict=False):
            if mark[0] != another[0] or run.trace.codes.name(mark[1]) != other.trace.codes.name(
                another[1]
            ):
                at = min(mark[0], another[0])
                if first is None or at < first[0]:
                    was = run.trace.codes.name(mark[1])
                    first = at, f"; thread {name} differs at {at} ns, in {was}"
                break
    return first[1] if first else ""


def _otherwise(run: Run, other: Run, how: str, *, capture: bool = True) -> Iterator[str]:
    """What differs of two runs that need not have the same trace."""
    if (run.ended, run.end_ns, run.failed) != (other.ended, other.end_ns, other.failed):
        yield f"{how}: ended at {other.end_ns} ns ({other.ended}), not {run.end_ns} ({run.ended})"
    if capture:
        for point, packets in run.packets.items():
            theirs = other.packets.get(point, ())
            for mine, another in zip(packets, theirs, strict=False):
                if (mine.time, mine.to_guest, mine.frame.raw) != (
                    another.time,
                    another.to_guest,
                    another.frame.raw,
                ):
                    yield f"{how}: frame {mine.frame.number} at {point} is another ({mine.time} ns)"
                    break
            else:
                if len(packets) != len(theirs):
                    yield f"{how}: {len(theirs)} frames at {point}, not {len(packets)}"
    mine_files = {name: log.sha256() for name, log in run.written.items()}
    if mine_files != {name: log.sha256() for name, log in other.written.items()}:
        yield f"{how}: files are others"
    if run.transcripts != other.transcripts:
        yield f"{how}: terminals show something else"
