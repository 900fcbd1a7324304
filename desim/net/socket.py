"""Frames over a socket of the host (net/socket.c; net/stream.c and net/dgram.c of QEMU 7.2).

Theory of operation
-------------------
The netdev is one end of a link as any other; what it is sent it writes into its socket, and
what it reads there it sends. So two QEMUs, or a QEMU and whoever speaks the same, have one wire.

A stream carries each frame behind its length, 4 bytes in network order. A socket that takes
only a part leaves the frame in the netdev's queue, and the rest goes when poll says so; all
frames behind it wait. A frame that has to wait on the way into the machine stops the reading,
so the bytes stay in the host's socket buffer, and then in the sender's queue: nothing is lost
between two streams. A listener takes one connection; while there is none its link is down.

A datagram is a frame, and is lost without a word when nobody has it or the receiver's buffer is
full. To a multicast group each member sends to all, itself included: the host loops it back, so
a guest hears its own frames.

Three traps, all real:

* ``connect=`` to where nobody listens is no error: the end of the connection is noticed like any
  other, and the link is down from then on, for ever.
* A stream that breaks in the middle of a frame goes on with the rest of it on the next
  connection (``send_index`` is not reset).
* An empty datagram counts as the end: nothing is read any more.

Not modelled: an empty frame, which is lost here (in QEMU it counts as one that its receiver does
not take now, and waits for ever with all that is behind it); ``fd=``, ``reconnect=`` (which came
after QEMU 7.2), TLS, Unix datagrams.
"""

from __future__ import annotations

import os
from abc import abstractmethod

from desim.devices import SocketNet
from desim.net import reasons
from desim.net.client import NET_BUFSIZE, NetClientState
from desim.net.queue import Sent
from desim.ports import AsyncNetPort, Endpoint, FdHandlers, FrameSockets, NetClient
from desim.reasons import Reason
from desim.stages import QEMU, mark, stages
from desim.wire.addresses import ip_text
from desim.wire.frame import Frame

LENGTH_BYTES = 4
FILE = "net/socket.c"


class AsyncClientState(NetClientState):
    """The client of a backend that stops reading while its packets have to wait."""

    STAGES = stages(
        QEMU,
        send_async=mark(
            "qemu_send_packet_async",
            "qemu_send_packet_async_with_flags",
            file="net/net.c",
            size="frame.raw",
        ),
    )

    __slots__ = ()

    def send_async(self, frame: Frame, sent: Sent) -> int:
        """As ``send``; of a packet that has to wait ``sent`` is told when it has left."""
        peer = self.peer
        if self.link_down or peer is None:
            self.ledger.lost(frame, self.name, reasons.NO_LINK)
            return len(frame.raw)
        if self.filters or peer.filters:
            answer = self.filter_receive("tx", self, frame) or peer.filter_receive(
                "rx", self, frame
            )
            if answer:
                return answer
        return peer.incoming_queue.send(self, frame, sent)


class NetSocket(NetClient):
    """What streams and datagrams have in common: a descriptor, and what it is polled for.

    ``nc`` is its client in the net layer, ``port`` the way there.
    """

    __slots__ = (
        "config",
        "fd",
        "handlers",
        "info",
        "nc",
        "port",
        "read_poll",
        "sockets",
        "write_poll",
    )

    def __init__(
        self,
        config: SocketNet,
        *,
        nc: NetClientState,
        port: AsyncNetPort,
        sockets: FrameSockets,
        handlers: FdHandlers,
    ) -> None:
        self.config = config
        self.nc = nc
        self.port = port
        self.sockets = sockets
        self.handlers = handlers
        self.info = ""
        """What the monitor's ``info network`` says of it (``qemu_set_info_str``)."""
        self.fd: int | None = None
        self.read_poll = self.write_poll = False

    @abstractmethod
    def start(self) -> None:
        """Open the socket, as QEMU does when it reads its options. Raises ``OSError``."""

    def can_receive(self) -> bool:
        return True

    def blocked_by(self) -> Reason | None:
        return reasons.SOCKET_FULL if self.nc.receive_disabled else None

    def set_link(self, up: bool) -> None:
        """The socket stays as it is."""

    def update_fd_handler(self, *, read: bool | None = None, write: bool | None = None) -> None:
        """Poll for these from now on; None: as before."""
        self.read_poll = self.read_poll if read is None else read
        self.write_poll = self.write_poll if write is None else write
        if self.fd is not None:
            self.handlers.set_fd_handler(
                self.fd,
                self.readable if self.read_poll else None,
                self.writable if self.write_poll else None,
            )

    @abstractmethod
    def readable(self) -> None:
        """There is something to read."""

    def writable(self) -> None:
        """The socket takes bytes again."""
        self.update_fd_handler(write=False)
        self.nc.flush()

    def send_frame(self, raw: bytes) -> None:
        """A frame has come over the socket; one that has to wait stops the reading."""
        if not raw:
            self.lost(Frame(raw), reasons.EMPTY)
            return
        if self.port.send_async(Frame(raw), self.send_completed) == 0:
            self.update_fd_handler(read=False)

    def send_completed(self, answer: int) -> None:
        """The frame that had to wait has left its queue."""
        if not self.read_poll:
            self.update_fd_handler(read=True)

    def lost(self, frame: Frame, why: Reason) -> None:
        """A frame ends here."""
        self.nc.ledger.lost(frame, self.nc.name, why)


