"""Many runs of small scenarios, each from a machine that has booted already."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar, final, overload

from desim.api.result import Result
from desim.api.running import Costs, configuration
from desim.api.scenario import Scenario
from desim.config import MachineConfig
from desim.errors import UserError
from desim.experiment.many import Many, cores
from desim.experiment.run import RunResult
from desim.experiment.warm import Plan
from desim.record import Record, checked

T = TypeVar("T")


@overload
def run_many(
    scenarios: Iterable[Scenario],
    *,
    workers: int | None = None,
    record: Record = "counters",
    capture: bool = False,
    costs: Costs | None = None,
) -> Iterator[Result]: ...
@overload
def run_many(
    scenarios: Iterable[Scenario],
    *,
    workers: int | None = None,
    record: Record = "counters",
    capture: bool = False,
    costs: Costs | None = None,
    each: Callable[[Result], T],
) -> Iterator[T]: ...
def run_many(
    scenarios: Iterable[Scenario],
    *,
    workers: int | None = None,
    record: Record = "counters",
    capture: bool = False,
    costs: Costs | None = None,
    each: Callable[[Result], Any] | None = None,
) -> Iterator[Any]:
    """Run every one of ``scenarios``; their results, in the same order.

    The arguments and errors are those of :class:`Runner`, which this uses for as long as results
    are taken. ``scenarios`` may be endless: they are taken as they are needed, and a run begins
    only some places ahead of the result that is taken.
    """
    runner = Runner(workers=workers, record=record, capture=capture, costs=costs, each=each)

    def results() -> Iterator[Any]:
        with runner:
            yield from runner.map(scenarios)

    return results()


@final
class Runner(Generic[T]):
    """Runs scenarios one after the other or side by side, and boots each machine only once.

    The first run of a machine boots its guest; those that follow go on from there, in a process
    of their own each. A result is the same as that of :func:`desim.run`, to the last mark of its
    trace. Machines boot alike if they have the same options, driver parameters, guest and host
    settings, limits, costs and seed; commands, files, expectations and ``until`` may differ.
    Commands that start (``at``) before the guest's network is up belong to the boot.

    ``workers`` is how many runs are made at a time, each on a processor; None: as many as there
    are. ``record`` and ``capture`` are those of :func:`desim.run`, ``costs`` are for all
    scenarios. ``each`` is called with each result, where its run was made, and what it returns
    takes the result's place: only that travels, so it must be something that can be pickled;
    ``each`` itself may be any function. One process makes many runs, so what ``each`` returns
    should depend on nothing but the result.

    A process of its own needs ``os.fork``, and no other thread in this one. Elsewhere the runs
    are made here, one after the other, with the same results.

    To be closed when it is not needed any more, best by ``with``. Raises
    :class:`desim.UserError` for another ``record``, or ``workers`` that are no number from 1 on.
    """

    __slots__ = ("__weakref__", "_many")

    @overload
    def __init__(
        self: Runner[Result],
        *,
        workers: int | None = None,
        record: Record = "counters",
        capture: bool = False,
        costs: Costs | None = None,
        each: None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        workers: int | None = None,
        record: Record = "counters",
        capture: bool = False,
        costs: Costs | None = None,
        each: Callable[[Result], T],
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        workers: int | None = None,
        record: Record = "counters",
        capture: bool = False,
        costs: Costs | None = None,
        each: Callable[[Result], T] | None,
    ) -> None: ...
    def __init__(
        self,
        *,
        workers: int | None = None,
        record: Record = "counters",
        capture: bool = False,
        costs: Costs | None = None,
        each: Callable[[Result], Any] | None = None,
    ) -> None:
        if workers is not None and (type(workers) is not int or workers < 1):
            raise UserError(f"workers {workers!r}: must be a whole number from 1 on")
        checked(record)

        def configure(scenario: Scenario) -> MachineConfig:
            config = configuration(scenario, costs)
            config.record, config.capture = record, capture
            return config

        def leave(scenario: Scenario, run: RunResult) -> Any:
            return run if each is None else each(Result(scenario, run))

        def take(scenario: Scenario, value: Any) -> Any:
            return Result(scenario, value) if each is None else value

        plan: Plan[Scenario, T] = Plan(lambda one: one.name, configure, leave, take)
        self._many = Many(plan, workers or cores())
        weakref.finalize(self, self._many.close)

    def run(self, scenario: Scenario) -> T:
        """Run it; its result, or what ``each`` makes of that.

        Raises what :func:`desim.run` and ``each`` raise, and :class:`desim.WorkerError` if the
        process of the run has died. The runner can go on after any of them.
        """
        return self._many.run(scenario)

    def map(self, scenarios: Iterable[Scenario]) -> Iterator[T]:
        """Run all; their results in the same order. Errors are those of ``run``, each raised
        where its result would be; there is no result behind it."""
        return self._many.map(scenarios)

    def close(self) -> None:
        """End its processes. What is run afterwards boots again."""
        self._many.close()

    def __enter__(self) -> Runner[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
