"""Counts what the guest's processor passes through, between two points of a run."""

from __future__ import annotations

from desim.data import NamedTuple
from desim.engine.thread import Thread
from desim.engine.watched import OpenStage, Watcher
from desim.stages import GUEST, Landmark, stages_at

Figure = tuple[str, str, str]
"""A figure of a profile: file, stage, field (``enter`` or ``per_1000_bytes``)."""


class Reading(NamedTuple):
    """The counters at a point of the run."""

    time: int
    what: str
    """The stage, and whether it was entered (``>``) or left (``<``)."""
    counts: tuple[int, ...]
    landmark: Landmark | None


def figures_at(landmark: Landmark) -> frozenset[Figure]:
    """The figures of entering the stages that are a landmark."""
    return frozenset((file, name, "enter") for name, file in stages_at(landmark))


class Meter(Watcher):
    """How often each figure was due on the vCPU so far.

    ``readings`` holds the counters at every return from reading the clock and at every
    passage of a stage that is named in ``points`` or is one of ``landmarks``.
    """

    def __init__(
        self,
        points: frozenset[str] = frozenset(),
        landmarks: frozenset[Landmark] = frozenset(),
    ) -> None:
        self.figures: list[Figure] = []
        self.readings: list[Reading] = []
        self._places: dict[tuple[str, str], int] = {}
        self._counts: list[int] = []
        self._points = points
        self._landmarks = landmarks

    def entered(self, thread: Thread, stack: list[OpenStage]) -> None:
        """Called before the entry is charged for."""
        if thread.name != "vcpu":
            return
        stage = stack[-1]
        if self._is_point(stage):
            self._read(thread, stage, ">")
        key = (stage.file, stage.name)
        place = self._places.get(key)
        if place is None:
            if stage.mark.owner != GUEST:
                place = -1
            else:
                place = len(self._counts)
                self._counts += [0, 0]
                for field in ("enter", "per_1000_bytes"):
                    self.figures.append((stage.file, stage.name, field))
            self._places[key] = place
        if place >= 0:
            self._counts[place] += 1
            if stage.size:
                self._counts[place + 1] += stage.size

    def left(self, thread: Thread, stage: OpenStage, depth: int) -> None:
        if thread.name == "vcpu" and (
            stage.mark.landmark is Landmark.CLOCK_READ or self._is_point(stage)
        ):
            self._read(thread, stage, "<")

    def _is_point(self, stage: OpenStage) -> bool:
        return stage.name in self._points or stage.mark.landmark in self._landmarks

    def _read(self, thread: Thread, stage: OpenStage, passed: str) -> None:
        what = _named(stage) + passed
        reading = Reading(thread.now, what, tuple(self._counts), stage.mark.landmark)
        self.readings.append(reading)

    def since(self, instant: int) -> Meter:
        """The same meter without the readings before ``instant``."""
        later = Meter(self._points, self._landmarks)
        later.figures = self.figures
        later.readings = [reading for reading in self.readings if reading.time >= instant]
        return later

    def between(self, first: Reading, last: Reading) -> dict[Figure, int]:
        """How often each figure was due between two readings (bytes for per-byte figures)."""
        before = first.counts + (0,) * (len(last.counts) - len(first.counts))
        return {
            figure: after - earlier
            for figure, earlier, after in zip(self.figures, before, last.counts, strict=False)
            if after != earlier
        }


def _named(stage: OpenStage) -> str:
    """The stage's name; a system call's with the call's own."""
    if stage.name == "do_syscall_64":
        return f"sys_{stage.args[0].name}"
    return stage.name
