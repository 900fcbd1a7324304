"""Grace periods, as far as others notice them (kernel/rcu/tree.c, Linux 6.1).

Theory of operation
-------------------
What somebody may still read is freed later (``call_rcu``). At the next tick the RCU soft
interrupt wakes the thread ``rcu_preempt``, which starts a grace period; by the tick after that
the only processor has switched tasks since, and the soft interrupt wakes the thread again to
end it; at the third tick what waited is freed. The tick goes on as long as anything waits.

It matters because a thread that wakes lets the scheduler choose anew: a program that
ksoftirqd has kept waiting gets the processor then.

Here only the start and the end of a program leave something to be freed, not the closing of
single files. Not modelled: several processors, forced quiescent states.
"""

from __future__ import annotations

from desim.guest.cpu.sched import KThread, Scheduler
from desim.stages import GUEST, mark, stages

FILE = "kernel/rcu/tree.c"


class GracePeriods:
    """What waits for what."""

    def __init__(self) -> None:
        self._next = False
        """Something waits for a grace period to start."""
        self._under_way = False
        """Something waits for the one that goes on to end."""
        self._done = False
        """Something can be freed."""

    def call_rcu(self) -> None:
        """Something is to be freed after a grace period."""
        self._next = True

    def pending(self) -> bool:
        """Whether the tick finds work for the soft interrupt, and has to come again."""
        return self._next or self._under_way or self._done

    def core(self) -> bool:
        """The soft interrupt: free what can be; whether the thread is to be woken."""
        self._done = False
        return self._under_way or self._next

    def advance(self) -> None:
        """The thread: end the grace period under way, and start one if something waits."""
        self._done = self._done or self._under_way
        self._under_way, self._next = self._next, False


class Rcu:
    """RCU on one processor: what leaves something to free, its soft interrupt, its thread."""

    STAGES = stages(
        GUEST,
        rcu_core=mark("rcu_core", file=FILE),
        rcu_gp_kthread=mark("rcu_gp_kthread", file=FILE),
    )

    def __init__(self, *, sched: Scheduler) -> None:
        self._sched = sched
        self._periods = GracePeriods()
        self._rcu_preempt = KThread("rcu_preempt", self.rcu_gp_kthread)
        self.pending = self._periods.pending

    def call_rcu(self) -> None:
        """Something is to be freed when nobody reads it any more."""
        self._sched.meet()
        self._periods.call_rcu()

    def rcu_core(self) -> None:
        """The soft interrupt of the tick, when something is to be freed."""
        self._sched.meet()
        if self._periods.core():
            self._sched.try_to_wake_up(self._rcu_preempt)

    def rcu_gp_kthread(self) -> bool:
        """One step from grace period to grace period."""
        self._sched.meet()
        self._periods.advance()
        return False
