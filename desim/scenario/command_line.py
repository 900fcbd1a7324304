"""A machine from QEMU's options and commands on desim's own command line.

The words are the user's own, so files may be anywhere; relative names start at
the current folder.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from desim.config import (
    DEFAULT_MODPROBE,
    InputFile,
    MachineConfig,
    RunCommand,
    Side,
    SlirpVersion,
)
from desim.errors import UserError
from desim.scenario.commands import check_command, check_services
from desim.scenario.inputs import Inputs
from desim.scenario.modprobe import check_modprobe, note_without_card
from desim.scenario.qemu_options import Network, parse_qemu_options


def machine_from_options(
    options: Sequence[str],
    *,
    guest: Sequence[str],
    host: Sequence[str],
    folder: Path,
    version: SlirpVersion | None = None,
    modprobe: str = DEFAULT_MODPROBE,
    ipv6: bool = True,
) -> MachineConfig:
    """The configuration. Raises :class:`UserError` with every mistake in it."""
    inputs = Inputs(folder, any_file=True)
    mistakes: list[str] = []
    network = Network(user=None, nic=None, hub=True, notes=[])
    try:
        network = parse_qemu_options(options, open_folder=inputs.tree)
        network.choose_slirp(version)
    except UserError as error:
        mistakes += error.messages
    files: dict[Side, dict[str, InputFile]] = {"guest": {}, "host": {}}
    mistakes += check_services(network.user, inputs, files["host"])
    runs: dict[Side, list[RunCommand]] = {"guest": [], "host": []}
    commands: list[tuple[Side, Sequence[str]]] = [("guest", guest), ("host", host)]
    for side, lines in commands:
        for number, line in enumerate(lines, 1):
            mistakes += [
                f"--{side} {line!r}: {message}"
                for message in check_command(line, side, inputs, files[side])
            ]
            runs[side].append(RunCommand(side=side, command=line, terminal=f"{side} {number}"))
    notes: list[str] = []
    try:
        notes += check_modprobe(modprobe)
    except ValueError as error:
        mistakes.append(f"--modprobe {modprobe!r}: {error}")
    if mistakes:
        raise UserError(*mistakes)
    return MachineConfig(
        name="qemu",
        description="A machine from QEMU's options",
        qemu=shlex.join(options),
        user=network.user,
        nic=network.nic,
        hub=network.hub,
        filters=network.filters,
        icount_shift=network.icount_shift,
        modprobe=modprobe,
        guest_ipv6=ipv6,
        guest=runs["guest"],
        host=runs["host"],
        guest_files=files["guest"],
        host_files=files["host"],
        folder=folder,
        notes=network.notes + notes + note_without_card("--modprobe", modprobe, network.nic),
    )
