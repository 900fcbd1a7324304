"""A small sweep for tests: a guest that sends three pings, with another delay and seed each."""

from __future__ import annotations

from pathlib import Path

from desim.scenario.document import Document
from desim.scenario.loader import load_document
from desim.scenario.values import Axis
from desim.sweeps.database import Database
from desim.sweeps.sweep import Asked, Order, Progress, make, order

PINGS = """
description = "Three pings"
qemu = "-nic user,model=e1000"
guest.ipv6 = false
costs = "zero"
guest.run = [{ command = "ping -c 3 -i 0.001 10.0.2.2" }]
"""
DELAY = "guest.modprobe.RxAbsIntDelay"
METRICS = ("ping.sent", "ping.max", "irq", "irq_rate")


def document(folder: Path, text: str = PINGS, name: str = "pings") -> Document:
    """A scenario in a file."""
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return load_document(str(path))


def small(folder: Path, delays: int = 3, seeds: int = 2) -> Order:
    """A sweep of the receive delay."""
    axis = Axis(DELAY, tuple(range(0, 100 * delays, 100)))
    return order(document(folder), Asked(vary=[axis], seeds=range(1, seeds + 1), metrics=METRICS))


def made(what: Order, path: Path | str, **options: int) -> list[Progress]:
    """Make a sweep as a whole."""
    database = Database.begin(str(path), what.head)
    try:
        return list(make(what, database, **options))
    finally:
        database.close()


def dump(path: Path | str) -> list[str]:
    """All that a file of results holds."""
    database = Database.read(str(path))
    try:
        return list(database.dump())
    finally:
        database.close()
