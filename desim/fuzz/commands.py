"""The commands of one example, as they are drawn."""

from __future__ import annotations

from typing import Any

SERVERS_MS = 4_020
"""When servers start: the guest's network is up at 3.4 s on a wire without faults. Nothing starts
before the whole second, to which each boot goes on."""
CLIENTS_MS = 4_100
BOOT_MS = 18_000
"""How much later both start where faults may fall on the boot."""
STOP = "+90s"
LINGER_S = 1_650
"""A run that is to show what is left stops every program, and goes on until all ends gave up."""


class Commands:
    """What both sides run."""

    def __init__(self, later_ms: int = 0) -> None:
        """All are so much later."""
        self.later_ms = later_ms
        self.of: dict[str, list[dict[str, Any]]] = {"guest": [], "host": []}

    def run(self, side: str, command: str, at_ms: int, stop: str = "", **more: Any) -> None:
        """One command line in a terminal of its own; ``more`` are further keys of its table."""
        made = {"at": f"{at_ms + self.later_ms}ms", "command": command, **more}
        if stop:
            made["stop"] = stop
        self.of[side].append(made)

    def linger(self) -> None:
        """Stop all of them at last, and go on for long after that."""
        for side in self.of.values():
            for command in side:
                command.setdefault("stop", STOP)
        self.run("host", f"sleep {LINGER_S}", SERVERS_MS)
