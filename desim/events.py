"""What is noted in a trace beside stages and waits: each kind of event, and what it holds.

A class here is one kind: its ``kind`` is the word that stands in the trace, its fields are
the data. Who notes one (``desim.machine.ports.Recorder.note``) gives the class and the
fields' values, which are kept as they are; who reads asks for the class
(``Trace.events(Lost)``) and gets objects of it. ``docs/trace.md`` lists all of them for
people who read ``trace.jsonl``.

Frames are named by their number in the run (from 1 on), connections between sockets of the
host by theirs (``conn``), and bytes of a connection's one direction by their count from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, TypeVarTuple

from desim.data import Data, Protocol
from desim.ports import Endpoint
from desim.reasons import Reason

Ts = TypeVarTuple("Ts")


class Event(Data, frozen=True):
    """What all kinds have: a word for the trace. Fields are those of the subclass."""

    kind: ClassVar[str]


class Kind(Protocol[*Ts]):
    """A class of events as who notes one sees it: called with its data, in order."""

    @property
    def kind(self) -> str:
        """The word that stands in the trace."""

    def __call__(self, *data: *Ts) -> Event: ...


class FramePassed(Event, frozen=True):
    """A frame passes a capture point."""

    kind: ClassVar[str] = "frame"
    point: str
    """The capture point: ``slirp`` or ``nic``."""
    to_guest: bool
    """Whether it is on its way to the guest."""
    frame: int
    """The frame's number."""


class FrameStored(Event, frozen=True):
    """The card has written a received frame into the guest's memory."""

    kind: ClassVar[str] = "dma"
    frame: int
    """The frame's number."""


class FrameTaken(Event, frozen=True):
    """The guest's driver has taken a received frame out of the ring."""

    kind: ClassVar[str] = "taken"
    frame: int
    """The frame's number."""


class PinDriven(Event, frozen=True):
    """The card changes the level of its interrupt pin."""

    kind: ClassVar[str] = "irq"
    level: bool
    """Whether it asks for an interrupt now."""


class Raised(Event, frozen=True):
    """The card wants its interrupt pin high, which was low."""

    kind: ClassVar[str] = "raised"
    causes: tuple[str, ...]
    """The causes that are pending and not masked, by their names in ICR."""


class MitigationBegun(Event, frozen=True):
    """From now on the card holds interrupts back, or one cause."""

    kind: ClassVar[str] = "mitigation"
    holds: str
    """What it holds back: ``line`` (every rise of the pin) or a cause by its name."""
    causes: tuple[str, ...]
    """The causes that have begun it."""
    by: str
    """The register that decides for how long: ``ITR``, ``RADV``, ``TADV``, ``RDTR``, ``TIDV``; or
    ``floor``: 128 us, below which QEMU does not go."""
    until_ns: int
    """When it will end, as things are now."""
    asked_by: str
    """The register that asks for the shortest time; empty if none asks for any."""
    asked_ns: int
    """The time that it asks for."""
    itr_ns: int
    """What ITR asks for."""


class MitigationEnded(Event, frozen=True):
    """The card no longer holds that back."""

    kind: ClassVar[str] = "mitigation-end"
    holds: str
    """What it has held back: see ``mitigation``."""
    causes: tuple[str, ...]
    """The causes that have waited for this; none if nothing has."""
    by: str
    """The register that has decided, or ``floor``."""
    begin_ns: int
    """When it began."""
    waited_ns: int
    """For how long an interrupt, or the cause, has waited."""
    cut: bool
    """Whether something else has ended it early: a reset, or a cause that must not wait."""


class Scheduled(Event, frozen=True):
    """The guest's processor goes over to a task."""

    kind: ClassVar[str] = "task"
    name: str
    """The program, or the kernel's thread; empty: programs of the lowest class, which only
    compute."""
    pid: int
    """The process; 0 for a thread of the kernel."""


class Lost(Event, frozen=True):
    """A frame ends before its receiver has it."""

    kind: ClassVar[str] = "lost"
    frame: int
    """The frame's number; 0 if it had not passed a capture point yet."""
    where: str
    """The core, net client or filter at which it ended."""
    why: Reason
    """The reason."""


class Held(Event, frozen=True):
    """A frame has to wait."""

    kind: ClassVar[str] = "held"
    frame: int
    """The frame's number; 0 if it had not passed a capture point yet."""
    where: str
    """The core, net client or filter at which it waits."""
    why: Reason
    """What it waits for."""


class Made(Event, frozen=True):
    """A filter has made a frame that nobody sent: a copy, or a changed one."""

    kind: ClassVar[str] = "made"
    frame: int
    """The new frame's number."""
    of: int
    """The number of the frame that it was made from."""
    where: str
    """The filter."""
    why: Reason
    """What the filter does."""


class Connecting(Event, frozen=True):
    """A socket of the host asks for a TCP connection."""

    kind: ClassVar[str] = "connecting"
    client: Endpoint
    """Address (packed) and port of its end."""
    server: Endpoint
    """Address (packed) and port of the other end."""