class NetSocketStream(NetSocket):
    """``-netdev socket,listen=`` or ``connect=``."""

    STAGES = stages(
        QEMU,
        receive=mark("net_socket_receive", file=FILE, size="frame.raw"),
        readable=mark("net_socket_send", file=FILE),
        writable=mark("net_socket_writable", file=FILE),
        accept=mark("net_socket_accept", file=FILE),
        connected=mark("net_socket_connect", file=FILE),
        send_completed=mark("net_socket_send_completed", file=FILE),
    )

    __slots__ = ("_index", "_listen_fd", "_read")

    def __init__(
        self,
        config: SocketNet,
        *,
        nc: NetClientState,
        port: AsyncNetPort,
        sockets: FrameSockets,
        handlers: FdHandlers,
    ) -> None:
        super().__init__(config, nc=nc, port=port, sockets=sockets, handlers=handlers)
        self._listen_fd: int | None = None
        self._index = 0
        """Bytes of the frame in front of the queue that the socket has taken."""
        self._read = b""
        """What has come of a frame that is not complete."""

    def start(self) -> None:
        config = self.config
        if config.role == "listen":
            if config.path:
                self._listen_fd = self.sockets.listen_unix(config.path)
            else:
                assert config.local is not None, "a listener has an address"
                self._listen_fd = self.sockets.listen_stream(*config.local)
            self.nc.link_down = True
            self.handlers.set_fd_handler(self._listen_fd, self.accept, None)
            return
        if config.path:
            try:
                self.fd = self.sockets.connect_unix(config.path)
            except OSError:
                self.failed()
                return
        else:
            assert config.remote is not None, "who connects has an address"
            self.fd = self.sockets.open_stream(*config.remote)
            self.info = self.told("connect to", config.remote)
        self.handlers.set_fd_handler(self.fd, None, self.connected)

    def accept(self) -> None:
        """Take a connection, and no other while it lasts."""
        assert self._listen_fd is not None, "only a listener accepts"
        try:
            self.fd, client = self.sockets.accept(self._listen_fd)
        except OSError:
            return
        self.handlers.set_fd_handler(self._listen_fd, None, None)
        self.nc.link_down = False
        if not self.config.path:
            self.info = self.told("connection from", client)
        self.connected()

    def told(self, what: str, address: Endpoint) -> str:
        """How it is told of."""
        return f"socket: {what} {ip_text(address[0])}:{address[1]}"

    def failed(self) -> None:
        """There is no connection, and there will be none."""
        self.nc.link_down = True
        self.info = "connection error"

    def connected(self) -> None:
        """The connection stands, or has failed, which reading will tell."""
        # The handler that waited for this goes with it.
        self.update_fd_handler(read=True, write=self.write_poll)

    def receive(self, frame: Frame) -> int:
        """Write a frame behind its length."""
        if self.fd is None:
            self.lost(frame, reasons.SOCKET_CLOSED)
            return -1
        data = len(frame.raw).to_bytes(LENGTH_BYTES, "big") + frame.raw
        left = len(data) - self._index
        try:
            taken = self.sockets.send(self.fd, data[self._index :])
        except BlockingIOError:
            taken = 0
        except OSError as error:
            self._index = 0
            self.lost(frame, reasons.SOCKET_ERROR.of(error=os.strerror(error.errno or 0)))
            return -1
        if taken < left:
            self._index += taken
            self.update_fd_handler(write=True)
            return 0
        self._index = 0
        return len(frame.raw)

    def readable(self) -> None:
        """Read what is there, and send the frames that are complete."""
        assert self.fd is not None, "it is watched while it is open"
        try:
            data = self.sockets.recv(self.fd, NET_BUFSIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or not self._fill(data):
            self._end()

    def _fill(self, data: bytes) -> bool:
        """``net_fill_rstate``: False if more comes of a frame than its buffer holds, which ends
        the connection."""
        data = self._read + data
        at = 0
        while len(data) - at >= LENGTH_BYTES:
            begin = at + LENGTH_BYTES
            size = int.from_bytes(data[at:begin], "big")
            if min(size, len(data) - begin) > NET_BUFSIZE:
                return False
            if len(data) - begin < size:
                break
            at = begin + size
            self.send_frame(data[begin:at])
        self._read = data[at:]
        return True

    def _end(self) -> None:
        """The connection is over; a listener waits for the next one."""
        assert self.fd is not None, "it was open"
        self.update_fd_handler(read=False, write=False)
        if self._listen_fd is not None:
            self.handlers.set_fd_handler(self._listen_fd, self.accept, None)
        self.sockets.close(self.fd)
        self.fd = None
        self._read = b""
        self.nc.link_down = True
        self.info = ""


class NetStream(NetSocketStream):
    """``-netdev stream``: its link is down until there is a connection, whoever begins it."""

    STAGES = stages(
        QEMU,
        receive=mark("net_stream_receive", file="net/stream.c", size="frame.raw"),
        readable=mark("net_stream_send", file="net/stream.c"),
        writable=mark("net_stream_writable", file="net/stream.c"),
        accept=mark("net_stream_listen", file="net/stream.c"),
        connected=mark("net_stream_client_connected", file="net/stream.c"),
        send_completed=mark("net_stream_send_completed", file="net/stream.c"),
    )

    __slots__ = ()

    def start(self) -> None:
        self.nc.link_down = True
        super().start()

    def told(self, what: str, address: Endpoint) -> str:
        return f"tcp:{ip_text(address[0])}:{address[1]}"

    def connected(self) -> None:
        assert self.fd is not None, "there is a socket"
        try:
            self.sockets.send(self.fd, b"")
        except OSError:
            self._end()
            self.failed()
            return
        self.nc.link_down = False
        super().connected()


class NetSocketDgram(NetSocket):
    """``-netdev socket,udp=`` or ``mcast=``."""

    STAGES = stages(
        QEMU,
        receive=mark("net_socket_receive_dgram", file=FILE, size="frame.raw"),
        readable=mark("net_socket_send_dgram", file=FILE),
        writable=mark("net_socket_writable", file=FILE),
        send_completed=mark("net_socket_send_completed", file=FILE),
    )

    __slots__ = ()

    def start(self) -> None:
        remote = self.config.remote
        assert remote is not None, "datagrams go somewhere"
        group = remote[0] if self.config.role == "mcast" else None
        local = remote if group else self.config.local
        assert local is not None, "datagrams come from somewhere"
        self.fd = self.sockets.open_datagram(*local, group)
        self.info = self.told(local, remote)
        self.update_fd_handler(read=True)

    def told(self, local: Endpoint, remote: Endpoint) -> str:
        """How it is told of."""
        way = "mcast" if self.config.role == "mcast" else "udp"
        return f"socket: {way}={ip_text(remote[0])}:{remote[1]}"

    def receive(self, frame: Frame) -> int:
        """Send a frame as a datagram."""
        assert self.fd is not None, "it is open"
        assert self.config.remote is not None, "datagrams go somewhere"
        try:
            sent, unheard = self.sockets.send_datagram(self.fd, frame.raw, self.config.remote)
        except BlockingIOError:
            self.update_fd_handler(write=True)
            return 0
        except OSError as error:
            self.lost(frame, reasons.SOCKET_ERROR.of(error=os.strerror(error.errno or 0)))
            return -1
        for _ in range(unheard):
            self.lost(frame, reasons.UNHEARD)
        return sent

    def readable(self) -> None:
        """Send the frame of the next datagram."""
        assert self.fd is not None, "it is open"
        try:
            data = self.sockets.recv(self.fd, NET_BUFSIZE)
        except OSError:
            return
        if data:
            self.send_frame(data)
        else:
            self.update_fd_handler(read=False, write=False)


class NetDgram(NetSocketDgram):
    """``-netdev dgram``."""

    STAGES = stages(
        QEMU,
        receive=mark("net_dgram_receive", file="net/dgram.c", size="frame.raw"),
        readable=mark("net_dgram_send", file="net/dgram.c"),
        writable=mark("net_dgram_writable", file="net/dgram.c"),
        send_completed=mark("net_dgram_send_completed", file="net/dgram.c"),
    )

    __slots__ = ()

    def told(self, local: Endpoint, remote: Endpoint) -> str:
        shown = f"{ip_text(remote[0])}:{remote[1]}"
        if self.config.role == "mcast":
            return f"mcast={shown}"
        return f"udp={ip_text(local[0])}:{local[1]}/{shown}"


def make_of(config: SocketNet) -> type[NetSocket]:
    """The class for ``config``."""
    if config.is_stream:
        return NetStream if config.kind == "stream" else NetSocketStream
    return NetDgram if config.kind == "dgram" else NetSocketDgram
