"""Stages of a run that is watched: each thread keeps the stack of those that are open.

A watcher is told of every entry and exit: that is how a breakpoint is made, and how stages are
metered. It costs time, so only a run that needs it has it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, Protocol

from desim.engine.environment import Environment
from desim.engine.marks import CODE_BITS
from desim.engine.thread import Thread
from desim.engine.wrappers import Step
from desim.stages import Mark

Method = Callable[..., Any]


class OpenStage:
    """One open stage on a watched thread's stack."""

    __slots__ = ("args", "file", "mark", "name", "owner", "size")

    def __init__(
        self,
        name: str,
        file: str,
        mark: Mark,
        owner: object,
        args: tuple[Any, ...],
        size: int = 0,
    ) -> None:
        self.name = name
        self.file = file
        self.mark = mark
        self.owner = owner
        self.args = args
        self.size = size
        """Bytes, if the stage's cost depends on them."""

    def says(self) -> str | None:
        """The debug line of the real function, if it has one: the first that a mark names."""
        says = self.mark.says
        if says is None or self.name != self.mark.names[0]:
            return None
        return says(self.owner, *self.args)


class Watcher(Protocol):
    """Is told of every entry and exit of a stage."""

    def entered(self, thread: Thread, stack: list[OpenStage]) -> None:
        """The innermost stage of ``stack`` has just been entered."""

    def left(self, thread: Thread, stage: OpenStage, depth: int) -> None:
        """``depth`` stages are open now that this one has been left."""


def watched(
    env: Environment,
    stacks: dict[str, list[OpenStage]],
    watch: Watcher,
    method: Method,
    mark: Mark,
    steps: list[Step],
) -> Method:
    """What stands around ``method``; ``stacks`` are the threads' open stages, by their names.

    Raises ``TypeError`` if the method does not have the parameter that its size is taken from.
    """
    size_of = _size_of(method, mark)
    named = [(name, *step) for name, step in zip(mark.names, steps, strict=True)]

    @wraps(method)
    def stage(self: Any, *args: Any, **kwargs: Any) -> Any:
        thread = env.running
        if thread is None:
            return method(self, *args, **kwargs)
        stack = stacks.setdefault(thread.name, [])
        size = size_of(args)
        for name, code, cost in named:
            if code is not None:
                thread.marks.append(thread.now << CODE_BITS | code)
            stack.append(OpenStage(name, mark.file, mark, self, args, size))
            watch.entered(thread, stack)
            thread.charge(cost.enter + cost.per_1000_bytes * size // 1000)
        try:
            return method(self, *args, **kwargs)
        finally:
            for _, code, cost in reversed(named):
                thread.charge(cost.leave)
                open_stage = stack.pop()
                watch.left(thread, open_stage, len(stack))
                if code is not None:
                    thread.marks.append(thread.now << CODE_BITS | code + 1)

    return stage


def _size_of(method: Method, mark: Mark) -> Callable[[tuple[Any, ...]], int]:
    """How to get the byte count out of a call's arguments (without ``self``)."""
    if mark.size is None:
        return lambda args: 0
    names = list(signature(method).parameters)
    parameter, _, attribute = mark.size.partition(".")
    if parameter not in names:
        raise TypeError(f"{mark.names[0]}: no parameter {parameter!r} to take the size from")
    place = names.index(parameter) - 1
    if attribute:
        return lambda args: len(getattr(args[place], attribute))
    return lambda args: len(args[place])
