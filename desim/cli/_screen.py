"""What goes to the terminal: messages, with nothing in them that a terminal would obey."""

from __future__ import annotations

import io
import os
import sys


def printable(text: str) -> str:
    """``text`` with control characters, and what is no character at all, shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def prepare_streams() -> None:
    """Make stdout and stderr take any text, also where they are closed or know only ASCII."""
    # Opened in this order, so that no file of a run gets the number of a closed one.
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it stays open
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - so does this
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def forget_stdout() -> None:
    """The interpreter flushes stdout once more at exit; let that go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(*messages: str) -> None:
    """Each message as one line (or paragraph) on stderr."""
    for message in messages:
        print(f"desim: {printable(message)}", file=sys.stderr)


def say(text: str) -> None:
    """Text of the command's own on stdout."""
    print(printable(text))
