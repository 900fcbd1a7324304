"""Faults on the wire, as filters beside QEMU's own: loss, delay, repetition, order, wrong bits.

QEMU has none of these; they are made in its form (desim/net/filter.py), so that they
combine with its filters and with each other at any netdev, in any order.

========================  ============================================================
``filter-loss``           the chosen packets end here
``filter-delay``          the chosen packets wait ``delay`` and up to ``jitter``
                          more; with jitter one may overtake another
``filter-duplicate``      behind each chosen packet comes a copy
``filter-reorder``        each chosen packet waits until ``behind`` later ones of its
                          direction have passed it, but no longer than ``timeout``
``filter-corrupt``        the chosen packets go on with some bits turned over: so many at
                          random, or all bits of the bytes at given offsets. No checksum
                          is mended, and no FCS finds it: this is an error that a bridge
                          or a driver makes, not one of a cable
========================  ============================================================

A packet that is kept, repeated or changed goes on with ``pass_to_next``, and so past
the filters of the other end. A copy and a changed packet are new frames; the ledger
hears of both (``made``) and that the original of a changed one has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from desim.net import reasons
from desim.net.filter import NetFilterState, Place
from desim.net.filter_choice import Below, Choice
from desim.ports import Clock, CopyLedger
from desim.reasons import Reason
from desim.wire.frame import Frame

if TYPE_CHECKING:
    from desim.net.client import NetClientState


class FilterLoss(NetFilterState):
    """``-object filter-loss``"""

    __slots__ = ("_choice",)

    kind = "filter-loss"

    def __init__(self, place: Place, *, choice: Choice) -> None:
        super().__init__(place)
        self._choice = choice

    def receive_iov(self, sender: NetClientState, frame: Frame) -> int:
        """Drop it if it is chosen; the sender takes it for sent."""
        if not self._choice():
            return 0
        self.ledger.lost(frame, self.name, reasons.FILTER_LOSS)
        return len(frame.raw)


class Kept:
    """A packet that waits: until an instant at the latest, or until so many have passed it."""

    __slots__ = ("due_ns", "frame", "number", "sender", "to_pass")

    def __init__(
        self, due_ns: int, number: int, sender: NetClientState, frame: Frame, to_pass: int
    ) -> None:
        self.due_ns = due_ns
        self.number = number
        self.sender = sender
        self.frame = frame
        self.to_pass = to_pass

    def __lt__(self, other: Kept) -> bool:
        return (self.due_ns, self.number) < (other.due_ns, other.number)


class Keeper(NetFilterState):
    """A filter that keeps packets until an instant; ``_kept`` is a heap of them."""

    __slots__ = ("_arrived", "_clock", "_kept", "_timer")

    keeps: Reason
    """Why a packet is kept here."""

    def __init__(self, place: Place, *, clock: Clock) -> None:
        super().__init__(place)
        self._kept: list[Kept] = []
        self._arrived = 0
        self._clock = clock
        self._timer = clock.timer(f"{self.kind} {self.name}", self._let_go)

    def _keep(self, sender: NetClientState, frame: Frame, wait_ns: int, to_pass: int = 0) -> None:
        self._arrived += 1
        due_ns = self._clock.now() + wait_ns
        heappush(self._kept, Kept(due_ns, self._arrived, sender, frame, to_pass))
        self.ledger.held(frame, self.name, self.keeps)
        self._rearm()

    def _rearm(self) -> None:
        if not self._kept:
            self._timer.cancel()
        elif self._kept[0].due_ns != self._timer.deadline:
            self._timer.arm(self._kept[0].due_ns)

    def _let_go(self) -> None:
        """The timer has fired: what is due goes on, in the order in which it became due."""
        now = self._clock.now()
        while self._kept and self._kept[0].due_ns <= now:
            kept = heappop(self._kept)
            self.pass_to_next(kept.sender, kept.frame)
        self._rearm()

    def status_changed(self) -> None:
        """Switched off, it lets go of everything, as ``filter-buffer`` does."""
        if not self.on:
            while self._kept:
                kept = heappop(self._kept)
                self.pass_to_next(kept.sender, kept.frame)
            self._rearm()

    def held(self) -> Sequence[Frame]:
        """What waits for its instant."""
        return [kept.frame for kept in self._kept]


class FilterDelay(Keeper):
    """``-object filter-delay``"""

    __slots__ = ("_below", "_choice", "_delay_ns", "_jitter_ns")

    kind = "filter-delay"
    keeps = reasons.FILTER_DELAY

    def __init__(
        self,
        place: Place,
        *,
        delay_ns: int,
        jitter_ns: int = 0,
        choice: Choice,
        clock: Clock,
        below: Below,
    ) -> None:
        super().__init__(place, clock=clock)
        self._delay_ns = delay_ns
        self._jitter_ns = jitter_ns
        self._choice = choice
        self._below = below

    def receive_iov(self, sender: NetClientState, frame: Frame) -> int:
        """Keep it for a while."""
        if not self._choice():
            return 0
        more_ns = self._below(self._jitter_ns + 1) if self._jitter_ns else 0
        self._keep(sender, frame, self._delay_ns + more_ns)
        return len(frame.raw)


class FilterDuplicate(NetFilterState):
    """``-object filter-duplicate``"""

    __slots__ = ("_choice", "_ledger")

    kind = "filter-duplicate"

    def __init__(self, place: Place, *, choice: Choice, ledger: CopyLedger) -> None:
        super().__init__(place)
        self._choice = choice
        self._ledger = ledger

    def receive_iov(self, sender: NetClientState, frame: Frame) -> int:
        """Let it go on, and a copy behind it."""
        if not self._choice():
            return 0
        copy = Frame(frame.raw)
        self.pass_to_next(sender, frame)
        self._ledger.made(copy, frame, self.name, reasons.FILTER_DUPLICATE)
        self.pass_to_next(sender, copy)
        return len(frame.raw)


class FilterReorder(Keeper):
    """``-object filter-reorder``"""

    __slots__ = ("_behind", "_choice", "_timeout_ns")

    kind = "filter-reorder"
    keeps = reasons.FILTER_REORDER

    def __init__(
        self, place: Place, *, choice: Choice, behind: int, timeout_ns: int, clock: Clock
    ) -> None:
        super().__init__(place, clock=clock)
        self._choice = choice
        self._behind = behind
        self._timeout_ns = timeout_ns

    def receive_iov(self, sender: NetClientState, frame: Frame) -> int:
        """Keep it, or let it pass, and behind it those that it was the last to pass."""
        if self._choice():
            self._keep(sender, frame, self._timeout_ns, self._behind)
            return len(frame.raw)
        free = []
        for kept in sorted(self._kept):
            if kept.sender is sender:
                kept.to_pass -= 1
                if not kept.to_pass:
                    free.append(kept)
        if not free:
            return 0
        self._kept = sorted(kept for kept in self._kept if kept not in free)  # a heap, too
        self._rearm()
        self.pass_to_next(sender, frame)
        for kept in free:
            self.pass_to_next(sender, kept.frame)
        return len(frame.raw)


class FilterCorrupt(NetFilterState):
    """``-object filter-corrupt``: ``bits`` at random, or, if there are any, all of ``offsets``."""

    __slots__ = ("_below", "_bits", "_choice", "_ledger", "_offsets")

    kind = "filter-corrupt"

    def __init__(
        self,
        place: Place,
        *,
        choice: Choice,
        bits: int = 1,
        offsets: Sequence[tuple[int, int]] = (),
        ledger: CopyLedger,
        below: Below,
    ) -> None:
        super().__init__(place)
        self._choice = choice
        self._bits = bits
        self._offsets = offsets
        self._ledger = ledger
        self._below = below

    def receive_iov(self, sender: NetClientState, frame: Frame) -> int:
        """Send another one in its place that is wrong."""
        if not self._choice():
            return 0
        raw = self._spoilt(frame.raw)
        if raw == frame.raw:  # it is too short for any of the offsets
            return 0
        wrong = Frame(raw)
        self.ledger.lost(frame, self.name, reasons.FILTER_CORRUPTED)
        self._ledger.made(wrong, frame, self.name, reasons.FILTER_CORRUPT)
        return self.pass_to_next(sender, wrong)

    def _spoilt(self, raw: bytes) -> bytes:
        changed = bytearray(raw)
        if self._offsets:
            for first, last in self._offsets:
                for place in range(first, min(last + 1, len(raw))):
                    changed[place] = raw[place] ^ 0xFF
            return bytes(changed)
        turned: dict[int, None] = {}
        while len(turned) < min(self._bits, len(raw) * 8):
            turned[self._below(len(raw) * 8)] = None
        for bit in turned:
            changed[bit >> 3] ^= 1 << (bit & 7)
        return bytes(changed)
