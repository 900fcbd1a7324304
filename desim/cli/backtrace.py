"""``desim backtrace SCENARIO --break [FILE:]FUNCTION``"""

from __future__ import annotations

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
from desim.cli._screen import complain, say
from desim.errors import UserError

EPILOG = """The study's breakpoint, and what it showed:

  desim backtrace hello-redir --break e1000_receive_iov --after 5s

Some names exist twice, as ip_output in slirp and in Linux. The file tells them apart,
in full or by its end, as in gdb:

  desim backtrace hello --break slirp/ip_output.c:ip_output

Exit code 1 says that the run ended without this hit.
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
        metavar="[FILE:]FUNCTION",
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

    function = find_function(arguments.function)
    for note in config.notes:
        complain(note)
    with profile_mistakes():
        found = backtrace(
            config,
            function,
            hit=arguments.hit or 1,
            packet=arguments.packet,
            after_ns=arguments.after,
            calls=arguments.calls,
        )
    if found is None:
        conditions = [
            f"hit {arguments.hit}" if arguments.hit else "",
            f"packet {arguments.packet}" if arguments.packet is not None else "",
            f"from {arguments.after / 10**9:g} s on" if arguments.after else "",
        ]
        wanted = ", ".join(condition for condition in conditions if condition)
        complain(f"--break {function}: the run ended without this hit" + (wanted and f": {wanted}"))
        return 1
    say(found.json() if arguments.json else found.text())
    return 0


def find_function(wanted: str) -> str:
    """``wanted`` as a breakpoint understands it: a name, or a whole ``FILE:NAME``.

    A bare name that several files have stops in any of them, and says so.
    """
    from desim.stages import files_of, known_stages

    file, _, name = wanted.rpartition(":")
    files = files_of(name)
    if not files:
        known_names = sorted({known for known, _ in known_stages()})
        near = get_close_matches(name, known_names, n=3, cutoff=0.5)
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        raise UserError(f"--break {wanted}: no modelled function has this name{hint}")
    if not file:
        if len(files) > 1:
            complain(
                f"{name} is in {' and '.join(files)}; the first that is called counts "
                f"(--break {files[-1]}:{name} names one)"
            )
        return name
    meant = [known for known in files if known == file or known.endswith(f"/{file}")]
    if len(meant) != 1:
        which = "is in more than one such file" if meant else "is not in this file"
        raise UserError(f"--break {wanted}: {name} {which}; it is in {', '.join(files)}")
    return f"{meant[0]}:{name}"
