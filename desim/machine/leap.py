"""Rounds of an idle machine are left out, many at one go.

Theory of operation
-------------------
A guest that does nothing is not still: its driver looks at the card every two seconds, and slirp
at its clock twice a second. ``Leap`` looks, outside of all threads, at the same *place* of one such
round after the other. When two rounds have done the same (``desim.machine.rounds``), time is moved
by as many rounds as there can be, and each number by what these would have added. Then a round is
made, and must do what was foretold: if it does not, all is taken back, and half as much is tried.

How many there can be: all timers of a round stay in front of those that no round moves, the
guest's, QEMU's and the host's, which have entries on the heap; no number comes to an edge; and no
more events are left out than the run may have. While slirp has a session, a fragment or a frame
that waits nothing is left out: those grow old, and what comes of it runs programs, which cannot be
taken back.

By law nothing of a run tells whether rounds were left out (``tests/machine/test_machine_leap.py``).
What only looks how things are (``Alarm.looks``) is no part of a round, and does not count as an
event. A run that keeps what a round records makes them all; so does one beside which processes of
SimPy's run.

Going through a machine takes as long as tens of rounds, so few are made and not left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from desim.data import NamedTuple, Protocol
from desim.engine.alarm import Alarm
from desim.engine.environment import LOOK, Environment
from desim.machine.rounds import (
    Change,
    Changes,
    Contents,
    Held,
    Place,
    Uneven,
    ahead,
    now,
    room,
    steps,
)
from desim.machine.state import CannotRestore

FIRST_NS = 16_007_000_000
"""How long a run lasts before it is looked at, and after a look at a machine that was not idle: no
whole tenths of a second, at which others look."""
SETTLE_NS = 50_000_000
"""How far behind something it is looked what has come of it, and how far in front of the guest's
timer the place of a round is: most of its own timers are near then, and it can go near others."""
FEW = 24
"""Rounds that are rather made."""
MOST = 1 << 20
"""Rounds that are left out at one go; half as many where that was too much."""
TRIES = 4
"""Rounds that are not like the one before until it is looked later, and then twice as late."""


HEAP: Place = 0, ("heap",)
"""In the place of a container: the heap, without the keys of its entries."""

Entry = tuple[Any, ...]
"""Of the heap: time, key, and what is done."""


class Machines(Protocol):
    """What rounds are of."""

    def rests(self) -> bool:
        """Nothing is in motion, the run is not over, and only timers change that."""

    def deadlines(self) -> list[int]:
        """When each timer fires (ns)."""

    def next_tick(self) -> int | None:
        """When the first timer of a guest's wheel fires (ns); None: there is none."""


class Leapt(NamedTuple):
    """Rounds that were left out."""

    changes: Changes
    """Of the round before them."""
    rounds: int
    events: int
    """Entries that each round takes off the heap."""
    at_ns: int
    """When they began."""
    taken: int
    heap: list[Entry]
    """What there was then."""


