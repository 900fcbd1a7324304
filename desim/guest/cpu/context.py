"""What the guest's kernel code may ask of the processor it runs on.

Three levels share one virtual CPU: task, soft interrupt, hard interrupt. Kernel
code is written as plain calls; an interrupt that arrives meanwhile runs nested
on the same stack, so whatever two levels share is touched only where the real
code has a lock: inside ``local_bh_disable``/``enable``, under ``lock_sock`` or
with interrupts off. Each of these calls is a touch point (the running thread
meets the others there); between two of them only private or locked state may
change.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.data import Protocol
from desim.userland.waitqueue import WaitQueue

HZ = 250
"""Jiffies per second of the guest (CONFIG_HZ of Debian's kernel)."""

JIFFY_NS = 1_000_000_000 // HZ

# Soft interrupt vectors, in the order in which they are served (include/linux/interrupt.h).
TIMER_SOFTIRQ = 1
NET_TX_SOFTIRQ = 2
NET_RX_SOFTIRQ = 3
RCU_SOFTIRQ = 9


class KernelTimer(Protocol):
    """``struct timer_list``: expires on the timer wheel, in the timer softirq."""

    @property
    def pending(self) -> bool:
        """Whether it is armed."""

    @property
    def expires(self) -> int:
        """The jiffy it was last armed for, before the wheel's rounding."""

    def mod(self, expires: int) -> None:
        """Arm it for jiffy ``expires`` (``mod_timer``)."""

    def delete(self) -> None:
        """Disarm it (``del_timer``)."""


class Work(Protocol):
    """``struct delayed_work``: runs in process context, in a kworker."""

    @property
    def pending(self) -> bool:
        """Whether it is queued or its delay runs."""

    def schedule(self, delay_jiffies: int = 0) -> None:
        """Queue it after a delay; does nothing while it is pending."""

    def cancel(self) -> None:
        """Take it off the queue, if it is there."""


class Cpu(Protocol):
    """The running virtual CPU, with the calls of Linux that kernel code needs."""

    def now(self) -> int:
        """The time of the running code, in ns since power-on (``ktime_get``)."""

    @property
    def jiffies(self) -> int:
        """The tick counter; starts at 0 at power-on."""

    def udelay(self, us: int) -> None:
        """Spin for ``us`` microseconds."""

    def msleep(self, ms: int) -> None:
        """Sleep in process context for at least ``ms``, as ``msleep`` rounds it."""

    def local_irq_disable(self) -> None:
        """Interrupts off on this CPU; nests."""

    def local_irq_enable(self) -> None:
        """Undo one ``local_irq_disable``; a pending interrupt is taken here."""

    def local_bh_disable(self) -> None:
        """Soft interrupts off; nests."""

    def local_bh_enable(self) -> None:
        """Undo one ``local_bh_disable``; pending soft interrupts run here."""

    def cond_resched(self) -> None:
        """A long piece of work for a process lets kernel threads run that are to go first."""

    def in_softirq(self) -> bool:
        """Whether the running code is a soft interrupt or has them disabled."""

    def raise_softirq(self, vector: int) -> None:
        """Mark a soft interrupt pending; it runs at the end of the hard interrupt or section."""

    def touch(self, point: str) -> None:
        """Meet the other threads at a named touch point before shared state is used."""

    def touch_point(self, point: str) -> Callable[[], None]:
        """``touch`` for one point: what is called often looks it up once."""

    def wake_up(self, queue: WaitQueue) -> None:
        """Make every task that sleeps on ``queue`` runnable."""

    def call_at(
        self, instant: int, function: Callable[[], None], *, periodic: bool = False
    ) -> None:
        """Call ``function`` in a timer interrupt at ``instant`` (``hrtimer_start``).

        ``periodic`` marks a call that only keeps something ticking: it does not keep a
        run from ending.
        """

    def timer(
        self, name: str, function: Callable[[], None], *, periodic: bool = False
    ) -> KernelTimer:
        """A new kernel timer that calls ``function`` in the timer softirq."""

    def work(self, name: str, function: Callable[[], None], *, periodic: bool = False) -> Work:
        """A new work item that calls ``function`` in a kworker."""
