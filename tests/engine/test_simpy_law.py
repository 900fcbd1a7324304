"""What is written for SimPy runs on our environment as on SimPy's own, in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import simpy
from simpy_programs import outcome

from desim.engine.environment import Environment, TooManyEventsError
from desim.engine.simpy_environment import SimPyEnvironment


@pytest.mark.parametrize("first", range(0, 2000, 250))
def test_random_programs_run_in_the_order_of_simpy(first: int) -> None:
    for seed in range(first, first + 250):
        assert outcome(SimPyEnvironment, seed) == outcome(simpy.Environment, seed), f"seed {seed}"


def test_the_programs_reach_what_they_are_for() -> None:
    said = {entry[2] for seed in range(200) for entry in _log(seed) if len(entry) > 2}
    assert said >= {"sleep", "put", "get", "fire", "wait", "both", "any", "fork", "kick", "cb"}


def _log(seed: int) -> list[tuple[Any, ...]]:
    found = outcome(SimPyEnvironment, seed)
    return found if isinstance(found, list) else []


# Sleeping for an int


def test_an_int_is_a_sleep_of_as_many_ns() -> None:
    env, seen = SimPyEnvironment(), []

    def process(step: Any, name: str) -> Iterator[Any]:
        for _ in range(3):
            yield step(10)
            seen.append((env.now, name))

    env.process(process(env.timeout, "event"))
    env.process(process(int, "int"))
    env.run()
    assert seen == [(t, name) for t in (10, 20, 30) for name in ("event", "int")]


def test_ints_and_events_take_turns() -> None:
    env, seen = SimPyEnvironment(), []

    def process() -> Iterator[Any]:
        yield 5
        seen.append((yield env.timeout(5, value="event")))
        assert (yield 0) is None
        yield 1
        seen.append(env.now)
        return "done"

    assert env.run(env.process(process())) == "done"
    assert seen == ["event", 11]


def test_an_interrupt_cuts_a_sleep_short_and_the_rest_of_it_wakes_nobody() -> None:
    env, seen = SimPyEnvironment(), []

    def sleeper() -> Iterator[Any]:
        for length in (100, 30, 200):
            try:
                yield length
                seen.append((env.now, "slept"))
            except simpy.Interrupt as interrupt:
                seen.append((env.now, interrupt.cause))

    def other() -> Iterator[Any]:
        yield 40
        asleep.interrupt("once")
        yield 10
        asleep.interrupt("twice")

    asleep = env.process(sleeper())
    env.process(other())
    env.run()
    assert seen == [(40, "once"), (50, "twice"), (250, "slept")]


def test_a_negative_sleep_is_raised_in_the_process_as_simpy_does() -> None:
    env, seen = SimPyEnvironment(), []

    def process() -> Iterator[Any]:
        try:
            yield -1
        except ValueError as error:
            seen.append(str(error))
        yield 3

    env.process(process())
    env.run()
    assert (seen, env.now) == (["Negative delay -1"], 3)


@pytest.mark.parametrize("wrong", [1.5, True, "5s", None])
def test_what_is_no_event_and_no_int_is_refused_by_name(wrong: object) -> None:
    env = SimPyEnvironment()

    def sampler() -> Iterator[Any]:
        yield wrong

    env.process(sampler())
    with pytest.raises(RuntimeError, match=r"process sampler has yielded .* or an int of ns"):
        env.run()


def test_events_that_have_happened_already_are_passed_without_end() -> None:
    env = SimPyEnvironment()
    done = env.event().succeed(1)

    def process() -> Iterator[Any]:
        yield 1
        total = 0
        for _ in range(50_000):
            total += yield done
        return total

    assert env.run(env.process(process())) == 50_000


# Timeouts that are used again


def test_a_timeout_that_somebody_keeps_is_not_used_again() -> None:
    env = SimPyEnvironment()
    kept = []

    def process() -> Iterator[Any]:
        for number in range(100):
            event = env.timeout(1, value=number)
            if number % 3 == 0:
                kept.append(event)
            yield event

    env.process(process())
    env.run()
    assert [event.value for event in kept] == list(range(0, 100, 3))
    assert all(event.processed for event in kept)
    assert len({id(event) for event in kept}) == len(kept)


def test_a_timeout_is_simpys() -> None:
    env = SimPyEnvironment()
    event = env.timeout(5, value="x")
    assert isinstance(event, simpy.Timeout)
    assert (event.triggered, event.processed, event.value) == (True, False, "x")
    assert "Timeout(5, value=x)" in repr(event)


# Plain calls


def test_calls_come_in_the_order_of_events() -> None:
    env, seen = SimPyEnvironment(), []
    env.timeout(5).callbacks.append(lambda _: seen.append("event"))
    env.call_in(5, seen.append, "call")
    env.call_at(5, seen.append, "another")
    env.call_at(2, seen.append, "first")
    env.run()
    assert seen == ["first", "event", "call", "another"]


@pytest.mark.parametrize("instant", [1.0, True])
def test_an_instant_is_an_int(instant: Any) -> None:
    with pytest.raises(TypeError, match="int of nanoseconds"):
        SimPyEnvironment().call_at(instant, print)


def test_nothing_is_called_in_the_past() -> None:
    env = SimPyEnvironment()
    env.timeout(10)
    env.run()
    with pytest.raises(ValueError, match="the instant 9 is before now, 10"):
        env.call_at(9, print)
    with pytest.raises(ValueError, match="Negative delay -1"):
        env.call_in(-1, print)


# The run loop


def test_steps_are_counted_over_several_runs() -> None:
    env = SimPyEnvironment(event_limit=10)

    def process() -> Iterator[Any]:
        while True:
            yield 1

    env.process(process())
    env.run(until=4)
    assert env.steps == 5
    with pytest.raises(TooManyEventsError, match="more than 10 events"):
        env.run()
    assert env.steps == 10


def test_step_takes_one_entry() -> None:
    env, seen = SimPyEnvironment(), []
    env.call_in(1, seen.append, "call")
    env.timeout(2).callbacks.append(lambda _: seen.append("event"))
    env.step()
    assert (seen, env.now) == (["call"], 1)
    env.step()
    assert (seen, env.now) == (["call", "event"], 2)
    with pytest.raises(simpy.core.EmptySchedule):
        env.step()


def test_a_run_until_a_time_that_is_no_int_is_refused() -> None:
    with pytest.raises(TypeError, match="int of nanoseconds"):
        SimPyEnvironment().run(until=1.5)


def test_an_environment_becomes_one_of_simpy_in_the_middle_of_a_run() -> None:
    plain, seen = Environment(), []

    def process(env: simpy.Environment) -> Iterator[Any]:
        yield env.timeout(5)
        seen.append(env.now)
        yield env.timeout(2) & env.process(child())
        seen.append(env.now)

    def child() -> Iterator[Any]:
        yield 3

    def ask(_: object) -> None:
        env = SimPyEnvironment.of(plain)
        assert isinstance(env, simpy.Environment)
        assert env is plain is SimPyEnvironment.of(plain)
        env.process(process(env))

    plain.call_at(10, ask)
    assert plain.run_to(20) is None
    assert (seen, plain.time()) == ([15, 18], 20)


def test_a_stop_comes_behind_what_is_due_at_its_instant() -> None:
    env, seen = Environment(), []
    env.call_at(3, lambda _: (seen.append("first"), env.stop("enough")))
    env.call_at(3, seen.append, "second")
    env.call_at(4, seen.append, "never")
    assert env.run_to(10) == "enough"
    assert (seen, env.time(), env.idle()) == (["first", "second"], 3, True)
