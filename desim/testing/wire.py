"""What stands for the net layer beside a core: a wire that keeps frames, and a ledger."""

from __future__ import annotations

from collections.abc import Callable

from desim.data import NamedTuple
from desim.reasons import Reason
from desim.wire.frame import Frame


class Wire:
    """A ``NetPort`` (``desim.ports``) that keeps what is sent; a ``Peer`` may be at its end."""

    def __init__(self) -> None:
        self.sent: list[Frame] = []
        """All frames that the core has sent, in order."""
        self.flushes = 0
        """How often the core said that it can receive again."""
        self.receiver: Callable[[Frame], int] | None = None
        """Who gets the core's own frames back in loopback: the core's ``receive``."""

    def send(self, frame: Frame) -> int:
        """Keep ``frame``."""
        self.sent.append(frame)
        return len(frame.raw)

    def flush(self) -> None:
        """Nothing waits; only count that the core could receive again."""
        self.flushes += 1

    def loopback(self, frame: Frame) -> int:
        """Hand ``frame`` to ``receiver``, if there is one."""
        return self.receiver(frame) if self.receiver is not None else 0


class Entry(NamedTuple):
    """A line of a ledger; its text is ``where: why``."""

    frame: Frame
    where: str
    why: Reason

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


class Copy(NamedTuple):
    """A frame that nobody sent, and the one it was made from."""

    frame: Frame
    of: Frame
    where: str
    why: Reason


class Ledger:
    """A ``Ledger`` (``desim.ports``) that lists what it is told, in order."""

    def __init__(self) -> None:
        self.losses: list[Entry] = []
        """Frames that ended."""
        self.waits: list[Entry] = []
        """Frames that had to wait."""
        self.copies: list[Copy] = []
        """Frames that nobody sent: what filters made."""

    @property
    def reasons(self) -> list[str]:
        """Where and why frames ended."""
        return [str(entry) for entry in self.losses]

    @property
    def holds(self) -> list[str]:
        """Where and why frames had to wait."""
        return [str(entry) for entry in self.waits]

    def lost(self, frame: Frame, where: str, why: Reason) -> None:
        """One frame ended."""
        self.losses.append(Entry(frame, where, why))

    def held(self, frame: Frame, where: str, why: Reason) -> None:
        """One frame has to wait."""
        self.waits.append(Entry(frame, where, why))

    def made(self, frame: Frame, of: Frame, where: str, why: Reason) -> None:
        """One frame came into being, from ``of``."""
        self.copies.append(Copy(frame, of, where, why))


class NoLoop:
    """A ``MainLoop`` (``desim.ports``) that nobody sleeps in; it counts what would wake it."""

    def __init__(self) -> None:
        self.notified = 0

    def notify(self) -> None:
        """Nothing to wake."""
        self.notified += 1
