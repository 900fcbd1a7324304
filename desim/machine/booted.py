"""A machine whose guest has booted, from which a run can go on: one boot for many runs.

What is done with one is done to it. Who wants several runs forks (``desim.experiment.warm``), or
rewinds it after each: everything that its parts hold is put back (``desim.machine.state``), and
its two threads are brought to sleep anew where they slept (``desim.engine.stack``). That is less
work than a fork, after which each page that is written to is copied; but a machine where somebody
else sleeps, a name server or a command that starts early, cannot be rewound.

A *boot* is everything of a configuration but its commands, files, expectations, words and
``until``. Commands that start by themselves before the guest has booted belong to its boot, at
their places and with what they might read; which these are depends on when that is, which the
first run tells. Where every command has a time of its own, from the next whole second on, the boot
goes on to there: what the guest has begun comes to rest once, not in each run.

The law: a run that goes on from here leaves what the same run from power-on leaves, to the last
mark of its trace. Nothing that happens before the guest has booted depends on what comes later:
threads that the scenario did not start have ranks of their own, timed commands go first at their
instant whenever they were told, and the conductor asks nothing before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from desim.config import SECOND_NS, Expect, MachineConfig, RunCommand
from desim.data import replace
from desim.engine.environment import Environment
from desim.engine.stack import Place, places, sleep_again
from desim.engine.thread import Thread
from desim.machine.machine import Machine
from desim.machine.state import CannotRestore, State
from desim.machine.threads.main_loop import MS

LONG_MS = 1000
"""How long it sleeps in poll, at least, while nothing happens."""
PASSED = "boot", "qemu_tcg_cpu_thread_fn"
"""Functions of the processor that differ."""


class _Still:
    """In the place of all that QEMU's main loop looks at on its way to sleep.

    It sleeps in poll, or where it is about to and somebody else is due first.
    """

    def __init__(self, env: Environment, sleep_ns: int | None) -> None:
        """``sleep_ns``: how long it will poll, if it does not yet."""
        self.env = env
        self.sleep_ns = sleep_ns

    def acquire(self) -> None:
        """As a lock."""

    def release(self) -> None:
        """As a lock."""
        if self.sleep_ns is not None:
            self.env._queue.append((self.env._now, 0, None, None))

    def pollfds_fill(self) -> int:
        """As a source."""
        return LONG_MS if self.sleep_ns is None else self.sleep_ns // MS

    def ready(self) -> bool:
        """As a poller: no descriptor is."""
        return False

    def restart(self) -> None:
        """As the guest's tick: there is none."""

    stop = restart


def boot_alone(config: MachineConfig) -> MachineConfig:
    """The part of a configuration that its boot is made of."""
    return replace(
        config, name="", description="", qemu="", guest=[], host=[], guest_files={},
        host_files={}, expect=Expect(), notes=[], until_ns=0,
        others=[replace(other, guest=[]) for other in config.others],
    )  # fmt: skip


def machine_key(config: MachineConfig) -> str:
    """What configurations have in common that have the same boot, early commands apart."""
    profile = Path(config.costs)
    timed = bool(config.others) and _all_timed(config)
    return repr((boot_alone(config), profile.read_bytes() if profile.is_file() else None, timed))


def begin_key(config: MachineConfig, up_ns: int | None, early_ns: int | None) -> str:
    """The same about where the boot is halted, and what was started by then.

    ``up_ns`` is when its guest has booted, as far as one knows; ``early_ns`` that of ``Booted``.
    """
    early = [
        (place, command)
        for place, command in enumerate(config.commands)
        if is_early(command, early_ns)
    ]
    files = (config.guest_files, config.host_files) if early else None
    return repr((early, files, None if up_ns is None else halt_ns(config, up_ns)))


def is_early(command: RunCommand, up_ns: int | None) -> bool:
    """Whether a command starts before a guest that has booted at ``up_ns``."""
    return up_ns is not None and command.at_ns is not None and command.at_ns <= up_ns


