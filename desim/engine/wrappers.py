"""The functions around marked methods: slow to call at first, then written out for their shape.

Theory of operation
-------------------
What stands around a method records, for each name of its mark, the entry and the exit, and
charges what they cost. It begins as a function that goes through names and costs in a loop, or
does without where there is one name and no size. Most stages of a short run are entered a few times
or never; for them that is all.

One that is called often is worth a text of its own. It depends on little: how many parameters the
method has, and for each name whether the entry and exit are recorded and which of the costs are
not zero. So the text is written for this *shape*, without a loop, without a star and without what
costs nothing, and compiled once per process. The method's own codes and costs take the places of
the constants that stand for them, and the function goes on with the new code: whoever holds it,
also bound to an object, has the fast one from then on. For one name with a cost, recorded, of a
run that is not strict, the text is::

    def maker(env, method, own):
        def stage(self, a0):
            nonlocal env, method, own
            thread = env.running
            if thread is None:
                return method(self, a0)
            now = thread.now
            thread.marks.append(now << 16 | 'code0')
            now += 'enter0'
            thread.now = now
            try:
                return method(self, a0)
            finally:
                now = thread.now
                thread.marks.append(now << 16 | 'out0')
        return stage

and without what is recorded::

    def maker(env, method, own):
        def stage(self, a0):
            nonlocal env, method, own
            env.payer.now += 'enter0'
            return method(self, a0)
        return stage

``nonlocal`` sees to it that all codes have the same three variables of a closure, used or not.
"""

# NOTE: text instead of closures over loops: bare calls of a method with one name, recorded,
# take 0.41 of the time, and with its cost alone 0.18. Loops for the first calls: a start writes a
# third of the texts.

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

from desim.costs.profile import Cost
from desim.data import NamedTuple
from desim.engine.marks import CODE_BITS

if TYPE_CHECKING:
    from types import CodeType, FunctionType

    from desim.engine.environment import Environment


Opens = Literal["uncounted", "counted", "outermost"]
"""Whether the stages of a wrapper count among those that a thread has open (``Thread.open``), and
whether they are recorded only where they are the first of these."""


FEW = 64
"""Calls before the text of a method's wrapper is written, which takes as long as so many."""

WRITTEN = "<around a stage>"
"""In place of a file's name, in tracebacks."""


Step = tuple[int | None, Cost]
"""What is done for one name of a mark: what is recorded (None for nothing), and what it costs."""


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


