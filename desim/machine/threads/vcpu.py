"""The guest's processor: the thread that all of the guest runs on, and what interrupts it.

Models: the vCPU thread of QEMU (cpus.c) and, on it, Linux' entry code (arch/x86/entry,
kernel/irq) and idle loop (kernel/sched/idle.c). What Linux decides by itself is in
``desim.guest.cpu``, in parts that know no thread: scheduler, soft interrupts, tick, timers,
work queue, RCU. Here they get a thread to run on and the instants at which they are
interrupted.

Theory of operation
-------------------
One thread runs everything, on one stack:

* *Tasks* (``sched``): whatever is runnable; without any, the idle loop, where the processor is
  halted until an interrupt has woken one. A program of the lowest class (SCHED_IDLE) that
  computes for ever takes the idle loop's place: the processor never halts, and whatever else
  is woken runs at once.
* *Hard interrupts* come at any meeting while interrupts are on, at their own instant, nested
  on whatever runs: the local timer first, then the card. Off and on are touch points.
* *Soft interrupts* (``softirqs``) run at the end of a hard one, or where a task lets them.

A device access is one instruction: it takes the big lock and runs the card (and behind it the
net layer and slirp) on this thread, and no interrupt comes in between, however long it waits
for the lock (``desim.machine.access.CardAccess``).

The local APIC's timer is a timer of QEMU's, on its virtual clock: to fire it, the main loop
wakes, polls slirp, and only then raises the interrupt; and it wakes when the guest sets the
timer to be the nearest of all. So slirp looks at the host at least as often as the guest
ticks. There are two such timers here, for the tick and for high resolution timers, which make
the same interrupt.

Not modelled: several processors; priorities among interrupts beyond that order; the big lock
around the APIC's registers.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.engine.environment import Environment
from desim.engine.marks import Codes
from desim.engine.thread import Thread
from desim.guest.cpu.context import JIFFY_NS, RCU_SOFTIRQ, TIMER_SOFTIRQ
from desim.guest.cpu.fair import Task
from desim.guest.cpu.hrtimers import HrTimers
from desim.guest.cpu.ioapic import IoApicPin
from desim.guest.cpu.preempt import PreemptCount
from desim.guest.cpu.rcu import Rcu
from desim.guest.cpu.sched import Scheduler
from desim.guest.cpu.softirqs import Softirqs
from desim.guest.cpu.tick import Tick
from desim.guest.cpu.timers import TimerWheel
from desim.guest.cpu.workqueue import Workqueue
from desim.ports import Clock
from desim.stages import GUEST, QEMU, Build, Landmark, bare, mark, stages

MS = 1_000_000


def no_handler() -> bool:
    """Nobody has requested the card's interrupt (IRQ_NONE)."""
    return False


def nothing_to_boot() -> None:
    """A processor without a kernel to boot: its tasks come from outside."""


