"""When programs start and stop, and when the run is over.

* The guest boots; its commands without a time start when its network is up.
* Host commands without a time start together at the first whole second, with all guests booted,
  at which every guest program waits for input; commands whose own time is later do not count.
* A command with ``stop`` is interrupted then, as with Ctrl-C.
* From then on it is asked ten times a second whether the run is over: all programs have
  ended and what was in motion has come to rest, or all that are left wait and nothing
  but periodic timers would ever happen. While nothing at all happens the answer stays the
  same, and it is not asked.

All of this happens outside of the threads, before anything else at its instant.

A machine that serves several runs (``desim.machine.booted``) is run until its guest has booted,
or for a while longer, and halted before the first command would start. It is told the commands of
one run then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from desim.config import SECOND_NS, RunCommand
from desim.data import Protocol
from desim.engine.alarm import Alarm
from desim.engine.environment import HALTED, Environment
from desim.engine.thread import FIRST_RANK
from desim.userland.process import Process

CHECK_NS = SECOND_NS // 10

ALL_ENDED = "all programs have ended"
ALL_WAIT = "all programs wait and only periodic timers remain"
UNTIL = "the time given by until has come"
INTERRUPTED = "interrupted"


class Running(Protocol):
    """A process that has been started: the guest's or the host's."""

    process: Process

    @property
    def waits_for_input(self) -> bool:
        """Whether only somebody else can make it go on."""

    def interrupt(self, signal: str) -> None:
        """End it."""


class Started:
    """One command of the scenario, once it runs: the processes of its pipeline."""

    def __init__(self, command: RunCommand, tasks: list[Running]) -> None:
        self.command = command
        self.tasks = tasks

    @property
    def ended(self) -> bool:
        """Whether all its processes have."""
        return all(task.process.ended_ns is not None for task in self.tasks)

    @property
    def waits(self) -> bool:
        """Whether none of its processes can go on by itself."""
        return all(t.process.ended_ns is not None or t.waits_for_input for t in self.tasks)


class Stage(Protocol):
    """What the conductor needs of the machine."""

    def start(self, command: RunCommand) -> list[Running]:
        """Start a command now."""

    def at_rest(self) -> bool:
        """Nothing is in motion: no thread has anything to do at this instant."""

    def nothing_left(self) -> bool:
        """At rest, and only periodic timers are armed."""

    def booted(self) -> None:
        """All guests have booted."""


class Conductor:
    """Starts and stops the commands of one run, and stops the run with the reason."""

    def __init__(
        self,
        env: Environment,
        machine: Stage,
        commands: list[RunCommand],
        machines: int = 1,
    ) -> None:
        """``machines`` is how many boot."""
        self.env = env
        self.machine = machine
        self.started: list[Started] = []
        self._booting = machines
        """How many guests have not booted yet."""
        self._halts = False
        """Whether the run halts, once, when all guests have booted."""
        self._open = 0
        self._guest_waiting: list[RunCommand] = []
        self._host_waiting: list[RunCommand] = []
        self._timed = 0
        self._second = Alarm(env, self._whole_second)
        self.check = Alarm(env, self._ask, looks=True)
        self.tell(commands)

    def tell(self, commands: list[RunCommand]) -> None:
        """These commands are to be run; those with a time must not be late."""
        self._open += len(commands)
        for command in commands:
            if command.at_ns is None:
                guests = command.side == "guest"
                (self._guest_waiting if guests else self._host_waiting).append(command)
            else:
                # Ahead of all else at its instant, whenever it was told.
                self._at(command.at_ns, partial(self._start, command), FIRST_RANK - 2)

    def guest_is_up(self, machine: str = "") -> None:
        """A guest has booted: its commands start. Called on the guest's own thread."""
        self._at(self.env._now, partial(self._guest_has_booted, machine))

    def _guest_has_booted(self, machine: str) -> None:
        self._booting -= 1
        if not self._booting:
            self.machine.booted()
            if self._halts:
                self.env.halt()
        self.begin(machine)

    def halt_when_booted(self, limit_ns: int) -> bool:
        """Run up to the instant at which all guests have booted; ``begin`` is what comes next.

        False if they have not before ``limit_ns``.
        """
        self._halts = True
        return self.env.run_to(limit_ns) is HALTED

    def halt_at(self, instant: int, limit_ns: int) -> bool:
        """Run on to the beginning of an instant before ``limit_ns``; ``begin`` is what comes next.

        False if somebody has ended the run before.
        """
        Alarm(self.env, self.env.halt, FIRST_RANK - 3, looks=True).set(instant)
        return self.env.run_to(limit_ns) is HALTED

    def begin(self, machine: str = "") -> None:
        """A guest's commands start. When all have booted, it is asked from now on when the
        host's do, and whether the run is over."""
        now = self.env._now
        if not self._booting:
            if self._host_waiting:
                self._second.set((now // SECOND_NS + 1) * SECOND_NS)
            self.ask_soon()
        waiting, self._guest_waiting = self._guest_waiting, []
        for command in waiting:
            if command.machine == machine:
                self._start(command)
            else:
                self._guest_waiting.append(command)

    def _start(self, command: RunCommand) -> None:
        started = Started(command, self.machine.start(command))
        self.started.append(started)
        self._open -= 1
        if command.stop_ns is not None:
            relative = self.env._now if command.stop_relative else 0
            instant = max(relative + command.stop_ns, self.env._now)
            self._at(instant, partial(self._interrupt, started))

    def _interrupt(self, started: Started) -> None:
        for task in started.tasks:
            if task.process.ended_ns is None:
                task.interrupt("SIGINT")

    def _at(self, instant: int, action: Callable[[], None], rank: int = FIRST_RANK - 1) -> None:
        """An alarm of its own for one action."""

        def ring() -> None:
            self._timed -= 1
            action()

        self._timed += 1
        Alarm(self.env, ring, rank).set(instant)

    def _whole_second(self) -> None:
        guests = [s for s in self.started if s.command.side == "guest"]
        if all(s.waits for s in guests):
            for command in self._host_waiting:
                self._start(command)
            self._host_waiting = []
        if self._host_waiting:
            self._second.set(self.env._now + SECOND_NS)

    def _ask(self) -> None:
        reason = self.reason()
        if reason is None:
            # Until the next entry of the heap is due nothing happens that could change it.
            begin = max(self.env._now + 1, self.env._queue[0][0])
            self.check.set(-(-begin // CHECK_NS) * CHECK_NS)
        else:
            self.env.stop(reason)

    def ask_soon(self) -> None:
        """Ask at the next tenth of a second whether the run is over."""
        self.check.set((self.env._now // CHECK_NS + 1) * CHECK_NS)

    def reason(self) -> str | None:
        """Why the run is over; None: it is not."""
        if self._booting or self._open:
            return None
        # What a program that sleeps answers at once comes first: it may sleep for hours.
        ended = all(started.ended for started in self.started)
        if not ended and (self._timed or not all(started.waits for started in self.started)):
            return None
        if not self.machine.at_rest():
            return None
        if ended:
            return ALL_ENDED
        return ALL_WAIT if self.machine.nothing_left() else None
