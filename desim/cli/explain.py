"""``desim explain QEMU-LINE``, ``desim explain SCENARIO``"""

from __future__ import annotations

from desim.cli._arguments import Parser
from desim.cli._running import console_width
from desim.cli._screen import say
from desim.cli.qemu import split_words
from desim.errors import UserError
from desim.scenario.qemu_options import help_text
from desim.scenario.qemu_words import names_program

EPILOG = """\
The line is QEMU's, as one quoted word or as it stands:

  desim explain 'qemu-system-x86_64 -m 256 -net nic,model=e1000 -net user -redir tcp:5555::5556'
  desim explain -nic user,model=e1000,hostfwd=tcp::2222-:22
  desim explain hello
"""


def parser() -> Parser:
    """What ``desim explain`` takes."""
    made = Parser("explain", EPILOG)
    made.usage = "desim explain QEMU-OPTIONS... | 'QEMU LINE' | SCENARIO [--slirp VERSION]"
    made.add_argument(
        "--slirp",
        metavar="VERSION",
        choices=["4.7", "2.8"],
        help="whose behaviour slirp has, as for desim qemu",
    )
    return made


def is_scenario(word: str) -> bool:
    """Whether the only word of a line names a scenario: it is neither an option nor a program."""
    return not word.startswith("-") and len(word.split()) == 1 and not names_program(word)


def command(words: list[str]) -> int:
    """Say what a line of QEMU's options means, and run nothing."""
    takes = parser()
    own, options = split_words(words, takes)
    arguments = takes.read(own)
    if not options:
        raise UserError("explain: needs a line of QEMU's, or a scenario; --help says more")
    listed = help_text(options)
    if listed is not None:
        say(listed.rstrip("\n"))
        return 0
    from desim.api.scenario import from_qemu, load

    changes = {} if arguments.slirp is None else {"slirp": arguments.slirp}
    if len(options) == 1 and is_scenario(options[0]):
        scenario = load(options[0], changes, place=lambda key: f"--{key}")
    else:
        line = options[0] if len(options) == 1 else tuple(options)
        scenario = from_qemu(line, changes=changes, place=lambda key: f"--{key}")
    say(scenario.explain(console_width()))
    return 0
