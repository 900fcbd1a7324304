"""The functions around marked methods, written out for each shape and kept.

Theory of operation
-------------------
What stands around a method depends on little: how many parameters it has, and for each name
of its mark whether the entry and exit are recorded and which of the costs are not zero. A loop
over names and costs, and a star for the arguments, would take longer than everything else that
a wrapper does. So its text is written for the shape, without a loop, without a star and without
what costs nothing, and compiled once per process; this one method's costs and codes are the
variables of a closure around it. For one name with a cost, recorded, of a run that is not strict,
the text is::

    def maker(env, method, code0, enter0, sized0, leave0):
        out0 = code0 + 1
        def stage(self, a0):
            thread = env.running
            if thread is None:
                return method(self, a0)
            now = thread.now
            thread.marks.append(now << 16 | code0)
            now += enter0
            thread.now = now
            try:
                return method(self, a0)
            finally:
                now = thread.now
                thread.marks.append(now << 16 | out0)
        return stage

and without what is recorded::

    def maker(env, method, code0, enter0, sized0, leave0):
        def stage(self, a0):
            env.payer.now += enter0
            return method(self, a0)
        return stage
"""

# NOTE: text instead of closures over loops: bare calls of a method with one name, recorded,
# take 0.41 of the time, and with its cost alone 0.18.

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

from desim.costs.profile import Cost
from desim.data import NamedTuple
from desim.engine.marks import CODE_BITS

if TYPE_CHECKING:
    from types import FunctionType

    from desim.engine.environment import Environment


Opens = Literal["uncounted", "counted", "outermost"]
"""Whether the stages of a wrapper count among those that a thread has open (``Thread.open``), and
whether they are recorded only where they are the first of these."""


class Step(NamedTuple):
    """What is done for one name of a mark."""

    code: int | None
    """What is recorded; None for nothing."""
    cost: Cost


class Figures(NamedTuple):
    """Which lines there are for one name."""

    marked: bool
    """Its entry and exit are recorded."""
    enter: bool
    """Its entry has a cost."""
    sized: bool
    """That cost depends on a size."""
    leave: bool
    """Its exit has a cost."""


class Shape(NamedTuple):
    """What the text of a wrapper depends on."""

    places: int
    """Positional parameters, without ``self``."""
    keywords: tuple[str, ...]
    """Parameters that are given by name only."""
    size: str
    """What has a length that is the size: a keyword, ``a0``, ``a1``..., or one's attribute; "" for
    none."""
    strict: bool
    """Each charge is a meeting."""
    opens: Opens
    steps: tuple[Figures, ...]


class SizedCost(dict[int, int]):
    """What an entry costs by the size of what it is called with; worked out once for each size."""

    __slots__ = ("_enter", "_per_1000_bytes")

    def __init__(self, cost: Cost) -> None:
        super().__init__()
        self._enter = cost.enter
        self._per_1000_bytes = cost.per_1000_bytes

    def __missing__(self, size: int) -> int:
        cost = self[size] = self._enter + self._per_1000_bytes * size // 1000
        return cost


def wrap(
    env: Environment,
    method: Callable[..., Any],
    size: str | None,
    steps: list[Step],
    opens: Opens = "uncounted",
) -> Callable[..., Any]:
    """A function that takes what ``method`` takes, and does for each name what ``steps`` say.

    ``size`` names the parameter, or the attribute of one, whose length the costs per byte apply to.
    Raises ``TypeError`` if there is no such parameter.
    """
    given = method.__code__
    if given.co_flags & _STARS:
        raise TypeError(f"{method.__qualname__}: a stage has no * among its parameters")
    names = given.co_varnames[: given.co_argcount + given.co_kwonlyargcount]
    places, keywords = names[: given.co_argcount], names[given.co_argcount :]
    parameter, dot, attribute = (size or "").partition(".")
    if size is not None and parameter not in names[1:]:
        raise TypeError(f"{method.__qualname__}: no parameter {parameter!r} to take the size from")
    shapes: list[Figures] = []
    figures: list[Any] = []
    any_sized = False
    for code, cost in steps:
        enter, per_1000_bytes, leave = cost
        sized = size is not None and per_1000_bytes > 0
        any_sized = any_sized or sized
        shapes.append(Figures(code is not None, enter > 0 or sized, sized, leave > 0))
        figures += (code or 0, enter, SizedCost(cost) if sized else 0, leave)
    of = ""
    if size is not None and any_sized:
        of = parameter if parameter in keywords else f"a{places.index(parameter) - 1}"
        of += dot + attribute
    shape = Shape(len(places) - 1, keywords, of, env.strict, opens, tuple(shapes))
    made = _maker(shape)(env, method, *figures)
    # Its parameters have the names of the method's, so that it can be called in the same ways,
    # and a traceback says which method it stands around.
    own = made.__code__
    made.__code__ = own.replace(
        co_varnames=names + own.co_varnames[len(names) :],
        co_name=given.co_name,
        co_qualname=given.co_qualname,
    )
    made.__name__ = method.__name__
    made.__qualname__ = method.__qualname__
    made.__doc__ = method.__doc__
    made.__defaults__ = method.__defaults__
    made.__kwdefaults__ = method.__kwdefaults__
    return made


