"""What the subcommands of ``ltool`` share: operands, waiting, the line of results."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any

from desim.userland.calls import Call, sys
from desim.userland.programs.output import Step, put

NS_PER_US = 1000
NS_PER_MS = 1_000_000
LEAD_NS = 2 * NS_PER_MS
"""How long before the first send of a schedule it is made."""


class UsageError(ValueError):
    """An operand that the tool does not take."""


def number(word: str, name: str, *, low: int = 0, high: int = 10**12) -> int:
    """The operand ``name``, a whole number in ``low`` to ``high``."""
    if not (word.isascii() and word.isdigit()) or not low <= int(word) <= high:
        raise UsageError(f"{name}: {word!r} is not a whole number from {low} to {high}")
    return int(word)


def port(word: str) -> int:
    """The operand PORT."""
    return number(word, "PORT", low=1, high=65535)


def sleep_until(instant: int) -> Generator[Call, Any, None]:
    """Sleep until the clock shows ``instant``, if it does not yet."""
    while (now := (yield sys.clock_gettime())) < instant:
        yield sys.nanosleep(instant - now)


def mbit_s(size: int, duration_ns: int) -> float:
    """The rate of ``size`` bytes in ``duration_ns``, in Mbit/s to three places."""
    return round(size * 8000 / duration_ns, 3) if duration_ns else 0.0


def say(result: Mapping[str, Any]) -> Step:
    """Print the line of results."""
    return put(json.dumps(result, separators=(",", ":")) + "\n")
