"""What has happened to one message on its way, as far as events tell: where legs begin and end."""

from __future__ import annotations

from desim.data import Data
from desim.experiment.journey.stacks import At
from desim.experiment.journey.values import Direction, Kind


class Passage:
    """One frame that carries bytes of messages, and where it has been."""

    __slots__ = (
        "begin",
        "end",
        "flow",
        "held",
        "lost",
        "made",
        "nic",
        "number",
        "payload",
        "raised",
        "reply",
        "slirp",
        "stored",
        "taken",
        "wrong",
    )

    def __init__(self, number: int, flow: object, begin: int, end: int) -> None:
        self.number = number
        self.flow = flow
        """Whose bytes it carries."""
        self.begin, self.end = begin, end
        """Which ones, from the first up to the last, counted in the stream."""
        self.payload = b""
        """The bytes of the stream."""
        self.nic: At | None = None
        self.slirp: At | None = None
        self.stored: At | None = None
        """The card has written it into the guest's memory."""
        self.raised: At | None = None
        """The first rise of the interrupt's pin then or later."""
        self.taken: At | None = None
        """The driver has taken it."""
        self.held = ""
        """What it waited for in the net layer, in words."""
        self.lost = ""
        """Where and why it was lost, in words."""
        self.made = False
        """Whether a filter made it of another frame."""
        self.reply = False
        """Whether it is the reply to a ping."""
        self.wrong = False
        """Whether its bytes are not those that were sent."""

    def holds(self, byte: int) -> bool:
        """Whether it carries a byte of the stream."""
        return self.begin <= byte < self.end


class Course(Data, eq=False):
    """A message and the events of its way. Which of them there are depends on its direction."""

    kind: Kind
    direction: Direction
    sent: At
    """The program's first write of it."""
    sent_last: At
    """The last; the same, unless the call had to wait."""
    first_byte: int
    size: int
    index: int
    conn: int = 0
    sender: str = ""
    receiver: str = ""
    connection: str = ""
    """The connection as the host's programs see it."""
    text: bytes = b""
    """The message, as far as its first frame shows it."""
    pid: int = 0
    """Of a program of the guest: its process."""
    full: bool = False
    """Whether its last write has left no room, so that the call may go on later."""
    forwarded: bool = False
    """Whether the host has opened the connection, through a forwarded port."""
    opened: int = 0
    """When slirp's connection was open; 0 if that does not matter."""
    into_qemu: At | None = None
    """To the guest: QEMU has read its last byte."""
    tried: Passage | None = None
    """The first frame with its last byte."""
    passage: Passage | None = None
    """The frame that brought it."""
    whole: At | None = None
    """To the guest: the driver had taken all bytes up to the last, later than that frame."""
    out_of_qemu: At | None = None
    """To the host: QEMU has given it to its socket."""
    back: Passage | None = None
    """Of a ping: the frame with the reply."""
    back_into_qemu: At | None = None
    """Of a ping that went to the host: QEMU has read the reply."""
    read: At | None = None
    """A program has read its last byte."""
    confirmed: bool = True
    """Whether it is known to be a program's; of a datagram the frame may be seen before the call
    that sends it is over."""
    address: bytes = b""
    """Of a datagram of the guest: where it goes."""
    crc: int = 0
    """Of a datagram: CRC-32 of its bytes."""
    fate: str = ""
    """Why it has not been read, if that is known."""

    @property
    def last_byte(self) -> int:
        """Its last byte's place in the stream."""
        return self.first_byte + self.size - 1
