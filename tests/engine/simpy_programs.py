"""Random SimPy programs: what each did, as a list, under whatever environment runs it.

A program is a set of processes drawn from a seed. It uses timeouts (many of them 0 or
equal), shared events that succeed or fail, a Store with a small capacity, a Resource,
processes as events, interrupts, conditions, plain callbacks and ``run(until=...)``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import simpy

OPERATIONS = (
    "sleep", "sleep", "put", "get", "fire", "wait", "both", "any", "fork", "spawn", "kick",
    "resource", "callback",
)  # fmt: skip
DELAYS = (0, 0, 1, 1, 2, 3, 7)


class BoomError(Exception):
    """What fails in a program."""


class Program:
    """One program; ``log`` is what happened: (time, who, what, value)."""

    def __init__(self, make: Callable[[], Any], seed: int) -> None:
        draw = random.Random(seed)
        self.env = make()
        self.log: list[tuple[Any, ...]] = []
        self.store = simpy.Store(self.env, capacity=draw.randint(1, 3))
        self.resource = simpy.Resource(self.env, capacity=draw.randint(1, 2))
        self.shared = [self.env.event() for _ in range(6)]
        self.processes: list[Any] = []
        for me in range(draw.randint(2, 9)):
            script = [
                (draw.choice(OPERATIONS), draw.choice(DELAYS), draw.randint(0, 9))
                for _ in range(draw.randint(3, 25))
            ]
            self.processes.append(self.env.process(self.actor(me, script)))

    def run(self) -> list[tuple[Any, ...]]:
        """Run it in four stretches."""
        for stop in (1, 2, 5):
            self.env.run(until=stop)
            self.note("stop", stop)
        value = self.env.run(until=200)
        self.note("end", value, [process.is_alive for process in self.processes])
        return self.log

    def note(self, *what: Any) -> None:
        self.log.append((self.env.now, *what))

    def child(self, me: object, delay: int) -> Iterator[Any]:
        self.note(me, "child")
        yield self.env.timeout(delay)
        return delay * 10

    def actor(self, me: int, script: list[tuple[str, int, int]]) -> Iterator[Any]:
        for step, (operation, a, b) in enumerate(script):
            try:
                value = yield from getattr(self, f"do_{operation}")((me, step), a, b)
                self.note(me, operation, value)
            except simpy.Interrupt as interrupt:
                self.note(me, operation, "interrupted", interrupt.cause)
            except BoomError as boom:
                self.note(me, operation, "boom", boom.args[0])
        return me

    def do_sleep(self, me: Any, a: int, b: int) -> Iterator[Any]:
        return (yield self.env.timeout(a, b))

    def do_put(self, me: Any, a: int, b: int) -> Iterator[Any]:
        yield self.store.put(me)

    def do_get(self, me: Any, a: int, b: int) -> Iterator[Any]:
        return (yield self.store.get())

    def do_fire(self, me: Any, a: int, b: int) -> Iterator[Any]:
        yield from ()
        event = self.shared[a % 6]
        if event.triggered:
            return "stale"
        if b % 5 == 0:
            event.fail(BoomError(b))
            event.defused = True
        else:
            event.succeed(b)
        self.shared[a % 6] = self.env.event()
        return "fired"

    def do_wait(self, me: Any, a: int, b: int) -> Iterator[Any]:
        found = yield self.shared[a % 6] | self.env.timeout(b + 1)
        return len(found.events)

    def do_both(self, me: Any, a: int, b: int) -> Iterator[Any]:
        found = yield self.env.timeout(a) & self.env.timeout(b)
        return len(found.events)

    def do_any(self, me: Any, a: int, b: int) -> Iterator[Any]:
        events = [self.env.timeout(a), self.env.timeout(b), self.shared[a % 6]]
        found = yield self.env.any_of(events)
        return sorted(map(str, found.todict().values()))

    def do_fork(self, me: Any, a: int, b: int) -> Iterator[Any]:
        return (yield self.env.process(self.child(me[0], a)))

    def do_spawn(self, me: Any, a: int, b: int) -> Iterator[Any]:
        yield from ()
        self.env.process(self.child(me, a))

    def do_kick(self, me: Any, a: int, b: int) -> Iterator[Any]:
        yield from ()
        process = self.processes[a % len(self.processes)]
        if not process.is_alive or process is self.env.active_process:
            return "not"
        process.interrupt(b)
        return "kicked"

    def do_resource(self, me: Any, a: int, b: int) -> Iterator[Any]:
        with self.resource.request() as request:
            yield request
            yield self.env.timeout(a)

    def do_callback(self, me: Any, a: int, b: int) -> Iterator[Any]:
        yield from ()
        self.env.timeout(a, b).callbacks.append(lambda event: self.note(me[0], "cb", event.value))


def outcome(make: Callable[[], Any], seed: int) -> Any:
    """The log of a program, or the exception that ended it."""
    try:
        return Program(make, seed).run()
    except Exception as error:  # whatever it is, it has to be the same one
        return type(error), str(error)
