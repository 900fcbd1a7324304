"""Timers that fire at their instant, in the local timer's interrupt (kernel/time/hrtimer.c).

What a process's sleep is made of. Equal instants: the one that was started first.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.ports import Timer


class HrTimers:
    """The timers of one processor; each fires once.

    ``time`` gives the running code's ns, ``meet`` meets the other threads.
    """

    def __init__(self, *, time: Callable[[], int], meet: Callable[[], None], device: Timer) -> None:
        self._time = time
        self._meet = meet
        self._device = device
        self._started = 0
        self._waiting: list[tuple[int, int, Callable[[], None], bool]] = []

    def start(self, instant: int, function: Callable[[], None], *, periodic: bool = False) -> None:
        """Call ``function`` at ``instant`` (``hrtimer_start``); see ``Cpu.call_at``."""
        self._meet()
        self._started += 1
        self._waiting.append((instant, self._started, function, periodic))
        self._waiting.sort(key=lambda entry: entry[:2])
        self._program()

    def interrupt(self) -> None:
        """``hrtimer_interrupt``: call what is due."""
        now = self._time()
        while self._waiting and self._waiting[0][0] <= now:
            self._waiting.pop(0)[2]()
        if self._waiting:
            self._meet()
            self._program()

    def waiting(self) -> bool:
        """Whether one that is not periodic has been started and has not fired."""
        return any(not periodic for _, _, _, periodic in self._waiting)

    def deadlines(self) -> list[int]:
        """When they fire (ns), the earliest first."""
        return [instant for instant, _, _, _ in self._waiting]

    def _program(self) -> None:
        instant = max(self._waiting[0][0], self._time())
        if self._device.deadline != instant:
            self._device.arm(instant)
