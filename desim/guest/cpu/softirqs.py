"""Soft interrupts (kernel/softirq.c, Linux 6.1).

Theory of operation
-------------------
A hard interrupt does little, and marks as pending what is left, one bit a kind. What is pending
is served, lowest bit first and with interrupts on, at three places:

* at the end of a hard interrupt, unless it has interrupted a soft one or found them off;
* where a task switches soft interrupts on again (``local_bh_enable``);
* in the kernel thread ksoftirqd.

What is raised meanwhile is served too: ten times, or for two milliseconds, or until a task is
to go first; then it is left to ksoftirqd. While that thread is awake it alone serves them, and
it lets others run only if one of them is to go first.

Not modelled: tasklets as such (TCP's is a function of NET_TX), threaded interrupts.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.data import Protocol
from desim.guest.cpu.preempt import PreemptCount
from desim.guest.cpu.sched import KThread, Scheduler
from desim.stages import GUEST, Landmark, mark, stages

FILE = "kernel/softirq.c"

MAX_SOFTIRQ_RESTART = 10
MAX_SOFTIRQ_TIME = 1
"""Jiffies (``msecs_to_jiffies(2)``)."""


class InterruptFlag(Protocol):
    """The processor's interrupt flag; whoever has it meets the others at each change."""

    def irqs_off(self) -> None:
        """No interrupt comes from now on."""

    def irqs_on(self) -> None:
        """They come again, and what came meanwhile is taken at once."""


class Softirqs:
    """What is pending on one processor, who serves it, and who has them switched off."""

    STAGES = stages(
        GUEST,
        irq_exit=mark("irq_exit_rcu", file=FILE),
        do_softirq=mark("__do_softirq", file=FILE, landmark=Landmark.SOFTIRQ),
        run_ksoftirqd=mark("run_ksoftirqd", file=FILE, landmark=Landmark.SOFTIRQ_THREAD),
    )

    def __init__(
        self,
        *,
        preempt: PreemptCount,
        sched: Scheduler,
        flag: InterruptFlag,
        jiffies: Callable[[], int],
        touch_point: Callable[[str], Callable[[], None]],
    ) -> None:
        self._preempt = preempt
        self._sched = sched
        self._irqs_off, self._irqs_on = flag.irqs_off, flag.irqs_on
        self._jiffies = jiffies
        self._meet_bh_disable = touch_point("bh_disable")
        self._meet_bh_enable = touch_point("bh_enable")
        self._meet_irq_disable = touch_point("irq_disable")
        self.pending = 0
        """A bit for each vector that has been raised."""
        self._vectors: list[tuple[int, Callable[[], None]]] = []
        self._ksoftirqd = KThread("ksoftirqd/0", self.ksoftirqd)
        self.awake = False
        """Whether that thread is: it alone serves them then."""

    def open_softirq(self, vector: int, handler: Callable[[], None]) -> None:
        """Register the function behind a vector."""
        self._vectors.append((vector, handler))
        self._vectors.sort(key=lambda entry: entry[0])

    def raise_softirq(self, vector: int) -> None:
        """Outside of interrupts and sections ksoftirqd is woken for it."""
        if self._preempt.hardirq or self._preempt.softirq:
            self.pending |= 1 << vector
        else:
            self._meet_irq_disable()
            self.pending |= 1 << vector
            self._wake_ksoftirqd()

    def irq_exit(self, nested: bool) -> None:
        """The end of a hard interrupt; ``nested``: it has interrupted another one."""
        preempt = self._preempt
        preempt.hardirq = nested
        if self.pending and not nested and not preempt.softirq and not self.awake:
            self.do_softirq()

    def do_softirq(self) -> None:
        """Serve what is pending, a bounded number of times; then leave it to ksoftirqd.

        Interrupts are off at the call and at the return, and on in between.
        """
        end = self._jiffies() + MAX_SOFTIRQ_TIME
        restart = MAX_SOFTIRQ_RESTART
        self._preempt.softirq += 1
        while True:
            pending, self.pending = self.pending, 0
            self._irqs_on()
            for vector, handler in self._vectors:
                if pending >> vector & 1:
                    handler()
            self._irqs_off()
            if not self.pending:
                break
            restart -= 1
            if restart == 0 or self._jiffies() >= end or self._sched.tif_need_resched:
                self._wake_ksoftirqd()
                break
        self._preempt.softirq -= 1

    # --- the thread

    def _wake_ksoftirqd(self) -> None:
        if not self.awake:
            self.awake = True
            self._sched.try_to_wake_up(self._ksoftirqd)

    def ksoftirqd(self) -> bool:
        """The thread for soft interrupts that went on too long; it lets others run only if one
        of them is to (``cond_resched``)."""
        while self.pending:
            self.run_ksoftirqd()
            if self._sched.need_resched:
                return True
        self.awake = False
        return False

    def run_thread(self) -> None:
        """The thread is awake, and the current task sleeps in the kernel."""
        self._sched.run_on_top(self._ksoftirqd)

    def run_ksoftirqd(self) -> None:
        """Serve what is pending."""
        self._irqs_off()
        self.do_softirq()
        self._irqs_on()

    # --- for who shares something with them

    def local_bh_disable(self) -> None:
        self._meet_bh_disable()
        self._preempt.softirq += 1

    def local_bh_enable(self) -> None:
        preempt = self._preempt
        assert preempt.softirq > 0, "local_bh_enable without disable"
        self._meet_bh_enable()
        preempt.softirq -= 1
        if self.pending and not preempt.softirq and not preempt.hardirq and not self.awake:
            self._irqs_off()
            self.do_softirq()
            self._irqs_on()

    def in_softirq(self) -> bool:
        return self._preempt.softirq > 0
