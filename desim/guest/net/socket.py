"""TCP sockets as guest programs hold them (net/ipv4/af_inet.c over net/ipv4/tcp.c).

See ``sock`` for how operations block and fail.
"""

from __future__ import annotations

import errno
from enum import Enum

from desim.guest.cpu.context import HZ, Cpu
from desim.guest.net.sock import (
    RCV_SHUTDOWN,
    SEND_SHUTDOWN,
    Socket,
    error_of,
    rcvbuf_of,
    sndbuf_of,
)
from desim.guest.net.tcp.tcp import Tcp
from desim.guest.net.tcp.tcp_sock import (
    ACK_PUSHED,
    ACK_SCHED,
    NAGLE_CORK,
    NAGLE_OFF,
    NAGLE_PUSH,
    State,
    TcpSock,
)
from desim.ports import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, Endpoint
from desim.stages import GUEST, mark, stages
from desim.userland.pages import PagePiece
from desim.userland.uapi import (
    KEEPALIVE_MOST,
    SHUT_RD,
    SHUT_WR,
    SO_KEEPALIVE,
    SO_LINGER,
    SO_RCVBUF,
    SO_SNDBUF,
    TCP_CORK,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_MAXSEG,
    TCP_NODELAY,
    TCP_QUICKACK,
    TCP_USER_TIMEOUT,
)
from desim.wire.addresses import IP_ANY

_MAXSEG_MIN = 88
_MAXSEG_MAX = 32767
"""TCP_MIN_MSS and MAX_TCP_WINDOW (include/net/tcp.h)."""
_JIFFY_US = 1_000_000 // HZ


class SocketState(Enum):
    """``socket_state``: how far connect() has got, whatever has become of the connection."""

    UNCONNECTED = "SS_UNCONNECTED"
    CONNECTING = "SS_CONNECTING"
    CONNECTED = "SS_CONNECTED"
    DISCONNECTING = "SS_DISCONNECTING"


