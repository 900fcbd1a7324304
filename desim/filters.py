"""What options say of filters on the wire: ``-object filter-...``, each kind a class of its own.

Plain data, as in :mod:`desim.config`; most machines have none, and load nothing of this.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from desim.data import Data, field

NetdevEnd = str
"""A backend: ``user``, the user network; ``user_port``, the port of the hub that it is linked to;
``nic_port``, the card's; or ``netdev:`` with the name of another client."""
NETDEV = "netdev:"


class NetFilter(Data, kw_only=True):
    """``-object filter-...``: what every filter has (net/filter.c)."""

    id: str
    netdev: NetdevEnd = "user"
    queue: Literal["all", "rx", "tx"] = "all"
    on: bool = True
    position: str = "tail"
    """``head``, ``tail``, or the id of an earlier filter of the same netdev."""
    before: bool = False
    """In front of that filter, not behind it."""


class BufferFilter(NetFilter, kw_only=True):
    """``filter-buffer``"""

    interval_us: int


class DumpFilter(NetFilter, kw_only=True):
    """``filter-dump``"""

    file: str
    """Its normalised name in the host's tree of written files."""
    maxlen: int = 65536


class Chosen(Data, kw_only=True):
    """Which packets a fault falls on, counted from 1: one of the first three is there."""

    probability: Fraction | None = None
    every: int | None = None
    frames: list[tuple[int, int]] = field(default_factory=list)
    """First and last of each range."""
    first: int | None = None
    """The first that ``probability`` may choose, or that ``every`` does."""


class LossFilter(NetFilter, kw_only=True):
    """``filter-loss``"""

    chosen: Chosen


class DelayFilter(NetFilter, kw_only=True):
    """``filter-delay``"""

    delay_ns: int
    jitter_ns: int = 0
    chosen: Chosen


class DuplicateFilter(NetFilter, kw_only=True):
    """``filter-duplicate``"""

    chosen: Chosen


class ReorderFilter(NetFilter, kw_only=True):
    """``filter-reorder``"""

    chosen: Chosen
    behind: int = 1
    timeout_ns: int = 100_000_000


class CorruptFilter(NetFilter, kw_only=True):
    """``filter-corrupt``: so many bits, or else all bits of the bytes at ``offsets``."""

    chosen: Chosen
    bits: int = 1
    offsets: list[tuple[int, int]] = field(default_factory=list)
