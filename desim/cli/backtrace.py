"""``desim backtrace SCENARIO --break FUNCTION``"""

from __future__ import annotations

import argparse
from difflib import get_close_matches

from desim.cli._arguments import (
    Parser,
    add_machine,
    add_scenario,
    counted,
    duration,
    load,
    profile_mistakes,
    whole,
)
from desim.errors import UserError

EPILOG = """The study's breakpoint, and what it showed:

  desim backtrace hello-redir --break e1000_receive_iov --after 5s
"""


def command(words: list[str]) -> int:
    """Run a scenario up to a function and print the stack it was called on."""
    parser = Parser(
        "backtrace", "Stop at a function and print its backtrace, as gdb would.", epilog=EPILOG
    )
    add_scenario(parser)
    parser.add_argument(
        "--break",
        dest="function",
        metavar="FUNCTION",
        required=True,
        help="a function of QEMU, slirp or the guest's kernel",
    )
    parser.add_argument("--hit", metavar="N", type=counted, help="stop at the N-th hit")
    parser.add_argument("--packet", metavar="N", type=whole, help="count hits of this packet only")
    parser.add_argument(
        "--after", metavar="TIME", type=duration, help="count hits from this virtual time on"
    )
    parser.add_argument(
        "--calls", action="store_true", help="show what the function then called, too"
    )
    parser.add_argument("--json", action="store_true", help="print the frames as JSON")
    add_machine(parser)
    arguments = parser.read(words)
    config = load(arguments)
    from desim.experiment.run import backtrace

    _check_function(arguments)
    with profile_mistakes():
        found = backtrace(
            config,
            arguments.function,
            hit=arguments.hit or 1,
            packet=arguments.packet,
            after_ns=arguments.after,
            calls=arguments.calls,
        )
    if found is None:
        raise UserError(f"{arguments.function}: the run ended before this breakpoint was hit")
    print(found.json() if arguments.json else found.text())
    return 0


def _check_function(arguments: argparse.Namespace) -> None:
    from desim.kernel.stages import MARKS

    if arguments.function not in MARKS:
        near = get_close_matches(arguments.function, sorted(MARKS), n=3, cutoff=0.5)
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        raise UserError(f"--break {arguments.function}: no modelled function has this name{hint}")
