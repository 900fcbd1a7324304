"""Stream sockets in the Unix domain: two ends on one machine, and nothing between them.

Models: net/unix/af_unix.c of Linux 6.1 (``unix_stream_connect``, ``unix_stream_sendmsg``,
``unix_stream_read_generic``, ``unix_shutdown``, ``unix_release_sock``, ``unix_poll``).

What happens to one end the other knows at once: there are no segments, no FIN that waits
behind data, and no RST that has to come back. So an end that shuts its reading side makes
the other's writes fail with EPIPE, and one that is closed makes them fail, whoever is
informed of it or not; closed with unread data in it, it leaves ECONNRESET behind what the
other end may still read. The name of the peer stays: ``getpeername`` never says that a
connection is over.

A name is that of a file, which outlives its socket: until it is unlinked nobody else can
take it, and whoever connects to it is refused.

Not modelled: credentials and descriptors that are passed on, MSG_OOB (refused as by a
kernel without AF_UNIX_OOB), datagrams.
"""

from __future__ import annotations

import errno
from collections import deque

from desim.host.loopback import HostSocket, Loopback
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, Endpoint
from desim.userland.errors import failure
from desim.userland.files import ByteQueue

SNDBUF = 212_992
"""net.core.wmem_default, in bytes of payload."""


class Unix:
    """The names that sockets of the host have."""

    def __init__(self, net: Loopback) -> None:
        self.net = net
        self.names: dict[bytes, UnixSocket] = {}
        """Files, and the sockets that made them."""

    def socket(self) -> UnixSocket:
        """A new one."""
        return UnixSocket(self)

    def unlink(self, name: bytes) -> None:
        """Remove the file; ENOENT if there is none. Its socket stays as it is."""
        if self.names.pop(name, None) is None:
            raise failure(errno.ENOENT)


class UnixSocket(HostSocket):
    """One end of a connection, or a listener. Its endpoint is its name and 0; b"" has no name."""

    __slots__ = (
        "accept_queue",
        "backlog",
        "error",
        "listening",
        "name",
        "net",
        "peer",
        "receive",
        "recv_shutdown",
        "released",
        "send_shutdown",
        "unix",
    )

    def __init__(self, unix: Unix) -> None:
        super().__init__(f"unix#{unix.net.number()}")
        self.unix = unix
        self.net = unix.net
        self.name = b""
        self.peer: UnixSocket | None = None
        self.watcher = None
        self.listening = self.released = False
        self.backlog = 0
        self.accept_queue: deque[UnixSocket] = deque()
        self.receive = ByteQueue()
        self.send_shutdown = self.recv_shutdown = False
        self.error = 0

    # Setting up

    def bind(self, address: bytes, port: int) -> None:
        if self.name or not address or port:
            raise failure(errno.EINVAL)
        if address in self.unix.names:
            raise failure(errno.EADDRINUSE)
        self.name = address
        self.unix.names[address] = self

    def listen(self, backlog: int) -> None:
        if not self.name or self.peer is not None:
            raise failure(errno.EINVAL)
        self.backlog = backlog
        self.listening = True

    def accept(self) -> tuple[UnixSocket, Endpoint]:
        if not self.listening:
            raise failure(errno.EINVAL)
        if not self.accept_queue:
            raise failure(errno.EAGAIN)
        connection = self.accept_queue.popleft()
        return connection, connection.getpeername()

    def connect(self, address: bytes, port: int) -> None:
        """Done on return; EAGAIN if too many wait there already."""
        if self.peer is not None:
            raise failure(errno.EISCONN)
        listener = self.unix.names.get(address)
        if listener is None:
            raise failure(errno.ENOENT)
        if not listener.listening:
            raise failure(errno.ECONNREFUSED)
        if len(listener.accept_queue) > listener.backlog:
            raise failure(errno.EAGAIN)
        server = UnixSocket(self.unix)
        server.name = address
        self.peer, server.peer = server, self
        listener.accept_queue.append(server)
        listener._changed()

    def connected(self) -> None:
        """Nothing to wait for."""

    # Errors and readiness

    def take_error(self) -> OSError | None:
        error, self.error = self.error, 0
        return failure(error) if error else None

    def _raise_error(self) -> None:
        error = self.take_error()
        if error is not None:
            raise error

    def poll_events(self) -> int:
        if self.listening:
            return POLLIN if self.accept_queue else 0
        if self.peer is None:
            return POLLOUT | POLLHUP
        events = POLLERR if self.error else 0
        if self.recv_shutdown and self.send_shutdown:
            events |= POLLHUP
        if self.recv_shutdown or self.receive.size:
            events |= POLLIN
        if self.peer.receive.size * 4 <= SNDBUF:
            events |= POLLOUT
        return events

    def _changed(self) -> None:
        self.net.wake_up(self.queue)
        if self.watcher is not None:
            self.watcher()

    # Data

    def read(self, size: int) -> bytes:
        if self.peer is None:
            raise failure(errno.EINVAL)
        if self.receive.size:
            data = self.receive.pop(size)
            self.peer._changed()
            return data
        self._raise_error()
        if self.recv_shutdown:
            return b""
        raise failure(errno.EAGAIN)

    def write(self, data: bytes) -> int:
        peer = self.peer
        if peer is None:
            raise failure(errno.ENOTCONN)
        if self.send_shutdown:
            raise failure(errno.EPIPE)
        if not data:
            return 0
        self._raise_error()
        room = SNDBUF - peer.receive.size
        if room <= 0:
            raise failure(errno.EAGAIN)
        taken = data if len(data) <= room else data[:room]
        peer.receive.push(taken)
        peer._changed()
        return len(taken)

    # Closing

    def shutdown(self, *, read: bool = False, write: bool = False) -> None:
        peer = self.peer
        self.recv_shutdown |= read
        self.send_shutdown |= write
        if peer is not None and not peer.released:
            peer.send_shutdown |= read
            peer.recv_shutdown |= write
            peer._changed()
        self._changed()

    def close(self) -> None:
        self.listening = False
        for waiting in self.accept_queue:
            waiting._release(errno.ECONNRESET)
        self.accept_queue.clear()
        self._release(errno.ECONNRESET if self.receive.size else 0)
        self.watcher = None

    def _release(self, error: int) -> None:
        """``unix_release_sock``: the peer learns of it, with ``error`` if data is lost."""
        self.released = True
        self.receive.clear()
        self.send_shutdown = self.recv_shutdown = True
        peer = self.peer
        if peer is not None and not peer.released:
            peer.send_shutdown = peer.recv_shutdown = True
            peer.error = error or peer.error
            peer._changed()

    # Names

    def getsockname(self) -> Endpoint:
        return self.name, 0

    def getpeername(self) -> Endpoint:
        if self.peer is None:
            raise failure(errno.ENOTCONN)
        return self.peer.name, 0
