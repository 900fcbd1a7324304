"""The values that a key of a scenario takes in a sweep: lists, ranges, logarithmic ranges.

As text, as the command line and files have it; both ends of a range belong to it:

==================  =============================================================
``0,500,4000``      these
``0:2000:100``      from 0 to 2000 in steps of 100; without a step, of 1
``1ms:5ms:500us``   the same of durations
``125:8000:x2``     each one twice the one before
``0,100:500:100``   both
==================  =============================================================

In a file a list (``[0, 500]``) has values as they are, and a table makes the ranges:
``{ from = 100, to = 100000, points = 7, scale = "log" }``, or with ``step`` or ``factor``.

All arithmetic is exact, and the values are whole numbers: a logarithmic range rounds to the
nearest, and leaves out what comes twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any

from desim.data import NamedTuple
from desim.errors import nearest
from desim.scenario.durations import parse_duration, show_duration
from desim.scenario.keys import value_of
from desim.scenario.metrics import round_half_up
from desim.scenario.tables import Kind, Text, Word

MAX_VALUES = 1_000_000
"""Of one key."""
TOO_MANY = f"more than {MAX_VALUES} values"

FORMS = "a list 0,500,4000, a range 0:2000:100 (FROM:TO:STEP), or 125:8000:x2 (each twice the last)"

_END = r"[0-9]{1,18}(?:\.[0-9]+)?\s*[A-Za-zµμ]*"
_RANGE = re.compile(rf"\s*({_END})\s*:\s*({_END})\s*(?::\s*(x?)\s*({_END})\s*)?")
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_WHOLE = re.compile(r"[0-9]{1,18}")


class Axis(NamedTuple):
    """One key that varies, and its values in order."""

    key: str
    values: tuple[object, ...]


class Ends(NamedTuple):
    """A range before its values are made."""

    first: int
    last: int
    timed: bool
    """Whether they are durations, in ns."""
    step: int = 1

    def __str__(self) -> str:
        return f"{self.value(self.first)} to {self.value(self.last)}"

    def value(self, number: int) -> object:
        """``number`` as a scenario has it."""
        return show_duration(number) if self.timed else number


def read_ends(text: str) -> Ends:
    """``FROM:TO`` or ``FROM:TO:STEP``. Raises ``ValueError``."""
    found = _RANGE.fullmatch(text)
    if found is None or found[3]:
        raise ValueError("must be FROM:TO or FROM:TO:STEP, such as 0:2000")
    ends = _ends(found[1], found[2])
    return ends._replace(step=_step(ends, found[4]))


def read_values(kind: Kind | Word | None, text: str) -> tuple[object, ...]:
    """The values that ``text`` stands for, where ``kind`` is wanted. Raises ``ValueError``."""
    if text.lstrip().startswith("["):
        listed = value_of(None, text)
        if not isinstance(listed, list):
            raise ValueError("not a list of TOML")
        return checked(listed)
    as_text = isinstance(kind, Text)  # a range would be numbers

    def values() -> Iterator[object]:
        for piece in text.split(","):
            found = None if as_text else _RANGE.fullmatch(piece)
            if found is not None:
                yield from _expanded(found)
            elif piece.strip() or as_text:
                yield value_of(kind, piece.strip())

    return checked(values())


def values_of(kind: Kind | Word | None, given: object) -> tuple[object, ...]:
    """The values that a file gives where ``kind`` is wanted. Raises ``ValueError``."""
    if isinstance(given, str):
        return read_values(kind, given)
    if isinstance(given, list):
        return checked(given)
    if isinstance(given, dict):
        return checked(_of_table(given))
    raise ValueError(f"must be a list of values, or text: {FORMS}")


def is_range(given: Mapping[str, Any]) -> bool:
    """Whether a table of a file is a range, and not a table of further keys."""
    return "from" in given or "to" in given


def checked(values: Any) -> tuple[object, ...]:
    """Some, and not too many; each once. Raises ``ValueError``."""
    found: dict[str, object] = {}
    for value in values:
        found.setdefault(repr(value), value)
        if len(found) > MAX_VALUES:
            raise ValueError(TOO_MANY)
    if not found:
        raise ValueError(f"no values; give {FORMS}")
    return tuple(found.values())


def _ends(first: str, last: str) -> Ends:
    timed = not (_WHOLE.fullmatch(first.strip()) and _WHOLE.fullmatch(last.strip()))
    read = parse_duration if timed else int
    begin, end = read(first.strip()), read(last.strip())
    if begin > end:
        raise ValueError(f"the range {first.strip()}:{last.strip()} is empty: its end comes first")
    return Ends(begin, end, timed)


def _expanded(found: re.Match[str]) -> Iterator[object]:
    """The values of a range in text."""
    ends = _ends(found[1], found[2])
    times, step = found[3], found[4]
    if times:
        if not re.fullmatch(r"[0-9.]+", step):
            raise ValueError(f"x{step}: a factor is a number, such as x2 or x1.5")
        yield from _by_factor(ends, Fraction(step))
    else:
        yield from _by_step(ends, step)


def _step(ends: Ends, step: str | None) -> int:
    if step is None and ends.timed:
        raise ValueError("a range of durations needs its step: 1ms:5ms:1ms")
    length = 1 if step is None else parse_duration(step) if ends.timed else _whole(step)
    if length < 1:
        raise ValueError("the step must be more than 0")
    return length


def _by_step(ends: Ends, step: str | None) -> Iterator[object]:
    numbers = range(ends.first, ends.last + 1, _step(ends, step))
    if len(numbers) > MAX_VALUES:
        raise ValueError(TOO_MANY)
    yield from map(ends.value, numbers)


def _by_factor(ends: Ends, factor: Fraction) -> Iterator[object]:
    if factor <= 1:
        raise ValueError("the factor must be more than 1")
    if ends.first < 1:
        raise ValueError("a logarithmic range begins above 0")
    at = Fraction(ends.first)
    while round_half_up(at) <= ends.last:
        yield ends.value(round_half_up(at))
        at *= factor


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError(f"{text.strip()}: the step must be a whole number, as the ends are")
    return int(text)


def _of_table(given: Mapping[str, Any]) -> Sequence[object]:
    """The values of ``{ from, to, step | points | factor, scale }``."""
    known = ("from", "to", "step", "points", "factor", "scale")
    for name in given:
        if name not in known:
            raise ValueError(
                f"{name}: no such key; allowed are {', '.join(known)}" + nearest(name, known)
            )
    for name in ("from", "to"):
        if name not in given:
            raise ValueError(f"{name} is missing")
    ends = _ends(str(given["from"]), str(given["to"]))
    scale, ways = (
        given.get("scale", "linear"),
        [n for n in ("step", "points", "factor") if n in given],
    )
    if scale not in ("linear", "log"):
        raise ValueError("scale: allowed is 'linear' or 'log'")
    if len(ways) > 1:
        raise ValueError(f"{' and '.join(ways)}: one of them says how many there are")
    if ways == ["points"]:
        return [ends.value(number) for number in _points(ends, given["points"], scale == "log")]
    if ways == ["factor"]:
        return list(_by_factor(ends, _number(given["factor"])))
    if scale == "log":
        raise ValueError("a logarithmic range needs points or factor")
    return list(_by_step(ends, str(given["step"]) if ways else None))


def _number(given: object) -> Fraction:
    if type(given) not in (int, float):
        raise ValueError("factor: must be a number, such as 2")
    return Fraction(str(given))


def _points(ends: Ends, points: object, log: bool) -> list[int]:
    """So many, the ends among them, at equal distances or ratios."""
    if type(points) is not int or not 2 <= points <= MAX_VALUES:
        raise ValueError(f"points: must be a whole number from 2 to {MAX_VALUES}")
    if log and ends.first < 1:
        raise ValueError("a logarithmic range begins above 0")
    found = []
    for place in range(points):
        share = Fraction(place, points - 1)
        if not log:
            found.append(round_half_up(ends.first + share * (ends.last - ends.first)))
            continue
        low, high = (_EXACT.ln(Decimal(end)) for end in (ends.first, ends.last))
        way = _EXACT.divide(_EXACT.multiply(_EXACT.subtract(high, low), place), Decimal(points - 1))
        found.append(round_half_up(Fraction(_EXACT.exp(_EXACT.add(low, way)))))
    return list(dict.fromkeys(found))