def halt_ns(config: MachineConfig, up_ns: int) -> int:
    """Where the boot of ``config`` is halted, whose guest has booted at ``up_ns``.

    At the next whole second, if there are commands and none starts before that; else right there.
    """
    settled = (up_ns // SECOND_NS + 1) * SECOND_NS
    starts = [command.at_ns for command in config.commands]
    waits = starts and all(at_ns is not None and at_ns >= settled for at_ns in starts)
    return settled if waits and settled < config.until_ns else up_ns


def _all_timed(config: MachineConfig) -> bool:
    """Whether every command starts by the clock."""
    return all(command.at_ns is not None for command in config.commands)


class Booted:
    """The machine, halted before the first command would start that is not early (``halt_ns``).

    ``up_ns`` is when its guest has booted, the last of several. It is None for a boot that has not
    come to its end by the ``until`` of ``config``, and where several guests boot whose commands
    start with them: such a one serves nobody.
    """

    def __init__(self, config: MachineConfig, early_ns: int | None) -> None:
        """Boot as ``config`` does, with the commands that start by ``early_ns``.

        Raises what a run of ``config`` raises.
        """
        self.machine = machine = Machine(boot_alone(config))
        self.early_ns = early_ns
        self._gone_on = False
        self._state: State | None = None
        self._asleep: list[tuple[int, list[Place]]] = []
        """When and where each thread sleeps."""
        machine.become(config)
        machine.conductor.tell(
            [command for command in config.commands if is_early(command, early_ns)]
        )
        self.up_ns: int | None = None
        self.halted_ns: int | None = None
        """None if it has come to its end before: it serves nobody either."""
        # Several guests have no one end of their boot, if commands start with each.
        if config.others and not _all_timed(config):
            return
        if machine.conductor.halt_when_booted(config.until_ns):
            self.up_ns = up_ns = machine.env.time()
            halted_ns = halt_ns(config, up_ns)
            if halted_ns == up_ns or machine.conductor.halt_at(halted_ns, config.until_ns):
                self.halted_ns = halted_ns

    def serves(self, config: MachineConfig) -> bool:
        """Whether a run of ``config``, which has the same boot, comes to this very point, too."""
        up_ns, halted_ns = self.up_ns, self.halted_ns
        if up_ns is None or halted_ns is None or config.until_ns <= halted_ns:
            return False
        if halted_ns not in (up_ns, halt_ns(config, up_ns)):
            return False
        if config.others and not _all_timed(config):
            return False
        return not any(
            is_early(command, up_ns) and not is_early(command, self.early_ns)
            for command in config.commands
        )

    def go_on(self, config: MachineConfig) -> Machine:
        """The machine of ``config``, to be run to its end; ``config`` is one that this serves."""
        machine, early_ns = self.machine, self.early_ns
        self._gone_on = True
        machine.become(config)
        machine.conductor.tell(
            [command for command in config.commands if not is_early(command, early_ns)]
        )
        machine.conductor.begin()
        return machine

    # --- rewinding

    def remember(self) -> bool:
        """Keep what the machine is now, so that it can be rewound; False if it cannot be."""
        machine = self.machine
        if self.halted_ns is None or {*machine.env.threads} != {*self._threads()}:
            return False
        # What the boot has recorded is counted once, not by each run.
        for record in machine.trace.threads.values():
            record.counts()
        try:
            # Classes are instrumented, and stages numbered, once for all runs.
            self._state = State(machine, but=(machine.kit.build, machine.trace.codes))
        except CannotRestore:
            return False
        self._asleep = [(thread.now, places(thread)) for thread in self._threads()]
        return True

    def rewind(self) -> bool:
        """Go back to the end of the boot, after a run that has come to its end.

        False if there is no way back, and this machine serves nobody any more: a thread does not
        sleep where it did, or the run has taken to a temporary file.
        """
        state, machine = self._state, self.machine
        if not self._gone_on:
            return True
        if state is None or machine.spool.in_file:
            return False
        self._gone_on = False
        self._sleep_again()
        asleep = [(thread.now, places(thread)) for thread in self._threads()]
        if _compared(asleep) != _compared(self._asleep):
            return False
        state.restore()
        return True

    def _threads(self) -> tuple[Thread, Thread]:
        main = self.machine.loop.thread
        assert main is not None, "it has polled in the boot"
        return self.machine.vcpu.thread, main

    def _sleep_again(self) -> None:
        """Both threads get stacks as they were, of a machine in which nothing else happens.

        What is set here, and what they set, is put back afterwards.
        """
        env, loop, vcpu = self.machine.env, self.machine.loop, self.machine.vcpu
        (vcpu_now, halted), (main_now, stack) = self._asleep
        _, main = self._threads()
        for thread in self._threads():
            thread.is_alive, thread.irq_pending, thread.collect = True, False, None
        deadline = None if _polls(stack) else _deadline(stack)
        still: Any = _Still(env, None if deadline is None else deadline - main_now)
        loop.lock = loop.poller = still
        loop.sources, loop.handlers, loop.timers.armed, loop._notified = [still], None, [], False
        env._queue.clear()
        env._now = main.now = main_now
        sleep_again(main)

        def boot() -> None:
            if not _halts(halted):
                env._queue.append((vcpu_now, 0, None, None))  # who starts the commands
                vcpu.sched.put(again=False)

        env._queue.clear()
        env._now = vcpu.thread.now = vcpu_now
        vcpu.boot, vcpu.tick = boot, still
        vcpu.sched.run_queue.clear()
        sleep_again(vcpu.thread)


def _polls(stack: list[Place]) -> bool:
    """Whether a thread is QEMU's main loop in the middle of its poll."""
    return any(place.name == "ppoll" for place in stack)


def _deadline(stack: list[Place]) -> int | None:
    """Until when QEMU's main loop is about to sleep at most, where it is on its way to do so."""
    return next((place.deadline for place in stack if place.name == "qemu_poll_ns"), None)


def _halts(stack: list[Place]) -> bool:
    """Whether a thread is the processor in its idle loop."""
    return any(place.name == "do_idle" for place in stack)


def _compared(asleep: list[tuple[int, list[Place]]]) -> list[object]:
    """Of threads that sleep, what must be the same.

    Time and deadlines are those of the heap for who polls or halts. Where the boot ends, the
    processor came into its sleep from a task that had ended, and comes into it again from the boot.
    """
    return [
        [(place.name, place.instruction) for place in stack]
        if _polls(stack) or _halts(stack)
        else (now, [place for place in stack if place.name not in PASSED])
        for now, stack in asleep
    ]
