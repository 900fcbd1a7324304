"""Where a message was, out of its legs: each nanosecond once.

On a leg that is carried, each nanosecond is the *own* time of the innermost open stage, or waiting
if that is a wait. On a leg where the message lies, all time is waiting, for what the thread that
will take it up is doing meanwhile, unless it is known better.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from desim.engine.marks import Codes
from desim.engine.trace import ThreadRecord
from desim.experiment.journey.legs import Leg
from desim.experiment.journey.stacks import Stacks
from desim.experiment.journey.values import Row
from desim.stages import LOOPS


def stays(stacks: Stacks, legs: Iterable[Leg]) -> Iterator[Row]:
    """In order of time; what is next to each other and the same is one."""
    last: Row | None = None
    for row in _places(stacks, legs):
        if last is None:
            last = row
        elif is_same(last, row):
            last = joined(last, row)
        else:
            yield last
            last = row
    if last is not None:
        yield last


def rows(found: Iterable[Row]) -> list[Row]:
    """Each function, and each wait, once, in the order of their first time."""
    together: dict[tuple[str, str, str], Row] = {}
    for stay in found:
        key = stay.station, stay.file, stay.waits_for
        before = together.get(key)
        together[key] = stay if before is None else joined(before, stay)
    return list(together.values())


def is_same(one: Row, other: Row) -> bool:
    """Whether both are the same function, or the same wait."""
    return (one.station, one.file, one.waits_for) == (other.station, other.file, other.waits_for)


def joined(one: Row, other: Row) -> Row:
    """Both as one."""
    own, waiting = one.own_ns + other.own_ns, one.waiting_ns + other.waiting_ns
    return one._replace(own_ns=own, waiting_ns=waiting)


def _places(stacks: Stacks, legs: Iterable[Leg]) -> Iterator[Row]:
    """Where the message was, piece by piece."""
    codes = stacks.trace.codes
    for leg in legs:
        if leg.begin == leg.end:
            continue
        if leg.lies and leg.why:
            yield Row(leg.lies, "", 0, leg.end - leg.begin, leg.why)
            continue
        for stack, ns in stacks.pieces(leg.record, leg.begin, leg.end):
            yield row_of(codes, leg, stack, ns)


def row_of(codes: Codes, leg: Leg, stack: list[int], ns: int) -> Row:
    """What ``ns`` of a leg are, in which ``stack`` is open."""
    code = stack[-1] if stack else None
    if leg.lies or code is None or codes.is_wait(code):
        what = doing(codes, leg.record, _outermost(codes, stack))
        return Row(leg.lies or leg.record.name, "", 0, ns, what, None, leg.carrier)
    return Row(codes.name(code), codes.file(code), ns, 0, "", codes.owner(code), leg.carrier)


def doing(codes: Codes, record: ThreadRecord, code: int | None) -> str:
    """What a thread does, in words: a wait by its name, work by the outermost function; None: it
    has not begun."""
    if code is None:
        return f"{record.name} to start"
    name = codes.name(code)
    if not codes.is_wait(code):
        return f"{record.name} in {name}"
    wait = name.strip("()")
    return {"halted": "interrupt"}.get(wait, wait)


def _outermost(codes: Codes, stack: list[int]) -> int | None:
    """The wait that is open, or the outermost stage above the thread's endless loop."""
    if not stack or codes.is_wait(stack[-1]):
        return stack[-1] if stack else None
    return next((code for code in stack if codes.landmark(code) not in LOOPS), stack[-1])
