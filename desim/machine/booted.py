"""A machine whose guest has booted, from which a run can go on: one boot for many runs.

What is done with one is done to it; who wants several runs forks (``desim.experiment.warm``).

A *boot* is everything of a configuration but its commands, files, expectations, words and
``until``. Commands that start by themselves before the guest has booted belong to its boot, at
their places and with what they might read; which these are depends on when that is, which the
first run tells.

The law: a run that goes on from here leaves what the same run from power-on leaves, to the last
mark of its trace. Nothing that happens before the guest has booted depends on what comes later:
threads that the scenario did not start have ranks of their own, timed commands go first at their
instant whenever they were told, and the conductor asks nothing before.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from desim.config import Expect, MachineConfig, RunCommand
from desim.machine.machine import Machine


def boot_alone(config: MachineConfig) -> MachineConfig:
    """The part of a configuration that its boot is made of."""
    return replace(
        config, name="", description="", qemu="", guest=[], host=[], guest_files={},
        host_files={}, expect=Expect(), folder=Path(), notes=[], until_ns=0,
    )  # fmt: skip


def boot_key(config: MachineConfig, up_ns: int | None) -> str:
    """What configurations have in common that have the same boot, and no others.

    ``up_ns`` is when its guest has booted, as far as that is known.
    """
    profile = Path(config.costs)
    early = [
        (place, command)
        for side in (config.guest, config.host)
        for place, command in enumerate(side)
        if is_early(command, up_ns)
    ]
    return repr(
        (
            boot_alone(config),
            profile.read_bytes() if profile.is_file() else None,
            early,
            (config.guest_files, config.host_files) if early else None,
        )
    )


def is_early(command: RunCommand, up_ns: int | None) -> bool:
    """Whether a command starts before a guest that has booted at ``up_ns``."""
    return up_ns is not None and command.at_ns is not None and command.at_ns <= up_ns


class Booted:
    """The machine, halted where the first command would start that is not early.

    ``up_ns`` is that instant, and None for a boot that has not come to its end by the
    ``until`` of ``config``: such a one serves nobody.
    """

    def __init__(self, config: MachineConfig, early_ns: int | None) -> None:
        """Boot as ``config`` does, with the commands that start by ``early_ns``.

        Raises what a run of ``config`` raises.
        """
        self.machine = machine = Machine(boot_alone(config))
        self.early_ns = early_ns
        machine.become(config)
        machine.conductor.tell(
            [command for command in config.guest if is_early(command, early_ns)],
            [command for command in config.host if is_early(command, early_ns)],
        )
        booted = machine.conductor.halt_when_booted(config.until_ns)
        self.up_ns = machine.env.time() if booted else None

    def serves(self, config: MachineConfig) -> bool:
        """Whether a run of ``config``, which has the same boot, comes to this very point, too."""
        up_ns = self.up_ns
        if up_ns is None or config.until_ns <= up_ns:
            return False
        return not any(
            is_early(command, up_ns) and not is_early(command, self.early_ns)
            for command in (*config.guest, *config.host)
        )

    def go_on(self, config: MachineConfig) -> Machine:
        """The machine of ``config``, to be run to its end; ``config`` is one that this serves."""
        machine, early_ns = self.machine, self.early_ns
        machine.become(config)
        machine.conductor.tell(
            [command for command in config.guest if not is_early(command, early_ns)],
            [command for command in config.host if not is_early(command, early_ns)],
        )
        machine.conductor.begin()
        return machine
