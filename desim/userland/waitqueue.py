"""Where a process sleeps until somebody has something for it."""

from __future__ import annotations


class WaitQueue:
    """Processes that sleep until somebody wakes them (``wait_queue_head_t``).

    ``waiters`` belongs to the scheduler of the machine that the processes run on;
    everybody else only passes the queue on, and wakes it through that scheduler.
    """

    __slots__ = ("name", "waiters")

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiters: list[object] = []
