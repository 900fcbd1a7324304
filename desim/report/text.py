"""Text that reports are made of: lines with a look, numbers, and words from elsewhere.

Whatever programs wrote, and whatever a scenario calls things, is escaped before it is
shown: neither may send control sequences to the user's terminal.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from desim.data import NamedTuple
from desim.scenario.qemu_words import shell_words

MAX_TEXT = 24
"""Bytes of a message or a small file that are shown."""


class Line(NamedTuple):
    """A line of the report, and how it looks where there are colours (rich's words)."""

    text: str
    style: str = ""


def seconds(ns: int) -> str:
    """``5.000 123 456 s``: grouped so that milli, micro and nano can be read off."""
    fraction = f"{ns % 10**9:09d}"
    return f"{ns // 10**9}.{fraction[:3]} {fraction[3:6]} {fraction[6:]} s"


def grouped(ns: int) -> str:
    """``1 234 567``."""
    return f"{ns:,}".replace(",", " ")


def share(part: int, whole: int) -> str:
    """``12.5%``, rounded down; made of whole numbers."""
    tenths = 1000 * part // whole if whole else 0
    return f"{tenths // 10}.{tenths % 10}%"


def escape(data: bytes | str) -> str:
    """Text from elsewhere, with everything but line ends and tabs made visible."""
    out = data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
    if out.isprintable():
        return out
    return "".join(
        char
        if char.isprintable() or char in "\n\t"
        else f"\\x{ord(char):02x}"
        if ord(char) < 256
        else ascii(char)[1:-1]
        for char in out
    )


def quoted(data: bytes, size: int) -> str:
    """A message of ``size`` bytes on one line, as far as it is short: ``"Hello\\n"``."""
    start = escape(data[:MAX_TEXT]).replace("\n", "\\n").replace("\t", "\\t")
    return f'"{start}{"..." if size > MAX_TEXT else ""}"'


def command_line(program: str, options: str, width: int) -> Iterator[str]:
    """A command line of QEMU's, broken before options as a shell would have it."""
    parts = [program]
    for word in shell_words(options):
        if word.startswith("-"):
            parts.append(shlex.quote(word))
        else:
            parts[-1] += f" {shlex.quote(word)}"
    line = parts[0]
    for part in parts[1:]:
        if len(line) + len(part) + 3 > width:
            yield line + " \\"
            line = "   "
        line += f" {part}"
    yield line


def cut(text: str, width: int) -> str:
    """``text`` in ``width`` columns: what is too much is taken out of the middle."""
    if len(text) <= width:
        return text
    front = (width - 3) * 2 // 3
    return f"{text[:front]}...{text[len(text) - (width - 3 - front) :]}"


def duration(ns: int) -> str:
    """Four digits and a unit: ``1.948 ms``, ``451.3 ms``, ``12.05 s``, ``980 ns``."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if ns >= size:
            return f"{four_digits(ns, size)} {unit}"
    return f"{ns} ns"


def amount(size: int) -> str:
    """Bytes: ``17 B``, ``86.40 kB``, ``5.243 MB``; a kB is 1000."""
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= one:
            return f"{four_digits(size, one)} {unit}"
    return f"{size} B"


def four_digits(value: int, one: int) -> str:
    """``value / one`` with four significant digits, rounded down, in whole numbers."""
    whole = value // one
    digits = max(4 - len(str(whole)), 0)
    if not digits:
        return str(whole)
    fraction = value % one * 10**digits // one
    return f"{whole}.{fraction:0{digits}d}"


def percent(part: int, whole: int) -> int:
    """``part`` of ``whole`` in hundredths, rounded to the nearest."""
    return (200 * part + whole) // (2 * whole) if whole else 0
