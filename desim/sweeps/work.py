"""What a worker does: makes some runs of a sweep, and keeps a row of each.

A worker is a process of a pool, a worker of a cluster, or this process: it gets a ``Base`` (the
sweep) and a ``Chunk`` (some of its runs), and gives rows back. Whatever happens in a run ends in
its row; only the death of the whole process does not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, cast

from desim.config import MachineConfig
from desim.data import NamedTuple, replace
from desim.errors import DesimError, UserError, WorkerError
from desim.experiment.many import Many, can_fork
from desim.experiment.run import RunResult
from desim.experiment.warm import Plan as RunPlan
from desim.experiment.warm import run_job
from desim.machine.conduct import ALL_ENDED, ALL_WAIT
from desim.scenario.document import Document
from desim.sweeps.identity import document_digest
from desim.sweeps.plan import Point
from desim.sweeps.row import WORKER, Row
from desim.sweeps.samples import samples
from desim.version import __version__

Kept = Literal["figures", "samples", "causes"]
"""What is kept of a run: its figures; each round trip and message, too; and what held them up."""

SWEEPS = 4
"""How many sweeps a worker keeps ready."""


class Base:
    """A sweep, as its workers know it. Two are equal if they have the same ``digest``."""

    def __init__(
        self,
        digest: str,
        document: Document,
        document_digest: str,
        costs: str | None,
        keys: Sequence[str],
        metrics: Sequence[str],
        kept: Kept,
    ) -> None:
        self.desim = __version__
        self.digest = digest
        self.document = document
        self.document_digest = document_digest
        """That of ``document``, where the sweep was asked for."""
        self.costs = costs
        """Instead of those that the scenario names."""
        self.keys = tuple(keys)
        self.metrics = tuple(metrics)
        self.kept = kept
        self._read: tuple[str, MachineConfig] | None = None
        """Of the point that was read last: its values without the seed, and what it is."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Base) and self.digest == other.digest

    def __hash__(self) -> int:
        return int(self.digest[:15], 16)

    def name(self, point: Point) -> str:
        """What errors call a run."""
        return f"run {point.number} of {self.document.name}"

    def configure(self, point: Point) -> MachineConfig:
        """The configuration of a run. Raises ``ScenarioError``.

        Runs that differ in nothing but the seed stand side by side; their scenario is read once.
        """
        *values, seed = point.values
        key = repr(values)  # True is no 1
        if self._read is None or self._read[0] != key:
            changes = dict(zip(self.keys, point.values, strict=True))
            config = self.document.changed(changes).read()
            if self.costs is not None:
                config.costs = self.costs
            config.record, config.capture = "trace", True
            self._read = key, config
        return replace(self._read[1], seed=cast("int", seed))

    def leave(self, point: Point, result: RunResult) -> Row:
        """The row of a run that was made."""
        return Row(
            run=point.number,
            values=point.values,
            desim=__version__,
            fingerprint=result.fingerprint.whole,
            ended=_ended(result),
            end_ns=result.end_ns,
            error=_ended(result) if result.failed else None,
            error_kind="limit" if result.failed else None,
            expected="\n".join(result.expectations) or None,
            metrics=tuple(result.metrics.value(name) for name in self.metrics),
            samples=() if self.kept == "figures" else samples(result, causes=self.kept == "causes"),
        )

    def failed(self, point: Point, error: BaseException) -> Row:
        """The row of a run that could not be made, or came to nothing."""
        kind = "scenario" if isinstance(error, UserError) else "model"
        if isinstance(error, WorkerError):
            kind = WORKER
        text = str(error) if isinstance(error, DesimError) else f"{type(error).__name__}: {error}"
        return Row(
            point.number, point.values, __version__, None, None, None, text, kind, None,
            (None,) * len(self.metrics),
        )  # fmt: skip


def _ended(result: RunResult) -> str:
    """Why a run ended; if it had not come to its end by itself, with what was still going on."""
    if result.ended in (ALL_ENDED, ALL_WAIT):
        return result.ended
    going = [f"{t.side} {t.command}" for t in result.transcripts if t.ended_ns is None]
    return f"{result.ended}; still running: {', '.join(going)}" if going else result.ended


class Chunk(NamedTuple):
    """Some runs that are made one after the other."""

    points: tuple[Point, ...]
    shared: bool
    """Whether they have the same boot."""


class Done(NamedTuple):
    """What comes of a chunk."""

    rows: list[Row]
    seconds: float
    """How long it took, of the wall's clock: for progress and for the size of chunks."""


class DifferentError(UserError):
    """A worker has not what the sweep has: another version, or other files."""


def run_chunk(base: Base, chunk: Chunk) -> Done:
    """Make the runs of ``chunk``. Raises ``DifferentError`` if this worker cannot."""
    begin = time.perf_counter()
    worker = _worker(base)
    rows = [worker.run(point, chunk.shared) for point in chunk.points]
    return Done(rows, time.perf_counter() - begin)


class _Worker:
    """A sweep that is ready to be run here."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.plan: RunPlan[Point, Row] = RunPlan(
            base.name, base.configure, base.leave, lambda point, row: row
        )
        self._many: Many[Point, Row] | None = None

    def run(self, point: Point, shared: bool) -> Row:
        """One run; ``shared``: others have the same boot."""
        try:
            if shared and can_fork():
                if self._many is None:
                    self._many = Many(self.plan, 1)
                return self._many.run(point)
            reply = run_job(self.plan, point, self.base.configure(point))
            if reply.error is not None:
                raise reply.error
            row: Row = reply.value
            return row
        except Exception as error:
            return self.base.failed(point, error)

    def close(self) -> None:
        """End its processes."""
        if self._many is not None:
            self._many.close()


@lru_cache(maxsize=SWEEPS)
def _worker(base: Base) -> _Worker:
    """What a process keeps from one chunk of a sweep to the next."""
    if base.desim != __version__:
        raise DifferentError(f"a worker has desim {__version__}, this is {base.desim}")
    if document_digest(base.document, base.costs) != base.document_digest:
        raise DifferentError(
            f"{base.document.name}: the files that it reads are others where a worker runs; "
            "they must be the same, at the same places"
        )
    return _Worker(base)
