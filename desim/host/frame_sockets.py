"""The sockets of a QEMU that has a ``-netdev socket``, ``stream`` or ``dgram``.

They carry another network's frames, so nobody follows their bytes (``SocketObserver``).
"""

from __future__ import annotations

from contextlib import suppress

from desim.host.loopback import loopback_of
from desim.host.sockets import QemuSockets
from desim.host.tcp import TcpSocket
from desim.ports import Endpoint, Fd, FrameSockets
from desim.stages import HOST, mark, stages


class QemuFrameSockets(QemuSockets, FrameSockets):
    """All descriptors of such a process."""

    STAGES = stages(
        HOST,
        open_stream=mark("connect", file="host kernel"),
        send_datagram=mark("sendto", file="host kernel", size="data"),
    )

    def listen_stream(self, address: bytes, port: int) -> Fd:
        fd = self.listen(address, port, backlog=0)
        self._tcp(fd).observer = None
        return fd

    def listen_unix(self, path: str) -> Fd:
        self._touch()
        socket = self._kernel.unix.socket()
        name = path.encode()
        self._kernel.unix.names.pop(name, None)
        socket.bind(name, 0)
        socket.listen(0)
        return self._install(socket)

    def open_stream(self, address: bytes, port: int) -> Fd:
        self._touch()
        tcp = self._kernel.tcp
        socket = TcpSocket(tcp, self._owner)
        socket.observer, socket.nonblocking = None, True
        # Its port is drawn apart: so nobody's depends on whether machines are joined.
        own = tcp.free_port(odd=False, stream=f"host.ports {self._owner[0]}")
        socket.bind(loopback_of(address), own)
        with suppress(BlockingIOError):  # in progress: poll tells how it went
            socket.connect(address, port)
        return self._install(socket)

    def open_datagram(self, address: bytes, port: int, group: bytes | None = None) -> Fd:
        self._touch()
        socket = self._kernel.udp.socket(self._owner)
        socket.observer, socket.reuse_address = None, True
        socket.bind(address, port)
        if group is not None:
            socket.groups.append(group)
        return self._install(socket)

    def send_datagram(self, fd: Fd, data: bytes, to: Endpoint) -> tuple[int, int]:
        self._touch()
        before = self._kernel.net.unheard
        sent = self._find(fd).sendto(data, to)
        return sent, self._kernel.net.unheard - before
