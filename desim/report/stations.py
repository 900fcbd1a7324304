"""The rows of a journey under headings: who had the message, one after the other.

A row says where the message was and names, if it was carried, the function and its
file. From the file one sees whose code that is; a row without a file is a wait.
Once the guest has the message, QEMU's code runs only inside the guest's own
accesses to the card (its write of TDT runs the whole way out), so that has a
heading of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from desim.experiment.journey import Row

LIES = {
    "host socket buffer": "waiting in the host's socket buffer for",
    "so_snd": "waiting in slirp's so_snd for",
    "net queue": "waiting in a net queue for",
    "receive ring": "waiting in the card's receive ring for",
    "socket queue": "waiting in the guest's socket queue for",
}
"""Where a message can lie, as a journey calls it, and the heading for it."""

HOST = "the host's program, in send()"
QEMU = "QEMU"
GUEST_KERNEL = "the guest's kernel: interrupts, driver, network stack"
QEMU_BELOW_GUEST = "QEMU, inside the guest's accesses to the card"
GUEST_PROGRAM = "the guest's program, in read()"

QEMU_FILES = (
    "slirp/", "hw/", "net/slirp.c", "net/net.c", "net/queue.c", "net/hub.c",
    "main-loop.c", "qemu-timer.c", "vl.c", "cpus.c",
)  # fmt: skip
HOST_FILE = "host kernel"
READ_ENTRY = "do_syscall_64"


class Group(NamedTuple):
    """Rows under one heading; ``lies`` if the message lies somewhere and all of them are waits."""

    title: str
    lies: bool
    rows: list[Row]

    @property
    def own_ns(self) -> int:
        """Own time of all rows."""
        return sum(row.own_ns for row in self.rows)

    @property
    def waiting_ns(self) -> int:
        """Waiting of all rows."""
        return sum(row.waiting_ns for row in self.rows)


def group_rows(rows: Iterable[Row]) -> list[Group]:
    """Every row once, in order, below the heading it belongs to."""
    groups: dict[str, Group] = {}
    carrier = HOST
    for row in rows:
        if not row.file and row.station in LIES:
            title = LIES[row.station]
            carrier = {"socket queue": GUEST_PROGRAM, "receive ring": GUEST_KERNEL}.get(
                row.station, QEMU
            )
        else:
            carrier = title = _carrier(row, carrier)
            if title == QEMU_BELOW_GUEST:
                carrier = GUEST_KERNEL
        groups.setdefault(title, Group(title, title in LIES.values(), [])).rows.append(row)
    return list(groups.values())


def _carrier(row: Row, before: str) -> str:
    """Whose code the row is, given who had the message before."""
    if not row.file or (row.file == HOST_FILE and before in (HOST, QEMU)):
        return before
    if row.file.startswith(QEMU_FILES):
        return QEMU if before in (HOST, QEMU) else QEMU_BELOW_GUEST
    if row.station == READ_ENTRY or before == GUEST_PROGRAM:
        return GUEST_PROGRAM
    return GUEST_KERNEL
