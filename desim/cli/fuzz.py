"""``desim fuzz``"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from desim.cli._arguments import Parser, counted, duration, whole
from desim.cli._screen import say
from desim.cli._search import Line, say_wrapped, to_its_end

if TYPE_CHECKING:
    from desim.fuzz.campaign import Example, Progress
    from desim.fuzz.corpus import Corpus
    from desim.fuzz.finding import Finding
    from desim.fuzz.judge import Outcome

EPILOG = """\
An example is one scenario, drawn from one number: those of a search are the numbers from --seed
on. So `desim fuzz --seed N --examples 1` is example N again, on every machine. Every example is
judged by the laws that `desim laws` lists.

exit codes: 0 nothing found, 1 a law is broken or an original differs, 2 the words cannot be done,
130 interrupted
"""
DEFAULT_EXAMPLES = 1000


def parser() -> Parser:
    """What ``desim fuzz`` takes."""
    made = Parser("fuzz", EPILOG)
    amount = made.add_mutually_exclusive_group()
    amount.add_argument(
        "--time", metavar="T", type=duration, help="search for so long, such as 60s or 10min"
    )
    amount.add_argument(
        "--examples",
        metavar="N",
        type=counted,
        help=f"try so many examples (default {DEFAULT_EXAMPLES}, if --time is not given)",
    )
    made.add_argument(
        "--seed", metavar="S", type=whole, default=0, help="the first example's number (default 0)"
    )
    made.add_argument(
        "--save",
        metavar="DIR",
        type=Path,
        help="write each finding to a scenario file in DIR, which desim run replays",
    )
    made.add_argument(
        "-j",
        metavar="N",
        dest="workers",
        type=counted,
        default=1,
        help="make so many runs at a time (default 1); what is found is the same",
    )
    made.add_argument(
        "--corpus",
        metavar="DIR",
        type=Path,
        help="keep what is the first to hit a mark in DIR, and change what is there already in "
        "every other example",
    )
    made.add_argument(
        "--against",
        metavar="ORIGINAL",
        help="no scenarios: give the same input to a real program and to desim, and write the "
        "shortest on which they differ to --save DIR, as a recording that desim conform replays. "
        "libslirp: conversations with libslirp 4.7.0; qemu: programs for the card of QEMU 7.2",
    )
    made.add_argument(
        "--laws",
        metavar="FILE",
        help="judge by the laws in this Python file, too: functions decorated with @desim.law; "
        "the file is run as a program",
    )
    made.add_argument(
        "--quiet", action="store_true", help="print findings and the last lines, no progress"
    )
    return made


def command(words: list[str]) -> int:
    """Search; 1 if a law is broken."""
    arguments = parser().read(words)
    limit = arguments.examples
    if limit is None and arguments.time is None:
        limit = DEFAULT_EXAMPLES
    seconds = None if arguments.time is None else arguments.time / 10**9
    if arguments.against is not None:
        from desim.cli import _against

        return _against.command(arguments, limit, seconds)
    from desim.fuzz.campaign import Progress, examples, search

    users = []
    if arguments.laws is not None:
        from desim.api.laws import load_laws

        users = load_laws(arguments.laws)
    shown = _Shown(arguments)
    source = examples(arguments.seed)
    if arguments.corpus is not None:
        from desim.fuzz.corpus import Corpus

        shown.corpus = Corpus(arguments.corpus)
        source = shown.corpus.examples(source)
    progress = Progress()

    def enough(now: Progress) -> bool:
        return (limit is not None and now.examples >= limit) or (
            seconds is not None and now.seconds >= seconds
        )

    making = partial(
        search,
        source,
        progress=progress,
        workers=arguments.workers,
        users=users,
        limit=limit,
        until=enough,
        told=shown.told,
    )
    if not to_its_end(making, lambda: shown.end(progress)):
        return 130
    return 1 if progress.findings else 0


class _Shown:
    """What is printed while a search goes on, and behind it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.save: Path | None = arguments.save
        self.laws: str = arguments.laws or ""
        self.corpus: Corpus | None = None
        self.line = Line(quiet=arguments.quiet)
        self.known: dict[str, int] = {}
        """How often each law was found broken."""

    def told(self, progress: Progress, example: Example, came: Outcome) -> None:
        """An example is over."""
        if self.corpus is not None:
            self.corpus.keep(example, came.marks)
        for finding in progress.findings[len(progress.findings) - len(came.breaches) :]:
            self._found(finding)
        self.line.show(progress.seconds, lambda: _state(progress))

    def _found(self, finding: Finding) -> None:
        law = finding.breach.law
        self.known[law] = self.known.get(law, 0) + 1
        self.line.clear()
        say(f"example {finding.number} breaks {law}: {finding.breach.text}")
        if self.save is not None:
            path = finding.save(self.save, self.laws)
            say(f"  saved: desim run {path}")
        sys.stdout.flush()

    def end(self, progress: Progress) -> None:
        """The search is over."""
        self.line.clear()
        say(_state(progress))
        say(f"{progress.per_core:.1f} a second of a processor's time, boots and laws included")
        if progress.missing and progress.examples:
            say_wrapped(f"marks not hit: {', '.join(progress.missing)}")
        for law, count in sorted(self.known.items()):
            say(f"broken: {law}, by {count} example{'s' * (count != 1)}")


def _state(progress: Progress) -> str:
    from desim.fuzz.marks import MARKS

    found = len(progress.findings)
    return (
        f"{progress.examples} examples, {progress.rate:.1f} a second, "
        f"{len(progress.marks)} of {len(MARKS)} marks, {found} finding{'s' * (found != 1)}"
    )
