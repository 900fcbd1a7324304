"""SimPy's timeouts and processes, made cheaper for an environment that counts whole ns.

Theory of operation
-------------------
* ``Timeout`` is SimPy's, made without running any constructor, and made again from one that
  nobody but the run loop refers to any more.
* ``Process`` is SimPy's with two more ways: it may yield an ``int`` to sleep that many ns,
  without any event (``yield 1500`` is ``yield env.timeout(1500)``), and it is started by a
  plain entry in the place of SimPy's ``Initialize``.

Each place that trades beauty for speed says so, and what it gives: ratios to stock SimPy of
the same workload, from ``python -m benchmarks engine``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from heapq import heappush
from typing import TYPE_CHECKING, Any, Final

import simpy
from simpy.events import URGENT, EventCallbacks

from desim.engine.environment import BAND

if TYPE_CHECKING:
    from desim.engine.simpy_environment import SimPyEnvironment

EARLY: Final = (URGENT - 1) * BAND
"""What is added to the next number (which counts from ``BAND``) for SimPy's two priorities."""


class Timeout(simpy.Timeout):
    """A ``simpy.Timeout`` that ``Environment.timeout`` makes without running a constructor."""


class _Nap:
    """What a process that sleeps for an ``int`` waits for, as far as an interrupt looks at it.

    An interrupt takes the process's callback out of what it waits for. That ends the sleep: the
    process's next one has another number.
    """

    __slots__ = ("process",)

    def __init__(self, process: Process) -> None:
        self.process = process

    @property
    def callbacks(self) -> _Nap:
        """The one that there is cannot be called by others: the sleep's entry on the heap does."""
        return self

    def remove(self, _: Callable[[Any], None]) -> None:
        """The process is interrupted."""
        self.process._naps += 1


class _Started:
    """The outcome of the event by which SimPy starts a process."""

    _ok = True
    _value = None


_STARTED: Any = _Started()


class Process(simpy.Process):
    """A ``simpy.Process`` that may yield an ``int`` to sleep that many ns."""

    env: SimPyEnvironment

    def __init__(self, env: SimPyEnvironment, generator: Generator[Any, Any, Any]) -> None:
        # NOTE: SimPy's constructor is written out, without its Initialize event.
        if not hasattr(generator, "throw"):
            raise ValueError(f"{generator} is not a generator.")
        self.env = env
        self.callbacks: EventCallbacks = []
        self._generator = generator
        self._nap: Any = _Nap(self)
        self._naps = 0
        self._target: Any = self._nap
        # NOTE: bound once instead of at each wait (1.05).
        self._send = generator.send
        self._wake: Callable[[Any], None] = self._resume
        self._rise: Callable[[Any], None] = self._slept
        heappush(env._queue, (env._now, next(env._eid) + EARLY, self._wake, _STARTED))

    def _slept(self, nap: int) -> None:
        """The ``nap``-th sleep is over, unless an interrupt has ended it before."""
        if nap != self._naps:
            return
        # NOTE: one sleep behind the other, without looking for events (2.0 with no event made).
        # And what is called is a variable first: an attribute that is called is looked for among
        # the methods, each time (1.03).
        env, send = self.env, self._send
        env._active_proc = self
        try:
            event = send(None)
        except StopIteration as stop:
            self._end(True, stop.value)
            return
        except BaseException as error:
            self._fail(error)
            return
        if type(event) is int and event >= 0:
            heappush(env._queue, (env._now + event, next(env._eid), self._rise, nap))
            env._active_proc = None
        else:
            outcome = self._wait(event)
            if outcome is not None:
                self._resume(outcome)

    def _resume(self, event: Any) -> None:
        # NOTE: SimPy's method with its lookups made once.
        env, send = self.env, self._send
        env._active_proc = self
        while True:
            try:
                if event._ok:
                    event = send(event._value)
                else:
                    event._defused = True
                    # A copy, so that the traceback of one process is not that of another.
                    error = type(event._value)(*event._value.args)
                    error.__cause__ = event._value
                    event = self._generator.throw(error)
            except StopIteration as stop:
                self._end(True, stop.value)
                return
            except BaseException as error:
                self._fail(error)
                return
            try:
                event.callbacks.append(self._wake)
            except AttributeError:
                event = self._wait(event)
                if event is None:
                    return
            else:
                self._target = event
                env._active_proc = None
                return

    def _wait(self, event: Any) -> Any:
        """Sleep if the generator has yielded a number of ns; else the outcome to go on with."""
        if type(event) is int:
            if event < 0:
                return _Refused(ValueError(f"Negative delay {event}"))
            env = self.env
            self._target = self._nap
            heappush(env._queue, (env._now + event, next(env._eid), self._rise, self._naps))
            env._active_proc = None
            return None
        if not hasattr(event, "callbacks"):
            raise RuntimeError(
                f"process {self.name} has yielded {event!r}: "
                "a process yields an event, or an int of ns to sleep"
            )
        if event.callbacks is None:
            return event  # it has happened already
        event.callbacks.append(self._wake)
        self._target = event
        self.env._active_proc = None
        return None

    def _fail(self, error: BaseException) -> None:
        """The generator has raised ``error``; the frame of this module is no part of its story."""
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next
        self._end(False, error)

    def _end(self, ok: bool, value: Any) -> None:
        self._ok = ok
        self._value = value
        self._target = None
        self.env.schedule(self)
        self.env._active_proc = None


class _Refused:
    """A failed outcome: it is raised in the process at its ``yield``."""

    _ok = False
    _defused = False

    def __init__(self, error: Exception) -> None:
        self._value = error
