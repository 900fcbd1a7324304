"""Conditions on figures of a run (``desim.scenario.metrics``): ``ping.p99 = "< 400us"``.

A condition is written as people would: an order and a value, two values
with dots between them, or a value alone.

=======================  ==========================================================
``"< 400us"``            less; also ``<=``, ``>``, ``>=``
``"10ms .. 20ms"``       from one to the other, both included
``"0"``, ``"== 0"``       exactly this
=======================  ==========================================================
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from desim.data import NamedTuple
from desim.errors import nearest
from desim.scenario.durations import parse_duration
from desim.scenario.metrics import METRICS, Kind, Value, exact

_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20}
_BITS = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9}
RATES = {f"{name}/s": 8 * size for name, size in _BYTES.items()} | {
    f"{name}/s": size for name, size in _BITS.items()
}
"""Units of a rate, in bits per second."""

FORMS: dict[Kind, str] = {
    "time": 'a duration, such as "400us"',
    "count": 'a whole number, such as "12"',
    "rate": f'a rate in {", ".join(RATES)}, such as "12.5 MB/s"',
    "frequency": 'a number per second, such as "7813"',
    "share": 'a share, such as "1%"',
    "ratio": 'a number, such as "2.5"',
}

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_NUMBER = r"(?s)([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*(.*)"


class Condition(NamedTuple):
    """What a figure must be; ``text`` is the condition as it is written."""

    text: str
    order: str
    first: Value
    last: Value | None = None
    """The end of a range."""

    def holds(self, value: Value) -> bool:
        """Whether ``value`` is as it must be."""
        if self.last is not None:
            return self.first <= value <= self.last
        return _ORDERS[self.order](value, self.first)


def read_condition(text: str, kind: Kind) -> Condition:
    """A condition on a figure of ``kind``; ``ValueError`` says what is allowed."""
    shown = " ".join(text.split())
    low, dots, high = text.partition("..")
    if dots:
        first, last = read_value(low, kind), read_value(high, kind)
        if first > last:
            raise ValueError("the range is empty: its end comes before its beginning")
        return Condition(shown, "==", first, last)
    stripped = text.strip()
    order = next((word for word in _ORDERS if stripped.startswith(word)), "")
    return Condition(shown, order or "==", read_value(stripped[len(order) :], kind))


WORDS = {"interrupts": "irq_busy"}
"""What people call a figure who do not know its name."""

_NAMED = r"(?s)\s*([A-Za-z_]\w*(?:\.\w+)*)\s*(.*?)\s*"


class Wanted(NamedTuple):
    """A figure, and what it must be."""

    name: str
    condition: Condition


def names_of(word: str) -> list[str]:
    """The figures that ``word`` may mean: ``ping.p99``, or ``p99`` for all that end so.

    Raises ``ValueError`` if there is none.
    """
    word = WORDS.get(word, word)
    found = [word] if word in METRICS else [n for n in METRICS if n.endswith(f".{word}")]
    if not found:
        hint = nearest(word, METRICS)
        raise ValueError(f"{word}: no such metric; there are {', '.join(METRICS)}{hint}")
    return found


def read_wanted(text: str) -> list[Wanted]:
    """``ping.p99 > 1ms``: a figure and a condition on it, for each figure that may be meant.

    Raises ``ValueError``.
    """
    found = re.fullmatch(_NAMED, text)
    if found is None or not found[2]:
        raise ValueError("must be a figure and a condition on it, such as 'ping.p99 > 1ms'")
    return [
        Wanted(name, read_condition(found[2], METRICS[name].kind)) for name in names_of(found[1])
    ]


def read_value(text: str, kind: Kind) -> Value:
    """One value of ``kind``; ``ValueError`` says what is allowed."""
    if kind == "time":
        return parse_duration(text)
    found = re.fullmatch(_NUMBER, text.strip())
    if found is None:
        raise ValueError(f"must be {FORMS[kind]}, with <, <=, >, >= in front, or FROM .. TO")
    number, unit = exact(found[1]), found[2].strip()
    if kind == "rate":
        if unit not in RATES:
            raise ValueError(f"must be {FORMS[kind]}")
        return number * RATES[unit] / 8
    if kind == "share":
        if unit not in ("%", ""):
            raise ValueError(f"must be {FORMS[kind]}")
        return number / 100 if unit else number
    if unit and not (kind == "frequency" and unit == "/s"):
        raise ValueError(f"must be {FORMS[kind]}")
    if kind == "count" and number.denominator != 1:
        raise ValueError(f"must be {FORMS[kind]}")
    return number.numerator if number.denominator == 1 else number
