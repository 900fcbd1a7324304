"""Many runs: made by warm processes, given out in the order in which they were asked for.

What a run leaves depends on nothing but its configuration. So neither the number of workers nor
who was done first can be seen in any value.

Without ``os.fork``, or where other threads run (one of them might hold a lock at that moment,
which nobody would release in the child), the runs are made here, one after the other.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from copy import deepcopy
from typing import Generic, TypeVar

from desim.config import MachineConfig
from desim.errors import WorkerError
from desim.experiment.warm import Plan, Reply, Warm, run_job
from desim.machine.booted import begin_key, machine_key

Given = TypeVar("Given")
Value = TypeVar("Value")

WARM = 16
"""How many warm processes are kept; each has some ten MB of its own."""
AHEAD = 16
"""For each worker, how many runs may be over before their turn has come."""


def can_fork() -> bool:
    """Whether this process may be forked: the platform can, and no other thread runs."""
    return hasattr(os, "fork") and threading.active_count() == 1


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Job(Generic[Given]):
    """One run, from its being asked for until it is given out."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.reply: Reply | None = None


class Many(Generic[Given, Value]):
    """Makes runs as ``plan`` has them, at most ``workers`` at a time; to be closed.

    Its warm processes stay for the runs that follow.
    """

    def __init__(self, plan: Plan[Given, Value], workers: int) -> None:
        self.plan = plan
        self.workers = workers
        self._owner = os.getpid()
        self._warm: list[Warm[Given, Value]] = []
        """The one that was used last is last."""
        self._busy: dict[Warm[Given, Value], tuple[_Job[Given], MachineConfig, str]] = {}
        """With its job, the configuration of that, and the key of its machine."""
        self._up_ns: dict[str, int | None] = {}
        """By that key, when the guest has booted."""

    def run(self, given: Given) -> Value:
        """One run. Raises what went wrong in it."""
        (value,) = self.map([given])
        return value

    def map(self, all_given: Iterable[Given]) -> Iterator[Value]:
        """The runs of all that is given, in that order; an error is raised where its turn is."""
        replies = self.replies(all_given)
        try:
            for given, reply in replies:
                if reply.error is not None:
                    raise reply.error
                yield self.plan.take(given, reply.value)
        finally:
            replies.close()

    def replies(self, all_given: Iterable[Given]) -> Generator[tuple[Given, Reply], None, None]:
        """What came of each run, in that order: for who goes on behind an error."""
        source = iter(all_given)
        jobs: deque[_Job[Given]] = deque()
        more = True
        try:
            while True:
                while more and len(self._busy) < self.workers and len(jobs) < AHEAD * self.workers:
                    try:
                        given = next(source)
                    except StopIteration:
                        more = False
                    else:
                        jobs.append(_Job(given))
                        self._start(jobs[-1])
                if not jobs:
                    return
                reply = jobs[0].reply
                if reply is None:
                    self._wait()
                    continue
                yield jobs.popleft().given, reply
        finally:
            for warm, (job, _, _) in list(self._busy.items()):
                if job in jobs:
                    self._drop(warm)

    def close(self) -> None:
        """End all warm processes with what they are doing."""
        if os.getpid() == self._owner:  # a fork of this process has no say in them
            for warm in list(self._warm):
                self._drop(warm)

    def _start(self, job: _Job[Given]) -> None:
        """Have a job done: in a warm process, or here."""
        try:
            config = self.plan.configure(job.given)
            machine = machine_key(config)
        except Exception as error:
            job.reply = Reply(error=error)
            return
        up_ns = self._up_ns.get(machine)
        key = machine + begin_key(config, up_ns, up_ns)
        while (warm := self._idle(key)) is not None:
            try:
                warm.send(job.given, config, up_ns)
            except WorkerError:
                self._drop(warm)  # it has died since its last job
            except Exception as error:
                job.reply = Reply(error=error)
                return
            else:
                self._warm.remove(warm)
                self._warm.append(warm)
                self._busy[warm] = job, config, machine
                return
        job.reply = run_job(self.plan, job.given, deepcopy(config))

    def _idle(self, key: str) -> Warm[Given, Value] | None:
        """A warm process with this boot that has nothing to do, maybe a new one; None if there
        can be none."""
        for warm in self._warm:
            if warm.key == key and warm not in self._busy:
                return warm
        if not can_fork():
            return None
        if len(self._warm) >= max(WARM, self.workers):
            self._drop(next(warm for warm in self._warm if warm not in self._busy))
        warm = Warm(self.plan, key, self._warm)
        self._warm.append(warm)
        return warm

    def _wait(self) -> None:
        """Wait until some of the busy ones are done."""
        poll = select.poll()
        busy = {warm.fileno(): warm for warm in self._busy}
        for end in busy:
            poll.register(end, select.POLLIN)
        for end, _ in poll.poll():
            warm = busy[end]
            job, config, machine = self._busy[warm]
            try:
                job.reply = warm.receive()
            except WorkerError:
                how = self._drop(warm)
                name = self.plan.name(job.given)
                job.reply = Reply(error=WorkerError(f"the run of {name}: its process {how}"))
                continue
            except Exception as error:  # it cannot be made from its pickle
                job.reply = Reply(error=error)
            else:
                up_ns = job.reply.up_ns
                self._up_ns.setdefault(machine, up_ns)
                if warm.key == machine + begin_key(config, None, None):
                    # Only now one knows where its boot was halted.
                    warm.key = machine + begin_key(config, up_ns, None)
            self._busy.pop(warm, None)

    def _drop(self, warm: Warm[Given, Value]) -> str:
        """End a warm process; how it ended."""
        self._warm.remove(warm)
        return warm.end(idle=self._busy.pop(warm, None) is None)
