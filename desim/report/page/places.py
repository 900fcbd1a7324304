"""Where code belongs: places, each with its colour, in the order of a packet's way.

The colours are Okabe and Ito's eight, without black; the page's style has their values. Grey is no
place: it means waiting.
"""

from __future__ import annotations

from enum import Enum

from desim.data import NamedTuple
from desim.stages import GUEST, HOST, Owner


class Place(Enum):
    """A place; its value is what it is called."""

    HOST = "host kernel"
    QEMU = "QEMU: main loop, net core"
    SLIRP = "slirp"
    CARD = "e1000 card"
    DRIVER = "guest: interrupt, driver"
    KERNEL = "guest: network stack, system calls"
    PROGRAM = "guest program"

    @property
    def short(self) -> str:
        """Its name among several."""
        return {Place.QEMU: "net core", Place.CARD: "card"}.get(self, self.value)

    @property
    def css(self) -> str:
        """The class that gives something the place's colour."""
        return f"at-{self.name.lower()}"


class Queue(NamedTuple):
    """A place where messages lie."""

    place: Place
    words: str


QUEUES = {
    "host socket buffer": Queue(Place.HOST, "in the host's socket buffer"),
    "so_snd": Queue(Place.SLIRP, "in slirp's so_snd"),
    "net queue": Queue(Place.QEMU, "in a net queue"),
    "receive ring": Queue(Place.CARD, "in the card's receive ring"),
    "socket queue": Queue(Place.KERNEL, "in the guest's socket queue"),
    "guest send queue": Queue(Place.KERNEL, "in the guest's send queue"),
    "so_rcv": Queue(Place.SLIRP, "in slirp's so_rcv"),
    "slirp": Queue(Place.SLIRP, "in slirp"),
}
"""By what a journey calls them."""

WAITING = "waiting"
"""What grey and hatched is called."""
WAITING_CSS = "at-wait"

_INTERRUPT_FILES = ("arch/x86/kernel/", "kernel/irq/", "kernel/softirq.c", "drivers/", "e1000_")
"""Where the guest's files begin that have the interrupt and the driver."""
_PROGRAM_FILES = ("ltool.c",)
"""Code of programs that the model takes time for."""


def place_of(owner: Owner | None, file: str) -> Place:
    """The place of a function by whose code it is, and its file."""
    if owner == HOST or file == "host kernel":
        return Place.HOST
    if owner == GUEST:
        if file.startswith(_PROGRAM_FILES):
            return Place.PROGRAM
        return Place.DRIVER if file.startswith(_INTERRUPT_FILES) else Place.KERNEL
    if file.startswith("slirp/") or file == "net/slirp.c":
        return Place.SLIRP
    return Place.CARD if file.startswith("hw/") else Place.QEMU
