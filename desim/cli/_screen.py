"""What goes to the terminal: messages, with nothing in them that a terminal would obey."""

from __future__ import annotations

import io
import os
import sys

LONGEST, LONGEST_START = 1500, 1000
"""Characters of a message, and of what is shown from its start if it is longer."""


def printable(text: str) -> str:
    """``text`` with control characters, and what is no character at all, shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """``text`` as a message on one line that fits a screen, whatever values are in it."""
    text = printable(text).replace("\n", "\\n")
    left_out = len(text) - LONGEST
    if left_out <= 0:
        return text
    return (
        f"{text[:LONGEST_START]} ... ({left_out} characters) ... {text[LONGEST_START - LONGEST :]}"
    )


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
    """Each message as one line on stderr: a value with a line break in it makes no second."""
    for message in messages:
        print(f"desim: {one_line(message)}", file=sys.stderr)


def complain_at_length(*messages: str) -> None:
    """Each message as a paragraph on stderr."""
    for message in messages:
        print(f"desim: {printable(message)}", file=sys.stderr)


def say(text: str) -> None:
    """Text of the command's own on stdout."""
    print(printable(text))
