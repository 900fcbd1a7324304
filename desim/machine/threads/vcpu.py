"""The guest's processor: what runs on it, and what interrupts it.

Models: the vCPU thread of QEMU (cpus.c) and, on it, Linux' entry code
(arch/x86/entry), soft interrupts (kernel/softirq.c), scheduler and idle loop
(kernel/sched), each as far as the path of a packet goes through it.

Theory of operation
-------------------
One thread runs everything, on one stack:

* *Tasks*: programs (generators of system calls), kworkers (functions), ksoftirqd and
  ``rcu_preempt``. They are not preempted in the kernel; a task that has been woken runs
  when the current one sleeps or, if it is to go first (``desim.guest.cpu.sched``), returns
  to user mode; a kernel thread also where a long call offers it (``cond_resched``).
* *Hard interrupts* come at any meeting while interrupts are on, at their own
  instant, nested on whatever runs: the local timer first, then the card.
* *Soft interrupts* run at the end of a hard interrupt, at ``local_bh_enable``, or
  in ksoftirqd when they have been restarted ten times, for two milliseconds, or
  while a task waits to run. While ksoftirqd is awake it alone runs them.

A device access is one instruction: it takes the big lock and runs the card (and
behind it the net layer and slirp) on this thread, and no interrupt comes in
between, however long it waits for the lock.

The tick (kernel/time/tick-sched.c) comes with every jiffy while the CPU is busy. It
is stopped in the idle loop, where the CPU is interrupted for the next timer only
(NO_HZ), and started again when a task is to run. A program of the lowest class
(SCHED_IDLE) that computes for ever takes the idle loop's place: the CPU never halts,
the tick never stops, and whatever else is woken runs at once.

Not modelled: several CPUs, preemption of user mode in the middle of a program's
own time, priorities among tasks except that class.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from desim.engine.alarm import Alarm
from desim.engine.environment import Environment
from desim.engine.thread import Thread
from desim.engine.trace import Codes
from desim.guest.cpu.context import JIFFY_NS, RCU_SOFTIRQ, TIMER_SOFTIRQ
from desim.guest.cpu.ioapic import IoApicPin
from desim.guest.cpu.rcu import Rcu
from desim.guest.cpu.sched import RunQueue, Task
from desim.guest.cpu.timers import DelayedWork, TimerWheel, WheelTimer
from desim.stages import GUEST, QEMU, mark, stages
from desim.userland.waitqueue import WaitQueue

MAX_SOFTIRQ_RESTART = 10
MAX_SOFTIRQ_TIME = 1
"""Jiffies (``msecs_to_jiffies(2)``)."""


class Waiter(Protocol):
    """Something on a wait queue."""

    def wake(self) -> None:
        """It may have what it waits for; the caller has met the others."""


class KThread:
    """A kernel thread that calls ``function`` each time it is woken, or again if that says so."""

    def __init__(self, name: str, function: Callable[[], bool]) -> None:
        self.name = name
        self.vruntime = 0
        self._function = function

    def run(self) -> bool:
        """Until it sleeps (False) or lets others run (True)."""
        return self._function()


class _VcpuThread(Thread):
    """A thread whose interrupts are the virtual CPU's."""

    take: Callable[[], None]

    def interrupt(self) -> None:
        self.take()


