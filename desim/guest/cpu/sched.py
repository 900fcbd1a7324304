"""Who has the guest's processor (kernel/sched/core.c, kernel/sched/wait.c, Linux 6.1).

Theory of operation
-------------------
Tasks are programs (generators of system calls) and kernel threads (functions: kworkers,
ksoftirqd, ``rcu_preempt``). They are not preempted in the kernel. Whoever is woken goes on
the run queue (``desim.guest.cpu.fair`` says in which order it is left again) and, if it is to
go first, sets the current task's flag TIF_NEED_RESCHED. A program looks at the flag when it
returns to user mode; ksoftirqd and a long call look in the middle, but only kernel threads run
there (``cond_resched``), on top of the function that offers it.

The run queue is shared with interrupts: each use meets the others first (``meet``, the touch
point ``wake_task``).

Not modelled: several processors, preemption of user mode in the middle of a program's own
time, priorities among tasks except SCHED_IDLE.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from desim.data import Protocol
from desim.guest.cpu.fair import RunQueue, Task
from desim.guest.cpu.preempt import PreemptCount
from desim.stages import GUEST, mark, stages
from desim.userland.waitqueue import WaitQueue

FILE = "kernel/sched/core.c"


class Waiter(Protocol):
    """Something on a wait queue."""

    def wake(self) -> None:
        """It may have what it waits for; the caller has met the others."""


class KThread:
    """A kernel thread that calls ``function`` each time it is woken, or again if that says so."""

    pid = 0
    """What it has of its own nobody here asks for."""

    def __init__(self, name: str, function: Callable[[], bool]) -> None:
        self.name = name
        self.vruntime = 0
        self._function = function

    def run(self) -> bool:
        """Until it sleeps (False) or lets others run (True)."""
        return self._function()


class Scheduler:
    """The run queue of one processor, and the flag of the task that runs.

    ``time`` gives the running code's ns, ``meet`` meets the other threads. ``switched`` is told
    of each task that the processor goes over to, None standing for those of the lowest class.
    """

    STAGES = stages(
        GUEST,
        switch=mark("__schedule", file=FILE),
        preempt_schedule=mark("preempt_schedule_common", file=FILE),
        try_to_wake_up=mark("try_to_wake_up", file=FILE),
    )

    def __init__(
        self,
        *,
        time: Callable[[], int],
        meet: Callable[[], None],
        preempt: PreemptCount,
        switched: Callable[[Task | None], None] | None = None,
    ) -> None:
        self._time = time
        self._switched = switched
        self._preempt = preempt
        self.meet = meet
        self.run_queue = RunQueue()
        self.tif_need_resched = False
        """What ``need_resched`` says, for who has met the others."""
        self.wakeups = 0
        """The number of the last call of ``wake_up``; a wait queue keeps that of its own."""

    def switch(self, to: Task | None = None) -> Task | None:
        """Who runs next, or ``to``; None stands for programs of the lowest class."""
        self.meet()
        self.tif_need_resched = False
        task = self.run_queue.pick(self._time(), to)
        if self._switched is not None:
            self._switched(task)
        return task

    def put(self, *, again: bool) -> None:
        """The current task stops running; with ``again`` it stays on the run queue."""
        self.meet()
        self.run_queue.put(self._time(), again=again)

    def tick(self) -> None:
        """``scheduler_tick``: the current task may have had its share."""
        if self.run_queue.tick(self._time()):
            self.tif_need_resched = True

    @property
    def need_resched(self) -> bool:
        """Whether the current task has to let another one run."""
        self.meet()
        return self.tif_need_resched

    def cond_resched(self) -> None:
        """Programs that are to go first have to wait for the end of the call."""
        queue = self.run_queue
        if (
            self.need_resched
            and not self._preempt.softirq
            and not isinstance(queue.current, KThread)
            and isinstance(queue.first(), KThread)
        ):
            self.preempt_schedule()

    def preempt_schedule(self) -> None:
        """Kernel threads run here, on top of the function that offers it."""
        preempted = self.run_queue.current
        self.put(again=True)
        while isinstance(task := self.run_queue.first(), KThread):
            self.switch(task)
            self.put(again=task.run())
        another_first = task is not preempted
        self.switch(preempted)
        self.tif_need_resched = another_first

    def run_on_top(self, thread: KThread) -> None:
        """The current task sleeps in the kernel, and ``thread``, which is awake, runs meanwhile."""
        sleeper = self.run_queue.current
        self.put(again=True)
        self.switch(thread)
        self.put(again=thread.run())
        self.switch(sleeper)

    def spinner(self, by: int) -> None:
        """One program more (1) or less (-1) that computes whenever nothing else does."""
        self.run_queue.spinner(self._time(), by)

    # --- who is woken

    def wake_up(self, queue: WaitQueue) -> None:
        """Who waits there is a ``Waiter``."""
        self.meet()
        self.wakeups += 1
        queue.woken = self.wakeups
        waiters, queue.waiters = queue.waiters, []
        for waiter in waiters:
            cast("Waiter", waiter).wake()

    def wake_task(self, task: Task) -> None:
        """Put ``task``, which must be asleep, at the end of the run queue."""
        self.meet()
        self.try_to_wake_up(task)

    def try_to_wake_up(self, task: Task) -> None:
        """Onto the run queue, and off with the current task if that is well ahead."""
        self.meet()
        if task not in self.run_queue:  # an interrupt may have been faster
            self.enqueue(task)

    def enqueue(self, task: Task, *, new: bool = False) -> None:
        """Onto the run queue; ``new``: it has never run."""
        if self.run_queue.wake(task, self._time(), new=new):
            self.tif_need_resched = True
