"""``head`` of coreutils 9.1 and of busybox 1.35: the first lines or bytes, or all but the last.

Not modelled: ``-z`` and ``--presume-input-pipe`` of coreutils.
"""

from __future__ import annotations

from desim.data import NamedTuple
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs import coreutils
from desim.userland.programs.busybox import BANNER, applet, suffixed
from desim.userland.programs.getopt import getopt
from desim.userland.programs.output import STDIN, Stdio, Step, err

READ_SIZE = 8192
"""BUFSIZ."""
DEFAULT = 10
SPEC = "c:n:qvz"
MODELLED = "cnqv"
LONG = {"bytes": "c:", "lines": "n:", "quiet": "q", "silent": "q", "verbose": "v"}
BUSYBOX_SPEC = "n:c:qv"
USAGE = (
    BANNER
    + """
Usage: head [OPTIONS] [FILE]...

Print first 10 lines of FILEs (or stdin).
With more than one FILE, precede each with a filename header.

\t-n N[bkm]\tPrint first N lines
\t-n -N[bkm]\tPrint all except N last lines
\t-c [-]N[bkm]\tPrint first N bytes
\t\t\t(b:*512 k:*1024 m:*1024^2)
\t-q\t\tNever print headers
\t-v\t\tAlways print headers
"""
)


class Wish(NamedTuple):
    """What of each file is wanted: the first ``number`` lines or bytes, or all but the last."""

    number: int = DEFAULT
    lines: bool = True
    but_last: bool = False
    headers: bool | None = None
    """None: only with more than one file."""


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    return coreutils.refused(_obsolete(argv), SPEC, MODELLED, LONG)


def check_busybox(argv: list[str]) -> None:
    """All of it is modelled."""


def reads(argv: list[str]) -> list[str]:
    """The files that may be the user's."""
    return coreutils.users(_obsolete(argv), SPEC, LONG)


def head(argv: list[str]) -> Program:
    """coreutils' ``main``."""
    return coreutils.program(argv, _main(argv))


def head_busybox(argv: list[str]) -> Program:
    """``head_main``."""
    return applet("head", USAGE, _busybox_main(argv))


def _obsolete(argv: list[str]) -> list[str]:
    """``-5q``, as the first word, is ``-q -n 5``; letters b, c, k, m say bytes."""
    word = argv[1] if len(argv) > 1 else ""
    digits = len(word) - 1 - len(word[1:].lstrip("0123456789"))
    if word[:1] != "-" or not digits:
        return argv
    number, letters = word[1 : digits + 1], word[digits + 1 :]
    option, flags = "n", ""
    for letter in letters:
        if letter in "bckm":
            option = "c"
            number += "" if letter == "c" else letter
        elif letter == "l":
            option = "n"
        elif letter in "qv":
            flags += letter
        else:
            return argv
    return [argv[0], *(f"-{flag}" for flag in flags), f"-{option}{number}", *argv[2:]]


def _main(argv: list[str]) -> Program:
    options, names = coreutils.options(_obsolete(argv), SPEC, LONG)
    wish = Wish()
    for letter, value in options:
        if letter in "qv":
            wish = wish._replace(headers=letter == "v")
            continue
        what = "lines" if letter == "n" else "bytes"
        count = coreutils.size(value.removeprefix("-"), "bkKmMGTPEZY")
        if count is None:
            raise coreutils.Fatal(f"invalid number of {what}: '{value}'")
        if count > coreutils.UINTMAX:
            raise coreutils.Fatal(
                f"invalid number of {what}: '{value}': Value too large for defined data type"
            )
        wish = wish._replace(number=count, lines=letter == "n", but_last=value[0] == "-")
    status = 0
    out = Stdio()
    headers = len(names) > 1 if wish.headers is None else wish.headers
    first = True
    for name in names or ["-"]:
        label = "standard input" if name == "-" else name
        failed = yield from _one(name, label, wish, out, "" if first else "\n", headers)
        if failed is None:
            first = False
            continue
        status = 1
        yield from coreutils.unreadable(argv[0], name, label, failed)
    yield from _end(out)
    return status


def _busybox_main(argv: list[str]) -> Program:
    words = argv
    if len(argv) > 1 and argv[1][:1] == "-" and argv[1][1:2].isdigit():
        words = [argv[0], "-n" + argv[1][1:], *argv[2:]]
    options, names = getopt(words, BUSYBOX_SPEC)
    wish = Wish()
    for letter, value in options:
        if letter in "qv":
            wish = wish._replace(headers=letter == "v")
        else:
            count = suffixed(value.removeprefix("-"))
            wish = wish._replace(number=count, lines=letter == "n", but_last=value[:1] == "-")
    status = 0
    out = Stdio()
    headers = len(names) > 1 if wish.headers is None else wish.headers
    for number, name in enumerate(names or ["-"]):
        label = "standard input" if name == "-" else name
        failed = yield from _one(name, label, wish, out, "\n" if number else "", headers)
        if failed is not None:
            status = 1
            yield from err(f"head: {name}: {failed.strerror}\n")
    yield from _end(out)
    return status


def _one(
    name: str, label: str, wish: Wish, out: Stdio, gap: str, headers: bool
) -> Part[OSError | None]:
    try:
        fd = STDIN if name == "-" else (yield from sys.open(name))
        if headers:
            yield from out.write(f"{gap}==> {label} <==\n".encode())
        yield from _copy(fd, wish, out)
        if fd != STDIN:
            yield from sys.close(fd)
    except OSError as error:
        return error
    return None


def _copy(fd: int, wish: Wish, out: Stdio) -> Step:
    left = wish.number
    held = b""
    while left or wish.but_last:
        size = READ_SIZE if wish.lines or wish.but_last else min(left, READ_SIZE)
        data = yield from sys.read(fd, size)
        if not data:
            return
        if wish.but_last:
            held += data
            cut = _but_last(held, wish)
            yield from out.write(held[:cut])
            held = held[cut:]
        elif wish.lines:
            cut, left = _lines(data, left)
            yield from out.write(data[:cut])
        else:
            left -= len(data)
            yield from out.write(data)


def _lines(data: bytes, count: int) -> tuple[int, int]:
    """Where the ``count``-th line of ``data`` ends, and how many lines are missing."""
    at = 0
    while count:
        end = data.find(b"\n", at)
        if end < 0:
            return len(data), count
        at = end + 1
        count -= 1
    return at, 0


def _but_last(held: bytes, wish: Wish) -> int:
    """How much of ``held`` is certainly not among the last."""
    if not wish.lines:
        return max(0, len(held) - wish.number)
    # A last line without its end is one, too.
    return last_lines(held, wish.number)


def last_lines(data: bytes, count: int) -> int:
    """Where the last ``count`` lines of ``data`` begin."""
    at = len(data) - (data.endswith(b"\n") and count > 0)
    if not count:
        return len(data)
    for _ in range(count):
        at = data.rfind(b"\n", 0, at)
        if at < 0:
            return 0
    return at + 1


def _end(out: Stdio) -> Step:
    try:
        yield from out.flush()
    except OSError as error:
        yield from err(f"head: write error: {error.strerror}\n")