_STARS = 0x04 | 0x08
"""``inspect.CO_VARARGS`` and ``CO_VARKEYWORDS``."""


@cache
def _maker(shape: Shape) -> Callable[..., FunctionType]:
    """What makes a wrapper of a shape from the environment, the method, and for each name its
    code, its costs at entry, fixed and by size, and its cost at exit."""
    space: dict[str, Any] = {}
    exec("\n".join(_text(shape)), space)
    return cast("Callable[..., FunctionType]", space["maker"])


def _text(shape: Shape) -> Iterator[str]:
    """The text of a maker."""
    names = [f"a{number}" for number in range(shape.places)]
    stars = ["*", *shape.keywords] if shape.keywords else []
    parameters = ", ".join(["self", *names, *stars])
    arguments = ", ".join(["self", *names, *(f"{name}={name}" for name in shape.keywords)])
    numbers = range(len(shape.steps))
    figures = "".join(f", code{n}, enter{n}, sized{n}, leave{n}" for n in numbers)
    yield f"def maker(env, method{figures}):"
    yield from (f"    out{n} = code{n} + 1" for n in numbers if shape.steps[n].marked)
    yield f"    def stage({parameters}):"
    write = _strict if shape.strict else _lazy
    entering, leaving = list(write(_entry(shape))), list(write(_exit(shape)))
    if shape.opens != "uncounted":
        entering.append("thread.open += 1")
        leaving.append("thread.open -= 1")
    if shape.strict or shape.opens != "uncounted" or any(step.marked for step in shape.steps):
        elsewhere = " or thread.open" if shape.opens == "outermost" else ""
        yield "        thread = env.running"
        yield f"        if thread is None{elsewhere}:"
        yield f"            return method({arguments})"
    elif leaving:
        yield "        thread = env.payer"
    else:
        # NOTE: nobody asks whether a thread runs, and it has no name (0.99 of a segment's
        # instructions).
        entering = [line.replace("thread", "env.payer") for line in entering]
    if shape.size:
        yield f"        size = len({shape.size})"
    yield from (f"        {line}" for line in entering)
    if leaving:
        yield "        try:"
        yield f"            return method({arguments})"
        yield "        finally:"
        yield from (f"            {line}" for line in leaving)
    else:
        yield f"        return method({arguments})"
    yield "    return stage"


def _entry(shape: Shape) -> Iterator[tuple[str, str]]:
    """What is done on the way in, in order: ``mark`` with a code, ``charge`` with a cost."""
    for number, step in enumerate(shape.steps):
        if step.marked:
            yield "mark", f"code{number}"
        if step.enter:
            yield "charge", f"sized{number}[size]" if step.sized else f"enter{number}"


def _exit(shape: Shape) -> Iterator[tuple[str, str]]:
    """The same of the way out: the innermost name first."""
    for number, step in reversed(list(enumerate(shape.steps))):
        if step.leave:
            yield "charge", f"leave{number}"
        if step.marked:
            yield "mark", f"out{number}"


def _lazy(doing: Iterator[tuple[str, str]]) -> Iterator[str]:
    """As lines, where a charge only moves the thread's time."""
    all_ = list(doing)
    costs = " + ".join(figure for what, figure in all_ if what == "charge")
    if not any(what == "mark" for what, _ in all_):
        if costs:
            yield f"thread.now += {costs}"
        return
    yield "now = thread.now"
    for what, figure in all_:
        if what == "mark":
            yield f"thread.marks.append(now << {CODE_BITS} | {figure})"
        else:
            yield f"now += {figure}"
    if costs:
        yield "thread.now = now"


def _strict(doing: Iterator[tuple[str, str]]) -> Iterator[str]:
    """As lines, where each charge is a meeting, at which others may move the thread's time."""
    for what, figure in doing:
        if what == "mark":
            yield f"thread.marks.append(thread.now << {CODE_BITS} | {figure})"
        else:
            yield f"thread.charge({figure})"