class Connected(Event, frozen=True):
    """A TCP connection between two sockets of the host is open."""

    kind: ClassVar[str] = "connected"
    conn: int
    """The connection's number."""
    client: Endpoint
    """Address (packed) and port of the end that connected."""
    server: Endpoint
    """Address (packed) and port of the end that listened."""


class Sent(Event, frozen=True):
    """One end has given bytes to the host's kernel."""

    kind: ClassVar[str] = "sent"
    conn: int
    """The connection's number."""
    first_byte: int
    """Where in its stream they begin."""
    count: int
    """How many bytes."""
    by: str
    """The end: ``client`` or ``server``."""
    resumed: bool
    """Whether an earlier part of the same call has been taken before, and this had to wait."""


class Received(Event, frozen=True):
    """One end has read bytes from the host's kernel."""

    kind: ClassVar[str] = "received"
    conn: int
    """The connection's number."""
    first_byte: int
    """Where in the other end's stream they begin."""
    count: int
    """How many bytes."""
    by: str
    """The end that reads: ``client`` or ``server``."""


class Closed(Event, frozen=True):
    """One end closes its sending side, or the whole connection."""

    kind: ClassVar[str] = "closed"
    conn: int
    """The connection's number."""
    by: str
    """The end: ``client`` or ``server``."""
    how: str
    """``fin``, or ``reset`` for the whole connection."""


class Read(Event, frozen=True):
    """A program in the guest has read bytes from a TCP socket."""

    kind: ClassVar[str] = "read"
    local: Endpoint
    """Address (packed) and port of the guest's end."""
    remote: Endpoint
    """Address (packed) and port of the other end."""
    first_byte: int
    """Where in the other end's stream they begin."""
    count: int
    """How many bytes."""


class Written(Event, frozen=True):
    """A program in the guest has given bytes to a TCP socket."""

    kind: ClassVar[str] = "written"
    local: Endpoint
    """Address (packed) and port of the guest's end."""
    remote: Endpoint
    """Address (packed) and port of the other end."""
    first_byte: int
    """Where in its stream they begin."""
    count: int
    """How many bytes."""
    resumed: bool
    """Whether an earlier part of the same call has been taken before, and this had to wait."""


class DatagramSent(Event, frozen=True):
    """A socket of the host, a program's or QEMU's, sends a datagram."""

    kind: ClassVar[str] = "datagram-sent"
    datagram: int
    """Its number, from 1 on."""
    local: Endpoint
    """Address (packed) and port that it comes from."""
    remote: Endpoint
    """Address (packed) and port that it goes to."""
    count: int
    """How many bytes."""
    crc: int
    """CRC-32 of its bytes, to tell it from others."""
    queued: bool
    """Whether a socket has it now; without one, or if that has no room, it is gone."""


class DatagramReceived(Event, frozen=True):
    """A socket of the host, a program's or QEMU's, is read: a datagram."""

    kind: ClassVar[str] = "datagram-received"
    datagram: int
    """The number with which it was sent."""
    local: Endpoint
    """Address (packed) and port of the socket."""
    remote: Endpoint
    """Address (packed) and port of its sender."""
    count: int
    """How many bytes it has."""


class DatagramWritten(Event, frozen=True):
    """A program in the guest has sent a datagram, by UDP or through a raw socket."""

    kind: ClassVar[str] = "datagram-written"
    protocol: int
    """The number of the protocol: 17 for UDP, 1 for ICMP."""
    local: Endpoint
    """Address (packed) and port of the socket, as far as it is bound."""
    remote: Endpoint
    """Address (packed) and port that it goes to."""
    count: int
    """How many bytes."""
    crc: int
    """CRC-32 of its bytes, to tell it from others."""


class DatagramRead(Event, frozen=True):
    """A program in the guest has read a datagram from a UDP or raw socket."""

    kind: ClassVar[str] = "datagram-read"
    protocol: int
    """The number of the protocol: 17 for UDP, 1 for ICMP."""
    local: Endpoint
    """Address (packed) and port of the socket, as far as it is bound."""
    remote: Endpoint
    """Address (packed) and port of its sender."""
    count: int
    """How many bytes the program has got."""
    frame: int
    """The number of the frame with which it was whole; 0 if it came from the guest itself."""


EVENTS: tuple[type[Event], ...] = (
    FramePassed,
    FrameStored,
    FrameTaken,
    PinDriven,
    Raised,
    MitigationBegun,
    MitigationEnded,
    Scheduled,
    Lost,
    Held,
    Made,
    Connecting,
    Connected,
    Sent,
    Received,
    Closed,
    Read,
    Written,
    DatagramSent,
    DatagramReceived,
    DatagramWritten,
    DatagramRead,
)
"""All kinds, in the order in which ``docs/trace.md`` has them."""

KINDS: Mapping[str, type[Event]] = MappingProxyType({event.kind: event for event in EVENTS})
"""The class of each word that stands in a trace."""
