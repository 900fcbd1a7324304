"""``seq`` of coreutils 9.1 and of busybox 1.35: numbers in equal steps, exact ones.

Not modelled: formats (``-f``), hexadecimal numbers, infinity. A step of 0, at which busybox's
never ends, is refused when the line is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor

from desim.userland.program import Program
from desim.userland.programs import coreutils
from desim.userland.programs.busybox import BANNER, applet
from desim.userland.programs.decimals import nearest
from desim.userland.programs.getopt import GetoptError, getopt
from desim.userland.programs.output import Stdio, err

SPEC = "f:s:w"
LONG = {"separator": "s:", "equal-width": "w"}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.([0-9]*))?|\.([0-9]+))(?:[eE]([+-]?[0-9]{1,3}))?")
MAX_DIGITS = 100
USAGE = (
    BANNER
    + """
Usage: seq [-w] [-s SEP] [FIRST [INC]] LAST

Print numbers from FIRST to LAST, in steps of INC.
FIRST, INC default to 1.

\t-w\tPad to last with leading zeros
\t-s SEP\tString separator
"""
)


def _split(argv: list[str]) -> list[str]:
    """``argv`` with ``--`` in front of its first operand: a negative number is one."""
    words = list(argv)
    at = 1
    while at < len(words):
        word = words[at]
        if word == "--" or word[:1] != "-" or re.match(r"-[0-9.]", word):
            break
        at += 2 if word in ("-s", "-f") else 1
    return words if at >= len(words) or words[at] == "--" else [*words[:at], "--", *words[at:]]


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    return coreutils.refused(_split(argv), SPEC, "sw", LONG)


def check_busybox(argv: list[str]) -> str | None:
    """Refuse a step of 0."""
    operands = [word for word in argv[1:] if _NUMBER.fullmatch(word)]
    if len(operands) == 3 and Fraction(operands[1]) == 0:
        return "seq: steps of 0 never end"
    return None


def seq(argv: list[str]) -> Program:
    """coreutils' ``main``."""
    return coreutils.program(argv, _main(argv))


def seq_busybox(argv: list[str]) -> Program:
    """``seq_main``."""
    return applet("seq", USAGE, _busybox_main(argv))


def _main(argv: list[str]) -> Program:
    options, operands = coreutils.options(_split(argv), SPEC, LONG)
    if not operands:
        raise coreutils.Usage("missing operand")
    if len(operands) > 3:
        raise coreutils.Usage(f"extra operand '{operands[3]}'")
    for word in operands:
        if _decimals(word) is None:
            raise coreutils.Usage(f"invalid floating point argument: '{word}'")
    if len(operands) == 3 and Fraction(operands[1]) == 0:
        raise coreutils.Usage(f"invalid Zero increment value: '{operands[1]}'")
    return (yield from _print(options, operands))


def _busybox_main(argv: list[str]) -> Program:
    words = list(argv)
    at = 1
    while at < len(words) and words[at][:1] == "-" and len(words[at]) > 1 and words[at] != "--":
        at += 2 if words[at] == "-s" else 1
    if at < len(words) and words[at] != "--":
        words.insert(at, "--")  # getopt32's "+": it stops at the first operand
    options, operands = getopt(words, "s:w")
    if not 1 <= len(operands) <= 3 or any(_decimals(word) is None for word in operands):
        raise GetoptError("")
    return (yield from _print(options, operands))


def _decimals(word: str) -> int | None:
    """How many decimals a number is written with; None if it is no number."""
    match = _NUMBER.fullmatch(word)
    if match is None or len(word) > MAX_DIGITS:
        return None
    written = len(match[1] or match[2] or "")
    return max(0, written - int(match[3] or 0))


def _print(options: list[tuple[str, str]], operands: list[str]) -> Program:
    values = dict(options)
    first, step, last = Fraction(1), Fraction(1), Fraction(operands[-1])
    if len(operands) > 1:
        first = Fraction(operands[0])
    if len(operands) > 2:
        step = Fraction(operands[1])
    places = max([_decimals(word) or 0 for word in operands[:-1]], default=0)
    width = 0
    if "w" in values:
        width = max(_width(number, places) for number in (first, last))
    # First and step are whole numbers of the last place that is shown.
    unit = 10**places
    start, by = int(first * unit), int(step * unit)
    end = floor(last * unit) + 1 if step > 0 else ceil(last * unit) - 1
    texts = (_text(number, places, width) for number in range(start, end, by))
    out = Stdio()
    try:
        yield from out.write_all(_joined(texts, values.get("s", "\n").encode()))
        yield from out.flush()
    except OSError as error:
        yield from err(f"seq: write error: {error.strerror}\n")
        return 1
    return 0


def _joined(texts: Iterator[str], separator: bytes) -> Iterator[bytes]:
    """``texts`` with a separator before each but the first, and the end of the line."""
    for text in texts:
        yield text.encode()
        break
    else:
        return
    for text in texts:
        yield separator + text.encode()
    yield b"\n"


def _width(number: Fraction, places: int) -> int:
    """How wide ``number`` is, which may have more places; the sign of -0.2 counts."""
    return (number < 0) + len(_text(nearest(abs(number) * 10**places), places, 0))


def _text(number: int, places: int, width: int) -> str:
    """``number``, counted in its last place."""
    if not places and not width:
        return str(number)
    digits = str(abs(number)).rjust(places + 1, "0")
    if places:
        digits = f"{digits[:-places]}.{digits[-places:]}"
    sign = "-" if number < 0 else ""
    return sign + digits.rjust(width - len(sign), "0")
