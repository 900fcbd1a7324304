"""Durations as people write them, ``"5s"``, ``"250ms"``, to integer nanoseconds and back.

The unit is always in the value, and no float is made on the way: ``"3.5s"`` is
3500000000 exactly, and a figure finer than one nanosecond is refused.
"""

from __future__ import annotations

from desim.errors import nearest

UNITS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
}

LONGEST_NS = 10_000 * UNITS["h"]
"""More than a year of virtual time is a slip of the keyboard."""

MAX_DIGITS = 20

ALLOWED = 'a number and a unit (ns, us, ms, s, min, h), such as "250ms" or "3.5s"'

_ALIASES = {"µs": "us", "μs": "us"}
_SPELLINGS = {
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("msec", "msecs", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("usec", "usecs", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("nsec", "nsecs", "nanosecond", "nanoseconds"), "ns"),
}


def parse_duration(text: str) -> int:
    """``text`` in nanoseconds. Raises ``ValueError`` that says what is allowed."""
    bare = text.strip()
    behind = bare.lstrip("0123456789.")
    whole, point, fraction = bare[: len(bare) - len(behind)].partition(".")
    word = behind.strip()
    is_number = whole.isdigit() and (fraction.isdigit() if point else True)
    if not is_number or not (word.isalpha() or not word) or len(text) > 2 * MAX_DIGITS:
        raise ValueError(f"not a duration; allowed is {ALLOWED}")
    unit = _ALIASES.get(word, word)
    if not unit:
        raise ValueError(f"a duration needs its unit; did you mean '{text.strip()}s'?")
    if unit not in UNITS:
        known = _SPELLINGS.get(unit.lower())
        hint = f"; did you mean '{known}'?" if known else nearest(unit, UNITS)
        raise ValueError(f"'{word}' is not a unit of time; allowed is {ALLOWED}{hint}")
    if len(whole) + len(fraction) > MAX_DIGITS:
        raise ValueError(f"a duration has at most {MAX_DIGITS} digits")
    grain: int = 10 ** len(fraction)
    scaled, rest = divmod(int(whole + fraction) * UNITS[unit], grain)
    if rest:
        raise ValueError("finer than one nanosecond, the grain of virtual time")
    if scaled > LONGEST_NS:
        raise ValueError(f"longer than {show_duration(LONGEST_NS)}, the longest run there is")
    return scaled


def show_duration(ns: int) -> str:
    """The shortest exact spelling of ``ns`` without a fraction: ``3500ms``, ``10us``, ``1h``."""
    for unit in reversed(UNITS):
        if ns and ns % UNITS[unit] == 0:
            return f"{ns // UNITS[unit]}{unit}"
    return "0s"
