"""A thread of control: its own stack, its own clock.

Theory of operation
-------------------
A thread's body runs on a stackful coroutine, so it can wait in the middle of a
core without the core knowing. ``charge`` moves the thread's own time, ``now``, ahead
of the environment's and makes no event. Before the thread touches what others can
see, it *meets* them: it waits until the environment has reached its time. If nothing
is due earlier it moves the clock itself, and no event is made.

An interrupt that arrives during a stretch that has been charged already is taken at
its own time: the thread is woken there, the handler runs nested on the same stack,
and the rest of the stretch follows, with what was recorded of it moved behind.

What happens on a thread is recorded as cheaply as can be: the entry or exit of a
stage or wait is one ``int`` in ``marks``, ``now << 16 | code``; anything else is a tuple
in ``events``. ``desim.engine.trace`` takes them over at a meeting now and then.

A thread has few entries in the heap however often its sleep is cut short: a
deadline that moved later reuses the entry that is there and re-arms when it fires.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Protocol, cast

import greenlet

from desim.engine.environment import BAND, CHUNK, CIRCLING_LIMIT, LOOK, NOBODY, STILL_LOOK
from desim.engine.marks import CODE_BITS, Codes, Row

if TYPE_CHECKING:
    from simpy.events import Event

    from desim.engine.environment import Environment

FIRST_RANK = 10
"""Ranks below this one are SimPy's own priorities."""

SHORT_ROW = 50
"""Fewer marks of a row are sooner added to the thread's than handed in."""

STACK_WORDS = 1 << 14
"""What is asked for a thread's stack: half of what it gets, the other half being for its frames."""


class Collect(Protocol):
    """Takes over what a thread has recorded, and the first ``count`` marks of a row behind it."""

    def __call__(
        self, thread: Thread, row: Row | None = None, begin: int = 0, count: int = 0
    ) -> None: ...


