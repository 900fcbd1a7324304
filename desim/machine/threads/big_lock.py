"""QEMU's big lock (``qemu_mutex_lock_iothread``): first come, first served."""

from __future__ import annotations

from collections import deque

from desim.engine.environment import Environment
from desim.engine.thread import Thread


class BigLock:
    """Held by whoever runs QEMU's code: the main loop, or a virtual CPU in a device access."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.owner: Thread | None = None
        self.queue: deque[Thread] = deque()
        self.meet = env.touch_point("lock")
        self._meet_unlock = env.touch_point("unlock")

    def acquire(self) -> None:
        """Take it, waiting in line if somebody has it. No-op outside of threads."""
        self.meet()
        self.take()

    def take(self) -> None:
        """``acquire`` for a thread that has met the others at ``meet``.

        A virtual CPU takes no interrupt in a device access: it meets with its
        interrupts on, and waits here with them off.
        """
        thread = self.env.running
        if thread is None:
            return
        assert self.owner is not thread, f"{thread.name} has the big lock already"
        if self.owner is None:
            self.owner = thread
            return
        self.queue.append(thread)
        thread.meet()
        while self.owner is not thread:
            thread.park("big lock")

    def release(self) -> None:
        """Give it to the first in line, if there is one. No-op outside of threads."""
        self._meet_unlock()
        thread = self.env.running
        if thread is None:
            return
        assert self.owner is thread, f"{thread.name} releases a lock that is not its own"
        if self.queue:
            self.owner = self.queue.popleft()
            self.owner.wake()
        else:
            self.owner = None
