"""Running a scenario: to its end, to a breakpoint, or beside processes of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, final

from desim import machine as machines
from desim.api.result import Result
from desim.api.scenario import Scenario
from desim.config import MachineConfig
from desim.errors import ScenarioError, UserError
from desim.experiment.run import RunResult, unused_instructions
from desim.experiment.run import backtrace as run_to
from desim.record import Record, checked, not_captured
from desim.scenario.durations import parse_duration, show_duration

if TYPE_CHECKING:
    import simpy

    from desim.experiment.backtrace import Backtrace
    from desim.machine.capture import Captured

Duration = str | int
"""A duration or an instant: text such as ``"5s"`` and ``"250ms"``, or whole ns."""
Costs = str | PathLike[str]
"""A cost profile: a shipped one by its name, or a file of one."""


def run(
    scenario: Scenario,
    *,
    costs: Costs | None = None,
    seed: int | None = None,
    until: Duration | None = None,
    record: Record = "trace",
    capture: bool = True,
    statistics: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Result:
    """Run ``scenario`` to its end, and return what it left.

    ``costs`` names another cost profile than the scenario does (:func:`desim.cost_profiles`)
    or a file of one, ``seed`` another seed of all random streams, ``until`` another virtual
    time at which the run is stopped. ``record`` says what the run keeps beside files and
    terminals: ``"none"``, ``"counters"``, ``"journeys"`` or ``"trace"``, each with what those
    before it keep; ``capture`` whether it keeps the frames. A run that keeps less is faster, and
    nothing else of it changes. ``progress`` is called now and then with the virtual
    time in ns. Ctrl-C ends the run early: its result says so (``ended``), and holds what
    there is.

    The same scenario, costs and seed give the same result, with the same fingerprint.

    Raises :class:`desim.ProfileError` for costs that cannot be used,
    :class:`desim.ScenarioError` for a bad seed or time, and :class:`desim.UserError` for
    another ``record``, and for what the simulated host refuses.
    """
    with assemble(
        scenario,
        costs=costs,
        seed=seed,
        until=until,
        record=record,
        capture=capture,
        statistics=statistics,
    ) as machine:
        return machine.run(progress)


def assemble(
    scenario: Scenario,
    *,
    costs: Costs | None = None,
    seed: int | None = None,
    until: Duration | None = None,
    record: Record = "trace",
    capture: bool = True,
    statistics: bool = False,
) -> Machine:
    """The machine of ``scenario``, put together and not yet started.

    For SimPy users: ``machine.environment`` is its SimPy environment, and processes of your
    own may run in it beside the machine. The arguments and errors are those of :func:`run`.
    """
    scenario = _changed(scenario, seed=seed, until=until)
    config = configuration(scenario, costs)
    config.record, config.capture = checked(record), capture
    config.statistics = statistics
    return Machine(scenario, config)


def backtrace(
    scenario: Scenario,
    function: str,
    *,
    hit: int = 1,
    packet: int | None = None,
    after: Duration | None = None,
    calls: bool = False,
    costs: Costs | None = None,
    seed: int | None = None,
) -> Backtrace | None:
    """Run ``scenario`` up to a call of ``function`` and take the stack, as gdb would.

    None if the run ends without such a call.

    ``function`` is a function of QEMU, slirp or the guest's kernel, with its file where
    several have one of this name: ``"slirp/ip_output.c:ip_output"``, or the end of the path; or
    a pattern such as ``"e1000_receive*"``, of which the first one called counts.
    Counted are calls at or after ``after``, with ``packet`` only those that have that frame
    in their hands (its number in the trace); the ``hit``-th of them is it. ``calls`` adds
    what the function then called until it returned. Nothing else is kept of the run.

    Raises :class:`desim.UserError` for a function that is not modelled, and what :func:`run`
    does.
    """
    if type(hit) is not int or hit < 1:
        raise UserError(f"hit {hit!r}: must be a whole number, counted from 1")
    from desim.experiment.backtrace import find_functions

    functions = find_functions(function)
    after_ns = None if after is None else _instant("after", after)
    config = configuration(_changed(scenario, seed=seed, until=None), costs)
    return run_to(config, functions, hit=hit, packet=packet, after_ns=after_ns, calls=calls)


@final
class Machine:
    """One machine and its only run. Made by :func:`desim.assemble`.

    Between steps of the simulation, and in your own processes, it can be looked at: ``files``
    and ``frames`` are what there is so far. Looking changes nothing: a run with observers
    beside it has the fingerprint of one without.

    Used in ``with``, it is closed at the end, run or not.
    """

    __slots__ = ("_machine", "notes", "scenario")

    scenario: Scenario
    notes: tuple[str, ...]
    """What to know before trusting the run."""

    def __init__(self, scenario: Scenario, config: MachineConfig) -> None:
        self.scenario = scenario
        self.notes = tuple(config.notes)
        self._machine = machines.Machine(config)

    @property
    def environment(self) -> simpy.Environment:
        """The SimPy environment of the machine, in which your own processes can run.

        Its time is an ``int`` of virtual ns since power-on, so delays are ``int``, too:
        ``yield environment.timeout(1_000_000)`` waits for 1 ms. At one instant SimPy's
        events come before the machine's threads.
        """
        from desim.engine.simpy_environment import SimPyEnvironment

        return SimPyEnvironment.of(self._machine.env)

    @property
    def now_ns(self) -> int:
        """The virtual time in ns since power-on."""
        return self._machine.env.time()

    @property
    def files(self) -> dict[str, bytes]:
        """What programs have written so far, by name below ``guest/`` and ``host/``."""
        return dict(self._machine.files())

    @property
    def frames(self) -> dict[str, tuple[Captured, ...]]:
        """The frames so far at each capture point (``"slirp"``, ``"nic"``): when, which way.

        Raises :class:`desim.UserError` if this run does not keep them.
        """
        if not self._machine.config.capture:
            raise not_captured("frames")
        # A thread may have gone on ahead of the others, alone.
        now = self.now_ns
        return {
            point: tuple(packet for packet in packets if packet.time <= now)
            for point, packets in sorted(self._machine.captures().items())
        }

    def run(
        self,
        progress: Callable[[int], None] | None = None,
        *,
        interrupted: Callable[[], None] | None = None,
    ) -> Result:
        """Run to the end; what came of it. Raises :class:`desim.UserError` the second time.

        ``progress`` is called now and then with the virtual time in ns, and ``interrupted`` as
        soon as Ctrl-C is pressed: the run ends at its next event.
        """
        self._machine.run(progress, interrupted)
        return Result(self.scenario, RunResult(self._machine.config, self._machine))

    def close(self) -> None:
        """End its threads; it cannot be run any more."""
        self._machine.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Machine of {self.scenario!r} at {show_duration(self.now_ns)}>"


def _changed(scenario: Scenario, *, seed: int | None, until: Duration | None) -> Scenario:
    """With the keys that are arguments here, judged as the keys are."""
    changes: dict[str, object] = {}
    if seed is not None:
        changes["seed"] = seed
    if until is not None:
        changes["until"] = f"{_instant('until', until)}ns"
    return scenario.set(changes) if changes else scenario


def configuration(scenario: Scenario, costs: Costs | None) -> MachineConfig:
    """The configuration to run; what it consists of is the scenario's own, and is only read."""
    config = scenario._shared_configuration()
    if costs is not None:
        config.costs = os.fspath(costs)
    config.notes += unused_instructions(config)
    return config


def _instant(name: str, value: Duration) -> int:
    """``value`` in ns."""
    if type(value) is int and value >= 0:
        return value
    if not isinstance(value, str):
        raise ScenarioError(f'{name} {value!r}: must be text such as "5s", or whole ns from 0 on')
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ScenarioError(f"{name} {value!r}: {error}") from None
