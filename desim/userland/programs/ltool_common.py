"""What the subcommands of ``ltool`` share: operands, waiting, what they find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from desim.userland.calls import sys
from desim.userland.program import Part
from desim.userland.programs.getopt import whole

NS_PER_US = 1000
NS_PER_MS = 1_000_000
LEAD_NS = 2 * NS_PER_MS
"""How long before the first send of a schedule it is made."""
LAST_WAIT_NS = 300 * NS_PER_MS
"""How long the answers to the last train may take."""
MAX_PACKETS = 1_000_000
BUFFER = 65536
RCVBUF = 1 << 20


Result = Mapping[str, Any]
"""What a subcommand has found, by the recordings' names; ``test`` is its own."""


class UsageError(ValueError):
    """An operand that the tool does not take."""


def number(word: str, name: str, *, low: int = 0, high: int = 10**12) -> int:
    """The operand ``name``, a whole number in ``low`` to ``high``."""
    value = whole(word, low, high)
    if value is None:
        raise UsageError(f"{name}: {word!r} is not a whole number from {low} to {high}")
    return value


def trains(n: int, train: int) -> int:
    """How many packets N trains of TRAIN have; the tool notes four stamps for each."""
    if n * train > MAX_PACKETS:
        raise UsageError(f"{n} trains of {train} are more than {MAX_PACKETS} packets")
    return n * train


def port(word: str) -> int:
    """The operand PORT."""
    return number(word, "PORT", low=1, high=65535)


def sleep_until(instant: int) -> Part[None]:
    """Sleep until the clock shows ``instant``, if it does not yet."""
    while (now := (yield from sys.clock_gettime())) < instant:
        yield from sys.nanosleep(instant - now)


def mbit_s(size: int, duration_ns: int) -> Decimal:
    """The rate of ``size`` bytes in ``duration_ns``, in Mbit/s to three places."""
    if duration_ns <= 0:
        return Decimal("0.000")
    return Decimal((size * 8_000_000 + duration_ns // 2) // duration_ns).scaleb(-3)


def since(stamps: Iterable[int], t0: int) -> list[int]:
    """``stamps`` counted from ``t0``; -1 (never) stays what it is."""
    return [stamp - t0 if stamp >= 0 else -1 for stamp in stamps]
