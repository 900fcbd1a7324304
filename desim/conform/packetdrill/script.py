"""A script as data: what happens or is to happen, and when.

Times are nanoseconds, exact: a script's decimals are not rounded. Sequence numbers are those
of the script, in which both ends begin where its first packets say.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class When:
    """A point of the script's time, or (``until_ns``) a range of it; ``any``: whenever.

    ``relative``: from where the script is; else from its first event.
    """

    start_ns: int = 0
    until_ns: int | None = None
    relative: bool = True
    any: bool = False


@dataclass(frozen=True, slots=True)
class TcpOption:
    """One option of a segment: its name in the script, and its numbers."""

    name: str
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Packet:
    """A TCP segment that is put in (``inbound``) or expected."""

    inbound: bool
    flags: str
    """Letters as tcpdump writes them; "" for none."""
    seq: int
    length: int
    ack: int | None = None
    window: int | None = None
    urgent: int = 0
    options: tuple[TcpOption, ...] | None = ()
    """None where the script does not look (``<...>``)."""
    ports: tuple[int, int] | None = None
    ip: str = ""
    """What the script says of the IP header (ECN, TOS, TTL); "" if nothing."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An ICMP error about a segment that the guest is said to have sent."""

    kind: str
    code: str
    mtu: int | None = None
    seq: int = 0
    length: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class OtherPacket:
    """A packet of a kind that is known and not modelled; ``what`` names it."""

    what: str


class Anything:
    """``...`` in a system call: not looked at, or not important."""

    def __repr__(self) -> str:
        return "..."


ANYTHING = Anything()


@dataclass(frozen=True, slots=True)
class Names:
    """One constant, or several joined by ``|``."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "|".join(self.names)


@dataclass(frozen=True, slots=True)
class Struct:
    """``{fd=4, events=POLLIN}`` or ``{..., 1000}``: named and nameless members."""

    members: dict[str, Expression] = field(default_factory=dict)
    nameless: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """``htons(8080)``, ``inet_addr("192.0.2.1")``."""

    name: str
    arguments: tuple[Expression, ...]


Expression = Anything | int | str | Names | Struct | Function | list["Expression"]


@dataclass(frozen=True, slots=True)
class SystemCall:
    """A call of the program, with what it is to return.

    ``end`` is when a call that blocks has to return; None: it does not block for long.
    """

    name: str
    arguments: tuple[Expression, ...]
    result: Expression
    error: str = ""
    """The name of the error number, with a result of -1."""
    end_ns: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A shell's command."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Python, to be executed over the fields of TCP_INFO at that time."""

    text: str


@dataclass(frozen=True, slots=True)
class Event:
    """What happens, where in the file, and when."""

    line: int
    when: When
    action: Packet | IcmpError | OtherPacket | SystemCall | Command | Code


@dataclass(frozen=True, slots=True)
class Script:
    """Everything in one file."""

    options: tuple[tuple[int, str, str], ...]
    """Line, name and value of each option at the top."""
    setup: tuple[tuple[int, Command], ...]
    """Commands before the first event."""
    events: tuple[Event, ...]
