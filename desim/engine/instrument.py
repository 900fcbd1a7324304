"""Costs and records around marked functions.

``Instrument`` is the ``Build`` of a machine: from a class with a table of stages it
makes a subclass whose marked methods, on the running thread, note the entry,
charge the entry's cost (fixed, plus per byte where the mark names an argument),
call the real method, charge the exit's cost and note the exit. A mark with
several names does so for each of them, outermost first. What this run does not
record, and what costs nothing, is not done; where nothing is left to do, the method,
or the whole class, stays as it is (``desim.engine.wrappers``).

With ``watch`` set, each thread also keeps the stack of its open stages, and the
watcher is called at every entry (``desim.engine.watched``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from desim.costs.profile import Profile
from desim.engine.environment import Environment
from desim.engine.marks import Codes
from desim.engine.wrappers import Opens, Step, wrap
from desim.record import Record, keeps
from desim.stages import LOOPS, Landmark, Mark, marks_of

if TYPE_CHECKING:
    from desim.engine.watched import OpenStage, Watcher

T = TypeVar("T")
Method = Callable[..., Any]


class Instrument:
    """Makes instrumented subclasses for one environment."""

    def __init__(
        self,
        env: Environment,
        codes: Codes,
        profile: Profile,
        watch: Watcher | None = None,
        record: Record = "trace",
    ) -> None:
        self.env = env
        self.codes = codes
        self.record = record
        self._marks_all = keeps(record, "journeys")
        self.profile = profile
        self.watch = watch
        self.stacks: dict[str, list[OpenStage]] = {}
        self._made: dict[type, type] = {}

    def __call__(self, cls: type[T], /) -> type[T]:
        """The instrumented subclass of ``cls``: the same one each time."""
        if cls not in self._made:
            methods: dict[str, Any] = {}
            for name, mark in marks_of(cls):
                wrapped = self._wrap(_written(cls, name), mark)
                if wrapped is not None:
                    methods[name] = wrapped
            if methods and not any("__slots__" not in vars(c) for c in cls.__mro__[:-1]):
                methods["__slots__"] = ()
            self._made[cls] = cls
            if methods:
                methods["__module__"] = cls.__module__
                methods["__doc__"] = cls.__doc__
                self._made[cls] = type(cls.__name__, (cls,), methods)
        return cast("type[T]", self._made[cls])

    @property
    def classes(self) -> list[type]:
        """Those that it has been asked for, in the order in which it was."""
        return list(self._made)

    def _wrap(self, method: Method, mark: Mark) -> Method | None:
        """What stands around ``method``; None for nothing."""
        names, file, owner, _, _, landmark = mark
        cost, stage = self.profile.cost, self.codes.stage
        is_marked = self._marks_all or (
            self.record == "counters" and landmark is Landmark.INTERRUPT
        )
        steps = [
            (stage(name, file, owner, landmark) if is_marked else None, cost(file, name))
            for name in names
        ]
        if self.watch is not None:
            from desim.engine.watched import watched  # few runs are

            return watched(self.env, self.stacks, self.watch, method, mark, steps)
        if is_marked or _cost_time(steps):
            return wrap(self.env, method, mark.size, steps, self._opens(mark, steps))
        return None

    def _opens(self, mark: Mark, steps: list[Step]) -> Opens:
        """Where the way of a message is kept: what costs time or is a landmark, and what a thread
        does as seen from its loop, which is the outermost stage whatever it costs."""
        if self.record != "journeys" or mark.landmark in LOOPS:
            return "uncounted"
        if mark.landmark is not None or _cost_time(steps):
            return "counted"
        return "outermost"


def _cost_time(steps: list[Step]) -> bool:
    return any(any(cost) for _, cost in steps)


def _written(cls: type, name: str) -> Method:
    """A method as it is written, in ``cls`` or inherited."""
    written: Method
    for base in cls.__mro__:
        own = vars(base)
        if name in own:
            written = own[name]
            return written
    raise AssertionError(f"{cls.__name__} has a mark for {name}, and no such method")
