"""The figures of a run that have a name, and conditions on them: ``ping.p99 = "< 400us"``.

Here stand the names, what each is and which kind of value it has; ``desim.experiment.metrics``
works them out. A condition is written as people would: an order and a value, two values
with dots between them, or a value alone. All arithmetic is exact.

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
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from desim.errors import nearest
from desim.scenario.durations import UNITS, parse_duration

Kind = Literal["time", "count", "rate", "frequency", "share", "ratio"]
"""What a value is: ns; a number of things; bytes per second; times per second; a part of a whole;
so many of one for one of another."""

Value = int | Fraction


class Metric(NamedTuple):
    """One figure."""

    kind: Kind
    about: str


METRICS = {
    "end": Metric("time", "the virtual time at which the run ended"),
    "boot": Metric("time", "the virtual time at which the guest's network was up"),
    "message.time": Metric("time", "the first message from the host: from send() to read()"),
    "message.own": Metric("time", "of that, how long somebody worked on it"),
    "message.waiting": Metric("time", "of that, how long it waited for something else"),
    "ping.sent": Metric("count", "echo requests of all `ping` and `ltool ping` commands"),
    "ping.lost": Metric("count", "those without an answer, as these count them"),
    "ping.min": Metric("time", "the shortest round trip that they show"),
    "ping.mean": Metric("time", "the mean of all round trips"),
    "ping.p50": Metric("time", "the round trip that half of all are not longer than"),
    "ping.p90": Metric("time", "the same of 90 percent"),
    "ping.p95": Metric("time", "the same of 95 percent"),
    "ping.p99": Metric("time", "the same of 99 percent"),
    "ping.max": Metric("time", "the longest round trip"),
    "transfers": Metric("count", "directions of TCP connections that carried data"),
    "transfer.bytes": Metric("count", "bytes of all transfers, each once"),
    "transfer.time": Metric("time", "how long transfers were under way"),
    "transfer.rate": Metric("rate", "bytes of all transfers by that time"),
    "transfer.slowest": Metric("rate", "the rate of the slowest transfer"),
    "transfer.retransmissions": Metric("count", "frames whose bytes had all been sent before"),
    "frames.to_guest": Metric("count", "frames that the card received"),
    "frames.from_guest": Metric("count", "frames that the card sent"),
    "frames.lost": Metric("count", "frames that ended on their way, but for unwanted multicast"),
    "irq": Metric("count", "interrupts of the card that the guest took"),
    "irq_busy": Metric("count", "of these, while transfers were under way"),
    "irq_rate": Metric(
        "frequency",
        "interrupts per second while transfers were under way; without any, from the first to "
        "the last frame behind the boot",
    ),
    "irq_frames": Metric("ratio", "frames for an interrupt in that time"),
    "irq_held": Metric("count", "interrupts that waited for a window of mitigation to end"),
}
"""All there are, in the order in which they are shown."""

_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20}
_BITS = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9}
RATES = {f"{name}/s": Fraction(size) for name, size in _BYTES.items()} | {
    f"{name}/s": Fraction(size, 8) for name, size in _BITS.items()
}
"""Units of a rate, in bytes per second."""

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
_NUMBER = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*(.*)", re.DOTALL)


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

_NAMED = re.compile(r"\s*([A-Za-z_]\w*(?:\.\w+)*)\s*(.*?)\s*", re.DOTALL)


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
    found = _NAMED.fullmatch(text)
    if found is None or not found[2]:
        raise ValueError("must be a figure and a condition on it, such as 'ping.p99 > 1ms'")
    return [
        Wanted(name, read_condition(found[2], METRICS[name].kind)) for name in names_of(found[1])
    ]


def read_value(text: str, kind: Kind) -> Value:
    """One value of ``kind``; ``ValueError`` says what is allowed."""
    if kind == "time":
        return parse_duration(text)
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"must be {FORMS[kind]}, with <, <=, >, >= in front, or FROM .. TO")
    number, unit = Fraction(found[1]), found[2].strip()
    if kind == "rate":
        if unit not in RATES:
            raise ValueError(f"must be {FORMS[kind]}")
        return number * RATES[unit]
    if kind == "share":
        if unit not in ("%", ""):
            raise ValueError(f"must be {FORMS[kind]}")
        return number / 100 if unit else number
    if unit and not (kind == "frequency" and unit == "/s"):
        raise ValueError(f"must be {FORMS[kind]}")
    if kind == "count" and number.denominator != 1:
        raise ValueError(f"must be {FORMS[kind]}")
    return number.numerator if number.denominator == 1 else number


def show_value(value: Value, kind: Kind) -> str:
    """A value of ``kind`` for people, to three places; rates in MB/s."""
    if kind == "time":
        unit = next((name for name in ("s", "ms", "us") if value >= UNITS[name]), "ns")
        return f"{decimal(Fraction(value) / UNITS[unit])}{unit}"
    if kind == "rate":
        return f"{decimal(Fraction(value) / 10**6)} MB/s"
    if kind == "share":
        return f"{decimal(Fraction(value) * 100)}%"
    return decimal(Fraction(value))


def round_half_up(value: Value) -> int:
    """The nearest whole number."""
    return int((Fraction(value) * 2 + 1) // 2)


def decimal(value: Fraction) -> str:
    """``value`` to three places, without zeros at its end."""
    thousandths = round_half_up(value * 1000)
    text = f"{thousandths // 1000}.{thousandths % 1000:03d}"
    return text.rstrip("0").rstrip(".")
