"""A machine from QEMU's options and commands, as somebody types or programs them.

The words are the user's own, so files may be anywhere; relative names start at
the current folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from desim.config import DEFAULT_MODPROBE, MachineConfig
from desim.devices import SlirpVersion
from desim.disk import FileName
from desim.scenario.document import Document, Spoken
from desim.scenario.inputs import Inputs
from desim.scenario.key_names import Key


def document_from_options(
    options: str | Sequence[str],
    *,
    guest: Sequence[str],
    host: Sequence[str],
    folder: FileName,
    place: Callable[[str], str] = str,
) -> Document:
    """The scenario of QEMU's ``options`` and the commands of both sides.

    ``options`` are what the key ``qemu`` of a file takes, or a tuple of words as a shell has
    split them. ``place`` says what messages call ``guest`` and ``host``.
    """
    # QEMU's own options say by themselves what a message is about.
    places: dict[Key, str] = {("qemu",): ""}
    for side, commands in (("guest", guest), ("host", host)):
        places[(side, "run")] = place(side)
        for number in range(len(commands)):
            places[(side, "run", number, "command")] = place(side)
    data = {
        "description": "A machine from QEMU's options",
        "qemu": options if isinstance(options, (str, tuple)) else list(options),
        "guest": {"run": [{"command": command} for command in guest]},
        "host": {"run": [{"command": command} for command in host]},
    }
    return Document("qemu", data, Spoken(places), Inputs(folder, any_file=True))


def machine_from_options(
    options: Sequence[str],
    *,
    guest: Sequence[str],
    host: Sequence[str],
    folder: FileName,
    version: SlirpVersion | None = None,
    modprobe: str = DEFAULT_MODPROBE,
    ipv6: bool = True,
) -> MachineConfig:
    """The configuration of a command line's words. Raises ``ScenarioError``."""
    document = document_from_options(tuple(options), guest=guest, host=host, folder=folder)
    changes: dict[str, object] = {"guest.modprobe": modprobe, "guest.ipv6": ipv6}
    if version is not None:
        changes["slirp"] = version
    return document.changed(changes).read()