class Leap:
    """Leaves out the idle rounds of one run."""

    def __init__(
        self,
        env: Environment,
        machines: Machines,
        but: Iterable[object],
        looks: Mapping[Alarm, Callable[[], object]],
    ) -> None:
        """``but`` is what a round may do anything to; ``looks`` are those that look how things are,
        and what sets each of them anew."""
        self._env = env
        self._machines = machines
        self._looks = looks
        self._alarm = Alarm(env, self._look, looks=True)
        self._but = (*but, env, self, self._alarm, *looks)
        self.left_out = 0
        """Rounds, up to now."""
        self._held: Held | None = None
        self._tick = 0
        self._period = 0
        self._other = 0
        """When the first timer fires that is no part of the last round (ns)."""
        self._uneven = 0
        self._pause = FIRST_NS
        self._most = MOST
        """Rounds to be left out at one go."""
        self._usual: Contents | None = None
        """What two rounds have done, one behind the other."""
        self._forget()

    def begin(self) -> None:
        """The run begins."""
        self._go_on(self._env._now + FIRST_NS, self._look)

    def _go_on(self, instant: int, step: Callable[[], None]) -> None:
        self._alarm.ring = step
        self._alarm.set(instant)

    def _forget(self) -> None:
        """The next place is the first one."""
        self._heap: list[Entry] = []
        self._deadlines: list[int] = []
        self._taken = 0
        self._last: Contents | None = None
        """What the last round has done, if it was even."""
        self._leapt: Leapt | None = None
        """How the place before the next one was come to."""

    # --- where the places are: how long a round is, and whether there will be many

    def _look(self) -> None:
        """A round is from one tick of the guest's to the next, if nothing else happens."""
        tick = self._machines.next_tick()
        if tick is None or not self._machines.rests():
            self._go_on(self._env._now + FIRST_NS, self._look)
            return
        self._tick = tick
        self._go_on(max(tick, self._env._now) + SETTLE_NS, self._measure)

    def _measure(self) -> None:
        tick = self._machines.next_tick()
        place = 0 if tick is None else tick - SETTLE_NS
        if tick is None or place <= self._env._now:
            self._go_on(self._env._now + FIRST_NS, self._look)
            return
        self._period = tick - self._tick
        self._forget()
        self._next(place)

    def _next(self, place: int, other: int | None = None) -> None:
        """The next place is at an instant, or behind what happens before many rounds can be.

        ``other`` is when that is (ns), if it is known."""
        begin, period = self._env._now, self._period
        if other is None:
            known = (*(entry[0] for entry in self._env._queue), *self._machines.deadlines())
            # Without any the run ends within the round.
            other = min((one for one in known if one > begin + period), default=begin)
        if other < begin + FEW * period:
            self._go_on(other + SETTLE_NS, self._look)
        else:
            self._go_on(place, self._place)

    # --- at the place

    def _place(self) -> None:
        if type(self._env) is not Environment:
            return
        if not self._machines.rests():
            self._go_on(self._env._now + FIRST_NS, self._look)
            return
        try:
            changes = self._changes()
            if changes is None:
                self._remember()
                self._next(self._env._now + self._period)
            else:
                self._compare(changes)
        except CannotRestore:
            return  # there is something of which nobody knows what it holds
        except Uneven:
            self._was_uneven()

    def _changes(self) -> Changes | None:
        """What has changed since the last place; None: this is the first."""
        first = not self._heap
        before, self._heap = self._heap, self._entries()
        if self._held is None:
            self._held = Held((self._machines, self._env.threads), self._but)
            return None
        changes = self._held.step()
        if first:
            return None
        was, told = ([(time, *rest) for time, _, *rest in heap] for heap in (before, self._heap))
        changes[HEAP] = Change(was, told, self._keep_heap)
        return changes

    def _entries(self) -> list[Entry]:
        """What is on the heap, in order, without what only looks."""
        return sorted(entry for entry in self._env._queue if entry[3] is not LOOK)

    def _keep_heap(self, entries: Sequence[Any]) -> None:
        """Entries as ``_changes`` tells them."""
        keys = [entry[1] for entry in self._heap]
        self._heap = [(e[0], key, *e[1:]) for key, e in zip(keys, entries, strict=True)]

    def _compare(self, changes: Changes) -> None:
        """Leave rounds out, if this one was like the last even one. Raises ``Uneven``."""
        leapt, self._leapt = self._leapt, None
        if leapt is not None:
            if now(changes) != ahead(leapt.changes, leapt.rounds + 1):
                self._take_back(leapt, changes)
                return
            before = ahead(leapt.changes, leapt.rounds)
            changes = {p: c._replace(old=before[p]) for p, c in changes.items()}
            self._uneven, self._most, self._pause = 0, 2 * self._most, FIRST_NS
        last, self._last = self._last, steps(changes)
        if self._last not in (last, self._usual):
            raise Uneven
        self._usual = self._last
        events = self._env.taken() - self._taken
        self._leave_out(changes, self._how_many(changes, events), events)

    def _remember(self) -> None:
        self._deadlines = self._machines.deadlines()
        self._taken = self._env.taken()

    def _was_uneven(self) -> None:
        self._uneven += 1
        if self._uneven < TRIES:
            self._remember()
            self._next(self._env._now + self._period)
        else:
            self._wait()

    def _wait(self) -> None:
        """Rounds have to be made for a while."""
        self._uneven, self._most = 0, MOST
        self._go_on(self._env._now + self._pause, self._look)
        self._pause *= 2

    # --- leaving rounds out

    def _leave_out(self, changes: Changes, rounds: int, events: int) -> None:
        """Leave so many rounds like that of ``changes`` out, of so many ``events`` each."""
        env = self._env
        if rounds < FEW:
            self._forget()
            self._next(env._now + (rounds + 2) * self._period, self._other)
            return
        self._leapt = Leapt(changes, rounds, events, env._now, env.taken(), self._heap)
        contents = ahead(changes, rounds)
        for place, change in changes.items():
            change.write(contents[place])
        self._move(rounds * self._period, rounds * events)
        self.left_out += rounds
        self._go_on(env._now + self._period, self._place)

    def _take_back(self, leapt: Leapt, changes: Changes) -> None:
        """A number has passed another: go back, and leave out less."""
        env = self._env
        assert self._held is not None, "there are changes"
        assert all(change.known for change in changes.values()), "a program has run"
        for change in changes.values():
            change.write(change.old)
        self._held.step()
        self._heap = leapt.heap
        self._move(leapt.at_ns - env._now, leapt.taken - env.taken())
        self.left_out -= leapt.rounds
        self._most = leapt.rounds // 2
        if self._most < FEW:
            self._wait()
        else:
            self._leave_out(leapt.changes, self._most, leapt.events)

    def _move(self, ns: int, events: int) -> None:
        """Move time, with what is on the heap; who looks begins anew."""
        self._env.leap(ns, self._heap, events)
        for alarm, anew in self._looks.items():
            if alarm.due is not None:
                alarm.taken_away()
                anew()
        self._remember()

    def _how_many(self, changes: Changes, events: int) -> int:
        """How many rounds can be left out, so that the one behind them is still like them."""
        env, period = self._env, self._period
        heap = changes[HEAP]
        pairs: list[tuple[int, int]]
        pairs = [(old[0], new[0]) for old, new in zip(heap.old, heap.new, strict=True)]
        pairs += zip(self._deadlines, self._machines.deadlines(), strict=True)
        if any(new - old not in (0, period) for old, new in pairs):
            raise Uneven
        # The end of the run is among them.
        fixed = self._other = min(new for old, new in pairs if new == old)
        latest = max(env._now, *(new for old, new in pairs if new != old))
        left = env.event_limit - env.taken()
        limits = [(fixed - latest - 1) // period, left // events, self._most]
        if (until_edge := room(changes)) is not None:
            limits.append(until_edge)
        return min(limits) - 1
