"""Writing to standard output and standard error, as ``printf`` does for a C program."""

from __future__ import annotations

from desim.userland.calls import sys
from desim.userland.program import Part

STDIN = 0
STDOUT = 1
STDERR = 2

Step = Part[None]


def put(text: str, fd: int = STDOUT) -> Step:
    """Write ``text``; as C programs mostly do, nobody looks whether that worked."""
    try:
        yield from sys.write(fd, text.encode("utf-8", "surrogateescape"))
    except OSError:
        pass  # as the docstring says


def err(text: str) -> Step:
    """Write ``text`` to standard error."""
    return put(text, STDERR)
