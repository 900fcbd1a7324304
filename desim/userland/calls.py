"""System calls: what a kernel answers, and how programs ask.

``SystemCalls`` is the contract, once: name, arguments, result and errors of each call.
Kernels implement it (``desim.userland.syscalls`` what both have in common). Programs
call the functions of ``sys``, which are made from it::

    data = yield from sys.read(fd, 16384)

so that a type checker knows what ``data`` is, refuses a wrong argument, a call that
there is not, and a kernel that lacks one. An error is raised as ``OSError``. The same
program runs on the host's kernel and on the guest's.

Not modelled: memory, renaming files, other signals' handlers, threads and fork (``spawn`` is
fork and exec in one).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from desim.ports import Endpoint
from desim.userland.command import Command
from desim.userland.process import Process
from desim.userland.program import Call, Part
from desim.userland.uapi import (
    O_RDONLY,
    FileStatus,
    InetAddress,
    Interface,
    Message,
    Route,
    SocketRow,
)

if TYPE_CHECKING:
    from desim.userland.ethtool import EthtoolDevice

P = ParamSpec("P")
T = TypeVar("T")

PREFIX = "sys_"
"""What a kernel's function has in front of the call's name, as in Linux."""

USER_CALLS = frozenset(("clock_gettime", "load", "measured", "spin"))
"""What a program does without entering the kernel, though it is written as a call."""


class SystemCalls(ABC):
    """The calls, each made for one process. They have places, no keywords."""

    # Files

    @abstractmethod
    def sys_read(self, process: Process, fd: int, size: int, /) -> bytes:
        """Up to ``size`` bytes; b"" at end of input."""

    @abstractmethod
    def sys_write(self, process: Process, fd: int, data: bytes, /) -> int:
        """The number of bytes taken: all of them unless ``fd`` is non-blocking."""

    @abstractmethod
    def sys_sendfile(
        self, process: Process, out_fd: int, in_fd: int, offset: int | None, count: int, /
    ) -> int:
        """How many bytes of a file from ``offset`` on, or from its position, which then moves on,
        ``out_fd`` took; 0 at the file's end. A socket takes pages without copying them."""

    @abstractmethod
    def sys_open(self, process: Process, name: str, flags: int = O_RDONLY, /) -> int:
        """A descriptor for reading, or for writing a file (O_WRONLY | O_CREAT with O_TRUNC
        or O_APPEND); ENOENT, EISDIR, EACCES ..., EINVAL for other flags."""

    @abstractmethod
    def sys_stat(self, process: Process, name: str, /) -> FileStatus:
        """What there is of that name; ENOENT if there is nothing."""

    @abstractmethod
    def sys_listdir(self, process: Process, name: str, /) -> list[str]:
        """The names in a folder, sorted; ENOENT, ENOTDIR (``getdents``)."""

    @abstractmethod
    def sys_unlink(self, process: Process, name: str, /) -> None:
        """Removes a file that a program has written."""

    @abstractmethod
    def sys_isatty(self, process: Process, fd: int, /) -> bool:
        """Whether ``fd`` is a terminal."""

    @abstractmethod
    def sys_close(self, process: Process, fd: int, /) -> None:
        """Frees the descriptor; the last one of a connection with SO_LINGER waits until all
        is acknowledged, or the time is over."""

    @abstractmethod
    def sys_set_nonblocking(self, process: Process, fd: int, nonblocking: bool, /) -> None:
        """``fcntl(fd, F_SETFL, ...)``."""

    @abstractmethod
    def sys_poll(
        self, process: Process, fds: Sequence[tuple[int, int]], timeout_ns: int | None = None, /
    ) -> list[tuple[int, int]]:
        """(fd, revents) for every entry, in order; all 0 at the timeout. fd -1 is skipped."""

    @abstractmethod
    def sys_ppoll(
        self, process: Process, fds: Sequence[tuple[int, int]], timeout_ns: int, /
    ) -> list[tuple[int, int]]:
        """As ``poll``; the timeout comes late by the slack that poll(2) grants itself."""

    @abstractmethod
    def sys_epoll_create(self, process: Process, /) -> int:
        """A descriptor for ``epoll_ctl`` and ``epoll_wait``."""

    @abstractmethod
    def sys_epoll_ctl(
        self, process: Process, epfd: int, what: int, fd: int, events: int = 0, data: int = 0, /
    ) -> None:
        """EPOLL_CTL_ADD, EPOLL_CTL_MOD or EPOLL_CTL_DEL of what is waited for of ``fd``: events
        as ``poll`` has them, level triggered, or EPOLLONESHOT. EINVAL for EPOLLET and others."""

    @abstractmethod
    def sys_epoll_wait(
        self, process: Process, epfd: int, most: int, timeout_ns: int | None = None, /
    ) -> list[tuple[int, int]]:
        """(events, data) of at most ``most`` descriptors that are ready; none at the timeout."""

    # Time and the process itself

    @abstractmethod
    def sys_sleep_ns(self, process: Process, duration_ns: int, /) -> None:
        """Returns after ``duration_ns``."""

    @abstractmethod
    def sys_nanosleep(self, process: Process, duration_ns: int, /) -> None:
        """Returns after ``duration_ns`` and the timer slack that a process is given."""

    @abstractmethod
    def sys_now(self, process: Process, /) -> int:
        """Nanoseconds since power-on (CLOCK_MONOTONIC)."""

    @abstractmethod
    def sys_clock_gettime(self, process: Process, /) -> int:
        """Nanoseconds since power-on (CLOCK_MONOTONIC_RAW), read in user mode (vDSO)."""

    @abstractmethod
    def sys_load(self, process: Process, code: type[T], /) -> T:
        """An instance of ``code``: functions of the program that take time of their own.

        Its marked methods are stages, so that a cost profile can charge them.
        """

    @abstractmethod
    def sys_measured(self, process: Process, found: Mapping[str, object], /) -> None:
        """Gives the run's figures what a measuring program has found, whatever it prints of it."""

    @abstractmethod
    def sys_spin(self, process: Process, /) -> None:
        """Never returns: the program computes for ever in user mode."""

    @abstractmethod
    def sys_random(self, process: Process, name: str, below: int, /) -> int:
        """A number in range(below) from the program's own stream ``name``."""

    @abstractmethod
    def sys_getpid(self, process: Process, /) -> int:
        """The number of the process."""

    @abstractmethod
    def sys_spawn(self, process: Process, pipeline: Sequence[Command], /) -> list[int]:
        """Starts commands, joined by pipes; their numbers. They have the caller's descriptors
        0 to 2, and a Ctrl-C is for all of them (``posix_spawn``)."""

    @abstractmethod
    def sys_wait(self, process: Process, pid: int, /) -> tuple[int, int]:
        """The status of a child that has ended, minus the signal's number if one ended it, and
        its nanoseconds on the processor (``wait4``); ECHILD if it is no child."""

    @abstractmethod
    def sys_exit(self, process: Process, status: int, /) -> None:
        """Never returns."""

    @abstractmethod
    def sys_ignore_sigpipe(self, process: Process, /) -> None:
        """From now on a write that nobody reads fails with EPIPE instead of killing."""

    @abstractmethod
    def sys_catch_sigint(self, process: Process, /) -> None:
        """From now on Ctrl-C makes the call it meets fail with EINTR instead of killing."""

    # Sockets

    @abstractmethod
    def sys_socket(self, process: Process, kind: str, /) -> int:
        """A descriptor. ``kind`` is "tcp", "udp", "packet" (AF_PACKET, SOCK_DGRAM, ETH_P_IP)
        or "icmp" (AF_INET, SOCK_RAW, IPPROTO_ICMP)."""

    @abstractmethod
    def sys_setsockopt(self, process: Process, fd: int, option: str, value: int, /) -> None:
        """Sets ``option``; ENOPROTOOPT for one that the socket does not know."""

    @abstractmethod
    def sys_getsockopt(self, process: Process, fd: int, option: str, /) -> int:
        """What ``option`` is now; ENOPROTOOPT for one that the socket does not know."""

    @abstractmethod
    def sys_bind(self, process: Process, fd: int, address: bytes, port: int, /) -> None:
        """Takes a local endpoint; port 0 any free one."""

    @abstractmethod
    def sys_bind_device(self, process: Process, fd: int, device: str, /) -> None:
        """Binds a packet socket to an interface."""

    @abstractmethod
    def sys_listen(self, process: Process, fd: int, backlog: int, /) -> None:
        """Accepts connections from now on."""

    @abstractmethod
    def sys_accept(self, process: Process, fd: int, /) -> tuple[int, Endpoint]:
        """A descriptor, and the endpoint of the client."""

    @abstractmethod
    def sys_connect(self, process: Process, fd: int, address: bytes, port: int, /) -> None:
        """A non-blocking socket raises EINPROGRESS; then poll, then ``socket_error``."""

    @abstractmethod
    def sys_socket_error(self, process: Process, fd: int, /) -> OSError | None:
        """The pending error, taken off the socket, or None (SO_ERROR)."""

    @abstractmethod
    def sys_send(self, process: Process, fd: int, data: bytes, flags: int = 0, /) -> int:
        """As ``write``, with MSG_DONTWAIT and MSG_MORE; EINVAL for other flags."""

    @abstractmethod
    def sys_recv(self, process: Process, fd: int, size: int, flags: int = 0, /) -> bytes:
        """As ``read``, with MSG_PEEK, MSG_DONTWAIT and MSG_WAITALL (not beside MSG_PEEK);
        EINVAL for other flags."""

    @abstractmethod
    def sys_sendto(self, process: Process, fd: int, data: bytes, to: Endpoint, /) -> int:
        """The number of bytes sent. To a packet socket ``to`` is (MAC, ethertype)."""

    @abstractmethod
    def sys_recvfrom(
        self, process: Process, fd: int, size: int, flags: int = 0, /
    ) -> tuple[bytes, Endpoint]:
        """Data and its sender; with MSG_PEEK it stays. A packet socket gives IP packets from
        their header on."""

    @abstractmethod
    def sys_recvmsg(self, process: Process, fd: int, size: int, flags: int = 0, /) -> Message:
        """As ``recvfrom``, with a stamp; MSG_DONTWAIT. A raw socket gives packets from their
        IP header on."""

    @abstractmethod
    def sys_inq(self, process: Process, fd: int, /) -> int:
        """How many bytes could be read now: of a stream, pipe or file all, else of the first
        datagram (FIONREAD, SIOCINQ); ENOTTY for what has no such number, as /dev/null."""

    @abstractmethod
    def sys_outq(self, process: Process, fd: int, /) -> int:
        """How many bytes of a stream have been written and not yet acknowledged (SIOCOUTQ)."""

    @abstractmethod
    def sys_tcp_info(self, process: Process, fd: int, /) -> dict[str, int]:
        """TCP_INFO by field; ENOPROTOOPT where the kernel keeps no such state."""

    @abstractmethod
    def sys_shutdown(self, process: Process, fd: int, how: int, /) -> None:
        """Closes one direction or both: SHUT_RD, SHUT_WR, SHUT_RDWR; EINVAL for another."""

    @abstractmethod
    def sys_getsockname(self, process: Process, fd: int, /) -> Endpoint:
        """The socket's own endpoint."""

    @abstractmethod
    def sys_getpeername(self, process: Process, fd: int, /) -> Endpoint:
        """The endpoint at the other end."""

    # Names and administration

    @abstractmethod
    def sys_resolve(self, process: Process, name: str, /) -> bytes:
        """The IPv4 address of a number or of a name in the hosts table; ENOENT otherwise, or
        EAI_NONAME if no name server is to be asked."""

    @abstractmethod
    def sys_name_of(self, process: Process, address: bytes, /) -> str | None:
        """The name of an address in the hosts table, or None; "" if a name server is to be
        asked."""

    @abstractmethod
    def sys_interfaces(self, process: Process, /) -> list[Interface]:
        """The interfaces, in the kernel's order."""

    @abstractmethod
    def sys_sockets_table(self, process: Process, /) -> list[SocketRow]:
        """As /proc/net has them: TCP listeners, connections, UDP."""

    @abstractmethod
    def sys_set_address(
        self,
        process: Process,
        device: str,
        address: bytes,
        prefix: int,
        resolv_conf: str | None = None,
        /,
    ) -> None:
        """Gives the interface this IPv4 address in place of those it has.

        ``resolv_conf`` is the new /etc/resolv.conf, which a DHCP client's script
        writes at the same time.
        """

    @abstractmethod
    def sys_set_link_up(self, process: Process, device: str, up: bool = True, /) -> None:
        """Switches an interface on or off."""

    @abstractmethod
    def sys_add_route(
        self, process: Process, network: bytes, prefix: int, gateway: bytes | None, device: str, /
    ) -> None:
        """Prefix 0 is the default route."""

    @abstractmethod
    def sys_del_route(self, process: Process, network: bytes, prefix: int, /) -> None:
        """ESRCH if there is none."""

    @abstractmethod
    def sys_routes(self, process: Process, /) -> list[Route]:
        """The IPv4 routes of the main table, by network."""

    @abstractmethod
    def sys_addresses(self, process: Process, /) -> list[InetAddress]:
        """The addresses of all interfaces, IPv4 before IPv6."""

    @abstractmethod
    def sys_ethtool(self, process: Process, device: str, ask: Callable[[EthtoolDevice], T], /) -> T:
        """What ``ask`` gets from an interface's driver; ENODEV without such an interface."""

    @abstractmethod
    def sys_syslog(self, process: Process, /) -> list[tuple[int, str]]:
        """The kernel's log: nanoseconds since power-on, and the line."""


