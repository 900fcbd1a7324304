"""What system calls carry between programs and kernels: numbers, names of options, records.

Numbers and names are those of Linux's include/uapi. Both kernels and all programs read
them here.
"""

from __future__ import annotations

from desim.data import Data, NamedTuple, field
from desim.ports import Endpoint

# What a look-up of a name gives (netdb.h).
EAI_NONAME = -2
EAI_AGAIN = -3
EAI_NODATA = -5

# What ``open`` takes.
O_RDONLY = 0
O_WRONLY = 0o1
O_CREAT = 0o100
O_TRUNC = 0o1000
O_APPEND = 0o2000

# What ``setsockopt`` takes and ``getsockopt`` gives: numbers. Each socket names what it has.
SO_REUSEADDR = "SO_REUSEADDR"
SO_REUSEPORT = "SO_REUSEPORT"
SO_BROADCAST = "SO_BROADCAST"
SO_ATTACH_FILTER = "SO_ATTACH_FILTER"
"""On a packet socket: the UDP destination port that passes (udhcpc's BPF program)."""

SO_TIMESTAMP = "SO_TIMESTAMP"
"""``recvmsg`` gives the time at which the kernel received the packet."""
SO_RCVBUF = "SO_RCVBUF"
SO_SNDBUF = "SO_SNDBUF"
"""Bytes; the kernel takes twice as much, and ``getsockopt`` says so."""
SO_LINGER = "SO_LINGER"
"""Seconds that close() waits for the peer's acknowledgement; 0: closing resets the connection; -1:
off, as it begins. exit() never waits."""
SO_OOBINLINE = "SO_OOBINLINE"
"""Urgent bytes are read in their place."""
IP_TTL = "IP_TTL"
IP_RECVTTL = "IP_RECVTTL"
"""``recvmsg`` gives the TTL or hop limit that the packet came with (IPV6_RECVHOPLIMIT)."""
TCP_NODELAY = "TCP_NODELAY"
SO_KEEPALIVE = "SO_KEEPALIVE"
TCP_KEEPIDLE = "TCP_KEEPIDLE"
TCP_KEEPINTVL = "TCP_KEEPINTVL"
"""Seconds, 1 to 32767, like TCP_KEEPIDLE."""
TCP_KEEPCNT = "TCP_KEEPCNT"
"""1 to 127."""
KEEPALIVE_MOST = {TCP_KEEPIDLE: 32767, TCP_KEEPINTVL: 32767, TCP_KEEPCNT: 127}
"""MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL and MAX_TCP_KEEPCNT; each is at least 1."""
TCP_USER_TIMEOUT = "TCP_USER_TIMEOUT"
"""Milliseconds that what is sent may stay unanswered; 0 for as many tries as usual."""
TCP_CORK = "TCP_CORK"
TCP_QUICKACK = "TCP_QUICKACK"
TCP_MAXSEG = "TCP_MAXSEG"
"""Bytes of a full segment; set before the connection begins, 88 to 32767, or 0 for the path's."""
SO_RCVTIMEO = "SO_RCVTIMEO"
"""Nanoseconds after which a receiving call gives up with EAGAIN; 0 for never."""

# Flags of ``send``, ``recv`` and ``recvmsg``.
MSG_PEEK = 0x2
"""What is read stays there."""
MSG_DONTWAIT = 0x40
"""Fails with EAGAIN instead of waiting."""
MSG_WAITALL = 0x100
"""Of a stream: waits until all that was asked for is there, or nothing more comes."""
MSG_MORE = 0x8000
"""Of a stream: more will be written at once, so what fills no segment can wait."""

MSG_SENDPAGE_NOTLAST = 0x20000
"""Inside the kernel only: of a page that ``sendfile`` sends, another follows in this call."""

# What ``shutdown`` takes.
SHUT_RD = 0
SHUT_WR = 1
SHUT_RDWR = 2

# Flags of an interface (linux/if.h).
IFF_UP = 0x1
IFF_BROADCAST = 0x2
IFF_LOOPBACK = 0x8
IFF_RUNNING = 0x40
IFF_PROMISC = 0x100
IFF_MULTICAST = 0x1000

# What ``epoll_ctl`` does. Events are those of ``poll``.
EPOLL_CTL_ADD = 1
EPOLL_CTL_DEL = 2
EPOLL_CTL_MOD = 3
EPOLLONESHOT = 1 << 30
"""Among the events: after it has been told of once, silent until EPOLL_CTL_MOD."""

POLLNVAL = 0x20
"""``poll`` answers this for a descriptor that is not open."""


class Interface(Data):
    """What ``ifconfig`` asks the kernel about one interface."""

    name: str
    hardware: bytes
    """Its MAC; b"" on the loopback interface."""
    flags: int
    mtu: int
    txqueuelen: int = 1000
    addresses: list[tuple[bytes, int]] = field(default_factory=list)
    """Addresses with their prefix lengths, IPv4 (4 bytes) before IPv6 (16)."""
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    rx_overruns: int = 0
    rx_frame: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0
    tx_overruns: int = 0
    tx_carrier: int = 0
    collisions: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0


class InetAddress(NamedTuple):
    """An address as netlink tells it (RTM_NEWADDR)."""

    device: str
    address: bytes
    prefix: int
    valid_s: int | None = None
    """For how long; None: for ever."""
    preferred_s: int | None = None
    tentative: bool = False
    """Duplicate address detection is not through (IFA_F_TENTATIVE)."""


class Route(NamedTuple):
    """A route as netlink tells it (RTM_NEWROUTE)."""

    network: bytes
    prefix: int
    gateway: bytes | None
    device: str
    source: bytes | None
    """The own address of a network that one came with."""


class FileStatus(NamedTuple):
    """What ``stat`` says of a name."""

    size: int
    modified_ns: int
    """Since power-on; 0 for the user's own files."""
    folder: bool


class Message(NamedTuple):
    """What ``recvmsg`` gives."""

    data: bytes
    sender: Endpoint
    stamp_ns: int | None
    """When the kernel received it; None without SO_TIMESTAMP."""
    ttl: int | None = None
    """What it came with; None without IP_RECVTTL."""


TASK_COMM_LEN = 16
"""How long the kernel's name of a process is, with the NUL behind it."""


class Owner(NamedTuple):
    """A process that has a socket open."""

    pid: int
    name: str
    fd: int | None
    """None on the host: how QEMU numbers its descriptors is not modelled."""


def owners(owner: tuple[int, str] | None) -> tuple[Owner, ...]:
    """Who has a socket of the host, of which the number and the name of a process are known."""
    return () if owner is None else (Owner(*owner, None),)


class SocketRow(NamedTuple):
    """One line of ``netstat`` and ``ss``."""

    proto: str
    """tcp, tcp6, udp or udp6."""
    recv_q: int
    send_q: int
    local: Endpoint
    remote: Endpoint | None
    """None while it has no peer."""
    state: str
    """As netstat prints it; empty for UDP without a peer."""
    owners: tuple[Owner, ...] = ()
    """By their numbers; empty if it belongs to no process (any more)."""
    backlog: int | None = None
    """How many connections may wait for ``accept``; None unless it listens."""
    device: str = ""
    """The only interface that it uses (SO_BINDTODEVICE)."""
