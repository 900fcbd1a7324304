"""``desim trace RUN|SCENARIO``: the timeline of a run, for other tools or to read."""

from __future__ import annotations

import sys
from pathlib import Path

from desim.cli._arguments import Parser, counted
from desim.cli._recorded import add_run, recorded
from desim.cli._screen import say
from desim.disk import kind_of
from desim.errors import UserError

EPILOG = """\
The life of one packet; --packets has the numbers, and so has the comment of each packet in a
capture (tshark -r capture-nic.pcapng -T fields -e frame.comment):

  desim trace hello --packet 20

A file for ui.perfetto.dev: threads, contexts of the guest's processor, the big lock, the
interrupt line, counters, and arrows from a program's send() to the read() at the other end:

  desim trace hello --perfetto hello.pftrace

Folded stacks on standard output, for flame graph tools and speedscope. Numbers are ns of own
time, without waits; interrupts begin at the thread, not on what they interrupt:

  desim trace hello --folded
"""


def parser() -> Parser:
    """What ``desim trace`` takes."""
    made = Parser("trace", EPILOG)
    add_run(made)
    wanted = made.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--perfetto", metavar="FILE", type=Path, help="write a file for Perfetto")
    wanted.add_argument(
        "--folded", action="store_true", help="print folded stacks: a stack and its ns a line"
    )
    wanted.add_argument(
        "--packets", action="store_true", help="print a line for each packet, with its number"
    )
    wanted.add_argument("--packet", metavar="N", type=counted, help="print the life of packet N")
    return made


def command(words: list[str]) -> int:
    """Show what a run has recorded."""
    from desim.cli._running import console_width

    arguments = parser().read(words)
    if arguments.perfetto is not None:
        _check(arguments.perfetto)
    run = recorded(arguments)
    if arguments.perfetto is not None:
        from desim.disk import write_pieces
        from desim.timeline.perfetto import perfetto

        try:
            write_pieces(arguments.perfetto, perfetto(run))
            size = arguments.perfetto.stat().st_size
        except OSError as error:
            raise UserError(f"{arguments.perfetto}: {error.strerror}") from None
        say(f"{arguments.perfetto}: {size:,} bytes; ui.perfetto.dev opens it")
        return 0
    if arguments.folded:
        from desim.timeline.folded import folded

        sys.stdout.writelines(folded(run))
        return 0
    from desim.timeline.packet import life, packets

    if arguments.packets:
        for line in packets(run, console_width()):
            say(line)
        return 0
    for line in life(run, arguments.packet, console_width()):
        say(line)
    return 0


def _check(path: Path) -> None:
    """That a file can be written there: told before a long run, not behind it."""
    if not path.name:
        raise UserError("--perfetto: names no file")
    kind = kind_of(path)
    if kind not in (None, "file"):
        raise UserError(f"--perfetto {path}: is {'a folder' if kind == 'folder' else 'no file'}")
    if kind_of(path.parent) != "folder":
        raise UserError(f"--perfetto {path}: there is no folder {path.parent}")
