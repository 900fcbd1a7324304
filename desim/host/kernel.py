"""The host's Linux kernel, as far as programs and QEMU's process need it.

One loopback interface (``loopback``), the sockets of each protocol on it (``tcp``, ``udp``:
a table of them, and what one is), the generic calls of ``desim.userland.kernel``, and the
names in /etc/hosts. QEMU's process is a client of the same sockets through
``desim.host.sockets``.

Every call meets the other threads first, at the touch point ``host_socket`` (again when
its entry has been charged): what follows happens at the calling thread's own time.
The calls that strace would show are stages in the file "host kernel", so that a cost
profile can charge them; a call that has to sleep enters its stage again when it goes on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from desim.host.loopback import Loopback, SocketObserver
from desim.host.tcp import Tcp, TcpSocket
from desim.host.udp import Udp, UdpSocket
from desim.ports import Endpoint
from desim.stages import HOST, mark, stages
from desim.userland.calls import (
    IFF_LOOPBACK,
    IFF_RUNNING,
    IFF_UP,
    Call,
    Interface,
    Message,
    SocketRow,
)
from desim.userland.errors import failure
from desim.userland.files import Socket, Terminal, VirtualTree
from desim.userland.kernel import Kernel, RandomStream
from desim.userland.process import Process
from desim.userland.shell import Command
from desim.userland.waitqueue import WaitQueue
from desim.wire.addresses import IP6_LOOPBACK, LOOPBACK

TOUCH_POINT = "host_socket"


class HostKernel(Kernel):
    """The host. ``touch`` meets the other threads at a named point."""

    STAGES = stages(
        HOST,
        sys_read=mark("read", file="host kernel"),
        sys_write=mark("write", file="host kernel", size="data"),
        sys_poll=mark("poll", file="host kernel"),
        sys_accept=mark("accept", file="host kernel"),
        sys_connect=mark("connect", file="host kernel"),
        sys_sendto=mark("sendto", file="host kernel", size="data"),
        sys_recvfrom=mark("recvfrom", file="host kernel"),
        sys_recvmsg=mark("recvmsg", file="host kernel"),
    )

    def __init__(
        self,
        *,
        now: Callable[[], int],
        wake_up: Callable[[WaitQueue], None],
        random: Callable[[str], RandomStream],
        touch: Callable[[str], None],
        files: Callable[[str], bytes],
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
        self.net = Loopback(now=now, wake_up=wake_up, observer=observer)
        self.tcp = Tcp(self.net, random)
        self.udp = Udp(self.net, random)

    def spawn(self, pipeline: Iterable[Command], terminal: Terminal) -> list[Process]:
        self.touch(TOUCH_POINT)
        return super().spawn(pipeline, terminal)

    def kill(self, process: Process, signal: str) -> None:
        self.touch(TOUCH_POINT)
        super().kill(process, signal)

    def exit(self, process: Process) -> None:
        self.touch(TOUCH_POINT)
        super().exit(process)

    def syscall(self, process: Process, call: Call) -> Any:
        self.touch(TOUCH_POINT)
        return super().syscall(process, call)

    def socket(self, process: Process, kind: str) -> Socket:
        owner = (process.pid, process.name)
        if kind == "tcp":
            return TcpSocket(self.tcp, owner)
        if kind == "udp":
            return UdpSocket(self.udp, owner)
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
        return self.tcp.rows() + self.udp.rows()

    def sys_read(self, process: Process, fd: int, size: int) -> bytes:
        self.touch(TOUCH_POINT)
        return super().sys_read(process, fd, size)

    def sys_write(self, process: Process, fd: int, data: bytes) -> int:
        self.touch(TOUCH_POINT)
        return super().sys_write(process, fd, data)

    def sys_poll(
        self, process: Process, fds: Sequence[tuple[int, int]], timeout_ns: int | None
    ) -> list[tuple[int, int]]:
        self.touch(TOUCH_POINT)
        return super().sys_poll(process, fds, timeout_ns)

    def sys_accept(self, process: Process, fd: int) -> tuple[int, Endpoint]:
        self.touch(TOUCH_POINT)
        return super().sys_accept(process, fd)

    def sys_connect(self, process: Process, fd: int, address: bytes, port: int) -> None:
        self.touch(TOUCH_POINT)
        super().sys_connect(process, fd, address, port)

    def sys_sendto(self, process: Process, fd: int, data: bytes, to: Endpoint) -> int:
        self.touch(TOUCH_POINT)
        return super().sys_sendto(process, fd, data, to)

    def sys_recvfrom(self, process: Process, fd: int, size: int) -> tuple[bytes, Endpoint]:
        self.touch(TOUCH_POINT)
        return super().sys_recvfrom(process, fd, size)

    def sys_recvmsg(self, process: Process, fd: int, size: int, dontwait: bool) -> Message:
        self.touch(TOUCH_POINT)
        return super().sys_recvmsg(process, fd, size, dontwait)
