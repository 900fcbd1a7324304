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

A program of the lowest class (SCHED_IDLE) is a task like others of 3 parts in 1024 of their
weight: its virtual runtime flies, and with it the queue's minimum, so that whoever wakes
while it runs is placed at the same point, and they go in the order in which they woke.

Other tasks all have the same weight. Not modelled: nice levels, groups, buddies, several
CPUs; several programs of the lowest class are as one.
"""

from __future__ import annotations

from desim.data import Protocol

LATENCY_NS = 6_000_000
"""``sysctl_sched_latency`` of a machine with one processor."""
SLEEPER_CREDIT_NS = LATENCY_NS // 2
"""GENTLE_FAIR_SLEEPERS."""
WAKEUP_GRANULARITY_NS = 1_000_000
MIN_GRANULARITY_NS = 750_000
NICE_0_WEIGHT = 1024
IDLE_WEIGHT = 3
"""WEIGHT_IDLEPRIO."""


class Task(Protocol):
    """Something the scheduler can run."""

    name: str
    pid: int
    """Its process; 0 for a thread of the kernel."""
    vruntime: int
    """Ns."""

    def run(self) -> bool:
        """Run until it sleeps or ends; True if it wants to go on after the others."""


class RunQueue:
    """The tasks that want to run, and the one that does.

    All times are those of the processor's clock: an interrupt's time is that of the task it hit
    (no IRQ_TIME_ACCOUNTING; recorded uploads show it, by who runs after a long poll).
    """

    def __init__(self) -> None:
        self._waiting: list[Task] = []
        self._min_vruntime = 0
        self._current: Task | None = None
        self._since = 0
        self._began = 0
        self._spinners = 0
        self._spin = _Spin()

    def clear(self) -> None:
        """Nobody wants to run."""
        self._waiting.clear()
        self._spinners = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, task: Task) -> bool:
        return task in self._waiting

    @property
    def spins(self) -> bool:
        """Whether there is a program of the lowest class."""
        return self._spinners > 0

    def spinner(self, now: int, by: int) -> None:
        """One program more (1) or less (-1) that computes whenever nothing else does."""
        self._update(now)
        if not self._spinners:
            self._spin.vruntime = max(self._spin.vruntime, self._min_vruntime)
        self._spinners += by

    def wake(self, task: Task, now: int, *, new: bool = False) -> bool:
        """Put a task that slept, or a new one, on the queue: whether the current one has to go."""
        self._update(now)
        if new:
            task.vruntime = self._min_vruntime + self._share(len(self._waiting) + 1)
        else:
            task.vruntime = max(task.vruntime, self._min_vruntime - SLEEPER_CREDIT_NS)
        self._waiting.append(task)
        current = self._current
        return (
            current is None
            or current is self._spin
            or current.vruntime - task.vruntime > WAKEUP_GRANULARITY_NS
        )

    @property
    def current(self) -> Task | None:
        """The one that runs."""
        return self._current

    def first(self) -> Task:
        """The one that is to run next."""
        return min(self._ready(), key=lambda ready: ready.vruntime)

    def pick(self, now: int, task: Task | None = None) -> Task | None:
        """Take the next task, or ``task``, off the queue; it runs from now on.

        None stands for the programs of the lowest class: all others have had their share.
        """
        self._update(now)
        if task is None:
            task = self.first()
        self._current = task
        self._since = self._began = now
        if task is self._spin:
            return None
        self._waiting.remove(task)
        return task

    def put(self, now: int, *, again: bool) -> None:
        """The current task stops running; with ``again`` it goes back on the queue."""
        self._update(now)
        task, self._current = self._current, None
        assert task is not None, "nothing was running"
        if again and task is not self._spin:
            self._waiting.append(task)

    def tick(self, now: int) -> bool:
        """A tick: whether the current task has to let another one run."""
        self._update(now)
        current = self._current
        others = [task for task in self._ready() if task is not current]
        if current is None or not others:
            return False
        share = MIN_GRANULARITY_NS
        if current is not self._spin:
            share = self._share(len(self._waiting) + 1)
        ran = now - self._began
        if ran > share:
            return True
        least = min(task.vruntime for task in others)
        return ran >= MIN_GRANULARITY_NS and current.vruntime - least > share

    def _ready(self) -> list[Task]:
        """Those that wait, and the spinning program."""
        return [*self._waiting, self._spin] if self._spinners else self._waiting

    def _share(self, tasks: int) -> int:
        """``sched_slice``: what each of so many tasks may run in one period."""
        return max(LATENCY_NS // tasks, MIN_GRANULARITY_NS)

    def _update(self, now: int) -> None:
        """``update_curr``: the current task has run until now."""
        current = self._current
        if current is not None:
            ran = now - self._since
            current.vruntime += ran * NICE_0_WEIGHT // IDLE_WEIGHT if current is self._spin else ran
            self._since = now
        least = [task.vruntime for task in self._ready()]
        if current is not None and current is not self._spin:
            least.append(current.vruntime)
        if least:
            self._min_vruntime = max(self._min_vruntime, min(least))


class _Spin:
    """The programs of the lowest class (SCHED_IDLE), taken for one: ready at all times."""

    name = "spin"
    pid = 0

    def __init__(self) -> None:
        self.vruntime = 0

    def run(self) -> bool:
        """It is the processor that spins (``Vcpu.spin``)."""
        raise AssertionError("the run queue hands out no spinning program")