class Young:
    """What a wrapper knows of whose method there have been few calls."""

    __slots__ = ("_doing", "around", "left", "names", "opens", "simple", "size", "steps", "strict")

    def __init__(
        self,
        names: tuple[str, ...],
        size: str | None,
        steps: list[Step],
        opens: Opens,
        strict: bool,
    ) -> None:
        self.names = names
        """The method's parameters."""
        self.size = size
        self.steps = steps
        self.opens = opens
        self.strict = strict
        self.left = FEW
        self.around: FunctionType
        self.simple: Any = None
        """What is recorded, and what the entry and the exit cost, if that is all that is done."""
        if len(steps) == 1 and opens == "uncounted" and not strict:
            (code, (enter, per_1000_bytes, leave)), *_ = steps
            if size is None or not per_1000_bytes:
                self.simple = code, enter, leave
        self._doing: list[tuple[int | None, int, SizedCost | None, int]] | None = None

    @property
    def doing(self) -> list[tuple[int | None, int, SizedCost | None, int]]:
        """For each name: what is recorded, what the entry costs, the same by size if that matters,
        and what the exit costs."""
        if self._doing is None:
            has_size = self.size is not None
            self._doing = [
                (code, cost[0], SizedCost(cost) if has_size and cost[1] else None, cost[2])
                for code, cost in self.steps
            ]
        return self._doing

    def size_of(
        self, method: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]
    ) -> int:
        """The size that the costs of a call depend on."""
        parameter, _, attribute = (self.size or "").partition(".")
        place = self.names.index(parameter) - 1
        given = {**(method.__kwdefaults__ or {}), **named}
        if place < len(args):
            given[parameter] = args[place]
        elif parameter not in given:
            given[parameter] = (method.__defaults__ or ())[place + 1 - method.__code__.co_argcount]
        one = given[parameter]
        return len(getattr(one, attribute) if attribute else one)

    def grown(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The wrapper, once it has the code that is written for its shape."""
        around, given, names, doing = self.around, method.__code__, self.names, self.doing
        figures: dict[str, int] = {}
        shapes: list[Figures] = []
        for number, (code, enter, sized, leave) in enumerate(doing):
            shapes += (Figures(code is not None, enter > 0, sized is not None, leave > 0),)
            figures[f"enter{number}"], figures[f"leave{number}"] = enter, leave
            if code is not None:
                figures[f"code{number}"], figures[f"out{number}"] = code, code + 1
        places, keywords = names[: given.co_argcount], names[given.co_argcount :]
        size = ""
        if self.size is not None and any(one.sized for one in shapes):
            parameter, dot, attribute = self.size.partition(".")
            size = parameter if parameter in keywords else f"a{places.index(parameter) - 1}"
            size += dot + attribute
        shape = Shape(len(places) - 1, keywords, size, self.strict, self.opens, tuple(shapes))
        written = _code(shape)
        # Its parameters have the names of the method's, so that it can be called in the same ways,
        # and a traceback says which method it stands around.
        around.__code__ = written.replace(
            co_varnames=names + written.co_varnames[len(names) :],
            co_consts=tuple(_value(constant, figures) for constant in written.co_consts),
            co_name=given.co_name,
            co_qualname=given.co_qualname,
        )
        around.__defaults__ = method.__defaults__
        around.__kwdefaults__ = method.__kwdefaults__
        assert around.__closure__ is not None
        own = around.__closure__[written.co_freevars.index("own")]
        own.cell_contents = [sized for _, _, sized, _ in doing]
        return around


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
    if size is not None and (parameter := size.partition(".")[0]) not in names[1:]:
        raise TypeError(f"{method.__qualname__}: no parameter {parameter!r} to take the size from")
    own = Young(names, size, steps, opens, env.strict)
    begin = _looping if own.simple is None else _simple
    made = own.around = cast("FunctionType", begin(env, method, own))
    made.__name__ = method.__name__
    made.__qualname__ = method.__qualname__
    made.__doc__ = method.__doc__
    return made


def _looping(env: Environment, method: Callable[..., Any], own: Young) -> Callable[..., Any]:
    """How a wrapper begins."""

    def stage(self: Any, *args: Any, **named: Any) -> Any:
        young = own  # it is another, once the text is written, and this call has not ended
        if not young.left:
            return young.grown(method)(self, *args, **named)
        young.left -= 1
        thread = env.running
        if thread is None or (young.opens == "outermost" and thread.open):
            return method(self, *args, **named)
        doing = young.doing
        for code, enter, sized, _ in doing:
            if code is not None:
                thread.marks.append(thread.now << CODE_BITS | code)
            cost = enter if sized is None else sized[young.size_of(method, args, named)]
            if young.strict:
                thread.charge(cost)
            else:
                thread.now += cost
        is_counted = young.opens != "uncounted"
        if is_counted:
            thread.open += 1
        try:
            return method(self, *args, **named)
        finally:
            for code, _, _, leave in reversed(doing):
                if young.strict:
                    thread.charge(leave)
                else:
                    thread.now += leave
                if code is not None:
                    thread.marks.append(thread.now << CODE_BITS | code + 1)
            if is_counted:
                thread.open -= 1

    return stage


def _simple(env: Environment, method: Callable[..., Any], own: Young) -> Callable[..., Any]:
    """The same, of most stages: see ``Young.simple``."""

    # NOTE: 0.99 of a start's instructions: four of five stages, nine of ten calls.

    def stage(self: Any, *args: Any, **named: Any) -> Any:
        young = own
        if not young.left:
            return young.grown(method)(self, *args, **named)
        young.left -= 1
        thread = env.running
        if thread is None:
            return method(self, *args, **named)
        code, enter, leave = young.simple
        if code is not None:
            thread.marks.append(thread.now << CODE_BITS | code)
        thread.now += enter
        try:
            return method(self, *args, **named)
        finally:
            thread.now += leave
            if code is not None:
                thread.marks.append(thread.now << CODE_BITS | code + 1)

    return stage


FILES = WRITTEN, wrap.__code__.co_filename
"""Where all functions are that stand around methods."""

_STARS = 0x04 | 0x08
"""``inspect.CO_VARARGS`` and ``CO_VARKEYWORDS``."""


def _value(constant: Any, figures: dict[str, int]) -> Any:
    """What a constant of a text stands for: a figure, or the sum of several."""
    if type(constant) is not str:
        return constant
    return sum(figures[name] for name in constant.split("+"))


@cache
def _code(shape: Shape) -> CodeType:
    """The code of a wrapper, with names of figures in the place of these."""
    space: dict[str, Any] = {}
    exec(compile("\n".join(_text(shape)), WRITTEN, "exec"), space)
    return cast("CodeType", space["maker"](None, None, None).__code__)


def _text(shape: Shape) -> Iterator[str]:
    """The text of a wrapper."""
    names = [f"a{number}" for number in range(shape.places)]
    stars = ["*", *shape.keywords] if shape.keywords else []
    parameters = ", ".join(["self", *names, *stars])
    arguments = ", ".join(["self", *names, *(f"{name}={name}" for name in shape.keywords)])
    yield "def maker(env, method, own):"
    yield f"    def stage({parameters}):"
    yield "        nonlocal env, method, own"
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
    """What is done on the way in, in order: ``mark`` or ``charge`` with the name of a figure,
    ``sized`` with the number of a step."""
    for number, step in enumerate(shape.steps):
        if step.marked:
            yield "mark", f"code{number}"
        if step.sized:
            yield "sized", str(number)
        elif step.enter:
            yield "charge", f"enter{number}"


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
    if not any(what == "mark" for what, _ in all_):
        costs = [f"own[{figure}][size]" for what, figure in all_ if what == "sized"]
        fixed = "+".join(figure for what, figure in all_ if what == "charge")
        costs += [repr(fixed)] * bool(fixed)
        if costs:
            yield f"thread.now += {' + '.join(costs)}"
        return
    yield "now = thread.now"
    for what, figure in all_:
        if what == "mark":
            yield f"thread.marks.append(now << {CODE_BITS} | {figure!r})"
        else:
            yield f"now += {_cost(what, figure)}"
    if any(what != "mark" for what, _ in all_):
        yield "thread.now = now"


def _strict(doing: Iterator[tuple[str, str]]) -> Iterator[str]:
    """As lines, where each charge is a meeting, at which others may move the thread's time."""
    for what, figure in doing:
        if what == "mark":
            yield f"thread.marks.append(thread.now << {CODE_BITS} | {figure!r})"
        else:
            yield f"thread.charge({_cost(what, figure)})"


def _cost(what: str, figure: str) -> str:
    return f"own[{figure}][size]" if what == "sized" else repr(figure)