class Thread:
    """One thread of control.

    At one instant the thread with the lower ``rank`` goes first. The body starts
    at the instant at which the thread is made.
    """

    # NOTE: one class of threads, all that they hold in slots, nothing left to the class: what each
    # meeting reads is found at once (0.96 of a segment's instructions).
    __slots__ = (
        "_band", "_body", "_due", "_entries", "_greenlet", "_over", "_parked", "codes", "collect",
        "env", "events", "interrupt", "irq_pending", "irqs_on", "is_alive", "key",
        "marks", "marks_waits", "name", "now", "open", "rank", "taken", "value", "waiting",
    )  # fmt: skip

    env: Environment
    name: str
    rank: int
    key: int
    """The lowest key on the heap of an entry of its rank."""
    now: int
    """This thread's own time, in ns: never behind the environment's while it runs."""
    taken: int
    """How many marks the trace has taken over already."""
    is_alive: bool
    interrupt: Callable[[], None]
    """Takes the pending interrupt, on this stack; a virtual CPU's thread is given one."""
    irq_pending: bool
    """Whether an interrupt waits to be taken; only a virtual CPU ever sets it."""
    irqs_on: bool
    """Whether it may be taken at the next meeting."""
    marks_waits: bool
    """Whether waits are recorded; whoever records says so."""
    open: int
    """How many stages are open, its loop apart, where somebody counts them; 1 elsewhere."""
    value: Any
    """What the body returned."""

    def __init__(
        self, env: Environment, name: str, rank: int, body: Callable[[], object], codes: Codes
    ) -> None:
        if rank < FIRST_RANK:
            raise ValueError(f"rank {rank} of {name} is SimPy's; threads start at {FIRST_RANK}")
        held = env.by_rank.get(rank)
        if held is not None and held.is_alive:
            raise ValueError(f"there is a thread of rank {rank} already")
        self.env = env
        self.name = name
        self.rank = rank
        self.key = rank * BAND
        self._band = self.key - BAND  # the numbers of entries begin in SimPy's normal band
        self.codes = codes
        self.now = env._now
        self.marks: list[int] = []
        self.events: list[tuple[Any, ...]] = []
        self.taken = 0
        self.waiting: str | None = "start"
        self.is_alive = True
        self.collect: Collect | None = None
        self._body = body
        self.interrupt = _no_interrupt
        self.irq_pending = self.irqs_on = False
        self.marks_waits = True
        self.open = 1
        self.value = None
        self._over: Event | None = None
        self._due: int | None = None
        self._parked = 0
        self._entries: list[int] = []  # the heap's entries for this thread, earliest last
        self._greenlet = greenlet.greenlet(self._main)
        env.threads.append(self)
        env.by_rank[rank] = self
        self._wake_at(env._now)

    def __repr__(self) -> str:
        return f"<Thread {self.name}>"

    @property
    def over(self) -> Event:
        """The SimPy event that happens when the body has returned, with what that was."""
        if self._over is None:
            from desim.engine.simpy_environment import SimPyEnvironment

            self._over = SimPyEnvironment.of(self.env).event()
            if not self.is_alive:
                self._over.succeed(self.value)
        return self._over

    # --- what the thread itself does

    def charge(self, ns: int) -> None:
        """Spend ``ns`` of this thread's time."""
        self.now += ns
        if self.env.strict and self.is_alive:  # not while a killed body unwinds
            self.meet()

    def note(self, kind: str, *data: Any) -> None:
        """Record something that happens now on this thread."""
        self.events.append((self.now, self.taken + len(self.marks), kind, *data))

    def mark(self, row: Row, begin: int, count: int | None = None) -> None:
        """Record the first ``count`` marks of a row that began then (None: all of them).

        The environment has reached the last one's time: no interrupt moves them.
        """
        marks = row.marks if count is None else row.marks[:count]
        if self.collect is not None and (
            len(marks) >= SHORT_ROW or len(self.marks) + len(marks) > CHUNK
        ):
            self.collect(self, row, begin, len(marks))
        elif marks:
            begin <<= CODE_BITS
            self.marks += [begin + mark for mark in marks]

    def meet(self) -> None:
        """Wait until the environment has reached this thread's time.

        Interrupts that come before are taken at their time. Raises ``CirclingError``
        when this has happened too often without time moving.
        """
        env = self.env
        while True:
            if self.irq_pending and self.irqs_on:
                self._interrupted()
                continue
            target = self.now
            queue = env._queue
            if queue:
                head = queue[0]
                alone = head[0] > target or (head[0] == target and head[1] >= self.key)
            else:
                alone = True
            if alone:
                if target > env._now:
                    env._now = target
                    if self.collect is not None and len(self.marks) > CHUNK:
                        self.collect(self)
                elif env.still_at != target:
                    env.still_at = target
                    env.still = 0
                elif env.still < CIRCLING_LIMIT:
                    env.still += 1
                    if not env.still & STILL_LOOK and self.collect is not None:
                        if len(self.marks) > CHUNK:
                            self.collect(self)
                else:
                    raise env.circling()
                return
            if queue[0][3] is LOOK and env.only_looks(target, self.key):
                env.uncounted += 1
            self._sleep(target)
            if env._now == target and not (self.irq_pending and self.irqs_on):
                return

    def park(self, reason: str, deadline: int | None = None) -> None:
        """Sleep until ``wake``, or until ``deadline`` (ns), whichever comes first.

        A deadline that has passed is now: what the thread did on its way here may have taken until
        behind it, and time does not go back. The thread must have met the others. ``reason`` is
        what a report calls the time spent here.
        """
        assert self.now == self.env._now, f"{self.name} sleeps before it has met the others"
        if deadline is not None and deadline < self.now:
            deadline = self.now
        code = -1
        if self.marks_waits:
            code = self.codes.wait(reason)
            self.marks.append(self.now << CODE_BITS | code)
        self.waiting = reason
        self._sleep(deadline)
        self.waiting = None
        self.now = self.env._now
        if code >= 0:
            self.marks.append(self.now << CODE_BITS | code + 1)
            # Where nothing costs time, time need not move for long.
            self._parked += 1
            if not self._parked & 7 and self.collect is not None and len(self.marks) > CHUNK:
                self.collect(self)

    def wait(self, event: Event) -> Any:
        """Wait for any SimPy event and return its value, or raise its exception."""
        self.meet()
        if event.callbacks is not None:
            event.callbacks.append(self._happened)
            self.park("event")
        if not event.ok:
            raise cast("BaseException", event.value)
        return event.value

    # --- what others do to it

    def wake(self) -> None:
        """End this thread's ``park`` at the current instant."""
        if self.waiting is not None:
            self._wake_at(self.env._now)

    def kick(self) -> None:
        """An interrupt has become pending: stop at the current instant and look."""
        if self.env.running is not self:
            self._wake_at(self.env._now)

    def kill(self) -> None:
        """End the body where it waits; nothing of it runs afterwards."""
        if self.is_alive:
            self.is_alive = False
            self._due = None
            self._greenlet.throw(greenlet.GreenletExit)

    # --- how it is done

    def _interrupted(self) -> None:
        """Run the handler now; what was charged and recorded beyond now follows it.

        What was recorded at this very instant does not: who raised the interrupt is another
        thread, of a higher rank or woken by this one.
        """
        env, marks, events = self.env, self.marks, self.events
        instant = env._now
        rest, self.now = self.now - instant, instant
        begin = instant + 1
        first, later = len(marks), len(events)
        while first and marks[first - 1] >> CODE_BITS >= begin:
            first -= 1
        while later and events[later - 1][0] >= begin:
            later -= 1
        tail, tail_events, place = marks[first:], events[later:], self.taken + first
        del marks[first:], events[later:]
        self.interrupt()
        while self.irq_pending and self.irqs_on:
            # One that came meanwhile is taken before the rest, too.
            self.interrupt()
        self.now = env._now + rest
        passed = env._now - instant
        moved = self.taken + len(marks) - place
        marks += [mark + (passed << CODE_BITS) for mark in tail]
        events += [(e[0] + passed, e[1] + moved, *e[2:]) for e in tail_events]

    def _happened(self, event: Event) -> None:
        if not event.ok:
            event.defused = True  # the thread that waits raises it
        self.wake()

    def _main(self) -> None:
        self.waiting = None
        value = self._body()
        self.meet()
        self.is_alive = False
        self._due = None
        self.value = value
        if self._over is not None:
            self._over.succeed(value)

    def _sleep(self, until: int | None) -> None:
        env = self.env
        hub = env.hub
        assert hub is not None, "a thread can wait only while the environment runs"
        goes_on = hub
        self._due = until
        if until is not None:
            self._enter(until)
        # NOTE: if threads are next on the heap, what the loop would do with their entries is done
        # here, and the next one goes on without a way round by the loop (0.98 of a segment's
        # instructions). One that begins does so from the loop, where its stack is to lie.
        queue, left = env._queue, env._left
        while queue and left is not None:
            instant, _, target, thread = queue[0]
            if target is not _fired or thread.waiting == "start" or next(left, None) is None:
                break
            heappop(queue)
            env._now = instant
            if thread._is_due():
                if thread is self:
                    return
                goes_on = thread._greenlet
                goes_on.parent = hub
                env.running = env.payer = thread
                break
        goes_on.switch()

    def _wake_at(self, instant: int) -> None:
        self._due = instant
        self._enter(instant)

    def _enter(self, instant: int) -> None:
        """See to it that the heap wakes this thread by ``instant``, among threads of its rank."""
        entries = self._entries
        if not entries or instant < entries[-1]:
            entries.append(instant)
            env = self.env
            # NOTE: ``Environment.call_by_rank`` written out (one call less for each sleep).
            heappush(env._queue, (instant, next(env._eid) + self._band, _fired, self))

    def _is_due(self) -> bool:
        """Its earliest entry has been taken off the heap: whether it goes on now."""
        fired = self._entries.pop()
        due = self._due
        if due is None:
            return False
        if due > fired:
            self._enter(due)
            return False
        self._due = None
        return True


def _fired(thread: Thread) -> None:
    """The heap's loop has come to an entry of this thread."""
    if thread._is_due():
        env = thread.env
        env.running = env.payer = thread
        hub = env.hub
        assert hub is not None, "the heap is run by the environment"
        thread._greenlet.parent = hub
        thread._greenlet.switch()
        # Whichever thread has come back here.
        env.running = None
        env.payer = NOBODY


def _no_interrupt() -> None:
    """What a thread takes that has no interrupts."""
    raise AssertionError("this thread takes no interrupts")


# NOTE: the interpreter keeps a stack's frames in pieces of 16 KiB. At the end of a piece each call
# maps the next one and each return gives it back: a virtual CPU that works there, for a whole
# transfer, takes twice the time. A piece is at least as large as the frame that begins it, so the
# first frame of a thread asks for a large one, of which only what is used takes memory.
Thread._main.__code__ = Thread._main.__code__.replace(co_stacksize=STACK_WORDS)
