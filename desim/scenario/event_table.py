"""``[[at]]`` of a scenario file: what happens at an instant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from desim.config import MonitorCommand
from desim.scenario.schema import INSTANT, MAX_COMMAND, command_of, line_of, monitor_line
from desim.scenario.tables import Choice, Named, Table, Text, key


class At(Table):
    """``[[at]]``: what happens at an instant, in this order."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "modprobe": "a driver is loaded once; a guest command (ethtool -G, -C) changes what it can "
        "change later",
        "sysctl": "guest.sysctl holds for the whole run",
        "qemu": "QEMU's options hold for the whole run; a monitor command changes what it can",
        "costs": "a cost profile holds for the whole run",
        "semantics": "the card's timing holds for the whole run",
        "kill": 'stop = "guest 1" ends a program, as Ctrl-C does',
        "command": "say where: guest, host or monitor",
    }

    at: int = key(INSTANT)
    link: dict[str, str] = key(Named(Text(empty=False), Choice("on", "off")), {})
    filter: dict[str, str] = key(Named(Text(empty=False), Choice("on", "off")), {})
    monitor: MonitorCommand | None = key(
        Text(empty=False, at_most=MAX_COMMAND, check=monitor_line), None
    )
    guest: str | None = key(line_of(command_of("guest")), None)
    host: str | None = key(line_of(command_of("host")), None)
    stop: str | None = key(Text(empty=False), None)

    def contradictions(self) -> list[str]:
        """Something must happen."""
        happens = (self.link, self.filter, self.monitor, self.guest, self.host, self.stop)
        names = [name for name in self.KEYS if name != "at"]
        return [] if any(happens) else [f"nothing happens; there are {', '.join(names)}"]

    def typed(self) -> list[MonitorCommand]:
        """What is typed into QEMU's monitor for it."""
        words = [["set_link", name, switch] for name, switch in self.link.items()]
        words += [["qom-set", name, "status", switch] for name, switch in self.filter.items()]
        made = [MonitorCommand(at_ns=self.at, words=line) for line in words]
        return [*made, *([self.monitor] if self.monitor else ())]