class Vcpu:
    """One virtual CPU; the ``Cpu`` of the guest's kernel code.

    Set before the run starts: ``boot``, what its thread does first, and ``handler``, who
    answers the card's interrupt.
    """

    STAGES = stages(
        GUEST,
        qemu_tcg_cpu_thread_fn=mark(
            "qemu_tcg_cpu_thread_fn",
            "tcg_cpu_exec",
            file="cpus.c",
            owner=QEMU,
            landmark=Landmark.LOOP,
        ),
        do_idle=mark(
            "do_idle", "default_idle_call", file="kernel/sched/idle.c", landmark=Landmark.IDLE
        ),
        spin=mark("spin", file="ltool.c", landmark=Landmark.IDLE),
        common_interrupt=mark(
            "common_interrupt", file="arch/x86/kernel/irq.c", landmark=Landmark.INTERRUPT
        ),
        handle_fasteoi_irq=mark(
            "handle_fasteoi_irq",
            "handle_irq_event",
            "__handle_irq_event_percpu",
            file="kernel/irq/handle.c",
        ),
        sysvec_apic_timer_interrupt=mark(
            "sysvec_apic_timer_interrupt",
            file="arch/x86/kernel/apic/apic.c",
            landmark=Landmark.TIMER_INTERRUPT,
        ),
        _sleep_in_kernel=mark("schedule_timeout", file="kernel/time/timer.c"),
    )

    def __init__(
        self,
        *,
        env: Environment,
        rank: int,
        codes: Codes,
        clock: Clock,
        jiffies_zero_ns: int = 0,
        switched: Callable[[Task | None], None] | None = None,
        build: Build = bare,
        name: str = "vcpu",
    ) -> None:
        """``clock`` has the local APIC's timer, which QEMU's main loop serves.
        ``jiffies_zero_ns`` is the instant, not after power-on, of the tick that counts as 0.
        ``switched`` is told of each task that the processor goes over to."""
        self.env = env
        self.boot: Callable[[], None] = nothing_to_boot
        self.handler: Callable[[], bool] = no_handler
        self._power_on(name, rank, codes)
        self._make_scheduler(switched, build)
        self._make_timers(clock, jiffies_zero_ns, build)
        self._make_softirqs(build)
        self._offer()

    # --- the parts, each made of those in front of it

    def _power_on(self, name: str, rank: int, codes: Codes) -> None:
        """The thread, the interrupt line, and the touch points that are met here."""
        touch_point = self.env.touch_point
        self.thread = Thread(self.env, name, rank, self.qemu_tcg_cpu_thread_fn, codes)
        self.thread.interrupt = self._take
        self.thread.irqs_on = True
        self.pin = IoApicPin(raised=self._raised)
        self.preempt = PreemptCount()
        self.timer_interrupts = 0
        self._timer_irq = False
        self._irq_depth = 0
        self._meet_irq_disable = touch_point("irq_disable")
        self._meet_irq_enable = touch_point("irq_enable")
        self._meet_clock = touch_point("clock")
        self._touches = {
            name: touch_point(name) for name in ("desc_status", "lock_sock", "release_sock", "user")
        }

    def _make_scheduler(self, switched: Callable[[Task | None], None] | None, build: Build) -> None:
        """Who runs, and RCU, which watches whom it switches to."""
        env = self.env
        meet = env.touch_point("wake_task")
        self.sched = build(Scheduler)(
            time=env.time, meet=meet, preempt=self.preempt, switched=switched
        )
        self.rcu = build(Rcu)(sched=self.sched)

    def _make_timers(self, clock: Clock, jiffies_zero_ns: int, build: Build) -> None:
        """The tick, and what waits for it or for an instant."""
        env = self.env
        self._zero_ns = jiffies_zero_ns
        self.tick = Tick(
            time=env.time,
            meet=self._meet_clock,
            device=clock.timer("apic-timer", self._timer_raised, periodic=True),
            zero_ns=jiffies_zero_ns,
            rcu_needs_cpu=self.rcu.pending,
        )
        meet = env.touch_point("timer")
        self.wheel = TimerWheel(now=self.tick.time, touch=meet, program=self.tick.program)
        self.hrtimers = HrTimers(
            time=env.time,
            meet=meet,
            device=clock.timer("apic-timer", self._timer_raised, periodic=True),
        )
        self.workqueue = build(Workqueue)(sched=self.sched, wheel=self.wheel)

    def _make_softirqs(self, build: Build) -> None:
        """Soft interrupts, with the processor's own two; others open theirs."""
        self.softirqs = build(Softirqs)(
            preempt=self.preempt,
            sched=self.sched,
            flag=self,
            jiffies=self.tick.jiffies,
            touch_point=self.env.touch_point,
        )
        self.softirqs.open_softirq(TIMER_SOFTIRQ, self.wheel.run)
        self.softirqs.open_softirq(RCU_SOFTIRQ, self.rcu.rcu_core)

    def _offer(self) -> None:
        """What kernel code asks of its processor (``Cpu``) goes straight to the part that has it.

        These are bound here and not written out as methods because bulk transfers call them
        more often than anything else.
        """
        self.local_bh_disable = self.softirqs.local_bh_disable
        self.local_bh_enable = self.softirqs.local_bh_enable
        self.in_softirq = self.softirqs.in_softirq
        self.raise_softirq = self.softirqs.raise_softirq
        self.open_softirq = self.softirqs.open_softirq
        self.cond_resched = self.sched.cond_resched
        self.wake_up = self.sched.wake_up
        self.wake_task = self.sched.wake_task
        self.timer = self.wheel.timer
        self.call_at = self.hrtimers.start
        self.work = self.workqueue.work
        self.call_rcu = self.rcu.call_rcu

    # --- the thread

    def qemu_tcg_cpu_thread_fn(self) -> None:
        """The body of QEMU's vCPU thread: boot, then whatever is runnable, else idle."""
        self.thread.meet()
        self.tick.restart()
        self.boot()
        sched = self.sched
        queue = sched.run_queue
        while True:
            sched.meet()
            if not queue and not queue.spins:
                self.do_idle()
                continue
            task = sched.switch()
            sched.put(again=self.spin() if task is None else task.run())

    def do_idle(self) -> None:
        """Halt until an interrupt has made a task runnable."""
        thread = self.thread
        thread.meet()
        while not self.sched.run_queue:
            self.tick.stop()
            thread.park("halted")
            thread.meet()
        self.tick.restart()

    def spin(self) -> bool:
        """The program of the lowest class computes until another task is to run."""
        thread, sched = self.thread, self.sched
        thread.meet()
        while sched.run_queue.spins and not sched.tif_need_resched:
            thread.park("spinning")
            thread.meet()
        return True

    def arrive(self, task: Task) -> None:
        """A new task comes from outside of all threads (somebody starts a program)."""
        self.sched.enqueue(task, new=True)
        self.thread.kick()

    def at_rest(self) -> bool:
        """Halted, with nothing pending."""
        return (
            self.thread.waiting in ("halted", "spinning")
            and not self.sched.run_queue
            and not self.thread.irq_pending
            and not self.softirqs.pending
        )

    def idle(self) -> bool:
        """At rest, and nobody sleeps towards a deadline or a timer that is not periodic."""
        return self.at_rest() and not self.hrtimers.waiting() and not self.wheel.waiting()

    def wheel_deadlines(self) -> list[int]:
        """When the timers of the wheel fire (ns)."""
        zero_ns = self._zero_ns
        return [zero_ns + JIFFY_NS * (timer.bucket or 0) for timer in self.wheel.armed()]

    # --- interrupts

    def _raised(self) -> None:
        """A request is pending at the local APIC."""
        thread = self.thread
        thread.irq_pending = True
        if thread.irqs_on:
            thread.kick()

    def _timer_raised(self) -> None:
        """The local timer's interrupt is pending."""
        self._timer_irq = True
        self._raised()

    def _take(self) -> None:
        """Take what is pending; nested on the thread's stack."""
        thread, preempt = self.thread, self.preempt
        thread.irqs_on = False
        preempt.hardirq, outer = True, preempt.hardirq
        if self._timer_irq:
            self._timer_irq = False
            self.timer_interrupts += 1
            thread.irq_pending = self.pin.pending
            self.sysvec_apic_timer_interrupt(outer)
        else:
            thread.irq_pending = False
            self.common_interrupt(outer)
        preempt.hardirq = outer
        thread.meet()
        thread.irq_pending = self._timer_irq or self.pin.pending
        thread.irqs_on = True

    def common_interrupt(self, nested: bool) -> None:
        """A device's interrupt."""
        self.handle_fasteoi_irq()
        self.softirqs.irq_exit(nested)

    def handle_fasteoi_irq(self) -> None:
        """Acknowledge, call the handler, end of interrupt."""
        self.pin.acknowledge()
        handled = self.handler()
        self.thread.meet()
        self.pin.eoi(handled=handled)

    def sysvec_apic_timer_interrupt(self, nested: bool) -> None:
        """The local timer: sleeping processes here, the timer wheel in its soft interrupt."""
        self._meet_clock()
        ticked = self.tick.has_come()
        if ticked:
            self.sched.tick()
        self.hrtimers.interrupt()
        if self.wheel.due():
            self.softirqs.raise_softirq(TIMER_SOFTIRQ)
        if ticked and self.rcu.pending():
            self.softirqs.raise_softirq(RCU_SOFTIRQ)
        self.softirqs.irq_exit(nested)

    def irqs_off(self) -> None:
        self._meet_irq_disable()
        self.thread.irqs_on = False

    def irqs_on(self) -> None:
        self._meet_irq_enable()
        self.thread.irqs_on = True
        if self.thread.irq_pending:
            self.thread.meet()

    def local_irq_disable(self) -> None:
        self.irqs_off()
        self._irq_depth += 1

    def local_irq_enable(self) -> None:
        assert self._irq_depth > 0, "local_irq_enable without disable"
        self._irq_depth -= 1
        if self._irq_depth == 0 and not self.preempt.hardirq:
            self.irqs_on()

    # --- time, as kernel code sees it (desim.guest.cpu.context.Cpu)

    def now(self) -> int:
        """An interrupt that comes before this moment makes it later."""
        self._meet_clock()
        return self.env.time()

    @property
    def jiffies(self) -> int:
        """The tick counter."""
        # NOTE: ``Tick.jiffies``, written out (2 calls less each time, 14 a segment to the host).
        self._meet_clock()
        return (self.env.time() - self._zero_ns) // JIFFY_NS

    def touch(self, point: str) -> None:
        self._touches[point]()

    def touch_point(self, point: str) -> Callable[[], None]:
        return self._touches[point]

    def udelay(self, us: int) -> None:
        self.thread.charge(us * 1000)

    def compute_until(self, instant: int) -> None:
        """Work of which only the end is known; interrupts come in between."""
        if (left := instant - self.now()) > 0:
            self.thread.charge(left)
            self.thread.meet()

    def msleep(self, ms: int) -> None:
        """``ms`` rounded up to jiffies, plus one, on the timer wheel."""
        over: list[bool] = []
        timer = self.wheel.timer("msleep", lambda: over.append(True))
        timer.mod(self.jiffies + -(-ms * MS // JIFFY_NS) + 1)
        self._sleep_in_kernel(over)

    def _sleep_in_kernel(self, over: list[bool]) -> None:
        """A kernel function sleeps in the middle: nothing else runs meanwhile but interrupts, and
        the thread to which soft interrupts have been left, else nobody serves any."""
        self.thread.meet()
        while not over:
            if self.softirqs.awake:
                self.softirqs.run_thread()
            else:
                self.thread.park("msleep")
            self.thread.meet()
