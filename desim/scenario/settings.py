"""Settings that a scenario has inside of a text: a parameter of the driver, a sysctl of the guest.

``guest.modprobe`` is one line, and ``guest.sysctl`` a list of them. A key that goes on behind one
of these names a single setting in it, and leaves the others as they are::

    guest.modprobe.InterruptThrottleRate    the word InterruptThrottleRate=... of guest.modprobe
    guest.sysctl.net.ipv4.tcp_retries2      the line net.ipv4.tcp_retries2=... of guest.sysctl
    machine.b.guest.modprobe.RxIntDelay     the same of the guest of a further machine

These keys are for whoever changes a scenario (``--set``, ``--vary``, ``Scenario.set``); a file says
the text itself.
"""

from __future__ import annotations

from desim.config import DEFAULT_MODPROBE
from desim.data import NamedTuple
from desim.errors import nearest
from desim.guest.drivers.modules import MODULES
from desim.scenario.key_names import Key

GUEST, MACHINE = "guest", "machine"
MODPROBE, SYSCTL = "modprobe", "sysctl"


class Setting(NamedTuple):
    """One setting: the key of the text that has it, and its name there."""

    way: Key
    name: str

    def put(self, before: object, value: object) -> object:
        """The text with ``value`` for this setting. Raises ``ValueError``."""
        if isinstance(value, bool):
            value = int(value)
        if not isinstance(value, (str, int)):
            raise ValueError("must be a whole number or text")
        if self.way[-1] == MODPROBE:
            return _in_line(DEFAULT_MODPROBE if before is None else before, self.name, str(value))
        return _in_list([] if before is None else before, self.name, str(value))


def setting_at(key: Key) -> Setting | None:
    """The setting that ``key`` names; None if it is a key of the file."""
    begin = 2 if key[0] == MACHINE else 0
    if len(key) < begin + 3 or key[begin] != GUEST or any(isinstance(part, int) for part in key):
        return None
    way, rest = key[: begin + 2], [str(part) for part in key[begin + 2 :]]
    if way[-1] == MODPROBE and len(rest) == 1:
        return Setting(way, rest[0])
    return Setting(way, ".".join(rest)) if way[-1] == SYSCTL else None


def _in_line(line: object, name: str, value: str) -> str:
    """A line of modprobe with another value of one parameter."""
    words = line.split() if isinstance(line, str) else []
    if not words:
        raise ValueError("guest.modprobe names no module")
    module = MODULES.get(words[0].replace("-", "_"))
    if module is not None and name not in module.parameters:
        known = list(module.parameters)
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise ValueError(f"{words[0]} has no such parameter; {takes}{nearest(name, known)}")
    if len(value.split()) != 1:
        raise ValueError("a parameter's value is one word")
    kept = [word for word in words[1:] if word.partition("=")[0].replace("-", "_") != name]
    return " ".join([words[0], *kept, f"{name}={value}"])


def _in_list(lines: object, name: str, value: str) -> list[object]:
    """A list of sysctls with another value of one of them."""
    if not isinstance(lines, list):
        raise ValueError("guest.sysctl is no list")
    kept = [
        line
        for line in lines
        if not (isinstance(line, str) and line.partition("=")[0].strip() == name)
    ]
    return [*kept, f"{name}={value}"]
