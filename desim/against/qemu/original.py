"""QEMU 7.2's card: programs for it, each with all that the card did to the nanosecond."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from desim.against.marks import marks
from desim.against.original import Held, Input, Judged
from desim.against.qemu import recorder
from desim.against.qemu.machine import VERSION, check
from desim.against.qemu.programs import is_program, program
from desim.conform.e1000.replay import Replay
from desim.engine.draw import Draw

ROOMS = (
    "desim.e1000",
    *(f"desim.net.{module}" for module in ("client", "queue", "hub", "reasons")),
)
NEVER = (
    *("fifo-full", "in-fifo", "wire-busy", "link-down-on-arrival", "receiver-off-on-arrival"),
    *("reset", "no-memory-space", "beyond-buffer", "empty-frame", "not-now", "hub-copy"),
    *("socket-closed", "socket-error", "socket-full", "datagram-unheard", "purged-by-buffer"),
    *("filter-buffer", "filter-corrupt", "filter-corrupted", "filter-delay", "filter-duplicate"),
    *("filter-loss", "filter-reorder"),
)
"""Reasons of sockets, filters and the datasheet's timing: programs have none of these."""


class Qemu:
    """``--against qemu``."""

    name = "qemu"
    version = f"QEMU {VERSION}"
    things = "programs"
    core = "e1000"
    by_chance = 1

    def open(self) -> Machine:
        """Make sure that QEMU is here."""
        return Machine()

    def draw(self, number: int) -> Input:
        """Program ``number``."""
        return program(number)

    def changed(self, given: Input, draw: Draw) -> Input:
        """``given`` for another card, or with others on the wire."""
        other = program(draw.between(0, 1 << 30))
        if draw.chance(2) and set(other["net"]["peers"]) >= set(given["net"]["peers"]):
            return {**given, "net": other["net"]}
        return {**given, "device": other["device"]}

    def is_input(self, given: Mapping[str, Any]) -> bool:
        """Whether it is a program that leaves itself alone."""
        return is_program(given)

    def judge(self, recording: dict[str, Any], *, watch: bool = True) -> Judged:
        """Replay it on our card."""
        if not watch:
            return Judged(str(Replay(recording).run() or ""), "", frozenset())
        with marks(ROOMS, NEVER).watched() as hit:
            replay = Replay(recording)
            difference = replay.run()
            found = hit(replay.ledger)
        return Judged(str(difference or ""), "", found)

    def known_marks(self) -> list[str]:
        """The functions of card and net layer, and their reasons to lose a frame or keep it."""
        return marks(ROOMS, NEVER).known


class Machine:
    """A QEMU for each program. Raises ``UserError`` if there is none."""

    def __init__(self) -> None:
        check()

    def hold(self, given: Input) -> Held:
        """Run one program."""
        return recorder.hold(given)

    def close(self) -> None:
        """No QEMU outlives its program."""
