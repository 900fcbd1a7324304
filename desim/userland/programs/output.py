"""Writing to standard output and standard error, as ``printf`` does for a C program."""

from __future__ import annotations

from collections.abc import Iterable

from desim.userland.calls import sys
from desim.userland.program import Part

STDIN = 0
STDOUT = 1
STDERR = 2

TERMINAL_COLUMNS = 80
"""How wide a terminal is."""

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


BLOCK = 4096
"""What glibc makes the buffer of a file, a pipe or a socket: st_blksize."""


class Stdio:
    """The C library's buffer of standard output: what is written appears when 4,096 bytes have
    come together, and at the end; on a terminal, line by line."""

    def __init__(self) -> None:
        self.held = b""
        self._is_terminal: bool | None = None

    def begin(self) -> Step:
        """Look whether it is a terminal, if that has not been done."""
        if self._is_terminal is None:
            self._is_terminal = yield from sys.isatty(STDOUT)

    def write(self, data: bytes) -> Step:
        """``fwrite``. Raises what ``write`` raises."""
        yield from self.begin()
        held = self.held + data
        whole = held.rfind(b"\n") + 1 if self._is_terminal else len(held) - len(held) % BLOCK
        self.held = held[whole:]
        if whole:
            yield from sys.write(STDOUT, held[:whole])

    def write_all(self, pieces: Iterable[bytes]) -> Step:
        """``fwrite`` each, in fewer steps where that makes the same system calls: up to a block."""
        waiting: list[bytes] = []
        size = len(self.held)
        for piece in pieces:
            waiting.append(piece)
            size += len(piece)
            if self._is_terminal is not False or size >= BLOCK:
                yield from self.write(b"".join(waiting))
                waiting.clear()
                size = len(self.held)
        if waiting:
            yield from self.write(b"".join(waiting))

    def flush(self) -> Step:
        """``fflush``. Raises what ``write`` raises."""
        held, self.held = self.held, b""
        if held:
            yield from sys.write(STDOUT, held)
