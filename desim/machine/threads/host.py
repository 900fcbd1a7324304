"""Host processes as threads of control: each program has its own stack and clock."""

from __future__ import annotations

import errno
from collections.abc import Callable

from desim.engine.environment import Environment
from desim.engine.marks import Codes
from desim.engine.thread import Thread
from desim.stages import HOST, Build, Landmark, bare, mark, stages
from desim.userland.errors import failure
from desim.userland.process import Blocked, Process
from desim.userland.processes import Processes
from desim.userland.program import Call
from desim.userland.waitqueue import WaitQueue


class HostScheduler:
    """Starts host processes and wakes them; the ``wake_up`` port of the host's kernel."""

    def __init__(self, env: Environment, codes: Codes, build: Build = bare) -> None:
        self.env = env
        self.codes = codes
        self.build = build
        self.wakeups = 0

    def wake_up(self, queue: WaitQueue) -> None:
        """Wake who sleeps on ``queue``; the caller has met the others."""
        self.wakeups += 1
        queue.woken = self.wakeups
        waiters, queue.waiters = queue.waiters, []
        for waiter in waiters:
            assert isinstance(waiter, HostTask), f"{waiter!r} is no host process"
            waiter.wake()

    def start(self, kernel: Processes, process: Process, rank: int) -> HostTask:
        """Give ``process`` a thread of its own, from the current instant on."""
        return self.build(HostTask)(self, kernel, process, rank)


class HostTick:
    """The host's timer softirq, on a thread of its own; a ``Timer`` (``desim.ports``).

    Few runs need one: the thread is made when it is first armed, with the rank that
    ``rank`` gives.
    """

    def __init__(
        self,
        env: Environment,
        codes: Codes,
        *,
        rank: Callable[[], int],
        follow: Callable[[Thread], None],
        name: str,
        fire: Callable[[], None],
    ) -> None:
        self.env = env
        self.codes = codes
        self.rank = rank
        self.follow = follow
        self.name = name
        self.fire = fire
        self.deadline: int | None = None
        self.thread: Thread | None = None

    def arm(self, deadline: int) -> None:
        self.deadline = deadline
        if self.thread is None:
            self.thread = Thread(self.env, self.name, self.rank(), self._turns, self.codes)
            self.follow(self.thread)
        else:
            self.thread.wake()

    def cancel(self) -> None:
        self.deadline = None

    def _turns(self) -> None:
        thread = self.thread
        assert thread is not None, "it is made by arm"
        while True:
            thread.meet()
            due = self.deadline
            if due is None or due > thread.now:
                thread.park("timer", due)
            else:
                self.deadline = None
                self.fire()


class HostTask:
    """One host process on its own thread."""

    STAGES = stages(
        HOST,
        execve=mark("execve", file="host kernel", landmark=Landmark.LOOP),
        syscall=mark("syscall", file="host kernel", landmark=Landmark.HOST_CALL),
        exit=mark("exit", file="host kernel"),
    )

    def __init__(
        self,
        scheduler: HostScheduler,
        kernel: Processes,
        process: Process,
        rank: int,
    ) -> None:
        self.scheduler = scheduler
        self.kernel = kernel
        self.process = process
        self.asleep = False
        self.until: int | None = None
        self.signal: str | None = None
        name = f"{process.name}[{process.pid}]"
        self.thread = Thread(scheduler.env, name, rank, self.execve, scheduler.codes)

    @property
    def waits_for_input(self) -> bool:
        """Whether only somebody else can make it go on."""
        return self.asleep and self.until is None

    def execve(self) -> None:
        """The whole life of the process."""
        process, thread = self.process, self.thread
        call = process.resume()
        while call is not None:
            thread.meet()
            if self.signal is not None:
                signal, self.signal = self.signal, None
                self.kernel.kill(process, signal)
                if process.exit_status is not None:
                    break
                call = process.resume(error=failure(errno.EINTR))
                continue
            before = self.scheduler.wakeups
            try:
                value = self.syscall(call)
            except Blocked as blocked:
                self._sleep(call, blocked, before)
            except OSError as error:
                call = process.resume(error=error)
            else:
                call = process.resume(value)
        self.exit()

    def syscall(self, call: Call) -> object:
        """One system call."""
        return self.kernel.syscall(self.process, call)

    def exit(self) -> None:
        """Close what is open."""
        self.process.cpu_ns += self.thread.now - self.process.started_ns
        self.kernel.exit(self.process)

    def wake(self) -> None:
        """It may have what it waits for."""
        self.thread.wake()

    def interrupt(self, signal: str) -> None:
        """End it by ``signal``; called from outside of all threads."""
        self.signal = signal
        if self.asleep:
            self.thread.wake()

    def _sleep(self, call: Call, blocked: Blocked, before: int) -> None:
        """Sleep on the call's queues until one is woken, unless that has happened already."""
        thread = self.thread
        thread.meet()
        if self.signal is not None or any(q.woken > before for q in blocked.queues):
            return
        deadline = blocked.deadline_ns
        if deadline is not None and deadline <= thread.now:
            return
        for queue in blocked.queues:
            queue.waiters.append(self)
        self.asleep, self.until = True, deadline
        self.process.cpu_ns += thread.now
        thread.park(call.name, deadline)
        self.process.cpu_ns -= thread.now
        self.asleep, self.until = False, None
        for queue in blocked.queues:
            if self in queue.waiters:
                queue.waiters.remove(self)
