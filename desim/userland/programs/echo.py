"""``echo``, the builtin of bash: options -n, -e, -E; escapes as its manual lists them."""

from __future__ import annotations

import re

from desim.userland.calls import sys
from desim.userland.program import Program
from desim.userland.programs.output import STDOUT, err

_OPTION = r"-[neE]+"
_ESCAPE = (
    r"\\(?:0(?P<octal>[0-7]{0,3})|x(?P<hex>[0-9a-fA-F]{1,2})|u(?P<u>[0-9a-fA-F]{1,4})"
    r"|U(?P<U>[0-9a-fA-F]{1,8})|(?P<letter>[abceEfnrtv\\]))"
)
_LETTERS = {
    "a": b"\a",
    "b": b"\b",
    "e": b"\x1b",
    "E": b"\x1b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
}


def text(argv: list[str]) -> bytes:
    """What ``echo`` with these arguments writes."""
    words = argv[1:]
    newline, escapes = True, False
    while words and words[0].startswith("-") and re.fullmatch(_OPTION, words[0]):
        for letter in words.pop(0)[1:]:
            if letter == "n":
                newline = False
            else:
                escapes = letter == "e"
    line = " ".join(words)
    if not escapes:
        return _bytes(line) + (b"\n" if newline else b"")
    out, cut = _expand(line)
    return out + (b"\n" if newline and not cut else b"")


def _expand(line: str) -> tuple[bytes, bool]:
    """``line`` with its escapes replaced, and whether ``\\c`` ended it."""
    out = bytearray()
    at = 0
    for match in re.finditer(_ESCAPE, line):
        out += _bytes(line[at : match.start()])
        at = match.end()
        if match["octal"] is not None:
            out.append(int(match["octal"] or "0", 8) & 0xFF)
        elif match["hex"]:
            out.append(int(match["hex"], 16))
        elif match["letter"] == "c":
            return bytes(out), True
        elif match["letter"]:
            out += _LETTERS[match["letter"]]
        else:
            point = int(match["u"] or match["U"], 16)
            out += _bytes(chr(point) if point <= 0x10FFFF else match[0])
    return bytes(out + _bytes(line[at:])), False


def _bytes(words: str) -> bytes:
    return words.encode("utf-8", "surrogatepass")


def echo(argv: list[str]) -> Program:
    """Write the arguments."""
    try:
        yield from sys.write(STDOUT, text(argv))
    except OSError as error:
        yield from err(f"echo: write error: {error.strerror}\n")
        return 1
    return 0


def check(argv: list[str]) -> None:
    """All of it is modelled."""
