"""What keeps the running code from giving way (include/linux/preempt.h, Linux 6.1)."""

from __future__ import annotations


class PreemptCount:
    """``preempt_count`` of one processor: its hard and its soft interrupts' parts."""

    __slots__ = ("hardirq", "softirq")

    def __init__(self) -> None:
        self.hardirq = False
        """In a hard interrupt, from its entry to the soft interrupts at its end."""
        self.softirq = 0
        """How often soft interrupts have been switched off; while some run, once more."""
