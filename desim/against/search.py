"""One search: inputs in the order of their numbers, each judged by one of several workers.

With one seed the numbers are the same, so the inputs are, and what is found; how many workers
there are changes nothing but the time. Only ``--time`` looks at the clock, and it decides how many
inputs there are, never what one is.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from desim.against.corpus import Corpus
from desim.against.original import MOVES, Input, Original, Peer
from desim.against.table import ORIGINALS
from desim.data import NamedTuple
from desim.errors import ModelError, RecordingError, UserError
from desim.fuzz.judge import Breach
from desim.fuzz.shrink import shrink

NUMBERS = 1 << 62
"""Inputs are counted modulo this, so that every number is one."""
AHEAD = 4
"""For each worker, how many inputs are given out before their turn has come."""


class Found(NamedTuple):
    """A recording that the model does not replay."""

    text: str
    shown: str
    recording: dict[str, Any]


class Difference(NamedTuple):
    """An input on which model and original differ, made small."""

    number: int
    text: str
    """The first difference, on one line."""
    shown: str
    """More for people, on lines of its own."""
    recording: dict[str, Any]
    moves: int
    """How many are left."""
    tried: int
    """How many inputs were given to make it small."""


class Outcome(NamedTuple):
    """What came of one input."""

    number: int
    given: Input
    marks: frozenset[str]
    counts: Mapping[str, int]
    difference: Difference | None = None
    crash: str = ""


@dataclass
class Progress:
    """How far a search is."""

    inputs: int = 0
    differences: list[Difference] = field(default_factory=list)
    crashes: list[Outcome] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)
    """How many inputs have hit each."""
    counts: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Of the clock, since the search began."""
        return time.monotonic() - self.began

    @property
    def rate(self) -> float:
        """Inputs a second of the clock."""
        return self.inputs / max(self.seconds, 1e-9)


class Hand:
    """One worker: it has an original running, and judges inputs by it. To be closed."""

    def __init__(self, original: Original) -> None:
        self.original = original
        self.peer: Peer = original.open()

    def close(self) -> None:
        """End the original."""
        self.peer.close()

    def judge(self, number: int, given: Input) -> Outcome:
        """Raises ``ModelError`` if the input cannot be given."""
        held = self.peer.hold(given)
        if held.error:
            raise ModelError(f"{self.original.name}, input {number}: {held.error}")
        if held.recording is None:
            return Outcome(number, given, frozenset(), held.counts, crash=held.crash)
        judged = self.original.judge(held.recording)
        difference = None
        if judged.difference:
            found = self.differs(given)
            difference = None if found is None else self._small(number, given, found)
        return Outcome(number, given, judged.marks, held.counts, difference)

    def differs(self, given: Mapping[str, Any]) -> Found | None:
        """The difference and the recording, if it is there each time; None if there is none."""
        found = None
        for _ in range(self.original.by_chance):
            held = self.peer.hold(dict(given))
            if held.recording is None:
                return None
            try:
                judged = self.original.judge(held.recording, watch=False)
            except RecordingError:
                return None  # what a candidate says is no setting
            if not judged.difference:
                return None
            found = Found(judged.difference, judged.shown, held.recording)
        return found

    def _small(self, number: int, given: Input, found: Found) -> Difference:
        last, moves, tried = found, len(given[MOVES]), 1

        def failing(candidate: Mapping[str, Any]) -> Breach | None:
            nonlocal last
            found = self.differs(candidate) if self.original.is_input(candidate) else None
            if found is None:
                return None
            last = found
            return Breach(self.original.name, found.text)

        with suppress(UserError):  # it has differed, and does so no more: it stays as it is
            small = shrink(given, failing)
            moves, tried = len(small.data[MOVES]), small.tried
        last.recording["name"] = f"{self.original.name}-{number}"
        return Difference(number, last.text, last.shown, last.recording, moves, tried)


def numbers(seed: int) -> Iterator[int]:
    """Those of a search, without end."""
    return (number % NUMBERS for number in itertools.count(seed))


def search(
    original: Original,
    *,
    progress: Progress,
    seed: int,
    limit: int | None,
    until: Callable[[Progress], bool],
    workers: int = 1,
    corpus: Corpus | None = None,
    told: Callable[[Progress, Outcome], None] = lambda progress, outcome: None,
) -> None:
    """Judge inputs from number ``seed`` on, at most ``limit``, until ``until`` says so.

    What comes of them is put into ``progress``; ``told`` is called behind each. Raises
    ``UserError`` if the original is not here. Ctrl-C ends the search: ``KeyboardInterrupt`` is
    raised, and ``progress`` has everything before it.
    """
    made = corpus.input if corpus is not None else original.draw
    source = ((number, made(number)) for number in itertools.islice(numbers(seed), limit))
    outcomes = _alone(original, source) if workers == 1 else _many(original, source, workers)
    try:
        for outcome in outcomes:
            progress.inputs += 1
            progress.marks.update(outcome.marks)
            progress.counts.update(outcome.counts)
            if outcome.difference is not None:
                progress.differences.append(outcome.difference)
            if outcome.crash:
                progress.crashes.append(outcome)
            if corpus is not None:
                corpus.keep(outcome.number, outcome.given, outcome.marks)
            told(progress, outcome)
            if until(progress):
                break
    finally:
        outcomes.close()


def _alone(
    original: Original, source: Iterator[tuple[int, Input]]
) -> Generator[Outcome, None, None]:
    hand = Hand(original)
    try:
        for number, given in source:
            yield hand.judge(number, given)
    finally:
        hand.close()


def _many(
    original: Original, source: Iterator[tuple[int, Input]], workers: int
) -> Generator[Outcome, None, None]:
    Hand(original).close()  # what is missing is told here, once
    waiting: deque[Future[Outcome]] = deque()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context)
    try:
        for number, given in source:
            with _deaf():
                waiting.append(pool.submit(_judge, original.name, number, given))
            if len(waiting) >= workers * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@cache
def _hand(name: str) -> Hand:
    """The hand of this process."""
    return Hand(ORIGINALS[name]())


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started in here do not hear Ctrl-C, from their first instruction on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _judge(name: str, number: int, given: Input) -> Outcome:
    return _hand(name).judge(number, given)
