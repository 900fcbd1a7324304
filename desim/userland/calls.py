"""System calls as programs write them: ``data = yield sys.read(fd, 16384)``.

A program is a generator of calls. What a call yields back is its result; an
error is thrown into the generator as ``OSError``. The generator's return value is
the exit status. The same program runs on the host's kernel and on the guest's.

Not modelled: memory, listing folders, renaming files, other signals' handlers,
threads and fork: one program is one process.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from desim.ports import Endpoint

T = TypeVar("T")

# What ``setsockopt`` takes.
SO_REUSEADDR = "SO_REUSEADDR"
SO_REUSEPORT = "SO_REUSEPORT"
SO_BROADCAST = "SO_BROADCAST"
SO_ATTACH_FILTER = "SO_ATTACH_FILTER"
"""On a packet socket: the UDP destination port that passes (udhcpc's BPF program)."""

SO_TIMESTAMP = "SO_TIMESTAMP"
"""``recvmsg`` gives the time at which the kernel received the packet."""
SO_RCVBUF = "SO_RCVBUF"
TCP_NODELAY = "TCP_NODELAY"
SO_RCVTIMEO = "SO_RCVTIMEO"
"""Nanoseconds after which a receiving call gives up with EAGAIN; 0 for never."""

ETH_P_IP = 0x0800

# Flags of an interface (linux/if.h).
IFF_UP = 0x1
IFF_BROADCAST = 0x2
IFF_LOOPBACK = 0x8
IFF_RUNNING = 0x40
IFF_PROMISC = 0x100
IFF_MULTICAST = 0x1000

POLLNVAL = 0x20
"""``poll`` answers this for a descriptor that is not open."""


USER_CALLS = frozenset(("clock_gettime", "load", "spin"))
"""What a program does without entering the kernel, though it is written as a call."""


class Call:
    """One system call, on its way from a program to a kernel."""

    __slots__ = ("args", "name")

    def __init__(self, name: str, *args: Any) -> None:
        self.name = name
        self.args = args

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.args))})"


Program = Generator[Call, Any, int]
"""A running program. Returns its exit status."""


@dataclass(slots=True)
class Interface:
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


class SocketRow(NamedTuple):
    """One line of ``netstat``."""

    proto: str
    """tcp, tcp6, udp or udp6."""
    recv_q: int
    send_q: int
    local: Endpoint
    remote: Endpoint | None
    """None while it has no peer."""
    state: str
    """As netstat prints it; empty for UDP without a peer."""
    owner: tuple[int, str] | None = None
    """Process number and name; None if it belongs to no process (any more)."""


