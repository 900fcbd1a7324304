"""What goes to the terminal: messages, with nothing in them that a terminal would obey."""

from __future__ import annotations

import sys


def printable(text: str) -> str:
    """``text`` with control characters, and what is no character at all, shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def complain(*messages: str) -> None:
    """Each message as one line (or paragraph) on stderr."""
    for message in messages:
        print(f"desim: {printable(message)}", file=sys.stderr)


def say(text: str) -> None:
    """A line of the command's own on stdout."""
    print(printable(text))
