"""The environment of a machine as one of SimPy's, for processes of your own beside it.

``SimPyEnvironment`` is ``simpy.Environment`` in whole nanoseconds; processes written for SimPy
run on it unchanged.

* A delay of any other type than ``int`` is refused.
* Processes may yield an ``int`` to sleep (``desim.engine.events``).
* At one instant SimPy's events come before the threads of the machine.

SimPy is imported here and in ``desim.engine.events``, and nowhere else: a run that nobody puts
processes beside does not need it, and its import takes as long as three bare starts of Python.
"""

from __future__ import annotations

from collections.abc import Generator
from heapq import heappop, heappush
from types import MethodType
from typing import Any

import simpy
from simpy.core import EmptySchedule, StopSimulation
from simpy.events import URGENT, Event

from desim.engine.environment import DRY, EVENT, TIMEOUT, Environment, Stop, copy_of, no_time
from desim.engine.events import Process, Timeout
from desim.errors import TooManyEventsError

SPARE = 8
"""Timeouts that are made at once."""


# SimPy declares its heap and its numbers for entries of its own shape; those of ours are another.
class SimPyEnvironment(Environment, simpy.Environment):  # type: ignore[misc]
    """A SimPy environment in integer nanoseconds, with threads."""

    stops = (Stop, StopSimulation)

    # NOTE: SimPy's two properties are the slots themselves (1.02 of a Store).
    now = vars(Environment)["_now"]
    active_process = vars(Environment)["_active_proc"]

    def __init__(self, **options: Any) -> None:
        """``options`` are those of ``Environment``."""
        super().__init__(**options)
        self._become()

    @classmethod
    def of(cls, env: Environment) -> SimPyEnvironment:
        """``env`` itself, which is one of SimPy's from now on."""
        if not isinstance(env, cls):
            # The same object, because threads and models hold it already.
            env.__class__ = cls
            assert isinstance(env, cls)
            env._become()
        return env

    def _become(self) -> None:
        self._active_proc = None
        # NOTE: bound to the instance, as SimPy does for its own class (1.05).
        self.event = MethodType(Event, self)  # type: ignore[method-assign]  # as SimPy itself does

    def timeout(self, delay: float = 0, value: Any = None) -> Timeout:
        """As in SimPy; ``delay`` is an ``int`` of ns, or ``TypeError`` is raised."""
        if type(delay) is not int or delay < 0:
            raise no_time("the delay", delay, 0)
        # NOTE: made in place, and from one that nobody needs any more (1.3 with the loop's part).
        event: Timeout
        try:
            event = self._spare.pop()
        except IndexError:
            event = self._more()
        event.callbacks = []
        event._value = value
        event._delay = delay
        heappush(self._queue, (self._now + delay, next(self._eid), event, TIMEOUT))
        return event

    def _more(self) -> Timeout:
        """A Timeout, and some spare ones."""
        # NOTE: a list that goes between nothing and one asks for memory each time (1.08).
        for _ in range(SPARE):
            event = Timeout.__new__(Timeout)
            event.env = self
            event._ok = True
            self._spare.append(event)
        return self._spare.pop()  # type: ignore[no-any-return]  # only these lie there

    def process(self, generator: Generator[Any, Any, Any]) -> Process:
        """As in SimPy; the generator may also yield an ``int`` to sleep that many ns."""
        return Process(self, generator)

    def run(self, until: Any = None) -> Any:
        """As in SimPy; ``until`` is an instant in ns (``int``), an event or None."""
        if until is not None:
            until = self._stop_at(until)
            if until.callbacks is None:
                return until.value
            until.callbacks.append(StopSimulation.callback)
        value = self._run()
        if value is not DRY:
            return value
        if until is not None:
            raise RuntimeError(
                f'No scheduled events left but "until" event was not triggered: {until}'
            )
        return None

    def _stop_at(self, until: Any) -> Any:
        """The event at which the run ends; an instant becomes one, ahead of all others there."""
        if hasattr(until, "callbacks"):
            return until
        if type(until) is not int:
            raise TypeError(f"time is an int of nanoseconds; the instant {until!r} is not")
        if until <= self._now:
            raise ValueError(f"until ({until}) must be greater than the current simulation time")
        event = Event(self)
        event._ok = True
        event._value = None
        self.schedule(event, URGENT, until - self._now)
        return event

    def step(self) -> None:
        """Take the next entry off the heap; ``simpy.core.EmptySchedule`` is raised without one."""
        if not self._queue:
            raise EmptySchedule
        if self.steps >= self.event_limit:
            raise TooManyEventsError(f"more than {self.event_limit} events by {self._now} ns")
        self.steps += 1
        self._now, _, target, argument = heappop(self._queue)
        if argument is not EVENT and argument is not TIMEOUT:
            target(argument)
            return
        callbacks, target.callbacks = target.callbacks, None
        try:
            for callback in callbacks:
                callback(target)
        except StopSimulation:
            self._again(target, callbacks, callback)
            raise
        if not target._ok and not hasattr(target, "_defused"):
            raise copy_of(target._value)
