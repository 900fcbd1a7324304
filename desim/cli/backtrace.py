"""``desim backtrace SCENARIO --break [FILE:]FUNCTION``"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from desim.cli._arguments import (
    Parser,
    add_machine,
    add_scenario,
    counted,
    duration,
    load,
    whole,
)
from desim.cli._screen import complain, say
from desim.scenario.durations import show_duration

EPILOG = """\
The study's breakpoint, and what it showed:

  desim backtrace hello-redir --break e1000_receive_iov --after 5s

Some names exist twice, such as ip_output in slirp and in Linux. The file tells the two
apart, in full or by its end, as in gdb:

  desim backtrace hello --break slirp/ip_output.c:ip_output

A name may be a pattern, and the first of its functions that is called counts:

  desim backtrace hello --break 'e1000_receive_i*' --after 5s

Exit code: 0 done, 1 the run ended without this hit.
"""

LIST = "list"
SHOWN = 6
"""Functions of a pattern that are named."""
INDENT = "    "


def parser() -> Parser:
    """What ``desim backtrace`` takes."""
    made = Parser("backtrace", EPILOG)
    add_scenario(made)
    made.add_argument(
        "--break",
        dest="function",
        metavar="[FILE:]FUNCTION",
        required=True,
        help="a function of QEMU, slirp or the guest's kernel; of a pattern such as 'e1000_rec*' "
        "the first that is called counts; list prints all there are",
    )
    made.add_argument(
        "--hit",
        metavar="N",
        type=counted,
        default=1,
        help="stop at the N-th hit (the first if not given)",
    )
    made.add_argument("--packet", metavar="N", type=whole, help="count only hits with packet N")
    made.add_argument(
        "--after", metavar="TIME", type=duration, help="count only hits from this virtual time on"
    )
    made.add_argument("--calls", action="store_true", help="show also what the function called")
    made.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    add_machine(made)
    return made


def command(words: list[str]) -> int:
    """Run a scenario up to a function and print the stack it was called on."""
    arguments = parser().read(words)
    if arguments.function == LIST:
        say(_list())
        return 0
    from desim.api.running import backtrace
    from desim.experiment.backtrace import find_functions

    scenario = load(arguments)
    function = arguments.function
    complain(*_others(function, find_functions(function)), *scenario.notes)
    found = backtrace(
        scenario,
        function,
        hit=arguments.hit,
        packet=arguments.packet,
        after=arguments.after,
        calls=arguments.calls,
        costs=arguments.costs,
        seed=arguments.seed,
    )
    if found is None:
        conditions = [
            f"hit {arguments.hit}" if arguments.hit > 1 else "",
            f"packet {arguments.packet}" if arguments.packet is not None else "",
            f"from {show_duration(arguments.after)} on" if arguments.after else "",
        ]
        wanted = ", ".join(condition for condition in conditions if condition)
        complain(f"--break {function}: the run ended without this hit" + (wanted and f": {wanted}"))
        return 1
    say(found.json() if arguments.json else found.text())
    return 0


def _others(wanted: str, found: list[tuple[str, str]]) -> Iterator[str]:
    """Whoever names several functions stops in any of them: worth a word."""
    if len(found) == 1:
        return
    names = list(dict.fromkeys(name for name, _ in found))
    if len(names) == 1:
        files = [file for _, file in found]
        yield (
            f"{wanted} is in {' and '.join(files)}; the first that is called counts "
            f"(--break {files[-1]}:{wanted} names one)"
        )
    else:
        shown = ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)
        yield f"{wanted} is {len(names)} functions; the first that is called counts: {shown}"


def _list() -> str:
    """All functions that are modelled, file by file."""
    from desim.stages import known_stages

    lines = []
    for owner, file in sorted({(known.owner, file) for (_, file), known in known_stages().items()}):
        names = [name for name, of in sorted(known_stages()) if of == file]
        lines.append(f"{owner}  {file}")
        lines += wrap(", ".join(names), 78, initial_indent=INDENT, subsequent_indent=INDENT)
    return "\n".join(lines)
