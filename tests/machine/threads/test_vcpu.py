"""Who runs on the guest's processor, and when it gives way: programs, kernel threads, ksoftirqd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from desim.engine.marks import Codes
from desim.engine.simpy_environment import SimPyEnvironment
from desim.engine.thread import Thread
from desim.guest.cpu.context import NET_RX_SOFTIRQ, TIMER_SOFTIRQ
from desim.guest.cpu.rcu import Rcu
from desim.guest.cpu.sched import KThread, Scheduler
from desim.machine.threads.big_lock import BigLock
from desim.machine.threads.main_loop import MainLoop
from desim.machine.threads.vcpu import Vcpu
from desim.stages import Build, bare

US = 1_000
MS = 1_000_000


class Program:
    """A task that is no kernel thread; ``body`` is one system call after the other."""

    def __init__(self, vcpu: Vcpu, name: str, calls: list[Callable[[], None]]) -> None:
        self.vcpu = vcpu
        self.name = name
        self.vruntime = 0
        self.calls = calls

    def run(self) -> bool:
        """As ``ProcessTask.run``: gives way between calls if it has to."""
        while self.calls:
            self.calls.pop(0)()
            if self.calls and self.vcpu.sched.need_resched and self.vcpu.sched.run_queue:
                return True
        return False


class NoSockets:
    """Nothing to poll: the main loop serves timers only."""

    def ready(self) -> bool:
        return False

    def collect(self) -> None:
        """Nothing was watched."""


class Bench:
    """A virtual CPU that runs programs; ``order`` is what was said, and when in us."""

    def __init__(self, build: Build = bare) -> None:
        self.env = SimPyEnvironment()
        codes = Codes()
        loop = MainLoop(self.env, BigLock(self.env))
        loop.poller = NoSockets()
        self.vcpu = Vcpu(env=self.env, rank=10, codes=codes, clock=loop.timers, build=build)
        Thread(self.env, "main", 11, loop.main, codes)
        self.order: list[tuple[str, int]] = []

    def say(self, what: str) -> None:
        self.order.append((what, self.env.time() // US))

    def program(self, name: str, *calls: Callable[[], None]) -> Program:
        return Program(self.vcpu, name, list(calls))

    def thread(self, name: str, work_ns: int = 0) -> KThread:
        def function() -> bool:
            self.work(work_ns)
            self.say(name)
            return False

        return KThread(name, function)

    def call(self, ns: int, *woken: KThread | Program, says: str) -> Callable[[], None]:
        """A system call that works, wakes tasks, offers the processor and goes on."""

        def call() -> None:
            self.work(ns)
            for task in woken:
                self.vcpu.wake_task(task)
            self.vcpu.cond_resched()
            self.say(says)

        return call

    def work(self, ns: int) -> None:
        self.vcpu.thread.charge(ns)
        self.vcpu.thread.meet()

    def run(self, first: Program, *others: Program) -> list[str]:
        self.vcpu.boot = lambda: [self.vcpu.wake_task(task) for task in (first, *others)] and None
        self.env.run(until=100 * MS)
        self.env.close()
        return [what for what, _ in self.order]


def test_a_kernel_thread_runs_in_the_middle_of_a_call_that_offers_it() -> None:
    bench = Bench()
    thread = bench.thread("thread", 5 * US)

    def call() -> None:
        bench.work(2 * MS)
        bench.vcpu.wake_task(thread)
        bench.say("woken")
        bench.vcpu.cond_resched()
        bench.say("goes on")

    assert bench.run(bench.program("busy", call)) == ["woken", "thread", "goes on"]
    assert bench.order[-1] == ("goes on", 2005)


def test_it_waits_where_it_is_not_far_enough_behind() -> None:
    bench = Bench()
    call = bench.call(500 * US, bench.thread("thread"), says="goes on")
    assert bench.run(bench.program("busy", call)) == ["goes on", "thread"]


def test_a_program_waits_for_the_end_of_the_call() -> None:
    bench = Bench()
    other = bench.program("other", lambda: bench.say("other"))
    calls = bench.call(2 * MS, other, says="first call"), bench.call(0, says="second call")
    assert bench.run(bench.program("busy", *calls)) == ["first call", "other", "second call"]


def test_behind_the_kernel_threads_a_program_that_is_first_still_waits_for_the_end() -> None:
    bench = Bench()
    other = bench.program("other", lambda: bench.say("other"))
    first = bench.call(2 * MS, bench.thread("thread"), other, says="first call")
    order = bench.run(bench.program("busy", first, bench.call(0, says="second call")))
    assert order == ["thread", "first call", "other", "second call"]


def test_with_soft_interrupts_off_nobody_gives_way() -> None:
    bench = Bench()
    call = bench.call(2 * MS, bench.thread("thread"), says="goes on")

    def protected() -> None:
        bench.vcpu.local_bh_disable()
        call()
        bench.vcpu.local_bh_enable()

    assert bench.run(bench.program("busy", protected)) == ["goes on", "thread"]


def raised(bench: Bench, times: int, each_ns: int, at: dict[int, Callable[[], None]]) -> None:
    """A soft interrupt that raises itself again; ``at`` says what it does the n-th time."""
    done = 0

    def handler() -> None:
        nonlocal done
        done += 1
        bench.work(each_ns)
        at.get(done, lambda: None)()
        if done < times:
            bench.vcpu.raise_softirq(NET_RX_SOFTIRQ)
        else:
            bench.say("served")

    bench.vcpu.open_softirq(NET_RX_SOFTIRQ, handler)


def begin(bench: Bench) -> None:
    bench.vcpu.local_bh_disable()
    bench.vcpu.raise_softirq(NET_RX_SOFTIRQ)
    bench.vcpu.local_bh_enable()


def test_ksoftirqd_goes_on_while_nobody_is_to_go_first() -> None:
    """More than ten restarts, and a program that has been woken too soon to take its place."""
    bench = Bench()
    other = bench.program("other", lambda: bench.say("other"))
    raised(bench, 60, 10 * US, {15: lambda: bench.vcpu.wake_task(other)})
    assert bench.run(bench.program("busy", lambda: begin(bench))) == ["served", "other"]


def test_ksoftirqd_gives_way_to_who_is_to_go_first() -> None:
    bench = Bench()
    other = bench.program("other", lambda: bench.say("other"))
    raised(bench, 60, 100 * US, {40: lambda: bench.vcpu.wake_task(other)})
    assert bench.run(bench.program("busy", lambda: begin(bench))) == ["other", "served"]


class Watched(Rcu):
    """Notes when ``rcu_preempt`` runs."""

    def __init__(self, *, sched: Scheduler) -> None:
        self.time = sched._time
        self.woken: list[int] = []
        super().__init__(sched=sched)

    def rcu_gp_kthread(self) -> bool:
        self.woken.append(self.time())
        return super().rcu_gp_kthread()


def watched(cls: type[Any]) -> type[Any]:
    """The ``Build`` of a processor whose RCU is ``Watched``."""
    return Watched if cls is Rcu else cls


def test_a_grace_periods_thread_wakes_at_the_two_ticks_behind_a_call_to_rcu() -> None:
    bench = Bench(watched)
    bench.run(bench.program("program", lambda: bench.work(1 * MS), bench.vcpu.call_rcu))
    assert [time // MS for time in cast("Watched", bench.vcpu.rcu).woken] == [4, 8]
    # The tick stops when what waited has been freed, at the third.
    assert bench.vcpu.timer_interrupts == 3


def test_ksoftirqd_runs_while_a_kernel_function_sleeps() -> None:
    """Else nobody serves the soft interrupt in which the timer of the sleep fires."""
    bench = Bench()
    vcpu = bench.vcpu

    def call() -> None:
        vcpu.raise_softirq(TIMER_SOFTIRQ)
        bench.say("sleeps")
        vcpu.msleep(10)
        bench.say("goes on")

    assert bench.run(bench.program("sleeper", call)) == ["sleeps", "goes on"]
