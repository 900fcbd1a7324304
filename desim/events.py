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
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol, TypeVarTuple

from desim.ports import Endpoint
from desim.reasons import Reason

Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Event:
    """What all kinds have: a word for the trace. Fields are those of the subclass."""

    kind: ClassVar[str]


class Kind(Protocol[*Ts]):
    """A class of events as who notes one sees it: called with its data, in order."""

    @property
    def kind(self) -> str:
        """The word that stands in the trace."""

    def __call__(self, *data: *Ts) -> Event: ...


@dataclass(frozen=True, slots=True)
class FramePassed(Event):
    """A frame passes a capture point."""

    kind: ClassVar[str] = "frame"
    point: str
    """The capture point: ``slirp`` or ``nic``."""
    to_guest: bool
    """Whether it is on its way to the guest."""
    frame: int
    """The frame's number."""


@dataclass(frozen=True, slots=True)
class FrameStored(Event):
    """The card has written a received frame into the guest's memory."""

    kind: ClassVar[str] = "dma"
    frame: int
    """The frame's number."""


@dataclass(frozen=True, slots=True)
class FrameTaken(Event):
    """The guest's driver has taken a received frame out of the ring."""

    kind: ClassVar[str] = "taken"
    frame: int
    """The frame's number."""


@dataclass(frozen=True, slots=True)
class PinDriven(Event):
    """The card changes the level of its interrupt pin."""

    kind: ClassVar[str] = "irq"
    level: bool
    """Whether it asks for an interrupt now."""


@dataclass(frozen=True, slots=True)
class Lost(Event):
    """A frame ends before its receiver has it."""

    kind: ClassVar[str] = "lost"
    frame: int
    """The frame's number; 0 if it had not passed a capture point yet."""
    where: str
    """The core, net client or filter at which it ended."""
    why: Reason
    """The reason."""


@dataclass(frozen=True, slots=True)
class Held(Event):
    """A frame has to wait."""

    kind: ClassVar[str] = "held"
    frame: int
    """The frame's number; 0 if it had not passed a capture point yet."""
    where: str
    """The core, net client or filter at which it waits."""
    why: Reason
    """What it waits for."""


@dataclass(frozen=True, slots=True)
class Made(Event):
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


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """A TCP connection between two sockets of the host is open."""

    kind: ClassVar[str] = "connected"
    conn: int
    """The connection's number."""
    client: Endpoint
    """Address (packed) and port of the end that connected."""
    server: Endpoint
    """Address (packed) and port of the end that listened."""


@dataclass(frozen=True, slots=True)
class Sent(Event):
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


@dataclass(frozen=True, slots=True)
class Received(Event):
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


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """One end closes its sending side, or the whole connection."""

    kind: ClassVar[str] = "closed"
    conn: int
    """The connection's number."""
    by: str
    """The end: ``client`` or ``server``."""
    how: str
    """``fin``, or ``reset`` for the whole connection."""


@dataclass(frozen=True, slots=True)
class Read(Event):
    """A program in the guest has read bytes from a TCP socket."""

    kind: ClassVar[str] = "read"
    remote: Endpoint
    """Address (packed) and port of the other end."""
    first_byte: int
    """Where in the other end's stream they begin."""
    count: int
    """How many bytes."""


EVENTS: tuple[type[Event], ...] = (
    FramePassed,
    FrameStored,
    FrameTaken,
    PinDriven,
    Lost,
    Held,
    Made,
    Connected,
    Sent,
    Received,
    Closed,
    Read,
)
"""All kinds, in the order in which ``docs/trace.md`` has them."""

KINDS: Mapping[str, type[Event]] = MappingProxyType({event.kind: event for event in EVENTS})
"""The class of each word that stands in a trace."""
