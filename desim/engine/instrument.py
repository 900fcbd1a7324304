"""Costs and records around marked functions.

``Instrument`` is the ``Build`` of a machine: from a class with a table of stages it
makes a subclass whose marked methods, on the running thread, note the entry,
charge the entry's cost (fixed, plus per byte where the mark names an argument),
call the real method, charge the exit's cost and note the exit. A mark with
several names does so for each of them, outermost first.

With ``watch`` set, each thread also keeps the stack of its open stages, and the
watcher is called at every entry: that is how a breakpoint is made. It costs
time, so only a run that needs it has it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from desim.costs.profile import Cost, Profile
from desim.engine.environment import Environment
from desim.engine.marks import CODE_BITS, Codes
from desim.engine.thread import Thread
from desim.stages import Mark, marks_of

T = TypeVar("T")
Method = Callable[..., Any]


class OpenStage:
    """One open stage on a watched thread's stack."""

    __slots__ = ("args", "code", "file", "mark", "name", "owner", "size")

    def __init__(
        self,
        name: str,
        file: str,
        mark: Mark,
        code: int,
        owner: object,
        args: tuple[Any, ...],
        size: int = 0,
    ) -> None:
        self.name = name
        self.file = file
        self.mark = mark
        self.code = code
        self.owner = owner
        self.args = args
        self.size = size
        """Bytes, if the stage's cost depends on them."""

    def says(self) -> str | None:
        """The debug line of the real function, if it has one."""
        return None if self.mark.says is None else self.mark.says(self.owner, *self.args)


class Watcher(Protocol):
    """Is told of every entry and exit of a stage."""

    def entered(self, thread: Thread, stack: list[OpenStage]) -> None:
        """The innermost stage of ``stack`` has just been entered."""

    def left(self, thread: Thread, stage: OpenStage, depth: int) -> None:
        """``depth`` stages are open now that this one has been left."""


class Instrument:
    """Makes instrumented subclasses for one environment."""

    def __init__(
        self, env: Environment, codes: Codes, profile: Profile, watch: Watcher | None = None
    ) -> None:
        self.env = env
        self.codes = codes
        self.profile = profile
        self.watch = watch
        self.stacks: dict[str, list[OpenStage]] = {}
        self._made: dict[type, type] = {}

    def __call__(self, cls: type[T], /) -> type[T]:
        """The instrumented subclass of ``cls``: the same one each time."""
        if cls not in self._made:
            methods: dict[str, Any] = {}
            for name, mark in marks_of(cls):
                methods[name] = self._wrap(inspect.getattr_static(cls, name), mark)
            if methods and not any("__slots__" not in vars(c) for c in cls.__mro__[:-1]):
                methods["__slots__"] = ()
            self._made[cls] = cls
            if methods:
                methods["__module__"] = cls.__module__
                methods["__doc__"] = cls.__doc__
                self._made[cls] = type(cls.__name__, (cls,), methods)
        return cast("type[T]", self._made[cls])

    def _wrap(self, method: Method, mark: Mark) -> Method:
        costs = [self.profile.cost(mark.file, name) for name in mark.names]
        if self.watch is not None:
            wrapped = self._watched(method, mark, costs, self.watch)
        elif (
            self.env.strict
            or len(costs) > 1
            or any(c.per_1000_bytes for c in costs)
            or _takes_keywords(method)
        ):
            wrapped = self._general(method, mark, costs)
        else:
            code = self.codes.stage(mark.names[0], mark.file, mark.owner, mark.landmark)
            wrapped = self._simple(method, code, costs[0])
        wrapped.__name__ = method.__name__
        wrapped.__doc__ = method.__doc__
        return wrapped

    def _simple(self, method: Method, code: int, cost: Cost) -> Method:
        """One name, fixed costs, lazy, positional: what a bulk transfer consists of."""
        env = self.env
        leave_code = code + 1
        enter, leave = cost.enter, cost.leave

        def stage(self: Any, *args: Any) -> Any:
            thread = env.running
            if thread is None:
                return method(self, *args)
            now = thread.now
            thread.marks.append(now << CODE_BITS | code)
            thread.now = now + enter
            try:
                return method(self, *args)
            finally:
                thread.now = now = thread.now + leave
                thread.marks.append(now << CODE_BITS | leave_code)

        return stage

    def _general(self, method: Method, mark: Mark, costs: list[Cost]) -> Method:
        env = self.env
        size_of = _size_of(method, mark)
        steps = [
            (
                self.codes.stage(name, mark.file, mark.owner, mark.landmark),
                cost.enter,
                cost.per_1000_bytes,
                cost.leave,
            )
            for name, cost in zip(mark.names, costs, strict=True)
        ]
        back = steps[::-1]

        def stage(self: Any, *args: Any, **kwargs: Any) -> Any:
            thread = env.running
            if thread is None:
                return method(self, *args, **kwargs)
            size = size_of(args)
            for code, enter, per_1000_bytes, _ in steps:
                thread.marks.append(thread.now << CODE_BITS | code)
                cost = enter + per_1000_bytes * size // 1000
                if cost:
                    thread.charge(cost)
            try:
                return method(self, *args, **kwargs)
            finally:
                for code, _, _, leave in back:
                    if leave:
                        thread.charge(leave)
                    thread.marks.append(thread.now << CODE_BITS | code + 1)

        return stage

    def _watched(self, method: Method, mark: Mark, costs: list[Cost], watch: Watcher) -> Method:
        env = self.env
        stacks = self.stacks
        size_of = _size_of(method, mark)
        steps = [
            (name, self.codes.stage(name, mark.file, mark.owner, mark.landmark), cost)
            for name, cost in zip(mark.names, costs, strict=True)
        ]

        def stage(self: Any, *args: Any, **kwargs: Any) -> Any:
            thread = env.running
            if thread is None:
                return method(self, *args, **kwargs)
            stack = stacks.setdefault(thread.name, [])
            size = size_of(args)
            for name, code, cost in steps:
                thread.marks.append(thread.now << CODE_BITS | code)
                stack.append(OpenStage(name, mark.file, mark, code, self, args, size))
                watch.entered(thread, stack)
                thread.charge(cost.enter + cost.per_1000_bytes * size // 1000)
            try:
                return method(self, *args, **kwargs)
            finally:
                for _, code, cost in reversed(steps):
                    thread.charge(cost.leave)
                    open_stage = stack.pop()
                    watch.left(thread, open_stage, len(stack))
                    thread.marks.append(thread.now << CODE_BITS | code + 1)

        return stage


def _takes_keywords(method: Method) -> bool:
    parameters = inspect.signature(method).parameters.values()
    return any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters)


def _size_of(method: Method, mark: Mark) -> Callable[[tuple[Any, ...]], int]:
    """How to get the byte count out of a call's arguments (without ``self``)."""
    if mark.size is None:
        return lambda args: 0
    names = list(inspect.signature(method).parameters)
    if mark.size not in names:
        raise TypeError(f"{mark.names[0]}: no parameter {mark.size!r} to take the size from")
    place = names.index(mark.size) - 1
    return lambda args: len(args[place])
