"""The run queue of the guest's processor: who runs next (kernel/sched/fair.c, Linux 6.1).

Theory of operation
-------------------
Every task has a *virtual runtime*: the time it has run. The one with the least runs next;
of two that have the same, the one that came first. A task that wakes is placed at most
half a latency period before the queue's minimum, so that a long sleep is worth a little
and not everything; a new one is placed one share behind it (START_DEBIT). It takes the
processor from the running task at once if that is ahead by more than the wake-up
granularity; the idle loop and programs of the lowest class lose it to anybody. The tick
takes it from a task that has had its share while others wait.

Tasks all have the same weight. Not modelled: nice levels, groups, buddies, several CPUs.
"""

from __future__ import annotations

from typing import Protocol

LATENCY_NS = 6_000_000
"""``sysctl_sched_latency`` of a machine with one processor."""
SLEEPER_CREDIT_NS = LATENCY_NS // 2
"""GENTLE_FAIR_SLEEPERS."""
WAKEUP_GRANULARITY_NS = 1_000_000
MIN_GRANULARITY_NS = 750_000


class Task(Protocol):
    """Something the scheduler can run."""

    name: str
    vruntime: int
    """Ns."""

    def run(self) -> bool:
        """Run until it sleeps or ends; True if it wants to go on after the others."""


class RunQueue:
    """The tasks that want to run, and the one that does."""

    def __init__(self) -> None:
        self._waiting: list[Task] = []
        self._min_vruntime = 0
        self._current: Task | None = None
        self._since = 0
        self._began = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, task: Task) -> bool:
        return task in self._waiting

    def wake(self, task: Task, now: int, *, new: bool = False) -> bool:
        """Put a task that slept, or a new one, on the queue: whether the current one has to go."""
        self._update(now)
        if new:
            task.vruntime = self._min_vruntime + self._share(len(self._waiting) + 1)
        else:
            task.vruntime = max(task.vruntime, self._min_vruntime - SLEEPER_CREDIT_NS)
        self._waiting.append(task)
        current = self._current
        return current is None or current.vruntime - task.vruntime > WAKEUP_GRANULARITY_NS

    def pick(self, now: int) -> Task:
        """Take the next task off the queue; it runs from now on."""
        task = min(self._waiting, key=lambda waiting: waiting.vruntime)
        self._waiting.remove(task)
        self._current = task
        self._since = self._began = now
        return task

    def put(self, now: int, *, again: bool) -> None:
        """The current task stops running; with ``again`` it goes back on the queue."""
        self._update(now)
        task, self._current = self._current, None
        assert task is not None, "nothing was running"
        if again:
            self._waiting.append(task)

    def tick(self, now: int) -> bool:
        """A tick: whether the current task has had its share and others wait."""
        self._update(now)
        if self._current is None or not self._waiting:
            return False
        return now - self._began > self._share(len(self._waiting) + 1)

    def _share(self, tasks: int) -> int:
        """``sched_slice``: what each of so many tasks may run in one period."""
        return max(LATENCY_NS // tasks, MIN_GRANULARITY_NS)

    def _update(self, now: int) -> None:
        """``update_curr``: the current task has run until now."""
        current = self._current
        least = [task.vruntime for task in self._waiting]
        if current is not None:
            current.vruntime += now - self._since
            self._since = now
            least.append(current.vruntime)
        if least:
            self._min_vruntime = max(self._min_vruntime, min(least))