class TcpSocket(Socket):
    """A stream socket: a listener or one end of a connection."""

    STAGES = stages(
        GUEST,
        connect=mark("inet_stream_connect", file="net/ipv4/af_inet.c"),
        shutdown=mark("inet_shutdown", file="net/ipv4/af_inet.c"),
        tcp_ioctl_outq=mark("tcp_ioctl", file="net/ipv4/tcp.c"),
        tcp_get_info=mark("tcp_get_info", file="net/ipv4/tcp.c"),
        poll_events=mark("tcp_poll", file="net/ipv4/tcp.c"),
        sendpage=mark("inet_sendpage", file="net/ipv4/af_inet.c"),
    )

    type = "tcp"

    def __init__(self, tcp: Tcp, cpu: Cpu, sk: TcpSock | None = None) -> None:
        super().__init__(cpu, "tcp socket")
        self._tcp = tcp
        self.sk = tcp.new_sock() if sk is None else sk
        cpu.touch("lock_sock")
        self.sk.wake = self.sock_def_readable
        self._socket_state = SocketState.UNCONNECTED if sk is None else SocketState.CONNECTED

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self.sk.state

    def bind(self, address: bytes, port: int) -> None:
        """bind(2) with SO_REUSEADDR; port 0 takes a free one."""
        if self.sk.state != State.CLOSE or self.sk.sport:
            raise error_of(errno.EINVAL)
        if address != IP_ANY and not self._tcp.ip.is_local(address):
            raise error_of(errno.EADDRNOTAVAIL)
        self._tcp.ipv4.bind(self.sk, address, port)

    def listen(self, backlog: int) -> None:
        """Take connections; at most ``backlog`` + 1 wait to be accepted."""
        if self._socket_state != SocketState.UNCONNECTED:
            raise error_of(errno.EINVAL)
        self._tcp.inet_csk_listen_start(self.sk, backlog)

    def accept(self) -> TcpSocket:
        """The oldest connection that waits."""
        child = self._tcp.inet_csk_accept(self.sk)
        return self.__class__(self._tcp, self._cpu, child)

    def connect(self, address: bytes, port: int) -> None:
        """Open a connection: raises ``BlockingIOError`` until it is open, or why it is not.

        It sends the SYN. A program that sleeps goes on by ``finish_connect`` when woken; one
        that does not calls again, and hears EALREADY until the connection is open.
        """
        sk, tcp = self.sk, self._tcp
        tcp.lock_sock(sk)
        try:
            number = errno.EALREADY
            if self._socket_state == SocketState.CONNECTED:
                raise error_of(errno.EISCONN)
            if self._socket_state == SocketState.DISCONNECTING:
                raise error_of(errno.EINVAL)
            if self._socket_state == SocketState.UNCONNECTED:
                if sk.state != State.CLOSE:
                    raise error_of(errno.EISCONN)
                tcp.ipv4.tcp_v4_connect(sk, address, port)
                self._socket_state = SocketState.CONNECTING
                number = errno.EINPROGRESS
            self._connected(number)
        finally:
            tcp.release_sock(sk)

    def finish_connect(self) -> None:
        """The call that has begun goes on (behind ``inet_wait_for_connect``)."""
        tcp = self._tcp
        tcp.lock_sock(self.sk)
        try:
            self._connected(errno.EINPROGRESS)
        finally:
            tcp.release_sock(self.sk)

    def _connected(self, number: int) -> None:
        """What connect() returns; error ``number`` while nothing has been decided."""
        sk = self.sk
        if sk.state in (State.SYN_SENT, State.SYN_RECV):
            raise error_of(number)
        if sk.state == State.CLOSE:
            why, sk.err = sk.err, 0
            self._socket_state = SocketState.UNCONNECTED
            self._tcp.tcp_disconnect(sk)
            raise error_of(why or errno.ECONNABORTED)
        self._socket_state = SocketState.CONNECTED

    def send(self, data: bytes, more: bool = False) -> int:
        """How much of ``data`` the buffer took; ``BlockingIOError`` if nothing.

        With ``more`` what fills no segment waits for the next call (MSG_MORE).
        """
        if more:
            return self._tcp.send.tcp_sendmsg(self.sk, data, True)
        return self._tcp.send.tcp_sendmsg(self.sk, data)

    def sendpage(self, piece: PagePiece, flags: int, copied: int | None = None) -> int:
        """As ``send``, of a page that is not copied (``desim.userland.files.Socket``)."""
        return self._tcp.send.tcp_sendpage(self.sk, piece, flags, copied)

    def splice_eof(self) -> None:
        """Nothing comes behind what was sent with MSG_MORE."""
        self._tcp.send.tcp_splice_eof(self.sk)

    def keep_error(self, error: OSError) -> None:
        """What a call has taken off the socket and not told its program; EPIPE tells itself."""
        if error.errno not in (None, errno.EPIPE):
            self.sk.err = error.errno

    def peek(self, size: int) -> bytes:
        return self._tcp.tcp_peek(self.sk, size)

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; b"" at the end of the stream."""
        return self._tcp.tcp_recvmsg(self.sk, size)

    def sendto(self, data: bytes, to: Endpoint) -> int:
        """A connected stream takes no address."""
        raise error_of(errno.EISCONN)

    def recvfrom(self, size: int) -> tuple[bytes, Endpoint]:
        """Bytes, and the peer they are from."""
        return self.recv(size), (self.sk.daddr, self.sk.dport)

    def shutdown(self, how: int) -> None:
        """shutdown(2); while connecting it gives the connection up."""
        sk, tcp = self.sk, self._tcp
        mask = {SHUT_RD: RCV_SHUTDOWN, SHUT_WR: SEND_SHUTDOWN}.get(
            how, RCV_SHUTDOWN | SEND_SHUTDOWN
        )
        tcp.lock_sock(sk)
        try:
            unconnected = sk.state == State.CLOSE
            if self._socket_state == SocketState.CONNECTING:
                deciding = sk.state in (State.SYN_SENT, State.SYN_RECV, State.CLOSE)
                self._socket_state = (
                    SocketState.DISCONNECTING if deciding else SocketState.CONNECTED
                )
            if sk.state == State.SYN_SENT or (sk.state == State.LISTEN and mask & RCV_SHUTDOWN):
                tcp.tcp_disconnect(sk)
                self._socket_state = SocketState.UNCONNECTED
            elif sk.state != State.LISTEN:
                sk.shutdown |= mask
                tcp.tcp_shutdown(sk, mask)
            tcp.sk_state_change(sk)
            if unconnected:
                raise error_of(errno.ENOTCONN)
        finally:
            tcp.release_sock(sk)

    def begin_close(self) -> int:
        """Start to close; for how many seconds close() then waits (SO_LINGER)."""
        if self.sk.linger_s > 0:
            self._tcp.tcp_begin_close(self.sk)
        return max(self.sk.linger_s, 0)

    def closing(self) -> bool:
        """``sk_stream_closing``: whether a FIN goes out that is not acknowledged."""
        self._cpu.touch("lock_sock")
        return self.sk.state in (State.FIN_WAIT1, State.CLOSING, State.LAST_ACK)

    def close(self) -> None:
        """close(2), behind all waiting."""
        if not self.closed:
            self.closed = True
            self._tcp.tcp_close(self.sk)

    def take_error(self) -> int:
        """SO_ERROR: the pending error number, or a soft one, cleared; 0 without."""
        self._cpu.touch("lock_sock")
        sk = self.sk
        if sk.err:
            number, sk.err = sk.err, 0
        else:
            number, sk.err_soft = sk.err_soft, 0
        return number

    def setsockopt(self, option: str, value: int) -> None:
        """SO_RCVBUF, SO_SNDBUF, SO_LINGER, TCP_NODELAY, TCP_CORK, TCP_QUICKACK,
        SO_KEEPALIVE with its times, TCP_USER_TIMEOUT, TCP_MAXSEG."""
        if option == TCP_NODELAY:
            self.set_nodelay(bool(value))
        elif option == TCP_CORK:
            self.set_cork(bool(value))
        elif option == TCP_QUICKACK:
            self.set_quickack(value)
        elif option == SO_KEEPALIVE or option in KEEPALIVE_MOST:
            self.set_keepalive(option, value)
        elif option == TCP_USER_TIMEOUT:
            if value < 0:
                raise error_of(errno.EINVAL)
            self._cpu.touch("lock_sock")
            self.sk.user_timeout_ms = value
        elif option == TCP_MAXSEG:
            if value and not _MAXSEG_MIN <= value <= _MAXSEG_MAX:
                raise error_of(errno.EINVAL)
            self._cpu.touch("lock_sock")
            self.sk.user_mss = value
        elif option == SO_RCVBUF:
            self._cpu.touch("lock_sock")
            self.sk.rcvbuf, self.sk.rcvbuf_locked = rcvbuf_of(value), True
        elif option == SO_SNDBUF:
            self._tcp.lock_sock(self.sk)
            self.sk.sndbuf, self.sk.sndbuf_locked = sndbuf_of(value), True
            if self.sk.stream_is_writeable():  # sk_stream_write_space
                self.sk.nospace = False
                self.sock_def_readable()
            self._tcp.release_sock(self.sk)
        elif option == SO_LINGER:
            self._cpu.touch("lock_sock")
            self.sk.linger_s = max(value, -1)
        else:
            super().setsockopt(option, value)

    def getsockopt(self, option: str) -> int:
        self._cpu.touch("lock_sock")
        sk = self.sk
        timer = self._tcp.timer
        idle = sk.state in (State.CLOSE, State.LISTEN)
        values = {
            SO_RCVBUF: sk.rcvbuf,
            SO_SNDBUF: sk.sndbuf,
            SO_LINGER: sk.linger_s,
            SO_KEEPALIVE: int(sk.keepalive),
            TCP_KEEPIDLE: timer.keepalive_time_when(sk) // HZ,
            TCP_KEEPINTVL: timer.keepalive_intvl_when(sk) // HZ,
            TCP_KEEPCNT: timer.keepalive_probes(sk),
            TCP_USER_TIMEOUT: sk.user_timeout_ms,
            TCP_NODELAY: int(bool(sk.nonagle & NAGLE_OFF)),
            TCP_CORK: int(bool(sk.nonagle & NAGLE_CORK)),
            TCP_QUICKACK: int(not sk.ack_pingpong),
            TCP_MAXSEG: sk.user_mss if sk.user_mss and idle else sk.mss_cache,
        }
        return values[option] if option in values else super().getsockopt(option)

    def set_keepalive(self, option: str, value: int) -> None:
        """SO_KEEPALIVE, TCP_KEEPIDLE and TCP_KEEPINTVL (seconds), TCP_KEEPCNT."""
        sk, tcp = self.sk, self._tcp
        if option != SO_KEEPALIVE and not 1 <= value <= KEEPALIVE_MOST[option]:
            raise error_of(errno.EINVAL)
        tcp.lock_sock(sk)
        if option == SO_KEEPALIVE:
            tcp.timer.tcp_set_keepalive(sk, bool(value))
        elif option == TCP_KEEPIDLE:
            tcp.timer.tcp_set_keepidle(sk, value * HZ)
        elif option == TCP_KEEPINTVL:
            sk.keepalive_intvl = value * HZ
        else:
            sk.keepalive_probes = value
        tcp.release_sock(sk)

    def set_cork(self, on: bool) -> None:
        """TCP_CORK: keep what does not fill a segment, until it is taken off."""
        sk, tcp = self.sk, self._tcp
        tcp.lock_sock(sk)
        if on:
            sk.nonagle |= NAGLE_CORK
        else:
            sk.nonagle &= ~NAGLE_CORK
            if sk.nonagle & NAGLE_OFF:
                sk.nonagle |= NAGLE_PUSH
            tcp.output.tcp_push_pending_frames(sk)
        tcp.release_sock(sk)

    def set_quickack(self, value: int) -> None:
        """TCP_QUICKACK: acknowledge at once from now on; 0: as late as an answer may be."""
        sk, tcp = self.sk, self._tcp
        tcp.lock_sock(sk)
        sk.ack_pingpong = not value
        if value and sk.state in (State.ESTABLISHED, State.CLOSE_WAIT):
            if sk.ack_pending & ACK_SCHED:
                sk.ack_pending |= ACK_PUSHED
                tcp.data.tcp_cleanup_rbuf(sk, 1)
                if not value & 1:
                    sk.ack_pingpong = True
        tcp.release_sock(sk)

    def set_nodelay(self, on: bool) -> None:
        """TCP_NODELAY: send short segments without waiting for ACKs."""
        sk, tcp = self.sk, self._tcp
        tcp.lock_sock(sk)
        if on:
            # PUSH stays until a new packet is written: what waits now goes, whatever is set later.
            sk.nonagle |= NAGLE_OFF | NAGLE_PUSH
            tcp.output.tcp_push_pending_frames(sk)
        else:
            sk.nonagle &= ~NAGLE_OFF
        tcp.release_sock(sk)

    def inq(self) -> int:
        """SIOCINQ: bytes that have arrived in order and not been read (``tcp_inq``)."""
        tcp, sk = self._tcp, self.sk
        if sk.state == State.LISTEN:
            raise error_of(errno.EINVAL)
        tcp.lock_sock(sk)
        waiting = 0
        if sk.state not in (State.SYN_SENT, State.SYN_RECV):
            waiting = sk.rcv_nxt - sk.copied_seq
            if waiting and sk.done:
                waiting -= 1  # a FIN takes a sequence number, but is no byte
        tcp.release_sock(sk)
        return waiting

    def tcp_ioctl_outq(self) -> int:
        """SIOCOUTQ: bytes that have been written and not yet acknowledged."""
        self._cpu.touch("lock_sock")
        sk = self.sk
        if sk.state == State.LISTEN:
            raise error_of(errno.EINVAL)
        return 0 if sk.state in (State.SYN_SENT, State.SYN_RECV) else sk.write_seq - sk.snd_una

    def tcp_get_info(self) -> dict[str, int]:
        """TCP_INFO, with the fields' names but for ``tcpi_``, microseconds marked."""
        sk, tcp = self.sk, self._tcp
        tcp.lock_sock(sk)
        connected = sk.state not in (State.LISTEN, State.CLOSE)
        info = {
            "snd_mss": sk.mss_cache,
            "rcv_mss": sk.ack_rcv_mss,
            "advmss": sk.advmss,
            "snd_cwnd": sk.snd_cwnd,
            "snd_ssthresh": sk.snd_ssthresh,
            "rtt_us": sk.srtt_us >> 3,
            "rttvar_us": sk.mdev_us >> 2,
            "rto_us": sk.rto * _JIFFY_US,
            "ato_us": sk.ack_ato * _JIFFY_US,
            "rcv_space": sk.rcvq_space,
            "rcv_ssthresh": sk.rcv_ssthresh,
            "snd_wscale": 0,
            "rcv_wscale": 0,
            "options": 0,
            "retrans": sk.retrans_out,
            "total_retrans": sk.total_retrans,
            "lost": sk.lost_out,
            "unacked": sk.packets_out,
            "pmtu": sk.route.device.mtu if connected else 0,
            "reordering": sk.reordering,
            "state": int(sk.state),
            "ca_state": int(sk.ca_state),
            "retransmits": sk.retransmits,
            "probes": sk.probes_out,
            "backoff": sk.backoff,
            "sacked": sk.sacked_out,
            "bytes_acked": sk.bytes_acked,
            "min_rtt_us": sk.min_rtt_us,
        }
        tcp.release_sock(sk)
        return info

    def poll_events(self) -> int:
        self._cpu.touch("lock_sock")
        sk = self.sk
        if sk.state == State.LISTEN:
            return POLLIN if sk.accept_queue else 0
        events = 0
        both = RCV_SHUTDOWN | SEND_SHUTDOWN
        if sk.shutdown == both or sk.state == State.CLOSE:
            events |= POLLHUP
        if sk.shutdown & RCV_SHUTDOWN:
            events |= POLLIN | POLLRDHUP
        if sk.state != State.SYN_SENT:
            if sk.rcv_nxt > sk.copied_seq and sk.receive_queue:
                events |= POLLIN
            if sk.shutdown & SEND_SHUTDOWN:
                events |= POLLOUT
            elif sk.stream_is_writeable():
                events |= POLLOUT
            else:
                # Who asks will want to be told when there is room.
                sk.nospace = True
        if sk.err or sk.error_queue:
            events |= POLLERR
        return events

    def getsockname(self) -> Endpoint:
        return self.sk.saddr, self.sk.sport

    def peer(self) -> Endpoint:
        """Whose connection it is, as accept() tells: also one that has been reset since it came."""
        self._cpu.touch("lock_sock")
        return self.sk.daddr, self.sk.dport

    def getpeername(self) -> Endpoint:
        self._cpu.touch("lock_sock")
        if not self.sk.dport or self.sk.state in (State.CLOSE, State.SYN_SENT):
            raise error_of(errno.ENOTCONN)
        return self.sk.daddr, self.sk.dport
