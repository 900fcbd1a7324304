"""A run as laws look at it: what takes a walk through all of it is walked once for all of them.

``judged(run)`` is the run itself to whoever looks at it, and keeps what has been asked: events by
kind, the captured frames with what is read in them, the streams of TCP. The run must not change
meanwhile, so a law that is tried alone, or on a run that a test alters, is given the run itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar, cast

from desim.engine.trace import E, Happened, ThreadRecord, Trace
from desim.laws.law import Run
from desim.machine.capture import Captured

T = TypeVar("T")


class _View:
    """Something of which some is kept here, and the rest is where it was."""

    def __init__(self, of: Any) -> None:
        self._of = of

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


class _Happened(_View):
    """A trace, whose events have been sorted by kind."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace)
        self._made: dict[type, list[Any]] = {}

    @cached_property
    def _by_kind(self) -> dict[str, list[tuple[int, int, int, ThreadRecord, Any]]]:
        found: dict[str, list[tuple[int, int, int, ThreadRecord, Any]]] = {}
        for record in self._of.threads.values():
            rank = record.rank
            for event in record.events:
                found.setdefault(event[2], []).append((event[0], rank, event[1], record, event))
        return found

    def happened(self, kind: type[E]) -> list[Happened[E]]:
        """As ``Trace.happened``."""
        made = self._made.get(kind)
        if made is None:
            found = self._by_kind.get(kind.kind, [])
            found.sort(key=lambda one: one[:3])
            made = self._made[kind] = [
                Happened(time, record, position, kind(*event[3:]))
                for time, _, position, record, event in found
            ]
        return made

    events = happened


class _Judged(_View):
    """A run that is judged."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._answers: dict[Callable[..., Any], Any] = {}

    @cached_property
    def trace(self) -> Any:
        """Its trace."""
        return _Happened(self._of.trace)

    @cached_property
    def packets(self) -> Mapping[str, Sequence[Captured]]:
        """Its captures."""
        return {point: list(packets) for point, packets in self._of.packets.items()}

    def answer(self, question: Callable[[Any], T], about: Any) -> T:
        """What ``question`` says; asked once."""
        if question not in self._answers:
            self._answers[question] = question(about)
        return cast("T", self._answers[question])


def judged(run: Run) -> Run:
    """``run``, to be judged by several laws."""
    return run if isinstance(run, _Judged) else cast("Run", _Judged(run))


def once(run: Run, question: Callable[[Run], T]) -> T:
    """What ``question`` says of ``run``, asked once while that is judged."""
    return run.answer(question, run) if isinstance(run, _Judged) else question(run)
