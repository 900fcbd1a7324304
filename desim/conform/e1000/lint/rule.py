"""What a rule is, and what it yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from desim.conform.e1000.lint.log import Access, HandedOver, Log, LookedAt
from desim.data import NamedTuple


class Found(NamedTuple):
    """A broken rule at one place. Those of one rule with the same ``key`` are one finding."""

    text: str
    key: int = 0
    """Mostly the index of the register that it is about."""
    where: str = ""
    """The operation; empty: the one that is being looked at."""


class Noted(NamedTuple):
    """Something that surprises, but that Linux lives with. Notes with the same text are one."""

    text: str
    where: str = ""
    more: str = ""
    """What holds for the first of equal notes only; it stands at the end."""


Yields = Iterator[Found | Noted]


@dataclass(slots=True, frozen=True, kw_only=True)
class Rule:
    """What a driver should heed, who says so, and the functions that look for it.

    Each gets the log as it is before what it is to look at.
    """

    name: str
    source: str
    access: Callable[[Log, Access], Yields] | None = None
    """Looks at an access to the register window."""
    io: Callable[[Log, Access], Yields] | None = None
    """Looks at an access to the I/O window; ``index`` is its offset there / 4."""
    handed_over: Callable[[Log, HandedOver], Yields] | None = None
    """Looks at the descriptors of a TDT write."""
    looked_at: Callable[[Log, LookedAt], Yields] | None = None
    """Looks at what the driver reads in memory."""
    end: Callable[[Log], Yields] | None = None
    """Looks at the log as a whole."""


@dataclass(slots=True)
class Finding:
    """One broken rule: where first, and how often."""

    where: str
    """The operation: ``op 12``, ``line 40``."""
    rule: Rule
    text: str
    count: int = 1

    def __str__(self) -> str:
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        return f"{self.where}: {self.rule.name}: {self.text}{more} [{self.rule.source}]"


@dataclass(slots=True)
class Note:
    """What is no finding but good to know: where first, and how often."""

    where: str
    text: str
    more: str = ""
    count: int = 1

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{place}{self.text}{times}{self.more}"
