"""Something that happens at an instant, outside of any thread."""

from __future__ import annotations

from collections.abc import Callable

from desim.engine.environment import LOOK, Environment
from desim.engine.thread import FIRST_RANK


class Alarm:
    """Calls ``ring`` at the instant it is set for, ahead of all threads.

    At one instant the alarm with the lower ``rank`` goes first, else the one that was set
    first. Setting it again moves it; a later instant reuses the entry on the heap. One that
    only ``looks`` how things are does not count as an event.
    """

    def __init__(
        self,
        env: Environment,
        ring: Callable[[], None],
        rank: int = FIRST_RANK - 1,
        *,
        looks: bool = False,
    ) -> None:
        self.env = env
        self.ring = ring
        self.rank = rank
        self.looks = looks
        self.due: int | None = None
        self._entries: list[int] = []

    def set(self, instant: int) -> None:
        """Ring at ``instant`` (ns, not in the environment's past)."""
        assert instant >= self.env._now, f"an alarm in the past: {instant} < {self.env._now}"
        self.due = instant
        if not self._entries or instant < self._entries[-1]:
            self._entries.append(instant)
            look = LOOK if self.looks else None
            self.env.call_by_rank(instant, self.rank, self._fired, look)

    def clear(self) -> None:
        """Do not ring."""
        self.due = None

    def taken_away(self) -> None:
        """Its entries are on the heap no more: it is not set."""
        self.due = None
        self._entries.clear()

    def _fired(self, _: object) -> None:
        if self.looks:
            self.env.uncounted += 1
        fired = self._entries.pop()
        if self.due is None:
            return
        if self.due > fired:
            self.set(self.due)
            return
        self.due = None
        self.ring()
