"""A guest process as something the virtual CPU can run.

The program is a generator of system calls; each is made in the kernel, on the
virtual CPU's thread. One that cannot finish puts the task to sleep on its wait
queues and is made again when one of them is woken. A wake-up that comes between
the failed attempt and the sleep (a soft interrupt at ``release_sock``) is seen by
its number, and the call is made again at once.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from desim.machine.threads.vcpu import Vcpu
from desim.stages import GUEST, Landmark, mark, stages
from desim.userland.calls import USER_CALLS
from desim.userland.errors import failure
from desim.userland.process import Blocked, Process
from desim.userland.processes import Processes
from desim.userland.program import Call
from desim.userland.waitqueue import WaitQueue


class ProcessTask:
    """One process on the run queue, running, or asleep."""

    STAGES = stages(
        GUEST,
        do_syscall_64=mark(
            "do_syscall_64", file="arch/x86/entry/common.c", landmark=Landmark.GUEST_CALL
        ),
        schedule=mark("schedule", file="kernel/sched/core.c", landmark=Landmark.GUEST_CALL),
        execve=mark("do_execveat_common", file="fs/exec.c"),
        do_exit=mark("do_exit", file="kernel/exit.c"),
    )

    def __init__(
        self,
        vcpu: Vcpu,
        kernel: Processes,
        process: Process,
        ended: Callable[[Process], None] = lambda process: None,
        ready_ns: int = 0,
    ) -> None:
        """``ready_ns``: the instant before which it does not read the clock for the first time."""
        self.vcpu = vcpu
        self.kernel = kernel
        self.process = process
        self.name = process.name
        self.pid = process.pid
        self.vruntime = 0
        self.asleep = False
        self.until: int | None = None
        self.signal: str | None = None
        self._ended = ended
        self._ready_ns = ready_ns
        self._started = False
        self._call: Call | None = None
        self._queues: list[WaitQueue] = []
        self._sleep = 0

    @property
    def waits_for_input(self) -> bool:
        """Whether only somebody else can make it go on."""
        return self.asleep and self.until is None and not self.process.spins

    def run(self) -> bool:
        """Run until the process sleeps (False), ends (False) or lets others run (True)."""
        vcpu, process = self.vcpu, self.process
        sched = vcpu.sched
        began = vcpu.now()
        if not self._started:
            self._started = True
            self.execve()
            vcpu.call_rcu()
        call = self._call
        retry = call is not None
        if call is None:
            call = process.resume()
        while call is not None:
            if self.signal is not None:
                signal, self.signal = self.signal, None
                self.kernel.kill(process, signal)
                if process.exit_status is not None:
                    break
                call = process.resume(error=failure(errno.EINTR))
                retry = False
                continue
            sched.meet()
            before = sched.wakeups
            try:
                if retry:
                    value = self.schedule(call)
                elif call.name in USER_CALLS:
                    if self._ready_ns and call.name == "clock_gettime":
                        vcpu.compute_until(self._ready_ns)
                        self._ready_ns = 0
                    value = self.kernel.syscall(process, call)
                else:
                    value = self.do_syscall_64(call)
            except Blocked as blocked:
                if self._go_to_sleep(call, blocked, before):
                    process.cpu_ns += vcpu.now() - began
                    return False
                retry = True
                continue
            except OSError as error:
                call = process.resume(error=error)
            else:
                call = process.resume(value)
            retry = False
            if call is not None and sched.need_resched and sched.run_queue:
                self._call = call
                process.cpu_ns += vcpu.now() - began
                return True
        process.cpu_ns += vcpu.now() - began
        self.do_exit()
        vcpu.call_rcu()
        self._ended(process)
        return False

    def do_syscall_64(self, call: Call) -> object:
        """One system call, from user mode and back."""
        return self.kernel.syscall(self.process, call)

    def schedule(self, call: Call) -> object:
        """The task has been switched to, and tries again what it slept in."""
        return self.kernel.syscall(self.process, call)

    def execve(self) -> None:
        """The program is loaded, page by page, and gets as far as its first call."""

    def do_exit(self) -> None:
        """Close what is open."""
        self.kernel.exit(self.process)

    def wake(self) -> None:
        """It may have what it waits for."""
        if self.asleep:
            if self.process.spins:
                self.vcpu.sched.spinner(-1)
            self.asleep = False
            self.until = None
            for queue in self._queues:
                if self in queue.waiters:
                    queue.waiters.remove(self)
            self.vcpu.wake_task(self)

    def interrupt(self, signal: str) -> None:
        """End it by ``signal``; called from outside of all threads."""
        self.signal = signal
        if self.asleep:
            self.wake()
            self.vcpu.thread.kick()

    def _go_to_sleep(self, call: Call, blocked: Blocked, before: int) -> bool:
        """Sleep, unless something has happened meanwhile: whether the task sleeps now."""
        vcpu = self.vcpu
        vcpu.sched.meet()
        self._call = call
        if self.signal is not None or any(q.woken > before for q in blocked.queues):
            return False
        deadline = blocked.deadline_ns
        if deadline is not None:
            if deadline <= vcpu.now():
                return False
            self._sleep += 1
            sleep = self._sleep
            vcpu.call_at(deadline, lambda: self._time_is_up(sleep))
        if self.process.spins:
            # It is always ready to run, but only when nothing else is.
            vcpu.sched.spinner(1)
        self.asleep = True
        self.until = deadline
        self._queues = list(blocked.queues)
        for queue in self._queues:
            queue.waiters.append(self)
        return True

    def _time_is_up(self, sleep: int) -> None:
        if sleep == self._sleep and self.until is not None:
            self.wake()
