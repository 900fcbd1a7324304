"""``ltool``, the load and measuring tool of the recorded Linux guest: its subcommands.

The recordings under tests/vectors were made with one small C program of this name, in
the guest and on the host. Here are the subcommands that their scripts use, each with
the order of system calls that the kernel traces and the packets show. With ``--json`` the
result is the recorded one, too: one line with every stamp. Times are CLOCK_MONOTONIC_RAW
in ns; those of a list count from ``t0``. Without it there is a line for people.

The tool's own CPU time lies in the marked functions of its code classes (file
"ltool.c" for cost profiles); reading the clock is the vDSO's.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from desim.data import NamedTuple
from desim.userland.calls import sys
from desim.userland.program import Part, Program
from desim.userland.programs import ltool_ping, ltool_tcp, ltool_tftp, ltool_udp
from desim.userland.programs.ltool_common import Result, UsageError, number
from desim.userland.programs.ltool_report import say
from desim.userland.programs.output import err


def usleep(argv: list[str]) -> Part[None]:
    """``usleep US``."""
    (duration_us,) = argv
    yield from sys.nanosleep(number(duration_us, "US") * 1000)


def spin(argv: list[str]) -> Part[None]:
    """``spin``: compute for ever in the lowest scheduling class, so that the CPU never halts."""
    yield from sys.spin()


JSON = "--json"


class Subcommand(NamedTuple):
    """One subcommand: its operands, those in brackets optional, and what it does."""

    operands: str
    run: Callable[[list[str]], Part[Result | None]]


SUBCOMMANDS = {
    "ping": Subcommand("DST N INTERVAL_US SIZE TRAIN", ltool_ping.ping),
    "tftp": Subcommand("HOST FILE BLKSIZE MAXBLOCKS", ltool_tftp.tftp),
    "source": Subcommand("HOST PORT BYTES WSIZE [LINGER_MS]", ltool_tcp.source),
    "sink": Subcommand("PORT", ltool_tcp.sink),
    "tcpcli": Subcommand("HOST PORT MSG N PAUSE_US", ltool_tcp.tcpcli),
    "tcpsrv": Subcommand("PORT MSG N", ltool_tcp.tcpsrv),
    "drip": Subcommand("HOST PORT N SIZE PAUSE_US", ltool_tcp.drip),
    "slowsrv": Subcommand("PORT MSG N DELAY_US MODE", ltool_tcp.slowsrv),
    "udpsend": Subcommand("HOST PORT ROUNDS TRAIN SIZE GAP_US INTERVAL_US ECHO", ltool_udp.udpsend),
    "udprecv": Subcommand("PORT N TIMEOUT_MS", ltool_udp.udprecv),
    "udpecho": Subcommand("PORT [N]", ltool_udp.udpecho),
    "usleep": Subcommand("US", usleep),
    "spin": Subcommand("", spin),
}


def _usage(*names: str) -> str:
    lines = [f"ltool [{JSON}] {name} {SUBCOMMANDS[name].operands}".rstrip() for name in names]
    return "usage: " + "\n       ".join(lines) + "\n"


def ltool(argv: list[str]) -> Program:
    """Run one subcommand, and print what it has found."""
    words = [word for word in argv[1:] if word != JSON]
    if not words:
        yield from err(_usage(*SUBCOMMANDS))
        return 1
    name, *operands = words
    found = SUBCOMMANDS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, SUBCOMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        yield from err(f"ltool: there is no {name!r}{hint}\n" + _usage(*SUBCOMMANDS))
        return 1
    usage = _usage(name)
    names = found.operands.split()
    required = [operand for operand in names if not operand.startswith("[")]
    if not len(required) <= len(operands) <= len(names):
        yield from err(usage)
        return 1
    try:
        result = yield from found.run(operands)
    except UsageError as mistake:
        yield from err(f"ltool {name}: {mistake}\n{usage}")
        return 1
    except OSError as error:
        yield from err(f"ltool {name}: {error.strerror}\n")
        return 1
    if result is None:
        return 0
    yield from say(result, as_json=JSON in argv)
    yield from sys.measured(result)
    return 1 if "connect_errno" in result else 0


def check(argv: list[str]) -> None:
    """What it does not know, the program says itself."""
