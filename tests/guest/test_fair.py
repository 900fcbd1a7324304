"""Who runs next on the guest's processor."""

from __future__ import annotations

from desim.guest.cpu.fair import (
    IDLE_WEIGHT,
    LATENCY_NS,
    MIN_GRANULARITY_NS,
    NICE_0_WEIGHT,
    SLEEPER_CREDIT_NS,
    WAKEUP_GRANULARITY_NS,
    RunQueue,
)

MS = 1_000_000


class Named:
    def __init__(self, name: str) -> None:
        self.name = name
        self.vruntime = 0

    def run(self) -> bool:
        return False


def ran(queue: RunQueue, task: Named, begin: int, length: int, *, again: bool = False) -> int:
    """Let ``task``, which must be next, run for a while; the time afterwards."""
    assert queue.pick(begin) is task
    queue.put(begin + length, again=again)
    return begin + length


def test_of_two_that_have_run_as_long_the_first_to_come_is_first() -> None:
    queue, first, second = RunQueue(), Named("first"), Named("second")
    queue.wake(first, 0)
    queue.wake(second, 0)
    assert queue.pick(0) is first


def test_who_has_run_less_is_first_however_late_it_came() -> None:
    queue, busy, lazy = RunQueue(), Named("busy"), Named("lazy")
    queue.wake(busy, 0)
    now = ran(queue, busy, 0, 5 * MS, again=True)
    queue.wake(lazy, now)
    assert queue.pick(now) is lazy


def test_a_sleep_is_worth_half_a_period_and_no_more() -> None:
    queue, sleeper, other = RunQueue(), Named("sleeper"), Named("other")
    queue.wake(sleeper, 0)
    ran(queue, sleeper, 0, 0)
    queue.wake(other, 0)
    now = ran(queue, other, 0, 100 * MS, again=True)
    queue.wake(sleeper, now)
    assert other.vruntime - sleeper.vruntime == SLEEPER_CREDIT_NS


def test_two_that_have_slept_while_others_ran_go_in_the_order_of_their_waking() -> None:
    queue = RunQueue()
    nc, ksoftirqd, script = Named("nc"), Named("ksoftirqd"), Named("script")
    queue.wake(nc, 0, new=True)
    now = ran(queue, nc, 0, 10 * MS)
    queue.wake(script, now, new=True)
    now = ran(queue, script, now, 10 * MS)
    queue.wake(nc, now)
    queue.wake(ksoftirqd, now)
    assert queue.pick(now) is nc


def test_ksoftirqd_goes_before_a_task_that_slept_while_nothing_ran() -> None:
    queue, nc, ksoftirqd = RunQueue(), Named("nc"), Named("ksoftirqd")
    queue.wake(nc, 0, new=True)
    now = ran(queue, nc, 0, 10 * MS)
    queue.wake(nc, now)
    queue.wake(ksoftirqd, now)
    assert queue.pick(now) is ksoftirqd


def test_a_new_task_starts_one_share_behind() -> None:
    queue, old, new = RunQueue(), Named("old"), Named("new")
    queue.wake(old, 0)
    queue.pick(0)
    queue.wake(new, 5 * MS, new=True)
    assert new.vruntime == 5 * MS + LATENCY_NS


def test_waking_takes_the_processor_only_from_who_is_well_ahead() -> None:
    queue, current, woken = RunQueue(), Named("current"), Named("woken")
    queue.wake(current, 0)
    queue.pick(0)
    assert not queue.wake(woken, WAKEUP_GRANULARITY_NS - SLEEPER_CREDIT_NS + 2 * MS)
    queue, current, woken = RunQueue(), Named("current"), Named("woken")
    queue.wake(current, 0)
    queue.pick(0)
    assert queue.wake(woken, 2 * MS)


def test_waking_always_takes_it_from_the_idle_loop() -> None:
    assert RunQueue().wake(Named("any"), 0)


def test_the_tick_ends_a_share_only_if_somebody_waits() -> None:
    queue, current = RunQueue(), Named("current")
    queue.wake(current, 0)
    queue.pick(0)
    assert not queue.tick(100 * MS)
    queue.wake(Named("other"), 100 * MS)
    assert queue.tick(100 * MS + LATENCY_NS)


def spinning(now: int = 0) -> RunQueue:
    """A queue on which a program of the lowest class runs."""
    queue = RunQueue()
    queue.spinner(now, 1)
    assert queue.spins
    assert queue.pick(now) is None
    return queue


def test_waking_always_takes_it_from_a_program_of_the_lowest_class() -> None:
    assert spinning().wake(Named("any"), 0)


def test_those_that_wake_while_it_spins_go_in_the_order_of_their_waking() -> None:
    """However differently they have run before: the writer goes before ksoftirqd."""
    queue, writer, ksoftirqd = spinning(), Named("writer"), Named("ksoftirqd")
    now = 1 * MS
    queue.wake(writer, now)
    queue.put(now, again=True)
    now = ran(queue, writer, now, 100_000)
    assert queue.pick(now) is None
    now += 50_000
    queue.wake(writer, now)
    queue.wake(ksoftirqd, now)
    assert writer.vruntime == ksoftirqd.vruntime
    queue.put(now, again=True)
    assert queue.pick(now) is writer


def test_its_own_time_counts_by_its_weight() -> None:
    queue, woken = spinning(), Named("woken")
    queue.wake(woken, 1 * MS)
    assert woken.vruntime == 1 * MS * NICE_0_WEIGHT // IDLE_WEIGHT - SLEEPER_CREDIT_NS


def test_it_has_its_turn_when_the_others_are_ahead_of_it_and_keeps_it_to_a_tick() -> None:
    queue, busy = spinning(), Named("busy")
    queue.wake(busy, 0)
    queue.put(0, again=True)
    now = ran(queue, busy, 0, SLEEPER_CREDIT_NS + 1, again=True)
    assert queue.pick(now) is None
    assert not queue.tick(now + MIN_GRANULARITY_NS - 1)
    assert queue.tick(now + MIN_GRANULARITY_NS + 1)


def test_without_such_programs_nobody_spins() -> None:
    queue = spinning()
    queue.spinner(0, -1)
    queue.put(0, again=True)
    assert not queue.spins
    assert not queue
