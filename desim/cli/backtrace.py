"""``desim backtrace SCENARIO --break [FILE:]FUNCTION``"""

from __future__ import annotations

from collections.abc import Iterator

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

Exit code: 0 done, 1 the run ended without this hit.
"""


def parser() -> Parser:
    """What ``desim backtrace`` takes."""
    made = Parser("backtrace", EPILOG)
    add_scenario(made)
    made.add_argument(
        "--break",
        dest="function",
        metavar="[FILE:]FUNCTION",
        required=True,
        help="a function of QEMU, slirp or the guest's kernel",
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
    from desim.api.running import backtrace
    from desim.experiment.backtrace import find_function

    scenario = load(arguments)
    function = find_function(arguments.function)
    complain(*_other_files(function), *scenario.notes)
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


def _other_files(function: str) -> Iterator[str]:
    """A bare name that several files have stops in any of them: worth a word."""
    from desim.stages import files_of

    files = files_of(function)
    if len(files) > 1:
        yield (
            f"{function} is in {' and '.join(files)}; the first that is called counts "
            f"(--break {files[-1]}:{function} names one)"
        )
