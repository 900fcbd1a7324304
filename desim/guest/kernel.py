"""The guest's kernel as its programs see it: system calls over the network stack.

The calls that every kernel has are in ``desim.userland.syscalls``; here are the sockets, and
what ``ifconfig``, ``udhcpc`` and ``netstat`` ask for. What a socket says of itself
without its lock (poll) is read after a touch point, as the real code reads it behind
a barrier. What a program leaves for the user (files, terminals, its own end) is left
at its own time: the run may be over by then.

Not modelled: files of the system beyond a few, everything that is not a socket.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from desim.data import Protocol
from desim.guest.cpu.context import HZ, Cpu
from desim.guest.net.raw import RawSocket
from desim.guest.net.sock import DatagramSocket
from desim.guest.net.sock import Socket as KernelSocket
from desim.guest.net.socket import TcpSocket
from desim.guest.net.stack import NetStack
from desim.guest.net.udp import UdpSocket
from desim.guest.printk import KernelLog
from desim.ports import Endpoint, Random
from desim.spool import Log
from desim.stages import GUEST, Landmark, mark, stages
from desim.userland.errors import failure
from desim.userland.files import Socket, VirtualTree
from desim.userland.pages import PagePiece
from desim.userland.process import Process
from desim.userland.syscalls import SharedCalls
from desim.userland.uapi import (
    IFF_LOOPBACK,
    IFF_RUNNING,
    IFF_UP,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    InetAddress,
    Interface,
    Message,
    Owner,
    Route,
    SocketRow,
)
from desim.wire.addresses import IP_ANY, network_of
from desim.wire.ethernet import ETH_P_IP
from desim.wire.ipv4 import PROTO_UDP

if TYPE_CHECKING:
    from desim.userland.ethtool import EthtoolDevice

T = TypeVar("T")


class ProgramObserver(Protocol):
    """Told what programs read from sockets and write to them, for tools that follow bytes.

    ``local`` and ``remote`` are the two ends. Bytes of each direction of a connection count
    from 0; ``protocol`` is the number of a datagram's.
    """

    def read(self, local: Endpoint, remote: Endpoint, first_byte: int, count: int) -> None:
        """A program has read ``count`` bytes of a connection."""

    def written(
        self, local: Endpoint, remote: Endpoint, first_byte: int, count: int, resumed: bool
    ) -> None:
        """The kernel has taken ``count`` bytes; ``resumed``: not the first of the call."""

    def datagram_written(
        self, protocol: int, local: Endpoint, remote: Endpoint, data: bytes
    ) -> None:
        """A program has sent a datagram."""

    def datagram_read(
        self, protocol: int, local: Endpoint, remote: Endpoint, count: int, frame: int
    ) -> None:
        """A program has read a datagram, which frame ``frame`` has made whole."""


class GuestSocket(Socket):
    """A file of a process that stands for a socket of the network stack."""

    __slots__ = ("_kernel", "is_stream", "protocol", "read_total", "sock", "written_total")

    def __init__(self, kernel: GuestKernel, sock: KernelSocket) -> None:
        super().__init__(sock.queue.name)
        self.queue = sock.queue
        self.sock = sock
        self.is_stream = isinstance(sock, TcpSocket)
        self.protocol = _protocol(sock)
        self.read_total = self.written_total = 0
        self._kernel = kernel

    def setsockopt(self, option: str, value: int) -> None:
        self.sock.setsockopt(option, value)

    def getsockopt(self, option: str) -> int:
        return self.sock.getsockopt(option)

    def bind(self, address: bytes, port: int) -> None:
        self.sock.bind(address, port)

    def bind_device(self, device: str) -> None:
        self.sock.bind_device(device)

    def listen(self, backlog: int) -> None:
        self.sock.listen(backlog)

    def accept(self) -> tuple[Socket, Endpoint]:
        child = self._tcp.accept()
        return GuestSocket(self._kernel, child), child.peer()

    def connect(self, address: bytes, port: int) -> None:
        self.sock.connect(address, port)

    def connected(self) -> None:
        self.sock.finish_connect()

    def take_error(self) -> OSError | None:
        number = self.sock.take_error()
        return failure(number) if number else None

    def read(self, size: int) -> bytes:
        sock = self.sock
        data = sock.recv(size)
        observer = self._kernel.observer
        if observer is not None:
            if not isinstance(sock, TcpSocket):
                self._got(len(data))
            elif data:
                local, remote = (sock.sk.saddr, sock.sk.sport), (sock.sk.daddr, sock.sk.dport)
                observer.read(local, remote, self.read_total, len(data))
                self.read_total += len(data)
        return data

    def write(self, data: bytes) -> int:
        count = self.sock.send(data)
        return count if self._kernel.observer is None else self._written(count, data)

    def _written(self, count: int, data: bytes, to: Endpoint | None = None) -> int:
        """The kernel has taken ``count`` bytes of ``data``."""
        observer, sock = self._kernel.observer, self.sock
        if observer is None:
            return count
        if isinstance(sock, TcpSocket):
            local, remote = (sock.sk.saddr, sock.sk.sport), (sock.sk.daddr, sock.sk.dport)
            observer.written(local, remote, self.written_total, count, self.resumed)
            self.written_total += count
        elif isinstance(sock, DatagramSocket):
            remote = sock.getpeername() if to is None else to
            observer.datagram_written(self.protocol, sock.getsockname(), remote, data)
        return count

    def _got(self, count: int) -> None:
        """A program has got ``count`` bytes of a datagram."""
        observer, sock = self._kernel.observer, self.sock
        if observer is None or not isinstance(sock, DatagramSocket) or sock.last_read is None:
            return
        sender, frame = sock.last_read
        sock.last_read = None
        observer.datagram_read(self.protocol, sock.getsockname(), sender, count, frame)

    def peek(self, size: int) -> bytes:
        return self.sock.peek(size)

    def peekfrom(self, size: int) -> tuple[bytes, Endpoint]:
        return self.sock.peekfrom(size)

    def send(self, data: bytes, *, more: bool = False) -> int:
        count = self._tcp.send(data, more) if more else self.sock.send(data)
        return count if self._kernel.observer is None else self._written(count, data)

    def sendpage(self, piece: PagePiece, flags: int, copied: int | None) -> int:
        count = self._tcp.sendpage(piece, flags, copied)
        return count if self._kernel.observer is None else self._written(count, piece.data)

    def splice_eof(self) -> None:
        self._tcp.splice_eof()

    def keep_error(self, error: OSError) -> None:
        if self.is_stream:
            self._tcp.keep_error(error)

    def sendto(self, data: bytes, to: Endpoint) -> int:
        count = self.sock.sendto(data, to)
        return count if self._kernel.observer is None else self._written(count, data, to)

    def recvfrom(self, size: int) -> tuple[bytes, Endpoint]:
        data, sender = self.sock.recvfrom(size)
        if self._kernel.observer is not None:
            self._got(len(data))
        return data, sender

    def recvmsg(self, size: int) -> Message:
        message = self.sock.recvmsg(size)
        if self._kernel.observer is not None:
            self._got(len(message.data))
        return message

    def inq(self) -> int:
        return self.sock.inq()

    def outq(self) -> int:
        return self._tcp.tcp_ioctl_outq()

    def tcp_info(self) -> dict[str, int]:
        return self._tcp.tcp_get_info()

    def shutdown(self, *, read: bool = False, write: bool = False) -> None:
        self.sock.shutdown(SHUT_RDWR if read and write else SHUT_RD if read else SHUT_WR)

    def getsockname(self) -> Endpoint:
        return self.sock.getsockname()

    def getpeername(self) -> Endpoint:
        return self.sock.getpeername()

    def poll_events(self) -> int:
        return self.sock.poll_events()

    def begin_close(self) -> int:
        return self._tcp.begin_close() * 1_000_000_000 if self.is_stream else 0

    def closing(self) -> bool:
        return self._tcp.closing()

    def close(self) -> None:
        self.sock.close()

    @property
    def _tcp(self) -> TcpSocket:
        if not isinstance(self.sock, TcpSocket):
            raise failure(errno.EOPNOTSUPP)
        return self.sock


def _protocol(sock: KernelSocket) -> int:
    """The number of a datagram socket's protocol; 0 for others."""
    if isinstance(sock, RawSocket):
        return sock.protocol
    return PROTO_UDP if isinstance(sock, UdpSocket) else 0


