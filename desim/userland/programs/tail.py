"""``tail`` of coreutils 9.1 and of busybox 1.35: the last lines or bytes, or all from one on.

Not modelled: following a file (``-f``, ``-F`` and what belongs to them): who opens a file here
reads what it holds at that moment. ``-z`` of coreutils is not modelled either.
"""

from __future__ import annotations

from desim.data import NamedTuple
from desim.userland.calls import sys
from desim.userland.program import Program
from desim.userland.programs import coreutils
from desim.userland.programs.busybox import BANNER, Fatal, applet, suffixed
from desim.userland.programs.getopt import getopt, unmodelled
from desim.userland.programs.head import LONG, MODELLED, last_lines
from desim.userland.programs.output import STDIN, STDOUT, Step, err

READ_SIZE = 8192
DEFAULT = 10
SPEC = "c:n:qvfFs:z"
BUSYBOX_SPEC = "n:c:qvfFs:"
FOLLOWING = (
    "tail: following a file (-f) is not modelled: what is written after the opening is not "
    "seen; let the command write to its terminal, whose lines have their times"
)
USAGE = (
    BANNER
    + """
Usage: tail [OPTIONS] [FILE]...

Print last 10 lines of FILEs (or stdin) to.
With more than one FILE, precede each with a filename header.

\t-c [+]N[bkm]\tPrint last N bytes
\t-n N[bkm]\tPrint last N lines
\t-n +N[bkm]\tStart on Nth line and print the rest
\t\t\t(b:*512 k:*1024 m:*1024^2)
\t-q\t\tNever print headers
\t-v\t\tAlways print headers
\t-f\t\tPrint data as file grows
\t-F\t\tSame as -f, but keep retrying
\t-s SECONDS\tWait SECONDS between reads with -f
"""
)


class Wish(NamedTuple):
    """What of each file is wanted: the last ``number`` lines or bytes, or from that one on."""

    number: int = DEFAULT
    lines: bool = True
    onwards: bool = False
    headers: bool | None = None
    """None: only with more than one file."""


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    words = _obsolete(argv)
    if any(word in ("--follow", "-f", "-F") for word in words):
        return FOLLOWING
    return coreutils.refused(words, SPEC, MODELLED, LONG)


def check_busybox(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    if any(word in ("-f", "-F") for word in argv):
        return FOLLOWING
    return unmodelled(_obsolete(argv), BUSYBOX_SPEC, MODELLED)


def reads(argv: list[str]) -> list[str]:
    """The files that may be the user's."""
    return coreutils.users(_obsolete(argv), SPEC, LONG)


def tail(argv: list[str]) -> Program:
    """coreutils' ``main``."""
    return coreutils.program(argv, _main(argv))


def tail_busybox(argv: list[str]) -> Program:
    """``tail_main``."""
    return applet("tail", USAGE, _busybox_main(argv))


def _obsolete(argv: list[str]) -> list[str]:
    """``-5`` and ``+5``, as the first word, are ``-n 5`` and ``-n +5``."""
    word = argv[1] if len(argv) > 1 else ""
    if word[:1] in ("-", "+") and word[1:2].isdigit():
        return [argv[0], "-n" + word.removeprefix("-"), *argv[2:]]
    return argv


def _main(argv: list[str]) -> Program:
    options, names = coreutils.options(_obsolete(argv), SPEC, LONG)
    wish = Wish()
    for letter, value in options:
        if letter in "qv":
            wish = wish._replace(headers=letter == "v")
            continue
        count = coreutils.size(value.removeprefix("-"), "bkKmMGTPEZY")
        if count is None:
            what = "lines" if letter == "n" else "bytes"
            raise coreutils.Fatal(f"invalid number of {what}: '{value}'")
        wish = wish._replace(number=count, lines=letter == "n", onwards=value[0] == "+")
    status = 0
    headers = len(names) > 1 if wish.headers is None else wish.headers
    first = True
    for name in names or ["-"]:
        label = "standard input" if name == "-" else name
        try:
            fd = STDIN if name == "-" else (yield from sys.open(name))
            if headers:
                yield from _header(label, first)
            first = False
            yield from _copy(fd, wish)
            if fd != STDIN:
                yield from sys.close(fd)
        except OSError as error:
            status = 1
            yield from coreutils.unreadable(argv[0], name, label, error)
    return status


def _busybox_main(argv: list[str]) -> Program:
    options, names = getopt(_obsolete(argv), BUSYBOX_SPEC)
    wish = Wish()
    for letter, value in options:
        if letter in "qv":
            wish = wish._replace(headers=letter == "v")
        else:
            bare = value[1:] if value[:1] in ("-", "+") else value
            wish = wish._replace(
                number=suffixed(bare), lines=letter == "n", onwards=value[:1] == "+"
            )
    status = 0
    opened: list[tuple[int, str]] = []
    for name in names or ["-"]:
        try:
            fd = STDIN if name == "-" else (yield from sys.open(name))
            opened.append((fd, "standard input" if name == "-" else name))
        except OSError as error:
            status = 1
            yield from err(f"tail: can't open '{name}': {error.strerror}\n")
    if not opened:
        raise Fatal("no files")
    headers = len(opened) > 1 if wish.headers is None else wish.headers
    for number, (fd, label) in enumerate(opened):
        if headers:
            yield from _header(label, not number)
        yield from _copy(fd, wish)
    return status


def _header(label: str, first: bool) -> Step:
    yield from sys.write(STDOUT, f"{'' if first else chr(10)}==> {label} <==\n".encode())


def _copy(fd: int, wish: Wish) -> Step:
    if wish.onwards:
        yield from _from(fd, wish)
        return
    held = b""
    while data := (yield from sys.read(fd, READ_SIZE)):
        held += data
        held = held[_begins(held, wish) :]
    if held and wish.number:
        yield from sys.write(STDOUT, held)


def _begins(held: bytes, wish: Wish) -> int:
    if wish.lines:
        return last_lines(held, wish.number)
    return max(0, len(held) - wish.number)


def _from(fd: int, wish: Wish) -> Step:
    """Copy all from the line or byte on that the wish counts, from 1."""
    skip = max(0, wish.number - 1)
    while data := (yield from sys.read(fd, READ_SIZE)):
        cut, skip = _skipped(data, skip, wish.lines)
        if data[cut:]:
            yield from sys.write(STDOUT, data[cut:])


def _skipped(data: bytes, skip: int, lines: bool) -> tuple[int, int]:
    """Where of ``data`` the wanted part begins, and how much is still to be skipped."""
    if not lines:
        cut = min(skip, len(data))
        return cut, skip - cut
    cut = 0
    while skip:
        end = data.find(b"\n", cut)
        if end < 0:
            return len(data), skip
        cut = end + 1
        skip -= 1
    return cut, 0
