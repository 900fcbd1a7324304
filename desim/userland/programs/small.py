"""``cat``, ``sleep``, ``true`` and ``false`` (coreutils).

Not modelled: options of ``cat``.
"""

from __future__ import annotations

import re
from fractions import Fraction

from desim.userland.calls import sys
from desim.userland.program import Program
from desim.userland.programs.output import STDIN, STDOUT, err

CAT_BUFFER = 131072
"""coreutils' io_blksize."""

NS = 1_000_000_000
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,18})?|\.[0-9]{1,18})([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def cat(argv: list[str]) -> Program:
    """Copy the files that it is given, and standard input for ``-`` or none, to its output."""
    status = 0
    for name in argv[1:] or ["-"]:
        try:
            fd = STDIN if name == "-" else (yield from sys.open(name))
            while data := (yield from sys.read(fd, CAT_BUFFER)):
                yield from sys.write(STDOUT, data)
            if fd != STDIN:
                yield from sys.close(fd)
        except OSError as error:
            yield from err(f"cat: {name}: {error.strerror}\n")
            status = 1
    return status


def check_cat(argv: list[str]) -> str | None:
    """Options are refused."""
    for word in argv[1:]:
        if word.startswith("-") and word != "-":
            return f"cat: option {word} is not modelled; there are names of files, and - for input"
    return None


def cat_reads(argv: list[str]) -> list[str]:
    """Those of the files that may be the user's; the others are the system's."""
    return [word for word in argv[1:] if word != "-" and not word.startswith("/")]


def duration_ns(word: str) -> int | None:
    """The nanoseconds of an operand of ``sleep``; None if it is none."""
    match = _DURATION.fullmatch(word)
    if match is None:
        return None
    # Rounded up to whole nanoseconds, as coreutils' dtotimespec does.
    return -int(-Fraction(match[1]) * _UNITS[match[2]] * NS // 1)


def sleep(argv: list[str]) -> Program:
    """Sleep for the sum of the operands."""
    if len(argv) == 1:
        yield from err("sleep: missing operand\nTry 'sleep --help' for more information.\n")
        return 1
    total = 0
    for word in argv[1:]:
        duration = duration_ns(word)
        if duration is None:
            yield from err(
                f"sleep: invalid time interval '{word}'\nTry 'sleep --help' for more information.\n"
            )
            return 1
        total += duration
    yield from sys.sleep_ns(total)
    return 0


def true(argv: list[str]) -> Program:
    """Succeed."""
    yield from ()
    return 0


def false(argv: list[str]) -> Program:
    """Fail."""
    yield from ()
    return 1


def check(argv: list[str]) -> None:
    """All of it is modelled."""
