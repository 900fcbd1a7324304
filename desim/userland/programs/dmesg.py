"""``dmesg`` (util-linux 2.38 and busybox 1.35 alike): the kernel's log.

Not modelled: its options, levels and facilities.
"""

from __future__ import annotations

from desim.userland.calls import sys
from desim.userland.program import Program
from desim.userland.programs.output import err, put


def check(argv: list[str]) -> str | None:
    """Refuse options and operands."""
    return f"dmesg: {argv[1]!r} is not modelled; dmesg shows the whole log" if argv[1:] else None


def dmesg_line(time_ns: int, line: str) -> str:
    """A line of the log with its time, in microseconds, in front of it."""
    return f"[{time_ns // 10**9:5d}.{time_ns % 10**9 // 1000:06d}] {line}\n"


def dmesg(argv: list[str]) -> Program:
    """Print the log."""
    try:
        log = yield from sys.syslog()
    except OSError as error:
        yield from err(f"dmesg: read kernel buffer failed: {error.strerror}\n")
        return 1
    yield from put("".join(dmesg_line(*entry) for entry in log))
    return 0
