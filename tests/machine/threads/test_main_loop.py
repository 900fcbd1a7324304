"""The main loop sleeps as long as it may, and no longer."""

import pytest

from desim.engine.marks import Codes
from desim.engine.simpy_environment import SimPyEnvironment
from desim.engine.thread import Thread
from desim.machine.threads.big_lock import BigLock
from desim.machine.threads.main_loop import MS, MainLoop


class Source:
    """Says how long it could sleep and notes when it is served."""

    def __init__(self, env, sleep_ms):
        self.env = env
        self.sleep_ms = sleep_ms
        self.served = []

    def pollfds_fill(self):
        return self.sleep_ms

    def pollfds_poll(self):
        self.served.append(self.env.time())


class Poller:
    is_ready = False

    def ready(self):
        return self.is_ready

    def collect(self):
        self.is_ready = False


@pytest.fixture
def env():
    return SimPyEnvironment()


@pytest.fixture
def poller():
    return Poller()


@pytest.fixture
def loop(env, poller):
    loop = MainLoop(env, BigLock(env))
    loop.poller = poller
    loop.sources.append(Source(env, 10))
    Thread(env, "main", 11, loop.main, Codes())
    return loop


def served(env, loop, until):
    env.run(until=until)
    return loop.sources[0].served


def test_it_sleeps_as_long_as_its_sources_allow(env, loop):
    assert served(env, loop, 35 * MS) == [10 * MS, 20 * MS, 30 * MS]


def test_a_timer_wakes_it_and_runs_after_the_sources(env, loop):
    fired = []
    timer = loop.timers.timer("t", lambda: fired.append((env.now, list(loop.sources[0].served))))
    timer.arm(4 * MS)
    served(env, loop, 5 * MS)
    assert fired == [(4 * MS, [0, 4 * MS])], "arming woke the loop once, at the start"
    assert timer.deadline is None


def test_timers_fire_in_order_of_deadline_then_of_arming(env, loop):
    fired = []
    for name, deadline in (("late", 3), ("b", 2), ("a", 2), ("early", 1)):
        loop.timers.timer(name, lambda n=name: fired.append(n)).arm(deadline)
    served(env, loop, 5 * MS)
    assert fired == ["early", "b", "a", "late"]


def test_a_cancelled_timer_does_not_fire(env, loop):
    timer = loop.timers.timer("t", lambda: pytest.fail("fired"))
    timer.arm(2 * MS)
    timer.cancel()
    timer.cancel()
    served(env, loop, 5 * MS)


def test_notify_ends_the_sleep_and_an_early_one_is_kept(env, loop):
    def body():
        env.running.charge(3 * MS)
        loop.notify()

    Thread(env, "other", 12, body, Codes())
    loop.notify()
    assert served(env, loop, 4 * MS) == [0, 3 * MS]


def test_a_ready_descriptor_ends_the_sleep(env, loop, poller):
    def body():
        env.running.charge(3 * MS)
        env.meet()
        poller.is_ready = True
        loop.on_ready()

    Thread(env, "other", 12, body, Codes())
    assert served(env, loop, 4 * MS) == [3 * MS]


@pytest.mark.parametrize("how", ["notify", "on_ready"])
def test_what_comes_on_the_way_to_sleep_ends_the_sleep(env, loop, how):
    """In QEMU the notification is a descriptor, too, and poll() finds either readable."""
    sleep = loop.ppoll

    def ppoll(thread, deadline):
        thread.charge(1_000)
        sleep(thread, deadline)

    def body():
        env.running.charge(500)
        env.meet()
        getattr(loop, how)()

    loop.ppoll = ppoll
    Thread(env, "other", 12, body, Codes())
    assert served(env, loop, 4 * MS) == [1_000]


def test_only_timers_that_are_not_periodic_keep_a_run_going(loop):
    loop.timers.timer("tick", lambda: None, periodic=True).arm(5)
    assert not loop.timers.waiting()
    loop.timers.timer("once", lambda: None).arm(9)
    assert loop.timers.waiting()
