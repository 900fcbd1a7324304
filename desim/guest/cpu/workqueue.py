"""Work items: functions that run in a kernel thread (kernel/workqueue.c, Linux 6.1).

Theory of operation
-------------------
An item is queued at once, or when its timer on the wheel has fired (``schedule_delayed_work``);
while it is pending, scheduling it again does nothing. The thread kworker is woken and carries
out all that is queued, in order, also what interrupts queue meanwhile. An item that is carried
out is no longer pending: it may queue itself again.

Not modelled: more than one worker (nothing here sleeps in a work item for long), workqueues
other than the system's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from desim.guest.cpu.sched import KThread, Scheduler
from desim.guest.cpu.timers import TimerWheel
from desim.stages import GUEST, mark, stages


class DelayedWork:
    """``struct delayed_work``; ``queue`` hands it to a kworker."""

    __slots__ = ("_queue", "_queued", "_timer", "_wheel", "function", "name")

    def __init__(
        self,
        name: str,
        function: Callable[[], None],
        *,
        wheel: TimerWheel,
        queue: Callable[[DelayedWork], None],
        periodic: bool = False,
    ) -> None:
        self.name = name
        self.function = function
        self._wheel = wheel
        self._queue = queue
        self._queued = False
        self._timer = wheel.timer(name, self._enqueue, periodic=periodic)

    @property
    def pending(self) -> bool:
        """Whether its delay runs or it is queued (not: is being carried out)."""
        return self._queued or self._timer.pending

    def schedule(self, delay_jiffies: int = 0) -> None:
        """``schedule_delayed_work``: nothing happens while it is pending."""
        self._timer.touch()
        if self.pending:
            return
        if delay_jiffies:
            self._timer.mod(self._wheel.jiffies + delay_jiffies)
        else:
            self._enqueue()

    def cancel(self) -> None:
        """``cancel_delayed_work``."""
        self._timer.delete()
        self._queued = False

    def run(self) -> None:
        """Carry it out, unless it was cancelled meanwhile; in process context."""
        if self._queued:
            self._queued = False
            self.function()

    def _enqueue(self) -> None:
        self._queued = True
        self._queue(self)


class Workqueue:
    """The queued items of one processor, and the kworker that carries them out."""

    STAGES = stages(
        GUEST,
        worker_thread=mark("worker_thread", "process_one_work", file="kernel/workqueue.c"),
    )

    def __init__(self, *, sched: Scheduler, wheel: TimerWheel) -> None:
        self._sched = sched
        self._wheel = wheel
        self._works: deque[DelayedWork] = deque()
        self._kworker = KThread("kworker/0:1", self.worker_thread)

    def work(
        self, name: str, function: Callable[[], None], *, periodic: bool = False
    ) -> DelayedWork:
        return DelayedWork(
            name, function, wheel=self._wheel, queue=self.queue_work, periodic=periodic
        )

    def queue_work(self, work: DelayedWork) -> None:
        """Hand ``work`` to the kworker."""
        sched = self._sched
        sched.meet()
        self._works.append(work)
        if self._kworker not in sched.run_queue:
            sched.try_to_wake_up(self._kworker)

    def worker_thread(self) -> bool:
        """Carry out all queued work items, also those that interrupts queue meanwhile."""
        meet = self._sched.meet
        meet()
        while self._works:
            self._works.popleft().run()
            meet()
        return False