class sys:
    """The calls. Each docstring says what ``yield`` gives back."""

    @staticmethod
    def read(fd: int, size: int) -> Call:
        """Up to ``size`` bytes; b"" at end of input."""
        return Call("read", fd, size)

    @staticmethod
    def write(fd: int, data: bytes) -> Call:
        """The number of bytes taken: all of them unless ``fd`` is non-blocking."""
        return Call("write", fd, data)

    @staticmethod
    def open(name: str, *, write: bool = False) -> Call:
        """A descriptor for reading, or for writing the file anew; ENOENT, EISDIR ..."""
        return Call("open", name, write)

    @staticmethod
    def stat(name: str) -> Call:
        """A ``FileStatus``; ENOENT if there is no such name."""
        return Call("stat", name)

    @staticmethod
    def unlink(name: str) -> Call:
        """None. Removes a file that a program has written."""
        return Call("unlink", name)

    @staticmethod
    def isatty(fd: int) -> Call:
        """Whether ``fd`` is a terminal."""
        return Call("isatty", fd)

    @staticmethod
    def close(fd: int) -> Call:
        """None."""
        return Call("close", fd)

    @staticmethod
    def poll(fds: Sequence[tuple[int, int]], timeout_ns: int | None = None) -> Call:
        """[(fd, revents)] for every entry, in order; all 0 at the timeout. fd -1 is skipped."""
        return Call("poll", fds, timeout_ns)

    @staticmethod
    def sleep_ns(duration_ns: int) -> Call:
        """None, after ``duration_ns``."""
        return Call("sleep_ns", duration_ns)

    @staticmethod
    def nanosleep(duration_ns: int) -> Call:
        """None, after ``duration_ns`` and the timer slack that a process is given."""
        return Call("nanosleep", duration_ns)

    @staticmethod
    def ppoll(fds: Sequence[tuple[int, int]], timeout_ns: int) -> Call:
        """As ``poll``; the timeout comes late by the slack that poll(2) grants itself."""
        return Call("ppoll", fds, timeout_ns)

    @staticmethod
    def clock_gettime() -> Call:
        """Nanoseconds since power-on (CLOCK_MONOTONIC_RAW), read in user mode (vDSO)."""
        return Call("clock_gettime")

    @staticmethod
    def load(code: type[T]) -> Call:
        """An instance of ``code``: functions of the program that take time of their own.

        Its marked methods are stages, so that a cost profile can charge them.
        """
        return Call("load", code)

    @staticmethod
    def spin() -> Call:
        """Never returns: the program computes for ever in user mode."""
        return Call("spin")

    @staticmethod
    def getpid() -> Call:
        """The number of the process."""
        return Call("getpid")

    @staticmethod
    def exit(status: int) -> Call:
        """Never returns."""
        return Call("exit", status)

    @staticmethod
    def now() -> Call:
        """Nanoseconds since power-on (CLOCK_MONOTONIC)."""
        return Call("now")

    @staticmethod
    def random(name: str, below: int) -> Call:
        """A number in range(below) from the program's own stream ``name``."""
        return Call("random", name, below)

    @staticmethod
    def ignore_sigpipe() -> Call:
        """None. From now on a write that nobody reads fails with EPIPE instead of killing."""
        return Call("ignore_sigpipe")

    @staticmethod
    def catch_sigint() -> Call:
        """None. From now on Ctrl-C makes the call it meets fail with EINTR instead of killing."""
        return Call("catch_sigint")

    @staticmethod
    def set_nonblocking(fd: int, nonblocking: bool) -> Call:
        """None (``fcntl(fd, F_SETFL, ...)``)."""
        return Call("set_nonblocking", fd, nonblocking)

    @staticmethod
    def socket(kind: str) -> Call:
        """A descriptor. ``kind`` is "tcp", "udp", "packet" (AF_PACKET, SOCK_DGRAM, ETH_P_IP)
        or "icmp" (AF_INET, SOCK_RAW, IPPROTO_ICMP)."""
        return Call("socket", kind)

    @staticmethod
    def setsockopt(fd: int, option: str, value: int) -> Call:
        """None."""
        return Call("setsockopt", fd, option, value)

    @staticmethod
    def bind(fd: int, address: bytes, port: int) -> Call:
        """None."""
        return Call("bind", fd, address, port)

    @staticmethod
    def bind_device(fd: int, device: str) -> Call:
        """None. Binds a packet socket to an interface."""
        return Call("bind_device", fd, device)

    @staticmethod
    def listen(fd: int, backlog: int) -> Call:
        """None."""
        return Call("listen", fd, backlog)

    @staticmethod
    def accept(fd: int) -> Call:
        """(descriptor, endpoint of the client)."""
        return Call("accept", fd)

    @staticmethod
    def connect(fd: int, address: bytes, port: int) -> Call:
        """None. A non-blocking socket raises EINPROGRESS; then poll, then ``socket_error``."""
        return Call("connect", fd, address, port)

    @staticmethod
    def socket_error(fd: int) -> Call:
        """The pending error as an ``OSError``, taken off the socket, or None (SO_ERROR)."""
        return Call("socket_error", fd)

    @staticmethod
    def sendto(fd: int, data: bytes, to: Endpoint) -> Call:
        """The number of bytes sent. To a packet socket ``to`` is (MAC, ethertype)."""
        return Call("sendto", fd, data, to)

    @staticmethod
    def recvfrom(fd: int, size: int) -> Call:
        """(data, endpoint of the sender). A packet socket gives IP packets from their header on."""
        return Call("recvfrom", fd, size)

    @staticmethod
    def recvmsg(fd: int, size: int, *, dontwait: bool = False) -> Call:
        """A ``Message``. A raw socket gives packets from their IP header on."""
        return Call("recvmsg", fd, size, dontwait)

    @staticmethod
    def outq(fd: int) -> Call:
        """How many bytes of a stream have been written and not yet acknowledged (SIOCOUTQ)."""
        return Call("outq", fd)

    @staticmethod
    def tcp_info(fd: int) -> Call:
        """{field: value} of TCP_INFO; ENOPROTOOPT where the kernel keeps no such state."""
        return Call("tcp_info", fd)

    @staticmethod
    def shutdown(fd: int, how: str) -> Call:
        """None. ``how`` is "r", "w" or "rw"."""
        return Call("shutdown", fd, how)

    @staticmethod
    def getsockname(fd: int) -> Call:
        """The socket's own endpoint."""
        return Call("getsockname", fd)

    @staticmethod
    def getpeername(fd: int) -> Call:
        """The endpoint at the other end."""
        return Call("getpeername", fd)

    @staticmethod
    def resolve(name: str) -> Call:
        """The IPv4 address of a number or of a name in the hosts table; ENOENT otherwise."""
        return Call("resolve", name)

    @staticmethod
    def name_of(address: bytes) -> Call:
        """The name of an address in the hosts table, or None."""
        return Call("name_of", address)

    @staticmethod
    def interfaces() -> Call:
        """[Interface], in the kernel's order."""
        return Call("interfaces")

    @staticmethod
    def set_address(
        device: str, address: bytes, prefix: int, resolv_conf: str | None = None
    ) -> Call:
        """None. Gives the interface this IPv4 address in place of those it has.

        ``resolv_conf`` is the new /etc/resolv.conf, which a DHCP client's script
        writes at the same time.
        """
        script = () if resolv_conf is None else (resolv_conf,)
        return Call("set_address", device, address, prefix, *script)

    @staticmethod
    def set_link_up(device: str, up: bool = True) -> Call:
        """None."""
        return Call("set_link_up", device, up)

    @staticmethod
    def ethtool(device: str, request: str, *arguments: object) -> Call:
        """What the driver of an interface answers (``desim.userland.ethtool``)."""
        return Call("ethtool", device, request, *arguments)

    @staticmethod
    def syslog() -> Call:
        """[(ns since power-on, line)]: the kernel's log."""
        return Call("syslog")

    @staticmethod
    def add_route(network: bytes, prefix: int, gateway: bytes | None, device: str) -> Call:
        """None. Prefix 0 is the default route."""
        return Call("add_route", network, prefix, gateway, device)

    @staticmethod
    def sockets_table() -> Call:
        """[SocketRow], as /proc/net has them: TCP listeners, connections, UDP."""
        return Call("sockets_table")
