"""TCP over the host's loopback interface, as programs and QEMU see it.

Models: the behaviour of Linux' TCP sockets between two ends on one machine, where
segments arrive at once and are never lost (net/ipv4/tcp.c: ``tcp_sendmsg``,
``tcp_recvmsg``, ``tcp_poll``, ``tcp_close``; tcp_input.c: ``tcp_reset``, ``tcp_fin``).

Theory of operation
-------------------
A connection is two sockets that know each other. What one sends lies in the
other's ``receive`` queue: up to RCVBUF bytes count as received, the rest as still in
the sender's buffer of SNDBUF; a sender blocks when both are full and is woken when a
third of its own is free. A FIN arrives behind the last byte.

``connect`` is answered by the kernel, not by the program: the connection exists before
anybody accepts it. A listener's queue holds one more than its backlog. A SYN that finds it
full is ignored, and sent again after 1, 2, 4 ... seconds, until ETIMEDOUT. Those seconds
end in a tick that many clients share: all SYNs of a tick arrive before any of them is
answered, find the same room, and so each of these clients gets its SYN-ACK and is
connected. Of their last ACKs as many are taken as there is room for; the others are
dropped. Such a connection is half open (SYN_RECV on the server's side) until a packet of
the client's finds room: its first data or FIN, sent again 0.2, 0.4, 0.8, 1.6 ... seconds
later, or its ACK of the SYN-ACK, which the server repeats after 1, 2, 4 ... seconds, five times;
then the server forgets it, and answers with RST.

What counts as acknowledged (SIOCOUTQ) is what the other end has read, and all that its
buffer holds when nothing has come for 40 ms: its delayed ACK. That is so with short
segments; Linux acknowledges the first few of a connection, and long ones, at once.

A connection is reset when a socket is closed with unread data in it, or closed that does
not linger (SO_LINGER with 0 seconds), and when data arrives for one that has been closed;
the other end may still read what had arrived, then gets ECONNRESET once (EPIPE if it had
seen the FIN), then end of stream.

Not modelled: windows, segments, congestion, SYN cookies and all other timers;
auto-tuning of the buffers (they have their final size from the start); other options, which
are ENOPROTOOPT.
"""

from __future__ import annotations

import errno
from collections import deque

from desim.host.loopback import HostSocket, loopback_of, wildcard
from desim.host.tcp_table import TIME_WAIT_NS, Tcp
from desim.host.timers import HostTimer
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDHUP, Endpoint
from desim.userland.errors import failure
from desim.userland.files import ByteQueue
from desim.userland.pages import PagePiece
from desim.userland.uapi import (
    KEEPALIVE_MOST,
    SO_KEEPALIVE,
    SO_LINGER,
    SO_OOBINLINE,
    SO_REUSEADDR,
    SO_REUSEPORT,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_NODELAY,
)
from desim.wire.addresses import IP_ANY

SNDBUF = 2_621_440
"""Where tcp_wmem's auto-tuning ends on loopback, in bytes of payload (2.5 MiB)."""
RCVBUF = 131_072
"""tcp_rmem[1]."""
DELACK_NS = 40_000_000
"""TCP_DELACK_MIN."""
SYN_RETRIES = 6
SYNACK_RETRIES = 5
"""net.ipv4.tcp_synack_retries; each wait is twice the last, from one second on."""
RTO_MIN_NS = 200_000_000
"""TCP_RTO_MIN: what the retransmission timeout is on a loopback interface."""
SECOND_NS = 1_000_000_000
KEEPALIVE = {SO_KEEPALIVE: 0, TCP_KEEPIDLE: 7200, TCP_KEEPINTVL: 75, TCP_KEEPCNT: 9}
"""As they begin: net.ipv4.tcp_keepalive_time, _intvl, _probes."""

CLOSE = "CLOSE"
LISTEN = "LISTEN"
SYN_SENT = "SYN_SENT"
SYN_RECV = "SYN_RECV"
ESTABLISHED = "ESTABLISHED"
FIN_WAIT1 = "FIN_WAIT1"
FIN_WAIT2 = "FIN_WAIT2"
CLOSE_WAIT = "CLOSE_WAIT"
LAST_ACK = "LAST_ACK"
CLOSING = "CLOSING"


