"""``time`` of busybox 1.35: runs a program and says how long it took, in hundredths of a second.

A process's time on the processor is all the system's: programs have hardly any instructions of
their own here. bash's reserved word ``time`` is in ``desim.userland.sh``.

Not modelled: ``-v``, ``-f``, ``-o`` and ``-a``.
"""

from __future__ import annotations

from desim.userland.calls import sys
from desim.userland.command import Command, Wrapper
from desim.userland.program import Program
from desim.userland.programs.busybox import BANNER
from desim.userland.programs.getopt import GetoptError, getopt, unmodelled
from desim.userland.programs.output import err
from desim.userland.sh import persist, wait_for

SPEC = "vpaf:o:"
CENTISECOND_NS = 10_000_000
USAGE = (
    BANNER
    + """
Usage: time [-vpa] [-o FILE] PROG ARGS

Run PROG, display resource usage when it exits

\t-v\tVerbose
\t-p\tPOSIX output format
\t-f FMT\tCustom format
\t-o FILE\tWrite result to FILE
\t-a\tAppend (else overwrite)
"""
)


def _at(argv: list[str]) -> int | None:
    """Where the other program's words begin: behind the options."""
    at = 1
    while at < len(argv) and argv[at][:1] == "-" and argv[at] not in ("-", "--"):
        at += 1
    if argv[at : at + 1] == ["--"]:
        at += 1
    return at if at < len(argv) else None


def _own(argv: list[str]) -> list[str]:
    return argv[: _at(argv)]


def check(argv: list[str]) -> str | None:
    """Refuse what is not modelled."""
    return unmodelled(_own(argv), SPEC, "p")


def time(argv: list[str]) -> Program:
    """Without another program, or with options that there are not."""
    try:
        getopt(_own(argv), SPEC)
        text = ""
    except GetoptError as error:
        text = f"time: {error}\n"
    yield from err(text + USAGE)
    return 1


def _run(argv: list[str], command: Command) -> Program:
    """``time_main``."""
    try:
        options, _ = getopt(_own(argv), SPEC)
    except GetoptError:
        return (yield from time(argv))
    began = yield from sys.now()
    (pid,) = yield from sys.spawn([command])
    yield from sys.catch_sigint()
    status, cpu_ns = yield from wait_for(pid)
    real = ((yield from persist(sys.now)) - began) // CENTISECOND_NS
    text = ""
    if status < 0:
        text = f"Command terminated by signal {-status}\n"
    elif status:
        text = f"Command exited with non-zero status {status}\n"
    show = _posix if options else _minutes
    rows = (("real", real), ("user", 0), ("sys", cpu_ns // CENTISECOND_NS))
    yield from err(text + "".join(f"{name}{show(cs)}\n" for name, cs in rows))
    return -status if status < 0 else status


WRAPS = Wrapper(_at, _run)


def _posix(cs: int) -> str:
    return f" {cs // 100}.{cs % 100:02d}"


def _minutes(cs: int) -> str:
    if cs >= 360000:
        return f"\t{cs // 360000}h {cs // 6000 % 60}m {cs // 100 % 60:02d}s"
    return f"\t{cs // 6000}m {cs // 100 % 60}.{cs % 100:02d}s"
