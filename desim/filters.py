"""What options say of filters on the wire: ``-object filter-...``, each kind a class of its own.

Plain data, as in :mod:`desim.config`; most machines have none, and load nothing of this.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from desim.data import data, field

NetdevEnd = str
"""A backend: ``user``, the user network; ``user_port``, the port of the hub that it is linked to;
``nic_port``, the card's; or ``netdev:`` with the name of another client."""
NETDEV = "netdev:"


@data(kw_only=True)
class NetFilter:
    """``-object filter-...``: what every filter has (net/filter.c)."""

    id: str
    netdev: NetdevEnd = "user"
    queue: Literal["all", "rx", "tx"] = "all"
    on: bool = True
    position: str = "tail"
    """``head``, ``tail``, or the id of an earlier filter of the same netdev."""
    before: bool = False
    """In front of that filter, not behind it."""


@data(kw_only=True)
class BufferFilter(NetFilter):
    """``filter-buffer``"""

    interval_us: int


@data(kw_only=True)
class DumpFilter(NetFilter):
    """``filter-dump``"""

    file: str
    """Its normalised name in the host's tree of written files."""
    maxlen: int = 65536


@data(kw_only=True)
class Chosen:
    """Which packets a fault falls on, counted from 1: one of the first three is there."""

    probability: Fraction | None = None
    every: int | None = None
    frames: list[tuple[int, int]] = field(default_factory=list)
    """First and last of each range."""
    first: int | None = None
    """The first that ``probability`` may choose, or that ``every`` does."""


@data(kw_only=True)
class LossFilter(NetFilter):
    """``filter-loss``"""

    chosen: Chosen


@data(kw_only=True)
class DelayFilter(NetFilter):
    """``filter-delay``"""

    delay_ns: int
    jitter_ns: int = 0
    chosen: Chosen


@data(kw_only=True)
class DuplicateFilter(NetFilter):
    """``filter-duplicate``"""

    chosen: Chosen


@data(kw_only=True)
class ReorderFilter(NetFilter):
    """``filter-reorder``"""

    chosen: Chosen
    behind: int = 1
    timeout_ns: int = 100_000_000


@data(kw_only=True)
class CorruptFilter(NetFilter):
    """``filter-corrupt``: so many bits, or else all bits of the bytes at ``offsets``."""

    chosen: Chosen
    bits: int = 1
    offsets: list[tuple[int, int]] = field(default_factory=list)