def _call(entry: Callable[Concatenate[SystemCalls, Process, P], T]) -> Callable[P, Part[T]]:
    """The program's side of ``entry``: a part of a program that makes this one call."""
    name = entry.__name__.removeprefix(PREFIX)
    new = tuple.__new__

    def call(*args: P.args, **kwargs: P.kwargs) -> Part[T]:
        assert not kwargs, f"{name}: arguments have places, no names"
        # Made like this it costs no call of Python's, and a bulk transfer makes many.
        result: T = yield new(Call, (name, args))
        return result

    return call


class sys:
    """The calls as programs make them: ``value = yield from sys.NAME(...)``.

    What each takes and gives stands at its entry of ``SystemCalls``.
    """

    read = _call(SystemCalls.sys_read)
    write = _call(SystemCalls.sys_write)
    sendfile = _call(SystemCalls.sys_sendfile)
    open = _call(SystemCalls.sys_open)
    stat = _call(SystemCalls.sys_stat)
    listdir = _call(SystemCalls.sys_listdir)
    unlink = _call(SystemCalls.sys_unlink)
    isatty = _call(SystemCalls.sys_isatty)
    close = _call(SystemCalls.sys_close)
    set_nonblocking = _call(SystemCalls.sys_set_nonblocking)
    poll = _call(SystemCalls.sys_poll)
    ppoll = _call(SystemCalls.sys_ppoll)
    epoll_create = _call(SystemCalls.sys_epoll_create)
    epoll_ctl = _call(SystemCalls.sys_epoll_ctl)
    epoll_wait = _call(SystemCalls.sys_epoll_wait)
    sleep_ns = _call(SystemCalls.sys_sleep_ns)
    nanosleep = _call(SystemCalls.sys_nanosleep)
    now = _call(SystemCalls.sys_now)
    clock_gettime = _call(SystemCalls.sys_clock_gettime)
    load = _call(SystemCalls.sys_load)
    measured = _call(SystemCalls.sys_measured)
    spin = _call(SystemCalls.sys_spin)
    random = _call(SystemCalls.sys_random)
    getpid = _call(SystemCalls.sys_getpid)
    spawn = _call(SystemCalls.sys_spawn)
    wait = _call(SystemCalls.sys_wait)
    exit = _call(SystemCalls.sys_exit)
    ignore_sigpipe = _call(SystemCalls.sys_ignore_sigpipe)
    catch_sigint = _call(SystemCalls.sys_catch_sigint)
    socket = _call(SystemCalls.sys_socket)
    setsockopt = _call(SystemCalls.sys_setsockopt)
    getsockopt = _call(SystemCalls.sys_getsockopt)
    bind = _call(SystemCalls.sys_bind)
    bind_device = _call(SystemCalls.sys_bind_device)
    listen = _call(SystemCalls.sys_listen)
    accept = _call(SystemCalls.sys_accept)
    connect = _call(SystemCalls.sys_connect)
    socket_error = _call(SystemCalls.sys_socket_error)
    send = _call(SystemCalls.sys_send)
    recv = _call(SystemCalls.sys_recv)
    sendto = _call(SystemCalls.sys_sendto)
    recvfrom = _call(SystemCalls.sys_recvfrom)
    recvmsg = _call(SystemCalls.sys_recvmsg)
    inq = _call(SystemCalls.sys_inq)
    outq = _call(SystemCalls.sys_outq)
    tcp_info = _call(SystemCalls.sys_tcp_info)
    shutdown = _call(SystemCalls.sys_shutdown)
    getsockname = _call(SystemCalls.sys_getsockname)
    getpeername = _call(SystemCalls.sys_getpeername)
    resolve = _call(SystemCalls.sys_resolve)
    name_of = _call(SystemCalls.sys_name_of)
    interfaces = _call(SystemCalls.sys_interfaces)
    sockets_table = _call(SystemCalls.sys_sockets_table)
    set_address = _call(SystemCalls.sys_set_address)
    set_link_up = _call(SystemCalls.sys_set_link_up)
    add_route = _call(SystemCalls.sys_add_route)
    del_route = _call(SystemCalls.sys_del_route)
    routes = _call(SystemCalls.sys_routes)
    addresses = _call(SystemCalls.sys_addresses)
    ethtool = _call(SystemCalls.sys_ethtool)
    syslog = _call(SystemCalls.sys_syslog)
