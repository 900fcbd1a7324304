"""The words of a script, each with its line (packetdrill's lexer.l, as far as it is needed).

The longest word wins, as everywhere with flex: ``0...0.02`` is a number, an ellipsis and a
number, ``P.`` a word and a dot. Comments are C's and C++'s; a command between backquotes and
a piece of code between ``%{`` and ``}%`` are one word each.
"""

from __future__ import annotations

import re

from desim.conform.packetdrill.errors import ScriptError
from desim.data import NamedTuple


class Token(NamedTuple):
    """One word: its kind, its text without delimiters, where it begins and ends."""

    kind: str
    text: str
    line: int
    start: int
    end: int


_KINDS = (
    ("space", r"\s+"),
    ("comment", r"//[^\n]*|/\*.*?\*/"),
    ("code", r"%\{.*?\}%"),
    ("command", r"`(?:\\.|[^`\\])*`"),
    ("string", r'"(?:\\.|[^"\\])*"'),
    ("option", r"--[A-Za-z0-9_]+"),
    ("ellipsis", r"\.\.\."),
    ("ipv4", r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+"),
    ("hex", r"0x[0-9a-fA-F]+(?![A-Za-z0-9_])"),
    ("float", r"-?[0-9]*\.[0-9]+(?![A-Za-z0-9_])"),
    ("integer", r"-?[0-9]+(?![A-Za-z0-9_])"),
    ("word", r"[A-Za-z0-9_]+"),
    ("symbol", r"[^\s]"),
)
_TOKEN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS), re.DOTALL)
_DELIMITED = {"code": ("%{", "}%"), "command": ("`", "`"), "string": ('"', '"')}


def tokens(text: str) -> list[Token]:
    """The words of ``text``; raises ``ScriptError`` for something that is begun and not ended."""
    found = []
    line = 1
    for match in _TOKEN.finditer(text):
        kind, word = match.lastgroup or "", match.group()
        if kind == "symbol":
            _check_begun(text, match.start(), line)
        if kind not in ("space", "comment"):
            if kind in _DELIMITED:
                before, after = _DELIMITED[kind]
                word = word[len(before) : -len(after)]
            elif kind == "option":
                word = word[2:]
            found.append(Token(kind, word, line, match.start(), match.end()))
        line += match.group().count("\n")
    return found


def _check_begun(text: str, at: int, line: int) -> None:
    for begin, what in (("%{", "}%"), ("`", "`"), ('"', '"'), ("/*", "*/")):
        if text.startswith(begin, at):
            raise ScriptError(line, f"{begin} without {what} behind it")