class GuestKernel(SharedCalls):
    """Processes over ``stack``. ``observer`` is told of what programs read and write."""

    STAGES = stages(
        GUEST,
        sys_clock_gettime=mark(
            "__vdso_clock_gettime", file="lib/vdso/gettimeofday.c", landmark=Landmark.CLOCK_READ
        ),
        sys_nanosleep=mark("hrtimer_nanosleep", file="kernel/time/hrtimer.c"),
        sys_sendfile=mark("do_sendfile", file="fs/read_write.c"),
        generic_file_splice_read=mark("generic_file_splice_read", file="fs/splice.c"),
        splice_from_pipe=mark(
            "generic_splice_sendpage", "splice_from_pipe", "__splice_from_pipe", file="fs/splice.c"
        ),
        sys_ppoll=mark("do_sys_poll", file="fs/select.c"),
        sys_recvmsg=mark("__sys_recvmsg", file="net/socket.c"),
    )

    def __init__(
        self,
        *,
        cpu: Cpu,
        stack: NetStack,
        log: KernelLog,
        random: Random,
        files: Callable[[str], Log],
        tree: VirtualTree,
        hosts: Mapping[str, bytes] | None = None,
        observer: ProgramObserver | None = None,
    ) -> None:
        super().__init__(
            now=cpu.now,
            wake_up=cpu.wake_up,
            random=random,
            files=files,
            tree=tree,
            hosts=hosts,
            first_pid=200,
        )
        self.build = stack.build
        self.cpu = cpu
        self.stack = stack
        self.observer = observer
        self.log = log

    def socket(self, process: Process, kind: str) -> Socket:
        if kind == "tcp":
            return GuestSocket(self, self.stack.tcp_socket())
        if kind == "udp":
            return GuestSocket(self, self.stack.udp_socket())
        if kind == "packet":
            return GuestSocket(self, self.stack.packet_socket("", ETH_P_IP))
        if kind == "icmp":
            return GuestSocket(self, self.stack.icmp_socket())
        raise failure(errno.EPROTONOSUPPORT)

    def meet(self) -> None:
        self.cpu.touch("user")

    def splice_from_pipe(self, process: Process, out: Socket, flags: int) -> None:
        self.cpu.cond_resched()
        super().splice_from_pipe(process, out, flags)

    def proc_create(self, name: str, show: Callable[[], str]) -> None:
        """Make a file under /proc, whose text ``show`` makes anew at each reading."""

        def read() -> str:
            self.cpu.touch("lock_sock")
            return show()

        self.filesystem.system[name] = read

    def sys_syslog(self, process: Process) -> list[tuple[int, str]]:
        return list(self.log.lines)

    def sys_ethtool(self, process: Process, device: str, ask: Callable[[EthtoolDevice], T]) -> T:
        from desim.guest.net.ethtool import Ethtool  # few runs ask

        found = self.stack.devices.get(device)
        if found is None:
            raise failure(errno.ENODEV)
        self.cpu.touch("lock_sock")
        return ask(Ethtool(found))

    def sys_interfaces(self, process: Process) -> list[Interface]:
        self.cpu.touch("lock_sock")
        shown = []
        for found in self.stack.interfaces():
            device = self.stack.devices[found.name]
            loopback = bool(found.flags & IFF_LOOPBACK)
            flags = found.flags
            if loopback and flags & IFF_UP:
                flags |= IFF_RUNNING  # dev_get_flags: it has carrier whenever it is up
            held = [a for a in self.stack.ip.addresses if a.device is device]
            inet6 = self.stack.inet6
            shown.append(
                Interface(
                    found.name,
                    b"" if loopback else found.mac,
                    flags,
                    found.mtu,
                    addresses=[(a.address, a.prefix) for a in held]
                    + ([] if inet6 is None else inet6.addresses(device)),
                    rx_packets=found.rx_packets,
                    rx_bytes=found.rx_bytes,
                    tx_packets=found.tx_packets,
                    tx_bytes=found.tx_bytes,
                    rx_errors=device.stats.rx_errors,
                    tx_errors=device.stats.tx_errors,
                    collisions=device.stats.collisions,
                )
            )
        # The card first and loopback last, as ifconfig sorts by name.
        return sorted(shown, key=lambda interface: interface.name)

    def sys_sockets_table(self, process: Process) -> list[SocketRow]:
        self.cpu.touch("lock_sock")
        owners: dict[object, tuple[Owner, ...]] = {}
        for other in self.processes:
            for fd, file in sorted(other.files.items()):
                if isinstance(file, GuestSocket):
                    sock = file.sock.sk if isinstance(file.sock, TcpSocket) else file.sock
                    owners[sock] = (*owners.get(sock, ()), Owner(other.pid, other.name, fd))
        return [
            SocketRow(
                row.proto,
                row.recv_q,
                row.send_q,
                row.local,
                row.remote if row.remote[1] else None,
                row.state,
                owners.get(row.sock, ()),
                row.backlog,
                row.device,
            )
            for row in self.stack.sockets()
        ]

    def sys_set_address(
        self,
        process: Process,
        device: str,
        address: bytes,
        prefix: int,
        resolv_conf: str | None = None,
    ) -> None:
        found = self.stack.devices.get(device)
        if found is None:
            raise failure(errno.ENODEV)
        self.cpu.local_bh_disable()
        for held in [a for a in self.stack.ip.addresses if a.device is found]:
            self.stack.del_address(device, held.address)
        if address != IP_ANY:
            self.stack.add_address(device, address, prefix)
        self.cpu.local_bh_enable()
        if resolv_conf is not None:
            self.filesystem.resolv_conf = resolv_conf

    def sys_set_link_up(self, process: Process, device: str, up: bool = True) -> None:
        if device not in self.stack.devices:
            raise failure(errno.ENODEV)
        if up:
            self.stack.dev_open(device)
        else:
            self.stack.dev_close(device)

    def sys_del_route(self, process: Process, network: bytes, prefix: int) -> None:
        self.cpu.local_bh_disable()
        try:
            self.stack.del_route(network, prefix)
        finally:
            self.cpu.local_bh_enable()

    def sys_routes(self, process: Process) -> list[Route]:
        self.cpu.touch("lock_sock")
        shown = []
        for route in self.stack.ip.routes:
            own = any(
                held.device is route.device
                and held.prefix == route.prefix
                and network_of(held.address, held.mask) == route.network
                for held in self.stack.ip.addresses
            )
            source = route.source if own and route.gateway is None else None
            shown.append(
                Route(route.network, route.prefix, route.gateway, route.device.name, source)
            )
        return sorted(shown, key=lambda route: (route.network, -route.prefix))

    def sys_addresses(self, process: Process) -> list[InetAddress]:
        self.cpu.touch("lock_sock")
        shown = [
            InetAddress(held.device.name, held.address, held.prefix)
            for held in self.stack.ip.addresses
        ]
        inet6 = self.stack.inet6
        for device in self.stack.devices.values():
            for ifp in [] if inet6 is None else inet6.devs.of[device].addr_list:
                valid, preferred = (
                    None if end is None else max(0, end - self.cpu.jiffies) // HZ
                    for end in (ifp.valid_until, ifp.preferred_until)
                )
                shown.append(
                    InetAddress(
                        device.name, ifp.address, ifp.prefix_len, valid, preferred, ifp.tentative
                    )
                )
        return shown

    def sys_add_route(
        self, process: Process, network: bytes, prefix: int, gateway: bytes | None, device: str
    ) -> None:
        if device not in self.stack.devices:
            raise failure(errno.ENODEV)
        self.cpu.local_bh_disable()
        try:
            self.stack.add_route(network, prefix, gateway=gateway, device=device)
        finally:
            self.cpu.local_bh_enable()
