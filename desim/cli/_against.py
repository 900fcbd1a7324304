"""``desim fuzz --against ORIGINAL``"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from desim.cli._screen import say
from desim.cli._search import Line, say_wrapped, to_its_end
from desim.errors import UserError, nearest

if TYPE_CHECKING:
    from desim.against.original import Original
    from desim.against.search import Difference, Outcome, Progress


def command(arguments: argparse.Namespace, limit: int | None, seconds: float | None) -> int:
    """Search; 1 if the original and desim differ somewhere."""
    from desim.against.search import Progress, search
    from desim.against.table import ORIGINALS

    if arguments.against not in ORIGINALS:
        known = ", ".join(ORIGINALS)
        raise UserError(
            f"fuzz: --against {arguments.against}: expected one of {known}"
            f"{nearest(arguments.against, ORIGINALS)}"
        )
    if arguments.laws is not None:
        raise UserError("fuzz: --laws judges whole scenarios; --against has none of them")
    original = ORIGINALS[arguments.against]()
    corpus = None
    if arguments.corpus is not None:
        from desim.against.corpus import Corpus

        corpus = Corpus(arguments.corpus, original)
    shown = _Shown(arguments, original)
    progress = Progress()

    def enough(now: Progress) -> bool:
        return seconds is not None and now.seconds >= seconds

    making = partial(
        search,
        original,
        progress=progress,
        seed=arguments.seed,
        limit=limit,
        until=enough,
        workers=arguments.workers,
        corpus=corpus,
        told=shown.told,
    )
    if not to_its_end(making, lambda: shown.end(progress)):
        return 130
    return 1 if progress.differences else 0


class _Shown:
    """What is printed while a search goes on, and behind it."""

    def __init__(self, arguments: argparse.Namespace, original: Original) -> None:
        self.save: Path | None = arguments.save
        self.original = original
        self.marks = original.known_marks()
        self.line = Line(quiet=arguments.quiet)

    def told(self, progress: Progress, outcome: Outcome) -> None:
        """An input has been judged."""
        if outcome.difference is not None:
            self.line.clear()
            self._found(outcome.difference)
        elif outcome.crash:
            self.line.clear()
            self._crashed(outcome)
        self.line.show(progress.seconds, lambda: self._state(progress))

    def _found(self, found: Difference) -> None:
        name = self.original.name
        say(f"example {found.number}: {self.original.version} and desim differ")
        say(f"  {found.text}")
        if self.save is not None:
            path = self._saved(f"{name}-{found.number}.json", found.recording)
            size = f"{found.moves} move{'s' * (found.moves != 1)}"
            say(f"  saved, made small ({size}): desim conform {self.original.core} {path}")
        sys.stdout.flush()

    def _crashed(self, outcome: Outcome) -> None:
        name = self.original.name
        say(f"example {outcome.number}: {self.original.version} crashes: {outcome.crash}")
        if self.save is not None:
            say(f"  saved: {self._saved(f'{name}-{outcome.number}-crash.json', outcome.given)}")
        sys.stdout.flush()

    def _saved(self, name: str, data: dict[str, object]) -> Path:
        assert self.save is not None
        self.save.mkdir(parents=True, exist_ok=True)
        path = self.save / name
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        return path

    def end(self, progress: Progress) -> None:
        """The search is over."""
        self.line.clear()
        say(f"{self.original.version}: {self._state(progress)}")
        groups: dict[str, Counter[str]] = {}
        for key, count in progress.counts.items():
            group, _, what = key.partition(": ")
            groups.setdefault(group, Counter())[what] += count
        for group in sorted(groups):
            words = [f"{count} {what}".rstrip() for what, count in sorted(groups[group].items())]
            say_wrapped(f"{group}: {', '.join(words)}")
        missing = [name for name in self.marks if name not in progress.marks]
        if missing and progress.inputs:
            say_wrapped(f"marks not hit: {', '.join(missing)}")

    def _state(self, progress: Progress) -> str:
        found = len(progress.differences)
        return (
            f"{progress.inputs} {self.original.things}, {progress.rate:.1f} a second, "
            f"{len(progress.marks)} of {len(self.marks)} marks, "
            f"{found} difference{'s' * (found != 1)}"
        )
