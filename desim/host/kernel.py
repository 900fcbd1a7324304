"""The host's Linux kernel, as far as programs and QEMU's process need it.

One loopback interface (``loopback``), the sockets of each protocol on it (``tcp``, ``udp``)
and those beside it (``unix``): a table of them, and what one is; and the calls that every
kernel has (``desim.userland.syscalls``). QEMU's process is a client of the same sockets
through ``desim.host.sockets``. Programs have no Unix sockets yet: those are for the host
of a recording (``desim.conform.slirp.host``).

A call meets the other threads, at the touch point ``host_socket``, when it looks up its
descriptor or goes to something else that all share; its entry has been charged by then,
and what follows happens at the calling thread's own time. The calls that strace would
show are stages in the file "host kernel", so that a cost profile can charge them; a call
that has to sleep enters its stage again when it goes on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from desim.host.loopback import Loopback, SocketObserver
from desim.host.tcp import TcpSocket
from desim.host.tcp_table import Tcp
from desim.host.timers import MakeTimer
from desim.ports import Random
from desim.spool import Log
from desim.stages import HOST, mark, stages
from desim.userland.errors import failure
from desim.userland.files import File, Socket, VirtualTree
from desim.userland.process import Process
from desim.userland.syscalls import SharedCalls
from desim.userland.uapi import (
    IFF_LOOPBACK,
    IFF_RUNNING,
    IFF_UP,
    InetAddress,
    Interface,
    Route,
    SocketRow,
)
from desim.userland.waitqueue import WaitQueue
from desim.wire.addresses import IP6_LOOPBACK, LOOPBACK

if TYPE_CHECKING:
    from desim.host.udp import Udp
    from desim.host.unix import Unix
    from desim.userland.ethtool import EthtoolDevice

T = TypeVar("T")

TOUCH_POINT = "host_socket"


class HostKernel(SharedCalls):
    """The host. ``touch`` meets the other threads at a named point."""

    STAGES = stages(
        HOST,
        sys_read=mark("read", file="host kernel"),
        sys_write=mark("write", file="host kernel", size="data"),
        sys_sendfile=mark("sendfile", file="host kernel"),
        sys_poll=mark("poll", file="host kernel"),
        sys_accept=mark("accept", file="host kernel"),
        sys_connect=mark("connect", file="host kernel"),
        sys_send=mark("sendto", file="host kernel", size="data"),
        sys_recv=mark("recvfrom", file="host kernel"),
        sys_sendto=mark("sendto", file="host kernel", size="data"),
        sys_recvfrom=mark("recvfrom", file="host kernel"),
        sys_recvmsg=mark("recvmsg", file="host kernel"),
    )

    def __init__(
        self,
        *,
        now: Callable[[], int],
        timer: MakeTimer,
        wake_up: Callable[[WaitQueue], None],
        random: Random,
        touch: Callable[[], None],
        files: Callable[[str], Log],
        tree: VirtualTree,
        hosts: Mapping[str, bytes] | None = None,
        first_pid: int = 29700,
        observer: SocketObserver | None = None,
    ) -> None:
        super().__init__(
            now=now,
            wake_up=wake_up,
            random=random,
            files=files,
            tree=tree,
            hosts=hosts,
            first_pid=first_pid,
        )
        self.touch = touch
        """The running thread meets the others at ``TOUCH_POINT``."""
        self.net = Loopback(now=now, timer=timer, wake_up=wake_up, observer=observer)
        self.tcp: Tcp[TcpSocket] = Tcp(self.net, random)

    @cached_property
    def udp(self) -> Udp:
        """UDP, for who has a socket of it."""
        from desim.host.udp import Udp

        return Udp(self.net, self.random)

    @cached_property
    def unix(self) -> Unix:
        """The Unix domain, for who has a socket of it."""
        from desim.host.unix import Unix

        return Unix(self.net)

    def meet(self) -> None:
        self.touch()

    def file(self, process: Process, fd: int) -> File:
        # NOTE: ``meet`` and the lookup, written out (3 calls less each time).
        self.touch()
        try:
            return process.files[fd]
        except KeyError:
            raise failure(errno.EBADF) from None

    def socket(self, process: Process, kind: str) -> Socket:
        self.meet()
        owner = (process.pid, process.name)
        if kind == "tcp":
            return TcpSocket(self.tcp, owner)
        if kind == "udp":
            return self.udp.socket(owner)
        # Packet and raw sockets need CAP_NET_RAW.
        raise failure(errno.EPERM if kind in ("packet", "icmp") else errno.EPROTONOSUPPORT)

    def sys_interfaces(self, process: Process) -> list[Interface]:
        return [
            Interface(
                "lo",
                b"",
                IFF_UP | IFF_LOOPBACK | IFF_RUNNING,
                65536,
                addresses=[(LOOPBACK, 8), (IP6_LOOPBACK, 128)],
            )
        ]

    def sys_sockets_table(self, process: Process) -> list[SocketRow]:
        self.meet()
        datagrams = self.udp.rows() if "udp" in vars(self) else []  # made for the first socket
        return self.tcp.rows() + datagrams

    # Nobody here is an administrator, and the one interface has no driver.

    def sys_ethtool(self, process: Process, device: str, ask: Callable[[EthtoolDevice], T]) -> T:
        raise failure(errno.ENODEV)

    def sys_syslog(self, process: Process) -> list[tuple[int, str]]:
        raise failure(errno.EPERM)

    def sys_set_address(
        self,
        process: Process,
        device: str,
        address: bytes,
        prefix: int,
        resolv_conf: str | None = None,
    ) -> None:
        raise failure(errno.EPERM)

    def sys_set_link_up(self, process: Process, device: str, up: bool = True) -> None:
        raise failure(errno.EPERM)

    def sys_add_route(
        self, process: Process, network: bytes, prefix: int, gateway: bytes | None, device: str
    ) -> None:
        raise failure(errno.EPERM)

    def sys_del_route(self, process: Process, network: bytes, prefix: int) -> None:
        raise failure(errno.EPERM)

    def sys_routes(self, process: Process) -> list[Route]:
        return []

    def sys_addresses(self, process: Process) -> list[InetAddress]:
        return [InetAddress("lo", LOOPBACK, 8), InetAddress("lo", IP6_LOOPBACK, 128)]