class Vcpu:
    """One virtual CPU; the ``Cpu`` of the guest's kernel code."""

    STAGES = stages(
        GUEST,
        qemu_tcg_cpu_thread_fn=mark(
            "qemu_tcg_cpu_thread_fn", "tcg_cpu_exec", file="cpus.c", owner=QEMU
        ),
        switch=mark("__schedule", file="kernel/sched/core.c"),
        preempt_schedule=mark("preempt_schedule_common", file="kernel/sched/core.c"),
        do_idle=mark("do_idle", "default_idle_call", file="kernel/sched/idle.c"),
        spin=mark("spin", file="ltool.c"),
        common_interrupt=mark("common_interrupt", file="arch/x86/kernel/irq.c"),
        handle_fasteoi_irq=mark(
            "handle_fasteoi_irq",
            "handle_irq_event",
            "__handle_irq_event_percpu",
            file="kernel/irq/handle.c",
        ),
        sysvec_apic_timer_interrupt=mark(
            "sysvec_apic_timer_interrupt", file="arch/x86/kernel/apic/apic.c"
        ),
        irq_exit=mark("irq_exit_rcu", file="kernel/softirq.c"),
        do_softirq=mark("__do_softirq", file="kernel/softirq.c"),
        run_ksoftirqd=mark("run_ksoftirqd", file="kernel/softirq.c"),
        rcu_core=mark("rcu_core", file="kernel/rcu/tree.c"),
        rcu_gp_kthread=mark("rcu_gp_kthread", file="kernel/rcu/tree.c"),
        _sleep_in_kernel=mark("schedule_timeout", file="kernel/time/timer.c"),
        try_to_wake_up=mark("try_to_wake_up", file="kernel/sched/core.c"),
        worker_thread=mark("worker_thread", "process_one_work", file="kernel/workqueue.c"),
    )

    def __init__(
        self, *, env: Environment, rank: int, codes: Codes, jiffies_zero_ns: int = 0
    ) -> None:
        """``jiffies_zero_ns`` is the instant, not after power-on, of the tick that counts as 0."""
        self.env = env
        self._tick_shift = -jiffies_zero_ns
        self.thread = _VcpuThread(env, "vcpu", rank, self.qemu_tcg_cpu_thread_fn, codes)
        self.thread.take = self._take
        self.thread.irqs_on = True
        self.pin = IoApicPin(raised=self._raised)
        self.handler: Callable[[], bool] = lambda: False
        self.timer_interrupts = 0
        self.wakeups = 0
        self.run_queue = RunQueue()
        self.boot: Callable[[], None] = lambda: None
        self._softirqs = 0
        self._vectors: list[tuple[int, Callable[[], None]]] = []
        self._bh_depth = 0
        self._irq_depth = 0
        self._in_irq = False
        self._timer_irq = False
        self._need_resched = False
        self._next_tick = Alarm(env, self._tick)
        self._next_timer: int | None = None
        self._tick_stopped = False
        self._sleep_alarm = Alarm(env, self._tick)
        self._sleepers: list[tuple[int, int, Callable[[], None], bool]] = []
        self._sleep_order = 0
        self._works: deque[DelayedWork] = deque()
        self._kworker = KThread("kworker/0:1", self.worker_thread)
        self._ksoftirqd = KThread("ksoftirqd/0", self.ksoftirqd)
        self._ksoftirqd_awake = False
        self._rcu = Rcu()
        self._rcu_preempt = KThread("rcu_preempt", self.rcu_gp_kthread)
        self._touches = {
            name: env.touch_point(name)
            for name in ("desc_status", "lock_sock", "release_sock", "timer", "user")
        }
        self._meet_bh_disable = env.touch_point("bh_disable")
        self._meet_bh_enable = env.touch_point("bh_enable")
        self._meet_irq_disable = env.touch_point("irq_disable")
        self._meet_irq_enable = env.touch_point("irq_enable")
        self.meet_run_queue = env.touch_point("wake_task")
        self._meet_clock = env.touch_point("clock")
        self.wheel = TimerWheel(
            now=self._tick_time, touch=env.touch_point("timer"), program=self._timer_programmed
        )
        self.open_softirq(TIMER_SOFTIRQ, self.wheel.run)
        self.open_softirq(RCU_SOFTIRQ, self.rcu_core)

    # --- the thread

    def qemu_tcg_cpu_thread_fn(self) -> None:
        """The body of QEMU's vCPU thread: boot, then whatever is runnable, else idle."""
        self._restart_tick()
        self.boot()
        while True:
            self.meet_run_queue()
            queue = self.run_queue
            if not queue and not queue.spins:
                self.do_idle()
                continue
            task = self.switch()
            again = self.spin() if task is None else task.run()
            self.meet_run_queue()
            queue.put(self.env.time(), again=again)

    def switch(self, to: Task | None = None) -> Task | None:
        """Who runs next, or ``to``; None stands for programs of the lowest class."""
        self.meet_run_queue()
        self._need_resched = False
        return self.run_queue.pick(self.env.time(), to)

    def cond_resched(self) -> None:
        """See ``Cpu``; programs that are to go first have to wait for the end of the call."""
        queue = self.run_queue
        if (
            self.need_resched
            and not self._bh_depth
            and not isinstance(queue.current, KThread)
            and isinstance(queue.first(), KThread)
        ):
            self.preempt_schedule()

    def preempt_schedule(self) -> None:
        """Kernel threads run here, on top of the function that offers it."""
        self.meet_run_queue()
        queue = self.run_queue
        preempted = queue.current
        queue.put(self.env.time(), again=True)
        while isinstance(task := queue.first(), KThread):
            self.switch(task)
            again = task.run()
            self.meet_run_queue()
            queue.put(self.env.time(), again=again)
        another_first = task is not preempted
        self.switch(preempted)
        self._need_resched = another_first

    def do_idle(self) -> None:
        """Halt until an interrupt has made a task runnable."""
        thread = self.thread
        thread.meet()
        while not self.run_queue:
            self._stop_tick()
            thread.park("halted")
            thread.meet()
        self._restart_tick()

    def spin(self) -> bool:
        """The program of the lowest class computes until another task is to run."""
        thread = self.thread
        thread.meet()
        while self.run_queue.spins and not self._need_resched:
            thread.park("spinning")
            thread.meet()
        return True

    def spinner(self, by: int) -> None:
        """One program more (1) or less (-1) that computes whenever nothing else does."""
        self.run_queue.spinner(self.env.time(), by)

    # --- the tick

    def _tick_time(self) -> int:
        """The running code's time, counted from a tick."""
        return self.env.time() + self._tick_shift

    def _restart_tick(self) -> None:
        """``tick_nohz_restart``: at the next jiffy, and then at each."""
        self._tick_stopped = False
        jiffy = (self.env._now + self._tick_shift) // JIFFY_NS + 1
        self._next_tick.set(jiffy * JIFFY_NS - self._tick_shift)

    def _stop_tick(self) -> None:
        """``tick_nohz_stop_tick``: the next interrupt is for the first timer, if there is one."""
        if self._rcu.pending():
            return
        self._tick_stopped = True
        self._timer_programmed(self._next_timer)

    def _timer_programmed(self, instant: int | None) -> None:
        """The wheel has something to do at ``instant`` next; a CPU that ticks looks anyway."""
        self._next_timer = instant
        if not self._tick_stopped:
            return
        if instant is None:
            self._next_tick.clear()
        else:
            self._next_tick.set(max(instant - self._tick_shift, self.env._now))

    # --- interrupts

    def _raised(self) -> None:
        """A request is pending at the local APIC."""
        thread = self.thread
        thread.irq_pending = True
        if thread.irqs_on:
            thread.kick()

    def _tick(self) -> None:
        """The local timer's interrupt is pending."""
        self._timer_irq = True
        self._raised()

    def _take(self) -> None:
        """Take what is pending; nested on the thread's stack."""
        thread = self.thread
        thread.irqs_on = False
        self._in_irq, outer = True, self._in_irq
        if self._timer_irq:
            self._timer_irq = False
            self.timer_interrupts += 1
            thread.irq_pending = self.pin.pending
            self.sysvec_apic_timer_interrupt(outer)
        else:
            thread.irq_pending = False
            self.common_interrupt(outer)
        self._in_irq = outer
        thread.meet()
        thread.irq_pending = self._timer_irq or self.pin.pending
        thread.irqs_on = True

    def common_interrupt(self, nested: bool) -> None:
        """A device's interrupt."""
        self.handle_fasteoi_irq()
        self.irq_exit(nested)

    def handle_fasteoi_irq(self) -> None:
        """Acknowledge, call the handler, end of interrupt."""
        self.pin.acknowledge()
        handled = self.handler()
        self.thread.meet()
        self.pin.eoi(handled=handled)

    def sysvec_apic_timer_interrupt(self, nested: bool) -> None:
        """The local timer: sleeping processes here, the timer wheel in its soft interrupt."""
        now = self.now()
        ticked = not self._tick_stopped and self._next_tick.due is None
        if ticked:
            self._restart_tick()
            if self.run_queue.tick(now):
                self._need_resched = True
        while self._sleepers and self._sleepers[0][0] <= now:
            self._sleepers.pop(0)[2]()
        if self._sleepers:
            self._sleep_alarm.set(max(self._sleepers[0][0], self.env._now))
        if self.wheel.due():
            self.raise_softirq(TIMER_SOFTIRQ)
        if ticked and self._rcu.pending():
            self.raise_softirq(RCU_SOFTIRQ)
        self.irq_exit(nested)

    def irq_exit(self, nested: bool) -> None:
        """Run soft interrupts, unless this interrupt interrupted one or they are off."""
        self._in_irq = nested
        if self._softirqs and not nested and self._bh_depth == 0 and not self._ksoftirqd_awake:
            self.do_softirq()

    # --- soft interrupts

    def open_softirq(self, vector: int, handler: Callable[[], None]) -> None:
        """Register the function behind a vector."""
        self._vectors.append((vector, handler))
        self._vectors.sort(key=lambda entry: entry[0])

    def raise_softirq(self, vector: int) -> None:
        """See ``Cpu``; outside of interrupts and sections ksoftirqd is woken for it."""
        if self._in_irq or self._bh_depth:
            self._softirqs |= 1 << vector
        else:
            self._meet_irq_disable()
            self._softirqs |= 1 << vector
            self._wake_ksoftirqd()

    def do_softirq(self) -> None:
        """Serve what is pending, a bounded number of times; then leave it to ksoftirqd.

        Interrupts are off at the call and at the return, and on in between.
        """
        end = self.jiffies + MAX_SOFTIRQ_TIME
        restart = MAX_SOFTIRQ_RESTART
        self._bh_depth += 1
        while True:
            pending, self._softirqs = self._softirqs, 0
            self._interrupts_on()
            for vector, handler in self._vectors:
                if pending >> vector & 1:
                    handler()
            self._interrupts_off()
            if not self._softirqs:
                break
            restart -= 1
            if restart == 0 or self.jiffies >= end or self._need_resched:
                self._wake_ksoftirqd()
                break
        self._bh_depth -= 1

    def _wake_ksoftirqd(self) -> None:
        if not self._ksoftirqd_awake:
            self._ksoftirqd_awake = True
            self.try_to_wake_up(self._ksoftirqd)

    def ksoftirqd(self) -> bool:
        """The thread for soft interrupts that went on too long; it lets others run only if one
        of them is to (``cond_resched``)."""
        while self._softirqs:
            self.run_ksoftirqd()
            if self.need_resched:
                return True
        self._ksoftirqd_awake = False
        return False

    def run_ksoftirqd(self) -> None:
        """Serve what is pending."""
        self._interrupts_off()
        self.do_softirq()
        self._interrupts_on()

    def call_rcu(self) -> None:
        """Something is to be freed when nobody reads it any more."""
        self.meet_run_queue()
        self._rcu.call_rcu()

    def rcu_core(self) -> None:
        """The soft interrupt of the tick, when something is to be freed."""
        self.meet_run_queue()
        if self._rcu.core():
            self.try_to_wake_up(self._rcu_preempt)

    def rcu_gp_kthread(self) -> bool:
        """One step from grace period to grace period."""
        self.meet_run_queue()
        self._rcu.advance()
        return False

    def _interrupts_off(self) -> None:
        self._meet_irq_disable()
        self.thread.irqs_on = False

    def _interrupts_on(self) -> None:
        """On, and what came meanwhile is taken at once."""
        self._meet_irq_enable()
        self.thread.irqs_on = True
        if self.thread.irq_pending:
            self.thread.meet()

    # --- what kernel code asks for (desim.guest.cpu.context.Cpu)

    def now(self) -> int:
        """See ``Cpu``; an interrupt that comes before this moment makes it later."""
        self._meet_clock()
        return self.env.time()

    @property
    def jiffies(self) -> int:
        """The tick counter."""
        self._meet_clock()
        return self._tick_time() // JIFFY_NS

    def udelay(self, us: int) -> None:
        """See ``Cpu``."""
        self.thread.charge(us * 1000)

    def compute_until(self, instant: int) -> None:
        """Work of which only the end is known; interrupts come in between."""
        if (left := instant - self.now()) > 0:
            self.thread.charge(left)
            self.thread.meet()

    def msleep(self, ms: int) -> None:
        """See ``Cpu``: ``ms`` rounded up to jiffies, plus one, on the timer wheel."""
        over: list[bool] = []
        timer = self.wheel.timer("msleep", lambda: over.append(True), periodic=False)
        timer.mod(self.jiffies + -(-ms * 1_000_000 // JIFFY_NS) + 1)
        self._sleep_in_kernel(over)

    def _sleep_in_kernel(self, over: list[bool]) -> None:
        """A kernel function sleeps in the middle: nothing else but interrupts runs meanwhile."""
        self.thread.meet()
        while not over:
            self.thread.park("msleep")
            self.thread.meet()

    def local_irq_disable(self) -> None:
        """See ``Cpu``."""
        self._interrupts_off()
        self._irq_depth += 1

    def local_irq_enable(self) -> None:
        """See ``Cpu``."""
        assert self._irq_depth > 0, "local_irq_enable without disable"
        self._irq_depth -= 1
        if self._irq_depth == 0 and not self._in_irq:
            self._interrupts_on()

    def local_bh_disable(self) -> None:
        """See ``Cpu``."""
        self._meet_bh_disable()
        self._bh_depth += 1

    def local_bh_enable(self) -> None:
        """See ``Cpu``."""
        assert self._bh_depth > 0, "local_bh_enable without disable"
        self._meet_bh_enable()
        self._bh_depth -= 1
        if (
            self._softirqs
            and self._bh_depth == 0
            and not self._in_irq
            and not self._ksoftirqd_awake
        ):
            self._interrupts_off()
            self.do_softirq()
            self._interrupts_on()

    def in_softirq(self) -> bool:
        """See ``Cpu``."""
        return self._bh_depth > 0

    def touch(self, point: str) -> None:
        """See ``Cpu``."""
        self._touches[point]()

    def wake_up(self, queue: WaitQueue) -> None:
        """See ``Cpu``; who waits there is a ``Waiter``."""
        self.meet_run_queue()
        self.wakeups += 1
        queue.woken = self.wakeups
        waiters, queue.waiters = queue.waiters, []
        for waiter in waiters:
            cast("Waiter", waiter).wake()

    def timer(
        self, name: str, function: Callable[[], None], *, periodic: bool = False
    ) -> WheelTimer:
        """See ``Cpu``."""
        return self.wheel.timer(name, function, periodic=periodic)

    def work(
        self, name: str, function: Callable[[], None], *, periodic: bool = False
    ) -> DelayedWork:
        """See ``Cpu``."""
        return DelayedWork(
            name,
            function,
            lambda fire: self.wheel.timer(name, fire, periodic=periodic),
            self._queue_work,
            periodic,
        )

    # --- tasks

    def wake_task(self, task: Task) -> None:
        """Put ``task``, which must be asleep, at the end of the run queue."""
        self.meet_run_queue()
        self.try_to_wake_up(task)

    @property
    def need_resched(self) -> bool:
        """Whether the current task has to let another one run."""
        self.meet_run_queue()
        return self._need_resched

    def call_at(
        self, instant: int, function: Callable[[], None], *, periodic: bool = False
    ) -> None:
        """See ``Cpu``; what a process's sleep is made of, too."""
        self._touches["timer"]()
        self._sleep_order += 1
        self._sleepers.append((instant, self._sleep_order, function, periodic))
        self._sleepers.sort(key=lambda entry: entry[:2])
        self._sleep_alarm.set(max(self._sleepers[0][0], self.env._now))

    def at_rest(self) -> bool:
        """Halted, with nothing pending."""
        return (
            self.thread.waiting in ("halted", "spinning")
            and not self.run_queue
            and not self.thread.irq_pending
            and not self._softirqs
        )

    def idle(self) -> bool:
        """At rest, and nobody sleeps towards a deadline or a timer that is not periodic."""
        asleep = any(not periodic for _, _, _, periodic in self._sleepers)
        return self.at_rest() and not asleep and not self.wheel.waiting()

    def arrive(self, task: Task) -> None:
        """A new task comes from outside of all threads (somebody starts a program)."""
        self._enqueue(task, new=True)
        self.thread.kick()

    def try_to_wake_up(self, task: Task) -> None:
        """Onto the run queue, and off with the current task if that is well ahead."""
        self.meet_run_queue()
        if task not in self.run_queue:  # an interrupt may have been faster
            self._enqueue(task)

    def _enqueue(self, task: Task, *, new: bool = False) -> None:
        if self.run_queue.wake(task, self.env.time(), new=new):
            self._need_resched = True

    def _queue_work(self, work: DelayedWork) -> None:
        self.meet_run_queue()
        self._works.append(work)
        if self._kworker not in self.run_queue:
            self.try_to_wake_up(self._kworker)

    def worker_thread(self) -> bool:
        """Carry out all queued work items, also those that interrupts queue meanwhile."""
        self.meet_run_queue()
        while self._works:
            self._works.popleft().run()
            self.meet_run_queue()
        return False
