"""Messages and their journeys, as values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from desim.data import Data, NamedTuple
from desim.stages import Owner

Carrier = Literal["host program", "QEMU", "guest kernel", "guest program"]
"""Who has the message."""
HOST_PROGRAM: Carrier = "host program"
EMULATOR: Carrier = "QEMU"
GUEST_KERNEL: Carrier = "guest kernel"
GUEST_PROGRAM: Carrier = "guest program"

Kind = Literal["tcp", "udp", "ping"]
"""What a message is: bytes of a connection, a datagram, an echo request with its reply."""
KINDS: tuple[Kind, ...] = ("tcp", "udp", "ping")

Direction = Literal["host to guest", "guest to host", "round trip"]
"""Which way it goes; a ping goes there and back."""
TO_GUEST: Direction = "host to guest"
TO_HOST: Direction = "guest to host"
ROUND_TRIP: Direction = "round trip"
DIRECTIONS: tuple[Direction, ...] = (TO_GUEST, TO_HOST, ROUND_TRIP)

UNDER_WAY = "under way at the end"
"""What has become of a message that nothing was lost of, and that nobody has read."""
RESET = "the connection was reset"
"""The same of one on a connection that is no more."""
SLIRP_TOOK = "taken by slirp itself"
"""What has become of a datagram that slirp has answered, or dropped, without the host."""
TO_A_GUEST = "for another guest: such ways are not followed"
"""The same of one whose receiver is no program of the host."""


class Row(NamedTuple):
    """One station of the way: ns of own time, or of waiting and for what."""

    station: str
    file: str
    own_ns: int
    waiting_ns: int
    waits_for: str
    owner: Owner | None = None
    """Whose code the station is; None if it is a wait."""
    carrier: Carrier | None = None
    """Who has the message then; None if it lies somewhere."""


class Message(Data, frozen=True):
    """What one call of a program sends: the bytes of a ``write`` or ``send``, or a datagram.

    It has arrived when a program has read its last byte, and a ping when its program has read
    the reply. It counts from the call's entry to the return of the call that reads.
    """

    number: int
    """Among all messages of the run, in the order of their arrival, from 1 on; those that have
    not arrived follow in the order in which they were sent."""
    kind: Kind
    direction: Direction
    conn: int
    """The connection, counted from 1 in the order of opening; 0 for what belongs to none."""
    index: int
    """The message's place among those of the same direction of its connection, or of the same
    two ends, from 1 on; of a ping the sequence number."""
    sender: str
    """Which end it comes from: ``guest:5556``, ``host:39866``."""
    receiver: str
    size: int
    """Bytes."""
    first_byte: int
    """Where in the connection's stream it begins; 0 for a datagram."""
    begin_ns: int
    """The entry of the call that sends."""
    end_ns: int | None
    """The return of the call that reads its last byte; None if it has not arrived."""
    fate: str = ""
    """Why it has not arrived, as far as is known; empty if it has."""

    @property
    def total_ns(self) -> int | None:
        """How long it was under way; None if it has not arrived."""
        return None if self.end_ns is None else self.end_ns - self.begin_ns

    @property
    def name(self) -> str:
        """Which way it goes, in words."""
        return f"{self.sender} -> {self.receiver}"


class Journey(Data, frozen=True):
    """The way of one message of ``size`` bytes, ``text`` being the start of it: leg by leg.

    Iterating over it gives the stations (``rows``), in order; they add up to ``total_ns``
    exactly, always. A message that has not arrived has a journey without any, which is false.
    """

    text: bytes = b""
    size: int = 0
    connection: str = ""
    begin_ns: int = 0
    """The entry of the call that sends, in virtual ns since power-on."""
    end_ns: int = 0
    """The return of the call that reads."""
    rows: tuple[Row, ...] = ()
    stays: tuple[Row, ...] = ()
    """The same in order of time, without gaps: only what is next to each other is one."""
    direction: Direction = TO_GUEST
    message: Message | None = None
    """The message, if it was looked for among all of them."""

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def total_ns(self) -> int:
        """From the entry of the call that sends to the return of the one that reads."""
        return self.end_ns - self.begin_ns

    @property
    def own_ns(self) -> int:
        """What somebody worked on it."""
        return sum(row.own_ns for row in self.rows)

    @property
    def waiting_ns(self) -> int:
        """What it lay somewhere."""
        return sum(row.waiting_ns for row in self.rows)
