"""Time is whole nanoseconds; plain SimPy code runs unchanged."""

import pytest
import simpy

from desim.engine.alarm import Alarm
from desim.engine.marks import Codes
from desim.engine.simpy_environment import SimPyEnvironment
from desim.engine.thread import Thread
from desim.errors import CirclingError, TooManyEventsError
from desim.machine.threads.big_lock import BigLock


@pytest.fixture
def env():
    return SimPyEnvironment()


@pytest.fixture
def thread(env):
    codes = Codes()
    ranks = iter(range(10, 100))
    return lambda name, body: Thread(env, name, next(ranks), body, codes)


def test_a_simpy_process_runs_unchanged(env):
    seen = []

    def clock(name, tick):
        for _ in range(3):
            seen.append((env.now, name))
            yield env.timeout(tick)

    store = simpy.Store(env)
    env.process(clock("fast", 5))
    env.process(clock("slow", 10))
    store.put("x")
    env.run()
    assert seen == [(0, "fast"), (0, "slow"), (5, "fast"), (10, "slow"), (10, "fast"), (20, "slow")]


@pytest.mark.parametrize("delay", [0.5, 1.0, True])
def test_a_delay_that_is_not_an_int_is_refused(env, delay):
    with pytest.raises(TypeError, match="int of nanoseconds"):
        env.timeout(delay)


def test_charging_moves_only_the_threads_own_time(env, thread):
    seen = []

    def body():
        t.charge(100)
        seen.append((t.now, env.now))
        t.meet()
        seen.append((t.now, env.now))

    t = thread("t", body)
    env.run()
    assert seen == [(100, 0), (100, 100)]


def test_a_meeting_without_anybody_earlier_makes_no_event(env, thread):
    def body():
        for _ in range(1000):
            t.charge(1)
            t.meet()

    t = thread("t", body)
    env.run()
    assert env.now == 1000
    assert env.steps < 5


def test_threads_meet_in_order_of_time_then_rank(env, thread):
    seen = []

    def body(name, cost):
        def run():
            for _ in range(2):
                env.running.charge(cost)
                env.meet()
                seen.append((env.now, name))

        return run

    thread("first", body("first", 10))
    thread("second", body("second", 5))
    env.run()
    assert seen == [(5, "second"), (10, "first"), (10, "second"), (20, "first")]


def test_an_interrupt_comes_behind_what_its_instant_has_seen_and_before_the_rest(env):
    """Who raises it at an instant is another thread, whose turn comes later at that instant."""

    def interrupt():
        cpu.irq_pending = False
        cpu.note("interrupt")
        cpu.charge(10)
        cpu.meet()

    def body():
        for cost, name in ((5, "before"), (3, "at the instant"), (4, "beyond"), (0, "and more")):
            cpu.charge(cost)
            cpu.note(name)
        cpu.meet()

    def raiser():
        env.running.charge(8)
        env.meet()
        cpu.irq_pending = True
        cpu.kick()

    cpu = Thread(env, "cpu", 10, body, Codes())
    cpu.interrupt, cpu.irqs_on = interrupt, True
    Thread(env, "raiser", 11, raiser, Codes())
    env.run()
    assert [(event[0], event[2]) for event in cpu.events] == [
        (5, "before"),
        (8, "at the instant"),
        (8, "interrupt"),
        (22, "beyond"),
        (22, "and more"),
    ]
    assert cpu.now == 22


def test_a_thread_can_wait_for_a_simpy_event_and_a_process_for_a_thread(env, thread):
    seen = []

    def body():
        seen.append(t.wait(env.timeout(30, value="late")))
        t.charge(5)
        return "done"

    def process():
        seen.append((yield t.over))
        seen.append(env.now)

    t = thread("t", body)
    env.process(process())
    env.run()
    assert seen == ["late", "done", 35]


def test_a_failed_event_raises_in_the_thread_that_waits(env, thread):
    event = env.event()

    def failing():
        yield env.timeout(5)
        event.fail(KeyError("no"))

    env.process(failing())

    def body():
        with pytest.raises(KeyError):
            t.wait(event)
        return "survived"

    t = thread("t", body)
    env.run()
    assert t.value == "survived"


def test_an_exception_in_a_thread_ends_the_run(env, thread):
    def body():
        raise ZeroDivisionError("in the thread")

    thread("t", body)
    with pytest.raises(ZeroDivisionError, match="in the thread"):
        env.run()


def test_two_threads_of_one_rank_are_refused(env):
    Thread(env, "a", 10, lambda: None, Codes())
    with pytest.raises(ValueError, match="rank 10"):
        Thread(env, "b", 10, lambda: None, Codes())


def test_simpys_ranks_are_refused(env):
    with pytest.raises(ValueError, match="SimPy"):
        Thread(env, "a", 1, lambda: None, Codes())


def test_circling_threads_are_named(env, thread):
    def body():
        while True:
            env.meet()

    thread("spinner", body)
    with pytest.raises(CirclingError, match="spinner"):
        env.run()


def test_a_run_with_too_many_events_is_ended():
    env = SimPyEnvironment(event_limit=10)

    def process():
        while True:
            yield env.timeout(1)

    env.process(process())
    with pytest.raises(TooManyEventsError):
        env.run()


def test_a_sleep_that_is_cut_short_again_and_again_keeps_few_entries(env, thread):
    def sleeper():
        while True:
            t.park("test", env.now + 1_000_000)

    def waker():
        for _ in range(500):
            env.running.charge(10)
            env.meet()
            t.wake()

    t = thread("sleeper", sleeper)
    thread("waker", waker)
    env.run(until=5_500)
    assert len(env._queue) < 5


def test_closing_ends_the_threads_that_wait(env, thread):
    def body():
        t.park("for ever")

    t = thread("t", body)
    env.run(until=10)
    assert t.is_alive
    env.close()
    assert not t.is_alive


def test_the_big_lock_is_first_come_first_served(env, thread):
    lock = BigLock(env)
    seen = []

    def body(name, start):
        def run():
            env.running.charge(start)
            lock.acquire()
            seen.append((env.now, name))
            env.running.charge(100)
            lock.release()

        return run

    thread("a", body("a", 2))
    thread("b", body("b", 1))
    thread("c", body("c", 3))
    env.run()
    assert seen == [(1, "b"), (101, "a"), (201, "c")]


def test_an_alarm_that_is_moved_rings_once(env):
    rung = []
    alarm = Alarm(env, lambda: rung.append(env.now))
    alarm.set(50)
    alarm.set(80)
    alarm.set(20)
    alarm.set(60)
    env.run()
    assert rung == [60]


def test_an_alarm_that_is_cleared_does_not_ring(env):
    alarm = Alarm(env, lambda: pytest.fail("rang"))
    alarm.set(50)
    alarm.clear()
    env.run()


def test_an_unknown_touch_point_is_refused(env):
    with pytest.raises(ValueError, match="nowhere"):
        env.touch_point("nowhere")
    with pytest.raises(ValueError, match="nowhere"):
        SimPyEnvironment(without=["nowhere"])


def test_a_sleep_until_what_has_passed_ends_now(env, thread):
    # Found by desim fuzz: what a thread did on its way to sleep took until behind the deadline.
    seen = []

    def body():
        t.charge(100)
        t.meet()
        t.park("poll", 60)
        seen.append((t.now, env.now))

    t = thread("t", body)
    env.run()
    assert seen == [(100, 100)]
