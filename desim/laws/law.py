"""What a law is: a statement, a function that judges a run by it, and what stands behind it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from desim.config import MachineConfig
from desim.data import NamedTuple, Protocol
from desim.engine.trace import Fingerprint, Trace
from desim.machine import Transcript
from desim.machine.capture import Captured
from desim.machine.remains import Remains
from desim.spool import Log


class Steps(Protocol):
    """A journey, as far as a law looks at it."""

    @property
    def total_ns(self) -> int: ...
    @property
    def own_ns(self) -> int: ...
    @property
    def waiting_ns(self) -> int: ...


class Run(Protocol):
    """What a law sees of a run; all of it was kept (``record="trace"``, with frames)."""

    config: MachineConfig
    ended: str
    end_ns: int
    failed: bool
    transcripts: list[Transcript]

    @property
    def trace(self) -> Trace: ...
    @property
    def packets(self) -> Mapping[str, Sequence[Captured]]: ...
    @property
    def written(self) -> Mapping[str, Log]: ...
    @property
    def files(self) -> Mapping[str, bytes]: ...
    @property
    def fingerprint(self) -> Fingerprint: ...
    @property
    def frame_counts(self) -> dict[str, Any]: ...
    @property
    def journey(self) -> Steps: ...
    @property
    def remains(self) -> Remains: ...


class Again(Protocol):
    """Makes another run, for laws about pairs of runs."""

    def __call__(self, config: MachineConfig) -> Run:
        """The run of ``config``, which is changed by nobody any more."""

    def fingerprint(self, config: MachineConfig, hash_seed: int) -> str:
        """The whole fingerprint of that run in a Python whose hashes have another seed."""


class Broken(NamedTuple):
    """One way in which a run breaks a law."""

    text: str
    at_ns: int | None = None
    """When, if there is an instant."""


class Law(NamedTuple):
    """One law."""

    name: str
    """Words joined by ``-``."""
    check: Callable[..., Iterable[str | Broken] | None]
    """Judges a run; of a pair also given ``Again``."""
    test: str
    """The test that breaks it on purpose or holds it against something else than itself."""
    recording: str
    """The recording of the real thing, or the document, that says so."""
    pair: bool
    """Whether it is about a pair of runs, and needs a second one."""
    process: bool = False
    """Whether it starts another process: a scenario, which is data, may not ask for that."""

    @property
    def statement(self) -> str:
        """What must be true, as its function states it."""
        return inspect.cleandoc(self.check.__doc__ or "")

    @property
    def summary(self) -> str:
        """The first sentence of that, on one line."""
        first, _, _ = self.statement.partition("\n\n")
        return " ".join(first.split())

    @property
    def home(self) -> str:
        """The module of its function."""
        return self.check.__module__

    @property
    def judges(self) -> str:
        """What it judges, in words."""
        if self.part:
            return "a part by itself, with inputs drawn from the run"
        return "a pair of runs" if self.pair else "one run"

    @property
    def part(self) -> bool:
        """Whether it is about a part that it drives by itself, and only draws from the run."""
        return ".parts." in self.home

    def broken(self, run: Run, again: Again | None = None) -> list[Broken]:
        """Each way in which ``run`` breaks it; none for a pair if there is no second run."""
        if not self.pair:
            found = self.check(run)
        elif again is None:
            return []
        else:
            found = self.check(run, again)
        return [one if isinstance(one, Broken) else Broken(one) for one in found or ()]


Check = Callable[..., Iterable[str | Broken] | None]


def stated(*, test: str, recording: str, process: bool = False) -> Callable[[Check], Law]:
    """Make a law of the function below, named after it.

    One with two parameters is about a pair of runs.
    """

    def make(check: Check) -> Law:
        pair = len(inspect.signature(check).parameters) == 2
        return Law(check.__name__.replace("_", "-"), check, test, recording, pair, process)

    return make
