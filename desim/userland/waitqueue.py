"""Where a process sleeps until somebody has something for it."""

from __future__ import annotations


class WaitQueue:
    """Processes that sleep until somebody wakes them (``wait_queue_head_t``).

    ``waiters`` belongs to the scheduler of the machine that the processes run on;
    everybody else only passes the queue on, and wakes it through that scheduler.
    ``woken`` is the number of the last wake-up, counted over all queues by that
    scheduler: one that comes between "nothing there" and going to sleep is not lost.
    """

    __slots__ = ("name", "waiters", "woken")

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiters: list[object] = []
        self.woken = 0
