"""``desim qemu QEMU-OPTIONS... --guest CMD --host CMD``

QEMU's options are read as QEMU reads them, with one dash or two; desim's own have two. Where
both have an option of one name, two dashes mean desim's.
"""

from __future__ import annotations

from desim.cli._arguments import Changes, Parser, add_machine, add_modprobe, add_set
from desim.cli._running import add_results, execute
from desim.cli._screen import say
from desim.scenario.qemu_options import help_text
from desim.scenario.qemu_words import is_option, takes_value

EPILOG = """\
QEMU's options are given with one dash, in any spelling from 2.8 on:

  desim qemu -netdev user,id=user.0,hostfwd=tcp::5555-:5556 -device e1000,netdev=user.0 \\
        --guest 'nc -lvp 5556 > hello.txt' \\
        --host 'echo "Hello qemu Geust" | nc -N localhost 5555'

Packet filters are QEMU's (filter-buffer, filter-dump) and, in the same form, faults:

  -object filter-loss,id=ID,netdev=ID,queue=tx,probability=1%   (every=N, frames=3:7:12-14)
  -object filter-delay,id=ID,netdev=ID,delay=10ms,jitter=2ms
  -object filter-duplicate, -object filter-reorder, -object filter-corrupt

docs/scenario.md lists the options that have an effect, with their keys.

With --costs icount, or another profile that is in instructions, -icount shift=N makes an
instruction of the guest last 2**N ns (1 ns without -icount).

Programs are simulated; desim starts no shell and no real program. "< FILE" reads a real
file, "httpd -h FOLDER" shows a real folder, "> FILE" writes below DIR/guest or DIR/host
if --out DIR is given.
"""


def parser() -> Parser:
    """What ``desim qemu`` takes."""
    made = Parser("qemu", EPILOG)
    made.usage = "desim qemu QEMU-OPTIONS... [--guest CMD]... [--host CMD]... [OPTIONS]"
    made.add_argument(
        "--guest",
        metavar="CMD",
        action="append",
        default=[],
        help="a command of the guest; may be given more than once",
    )
    made.add_argument(
        "--host",
        metavar="CMD",
        action="append",
        default=[],
        help="a command of the host, which starts when every guest command waits for input; may "
        "be given more than once",
    )
    made.add_argument(
        "--slirp",
        metavar="VERSION",
        choices=["4.7", "2.8"],
        help="whose behaviour slirp has: that of libslirp 4.7.0 (default), or of QEMU 2.8 (default "
        "with -redir, -tftp, -bootp or vlan=)",
    )
    add_modprobe(made)
    made.add_argument(
        "--ipv6",
        choices=["on", "off"],
        help="whether the guest's kernel speaks IPv6 (on by default)",
    )
    add_set(made)
    add_machine(made)
    add_results(made)
    return made


def command(words: list[str]) -> int:
    """Run the machine that QEMU's options describe."""
    takes = parser()
    own, options = split_words(words, takes)
    arguments = takes.read(own)
    listed = help_text(options)
    if listed is not None:
        say(listed.rstrip("\n"))
        return 0
    from desim.api.scenario import from_qemu

    if arguments.ipv6 is not None:
        arguments.ipv6 = arguments.ipv6 == "on"
    changes = Changes(arguments, slirp="slirp", ipv6="guest.ipv6")
    scenario = from_qemu(
        tuple(options),
        guest=arguments.guest,
        host=arguments.host,
        changes=changes.keys,
        place=lambda key: f"--{key}" if key in ("guest", "host") else changes.place(key),
    )
    return execute(scenario, arguments)


def split_words(words: list[str], takes: Parser) -> tuple[list[str], list[str]]:
    """desim's words (two dashes, with their values) and QEMU's, with one dash."""
    known = {name for action in takes.full._actions for name in action.option_strings}
    with_value = {
        name
        for action in takes.full._actions
        if action.nargs is None
        for name in action.option_strings
    }
    own: list[str] = []
    options: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("-h", "-help"):
            word = "--help"
        if word.startswith("--") and word not in known and is_option(word[1:]):
            word = word[1:]
        ours = word.startswith("--") or word in ("-v", "-vv")
        target = own if ours else options
        target.append(word)
        if (word in with_value) if ours else takes_value(word):
            target.extend([value for value in [next(rest, None)] if value is not None])
    return own, options
