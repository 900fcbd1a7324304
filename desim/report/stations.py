"""The rows of a journey under headings: who had the message, one after the other.

A row says where the message was, who carried it, if it was carried, and whose code the
function is. Once the guest has the message, QEMU's code (and the host's kernel, which QEMU
calls) runs only inside the guest's own accesses to the card (its write of TDT runs the
whole way out), so that has a heading of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from desim.data import NamedTuple
from desim.experiment.journey import TO_GUEST, TO_HOST, Direction, Row

LIES = {
    "host socket buffer": "waiting in the host's socket buffer for",
    "so_snd": "waiting in slirp's so_snd for",
    "net queue": "waiting in a net queue for",
    "receive ring": "waiting in the card's receive ring for",
    "socket queue": "waiting in the guest's socket queue for",
    "host program": "waiting in the host's program, which sends, for",
    "guest program": "waiting in the guest's program, which sends, for",
    "guest send queue": "waiting in the guest's send queue for",
    "slirp": "waiting in slirp for",
    "so_rcv": "waiting in slirp's so_rcv for",
}
"""Where a message can lie, as a journey calls it, and the heading for it."""

HOST = "the host's program, in send()"
QEMU = "QEMU"
GUEST_KERNEL = "the guest's kernel: interrupts, driver, network stack"
QEMU_BELOW_GUEST = "QEMU, inside the guest's accesses to the card"
GUEST_PROGRAM = "the guest's program, in read()"
HOST_READS = "the host's program, in read()"
GUEST_WRITES = "the guest's program, in send()"


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


def group_rows(rows: Iterable[Row], direction: Direction = TO_GUEST) -> list[Group]:
    """Every row once, in order, below the heading it belongs to.

    ``direction`` is that of the message: who of the two programs sends it.
    """
    groups: dict[str, Group] = {}
    for row in rows:
        lies = row.carrier is None
        title = LIES[row.station] if lies else _heading(row, direction)
        groups.setdefault(title, Group(title, lies, [])).rows.append(row)
    return list(groups.values())


def _heading(row: Row, direction: Direction) -> str:
    """Under whom a row stands that somebody carries: who has the message, or whose code it is."""
    if row.carrier in ("guest kernel", "guest program"):
        if row.owner in ("QEMU", "host"):
            return QEMU_BELOW_GUEST
        if row.carrier == "guest kernel":
            return GUEST_KERNEL
        return GUEST_WRITES if direction == TO_HOST else GUEST_PROGRAM
    if row.owner == "guest":
        return GUEST_KERNEL
    if row.carrier != "host program":
        return QEMU
    return HOST_READS if direction == TO_HOST else HOST
