"""The kernel's log (kernel/printk/printk.c, Linux 6.1): what ``dmesg`` shows.

Not modelled: levels, the console, a limit to its size.
"""

from __future__ import annotations

from collections.abc import Callable


class KernelLog:
    """Lines, each with the instant (ns) at which it was printed; ``now`` is the running code's."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.lines: list[tuple[int, str]] = []

    def printk(self, line: str) -> None:
        """Add a line, without its line break."""
        self.lines.append((self._now(), line))