class TcpSocket(HostSocket):
    """One end of a connection, or a listener.

    ``oobinline`` is SO_OOBINLINE: urgent bytes are read in their place instead of skipped.
    ``linger_s`` is SO_LINGER: how long ``close`` waits until the peer has taken everything, 0 to
    reset the connection, -1 for neither. ``keepalive`` holds SO_KEEPALIVE and its times: they
    change nothing, for the kernel at the other end always answers.
    """

    __slots__ = (
        "accept_queue",
        "arrived_ns",
        "backlog",
        "conn",
        "error",
        "fin_received",
        "fin_sent",
        "fin_unread",
        "keepalive",
        "linger_s",
        "listener",
        "local",
        "name",
        "net",
        "nodelay",
        "number",
        "observer",
        "oobinline",
        "orphaned_ns",
        "owner",
        "peer",
        "receive",
        "received_total",
        "recv_shutdown",
        "remote",
        "retransmission",
        "retries",
        "reuse_address",
        "reuse_port",
        "send_shutdown",
        "sent_total",
        "side",
        "state",
        "tcp",
        "urgent",
    )

    def __init__(self, tcp: Tcp[TcpSocket], owner: tuple[int, str] | None) -> None:
        self.tcp = tcp
        self.net = tcp.net
        self.observer = tcp.net.observer
        self.number = self.net.number()
        self.name = f"tcp#{self.number}"
        super().__init__(self.name)
        self.owner = owner
        self.watcher = None
        self.state = CLOSE
        self.local: Endpoint | None = None
        self.remote: Endpoint | None = None
        self.peer: TcpSocket | None = None
        self.conn = 0
        self.side = ""
        self.receive = ByteQueue()
        self.arrived_ns = self.sent_total = self.received_total = 0
        self.urgent: int | None = None
        self.oobinline = self.nodelay = False
        self.linger_s = -1
        self.keepalive = dict(KEEPALIVE)
        self.error = 0
        self.fin_sent = self.fin_received = self.fin_unread = False
        self.send_shutdown = self.recv_shutdown = False
        self.orphaned_ns: int | None = None
        self.reuse_address = self.reuse_port = False
        self.backlog = self.retries = 0
        self.accept_queue: deque[TcpSocket] = deque()
        self.listener: TcpSocket | None = None
        """Of a connection that is half open: who will accept it."""
        self.retransmission: HostTimer | None = None

    is_stream = True

    @property
    def listening(self) -> bool:
        """Whether it accepts connections."""
        return self.state == LISTEN

    # Setting up

    def setsockopt(self, option: str, value: int) -> None:
        if option == SO_REUSEADDR:
            self.reuse_address = bool(value)
        elif option == SO_REUSEPORT:
            self.reuse_port = bool(value)
        elif option == SO_OOBINLINE:
            self.oobinline = bool(value)
        elif option == SO_LINGER:
            self.linger_s = max(value, -1)
        elif option == SO_KEEPALIVE:
            self.keepalive[option] = int(bool(value))
        elif option in self.keepalive:
            if not 1 <= value <= KEEPALIVE_MOST[option]:
                raise failure(errno.EINVAL)
            self.keepalive[option] = value
        elif option == TCP_NODELAY:
            self.nodelay = bool(value)  # nothing is ever delayed here
        else:
            raise failure(errno.ENOPROTOOPT)

    def getsockopt(self, option: str) -> int:
        values = {
            SO_REUSEADDR: self.reuse_address,
            SO_REUSEPORT: self.reuse_port,
            SO_OOBINLINE: self.oobinline,
            SO_LINGER: self.linger_s,
            TCP_NODELAY: self.nodelay,
            **self.keepalive,
        }
        return int(values[option]) if option in values else super().getsockopt(option)

    def bind(self, address: bytes, port: int) -> None:
        self.tcp.bind(self, address, port)

    def listen(self, backlog: int) -> None:
        if self.state not in (CLOSE, LISTEN) or self.conn:
            raise failure(errno.EINVAL)
        if self.local is None:
            self.bind(IP_ANY, 0)
        assert self.local is not None
        if self.state == CLOSE:
            if self.tcp.conflict(self, *self.local):
                raise failure(errno.EADDRINUSE)
            self.tcp.listen(self, self.local[1])
        self.backlog = backlog
        self.state = LISTEN

    def accept(self) -> tuple[TcpSocket, Endpoint]:
        if self.state != LISTEN:
            raise failure(errno.EINVAL)
        if not self.accept_queue:
            raise failure(errno.EAGAIN)
        connection = self.accept_queue.popleft()
        connection.owner = self.owner
        assert connection.remote is not None
        return connection, connection.remote

    def connect(self, address: bytes, port: int) -> None:
        if self.state == SYN_SENT:
            raise failure(errno.EALREADY)
        if self.state != CLOSE or self.conn:
            raise failure(errno.EISCONN)
        address = self.net.route(address)
        own = loopback_of(address)
        if self.local is None:
            self.tcp.take(self, (own, self.tcp.free_port(odd=False)))
        else:
            if wildcard(self.local[0]):
                self.local = (own, self.local[1])
            if self.tcp.connected(self.local, (address, port)):
                raise failure(errno.EADDRNOTAVAIL)
        self.remote = (address, port)
        self.state = SYN_SENT
        self.send_shutdown = self.recv_shutdown = False
        self.retries = 0
        self.tcp.sockets[self] = None
        if self.net.observer is not None:
            assert self.local is not None, "it has one by now"
            self.net.observer.connecting(self.local, self.remote)
        self.net.transmit(self._syn_arrives)
        if self.state == SYN_SENT:
            self._wait(SECOND_NS)
        if self.nonblocking:
            raise failure(errno.EINPROGRESS)
        self.connected()

    def _syn_arrives(self) -> None:
        """The own SYN, at whoever listens (``tcp_conn_request``)."""
        assert self.local is not None
        assert self.remote is not None
        listener = self.tcp.listener(*self.remote)
        if listener is None:
            self._failed(errno.ECONNREFUSED)
        elif not listener.full:
            server = listener._request(self.local, self.remote)
            self.net.transmit(lambda: self._syn_ack_arrives(server))

    @property
    def full(self) -> bool:
        """``sk_acceptq_is_full``."""
        return len(self.accept_queue) > self.backlog

    def _request(self, client: Endpoint, own: Endpoint) -> TcpSocket:
        """The other end of a connection in the making."""
        server = TcpSocket(self.tcp, None)
        server.reuse_address, server.reuse_port = self.reuse_address, self.reuse_port
        server.oobinline, server.linger_s = self.oobinline, self.linger_s
        server.keepalive = dict(self.keepalive)
        server.observer = self.observer
        self.tcp.take(server, own)
        self.tcp.sockets[server] = None
        server.remote = client
        server.listener = self
        server.state = SYN_RECV
        return server

    def _syn_ack_arrives(self, server: TcpSocket) -> None:
        """The client is connected, whatever becomes of its ACK."""
        assert self.local is not None
        assert self.remote is not None
        if self.state != SYN_SENT:
            # It was closed meanwhile, and answers with RST.
            server._done()
            return
        self._stop_waiting()
        server.peer, self.peer = self, server
        server.conn = self.conn = self.net.connection(self.observer or server.observer)
        server.side, self.side = "server", "client"
        self.state = ESTABLISHED
        if self.observer is not None:
            self.observer.connected(self.conn, self.local, self.remote)
        self._changed()
        self.net.transmit(server._ack_arrives)

    def _ack_arrives(self) -> None:
        """A packet of the client's, at the half-open connection (``tcp_check_req``)."""
        listener, peer = self.listener, self.peer
        if self.state != SYN_RECV or listener is None or peer is None:
            return
        if not listener.listening:
            self._reset()
        elif listener.full:
            self._wait(SECOND_NS)
        else:
            self._stop_waiting()
            peer._stop_waiting()
            self.listener = None
            self.state = ESTABLISHED
            listener.accept_queue.append(self)
            listener._changed()
            if peer.fin_sent:
                self._fin_arrives()

    def _failed(self, error: int) -> None:
        self.error = error
        self._done()
        self._changed()

    # Sending again

    def _wait(self, delay_ns: int) -> None:
        """Send again after ``delay_ns``."""
        if self.retransmission is None:
            self.retransmission = self.net.timers.timer(self._again)
        if not self.retransmission.pending:
            self.retransmission.arm(delay_ns)

    def _stop_waiting(self) -> None:
        self.retries = 0
        if self.retransmission is not None:
            self.retransmission.cancel()

    def _again(self) -> None:
        """Nobody has answered (``tcp_retransmit_timer``, ``reqsk_timer_handler``)."""
        self.retries += 1
        if self.state == SYN_SENT:
            if self.retries > SYN_RETRIES:
                self._failed(errno.ETIMEDOUT)
                return
            self.net.transmit(self._syn_arrives)
            self._wait(SECOND_NS << self.retries)
        elif self.state == SYN_RECV:
            if self.retries > SYNACK_RETRIES:
                # What still comes from the client is answered with RST.
                self.orphaned_ns = self.net.now()
                self._done()
                return
            self.net.transmit(self._ack_arrives)
            self._wait(SECOND_NS << self.retries)
        elif self.peer is not None:
            self._reach(self.peer)

    def _reach(self, server: TcpSocket) -> None:
        """Send what there is to a half-open ``server``; again later if that is in vain."""
        if server.orphaned_ns is not None:
            self.net.transmit(server._reset)
            return
        self.net.transmit(server._ack_arrives)
        if server.state == SYN_RECV:
            # A tail loss probe first, and after that the timeouts.
            self._wait(RTO_MIN_NS << max(0, self.retries - 1))

    def connected(self) -> None:
        if self.state == SYN_SENT:
            raise failure(errno.EAGAIN)
        self._raise_error()

    # Errors and readiness

    def take_error(self) -> OSError | None:
        error, self.error = self.error, 0
        return failure(error) if error else None

    def _raise_error(self) -> None:
        if self.error:
            error, self.error = self.error, 0
            raise failure(error)

    def poll_events(self) -> int:
        if self.state == LISTEN:
            return POLLIN if self.accept_queue else 0
        if self.state == SYN_SENT:
            return 0
        events = POLLHUP | POLLOUT if self.state == CLOSE else 0
        if self.send_shutdown and self.recv_shutdown:
            events |= POLLHUP
        if self.recv_shutdown:
            events |= POLLIN | POLLRDHUP
        if self.receive.size:
            events |= POLLIN
        peer = self.peer
        # NOTE: nothing, or little, is in the own buffer: nearly always so, and asked at each poll.
        if self.send_shutdown or (peer is not None and peer.receive.size <= RCVBUF):
            events |= POLLOUT
        elif self._writeable():
            events |= POLLOUT
        if self.urgent is not None:
            events |= POLLPRI
        if self.error:
            events |= POLLERR
        return events

    @property
    def unsent(self) -> int:
        """Bytes in the own send buffer."""
        peer = self.peer
        if peer is None:
            return 0
        return peer.receive.size if peer.state == SYN_RECV else max(0, peer.receive.size - RCVBUF)

    def outq(self) -> int:
        if self.state == LISTEN:
            raise failure(errno.EINVAL)
        peer = self.peer
        if peer is not None and self.net.now() < peer.arrived_ns + DELACK_NS:
            return peer.receive.size
        return self.unsent

    def _writeable(self) -> bool:
        """``sk_stream_is_writeable``: a third of the buffer is free."""
        peer = self.peer
        if peer is not None and peer.receive.size <= RCVBUF:
            # Nothing, or little, is in the own buffer: nearly always so, and asked at each poll.
            return self.state != CLOSE
        unsent = self.unsent
        return self.state != CLOSE and SNDBUF - unsent >= unsent >> 1

    def _changed(self) -> None:
        self.net.wake_up(self.queue)
        if self.watcher is not None:
            self.watcher()

    # Data

    def read(self, size: int) -> bytes:
        if self.state == LISTEN or (self.state == CLOSE and not self.conn and not self.error):
            raise failure(errno.ENOTCONN)
        if not self.receive.size:
            if self.fin_received:
                self.fin_unread = False
                return b""
            self._raise_error()
            if self.recv_shutdown:
                return b""
            raise failure(errno.EAGAIN)
        if self.urgent is not None:
            size = self._up_to_mark(size)
        full = self.receive.size
        data = self.receive.pop(size)
        self._consumed(len(data), full)
        if not data and self.receive.size == 0 and size:
            return self.read(size)
        return data

    def peek(self, size: int) -> bytes:
        if self.receive.size and self.urgent is not None:
            raise failure(errno.EOPNOTSUPP)  # around an urgent byte: not modelled
        return self.receive.peek(size) if self.receive.size else self.read(size)

    def inq(self) -> int:
        if self.state == LISTEN:
            raise failure(errno.EINVAL)
        return self.receive.size

    def _up_to_mark(self, size: int) -> int:
        """How much of ``size`` may be read: reads stop before the urgent byte."""
        assert self.urgent is not None
        before = self.urgent - self.received_total
        if before > 0:
            return min(size, before)
        self.urgent = None
        if not self.oobinline:
            full = self.receive.size
            self.receive.pop(1)
            self._consumed(1, full)
        return size

    def _consumed(self, count: int, full: int) -> None:
        """``count`` bytes have left a queue that held ``full``."""
        if self.observer is not None and count:
            self.observer.received(self.conn, self.received_total, count, self.side)
        self.received_total += count
        peer = self.peer
        if peer is None or full <= RCVBUF:
            return
        if peer.fin_sent and not self.fin_received and self.receive.size <= RCVBUF:
            self._fin_arrives()
        if peer._writeable():
            peer._changed()

    def write(self, data: bytes) -> int:
        return self._send(data, urgent=False)

    def sendpage(self, piece: PagePiece, flags: int, copied: int | None) -> int:
        # What MSG_MORE holds back goes at the same instant, with the last page or splice_eof().
        return self._send(piece.data, urgent=False)

    def keep_error(self, error: OSError) -> None:
        if error.errno not in (None, errno.EPIPE):
            self.error = error.errno

    def send_oob(self, data: bytes) -> int:
        """As ``write``; if all is taken, the last byte is urgent data."""
        return self._send(data, urgent=True)

    def _send(self, data: bytes, urgent: bool) -> int:
        if self.state == SYN_SENT:
            raise failure(errno.EAGAIN)
        self._raise_error()
        peer = self.peer
        if self.send_shutdown or peer is None:
            raise failure(errno.EPIPE)
        if not data:
            return 0
        room = SNDBUF + RCVBUF - peer.receive.size
        if room <= 0:
            raise failure(errno.EAGAIN)
        taken = data if len(data) <= room else data[:room]
        first = self.sent_total
        self.sent_total += len(taken)
        if self.observer is not None:
            self.observer.sent(self.conn, first, len(taken), self.side, self.resumed)
        if urgent and len(taken) == len(data):
            peer.urgent = self.sent_total - 1
        if peer.orphaned_ns is not None or (peer.fin_sent and peer.recv_shutdown):
            # Nobody will read it: the peer's kernel answers with RST, and resets itself too.
            peer.error = errno.ECONNRESET
            peer._reset()
            peer._changed()
        else:
            peer.receive.push(taken)
            peer.arrived_ns = self.net.now()
            peer._changed()
            if peer.state == SYN_RECV:
                self._reach(peer)
        return len(taken)

    # Closing

    def shutdown(self, *, read: bool = False, write: bool = False) -> None:
        if self.state == LISTEN:
            if read:
                self._stop_listening()
            return
        if self.state == CLOSE:
            raise failure(errno.ENOTCONN)
        if read:
            self.recv_shutdown = True
        if write and not self.send_shutdown:
            self._send_fin()
        self._changed()

    def _send_fin(self) -> None:
        self.send_shutdown = self.fin_sent = True
        if self.observer is not None and self.conn:
            self.observer.closed(self.conn, self.side, "fin")
        if self.state == SYN_SENT:
            self._done()
            return
        self.state = LAST_ACK if self.fin_received else FIN_WAIT1
        peer = self.peer
        if peer is None:
            return
        if peer.state == SYN_RECV or (peer.state == CLOSE and peer.orphaned_ns is not None):
            self._reach(peer)
        elif peer.receive.size <= RCVBUF:
            peer._fin_arrives()

    def _fin_arrives(self) -> None:
        """``tcp_fin``, and the acknowledgement that the peer gets for it."""
        peer = self.peer
        assert peer is not None
        self.fin_received = self.recv_shutdown = self.fin_unread = True
        if peer.linger_s > 0:
            self.net.wake_up(peer.queue)
        if not self.fin_sent:
            self.state, peer.state = CLOSE_WAIT, FIN_WAIT2
        elif not peer.fin_received:
            # Both sent one, and ours is still behind data.
            self.state, peer.state = CLOSING, FIN_WAIT2
        else:
            first = self if peer.state == LAST_ACK else peer
            assert first.local is not None
            assert first.remote is not None
            self.tcp.rest(first.local, first.remote)
            self._done()
            peer._done()
            peer._changed()
        self._changed()

    def _reset(self) -> None:
        """Send RST: the connection is over at both ends."""
        peer = self.peer
        assert peer is not None
        if self.observer is not None:
            self.observer.closed(self.conn, self.side, "reset")
        self._done()
        if peer.state != CLOSE:
            peer.error = errno.EPIPE if peer.state == CLOSE_WAIT else errno.ECONNRESET
            peer._done()
            peer._changed()

    def _done(self) -> None:
        """``tcp_done``: no connection any more; what has arrived can still be read."""
        self.state = CLOSE
        self._stop_waiting()
        self.send_shutdown = self.recv_shutdown = True
        self.tcp.remove(self)
        self.tcp.release(self)

    def _stop_listening(self) -> None:
        self._done()
        self.send_shutdown = self.recv_shutdown = False
        while self.accept_queue:
            self.accept_queue.popleft()._reset()
        self._changed()

    def begin_close(self) -> int:
        if self.linger_s <= 0 or self.state in (LISTEN, CLOSE, SYN_SENT):
            return 0
        if self.receive.size:
            self._reset()
        elif not self.fin_sent:
            self.recv_shutdown = True
            self._send_fin()
        return self.linger_s * SECOND_NS

    def closing(self) -> bool:
        return self.state in (FIN_WAIT1, CLOSING, LAST_ACK)

    def close(self) -> None:
        if self.state == LISTEN:
            self._stop_listening()
        elif self.state in (CLOSE, SYN_SENT):
            self._done()
        elif self.receive.size or self.linger_s == 0:
            self._reset()
        else:
            self.orphaned_ns = self.net.now()
            self.recv_shutdown = True
            if not self.fin_sent:
                self._send_fin()
        self.owner = None
        self.receive.clear()
        self.watcher = None

    # Names

    def getsockname(self) -> Endpoint:
        return self.local or (IP_ANY, 0)

    def getpeername(self) -> Endpoint:
        if self.remote is None or self.state in (CLOSE, LISTEN, SYN_SENT):
            raise failure(errno.ENOTCONN)
        return self.remote

    def forgotten(self) -> bool:
        """Whether it is an orphan that Linux would have given up by now."""
        return (
            self.orphaned_ns is not None
            and self.state == FIN_WAIT2
            and self.net.now() >= self.orphaned_ns + TIME_WAIT_NS
        )

    def queues(self) -> tuple[int, int]:
        """Recv-Q and Send-Q, as netstat and ss show them."""
        if self.state in (LISTEN, SYN_RECV):
            return len(self.accept_queue), self.unsent
        # A FIN that nobody has read counts as a byte: ``rcv_nxt`` is behind it.
        return min(self.receive.size, RCVBUF) + self.fin_unread, self.unsent
