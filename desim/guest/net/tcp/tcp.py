"""TCP as a program sees it, and the whole of which the other parts are parts (net/ipv4/tcp.c).

Theory of operation
-------------------
``Tcp`` owns the parts: ``ipv4`` (whose segment is it), ``input`` (states), ``ack`` (what
an ACK does), ``data`` (where data goes, when it is acknowledged), ``send`` (what programs
write), ``output``, ``retransmit``, ``timer``, ``minisocks``. Each function of Linux is a
method of the part that its file belongs to, with the socket as its first argument.

A program's call takes the socket's lock (``lock_sock``): segments that arrive meanwhile
wait in the backlog, timers that fire leave a note. ``release_sock`` deals with both.

Writing fills packets in the write queue and pushes them; while the buffer is full the
program sleeps. A short packet is not sent while an earlier one still waits in the card
(autocorking, TSQ): ``tcp_wfree``, which runs when the card is done with a packet, sends it
from a tasklet.

Closing with unread data resets the connection; else a FIN goes out behind the data and
the connection ends without its program, unless that wants to wait (SO_LINGER) until the
peer has acknowledged the FIN.

Not modelled: what the parts name, and zero-copy of a program's own memory, urgent data,
options other than those of ``TcpSocket.setsockopt``.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from desim.guest.cpu.context import HZ, Cpu
from desim.guest.entropy import Entropy
from desim.guest.mm.slab import Slabs
from desim.guest.net.ip import Ip
from desim.guest.net.snmp import Snmp
from desim.guest.net.sock import RCV_SHUTDOWN, SEND_SHUTDOWN, error_of, would_block
from desim.guest.net.tcp.sysctl import DEFAULTS, TcpSysctl
from desim.guest.net.tcp.tcp_ack import TcpAck
from desim.guest.net.tcp.tcp_cong import Cubic
from desim.guest.net.tcp.tcp_data import TcpData
from desim.guest.net.tcp.tcp_input import TcpInput
from desim.guest.net.tcp.tcp_ipv4 import TcpIpv4
from desim.guest.net.tcp.tcp_mem import TcpMemory
from desim.guest.net.tcp.tcp_minisocks import RequestSock, TcpMinisocks
from desim.guest.net.tcp.tcp_output import TcpOutput
from desim.guest.net.tcp.tcp_skb import SndSkb
from desim.guest.net.tcp.tcp_sock import (
    ACK_TIMER,
    INFINITE_SSTHRESH,
    INIT_CWND,
    SOMAXCONN,
    TIMEOUT_FALLBACK,
    State,
    TcpSock,
)
from desim.guest.net.tcp.tcp_timer import TcpTimer
from desim.ports import Random
from desim.stages import GUEST, Build, bare, mark, stages
from desim.wire.tcp import FIN

if TYPE_CHECKING:
    from desim.guest.net.tcp.tcp_retransmit import TcpRetransmit
    from desim.guest.net.tcp.tcp_send import TcpSend


class Tcp:
    """All TCP of the host."""

    STAGES = stages(
        GUEST,
        release_sock=mark("release_sock", file="net/core/sock.c"),
        tcp_tasklet_func=mark("tcp_tasklet_func", file="net/ipv4/tcp_output.c"),
        tcp_done=mark("tcp_done", file="net/ipv4/tcp.c"),
        inet_csk_accept=mark("inet_csk_accept", file="net/ipv4/inet_connection_sock.c"),
        tcp_recvmsg=mark("tcp_recvmsg", "tcp_recvmsg_locked", file="net/ipv4/tcp.c"),
        tcp_peek=mark("tcp_recvmsg", "tcp_recvmsg_locked", file="net/ipv4/tcp.c"),
        skb_copy_datagram_iter=mark(
            "skb_copy_datagram_iter", file="net/core/datagram.c", size="data"
        ),
        kfree_skb=mark("__kfree_skb", file="net/core/skbuff.c", size="pieces"),
        tcp_shutdown=mark("tcp_shutdown", file="net/ipv4/tcp.c"),
        tcp_close=mark("tcp_close", file="net/ipv4/tcp.c"),
        inet_csk_listen_stop=mark("inet_csk_listen_stop", file="net/ipv4/inet_connection_sock.c"),
        inet_csk_listen_start=mark("inet_csk_listen_start", file="net/ipv4/inet_connection_sock.c"),
    )

    def __init__(
        self,
        *,
        cpu: Cpu,
        ip: Ip,
        snmp: Snmp,
        random: Random,
        entropy: Entropy,
        slabs: Slabs,
        tasklet_schedule: Callable[[Callable[[], None]], None],
        sysctl: TcpSysctl = DEFAULTS,
        build: Build = bare,
    ) -> None:
        self.set_sysctl(sysctl)
        self.cpu = cpu
        self.ip = ip
        self.snmp = snmp
        self.random = random
        self.entropy = entropy
        self._tasklet_schedule = tasklet_schedule
        self._ext = snmp.tcp_ext
        self._tsq: list[TcpSock] = []
        self.sockets: dict[TcpSock, None] = {}
        """Every socket that is not closed, oldest first."""
        self.mem: TcpMemory = build(TcpMemory)(slabs)
        self.ipv4: TcpIpv4 = build(TcpIpv4)(self)
        self.input: TcpInput = build(TcpInput)(self)
        self.ack: TcpAck = build(TcpAck)(self)
        self.data: TcpData = build(TcpData)(self)
        self.output: TcpOutput = build(TcpOutput)(self)
        self.timer: TcpTimer = build(TcpTimer)(self)
        self.minisocks: TcpMinisocks = build(TcpMinisocks)(self)
        self._build = build

    # Parts that a guest which only reads, over a wire without losses, has no use for: each is made,
    # and its module imported, when it is first asked for.

    @cached_property
    def send(self) -> TcpSend:
        from desim.guest.net.tcp.tcp_send import TcpSend

        return self._build(TcpSend)(self)

    @cached_property
    def retransmit(self) -> TcpRetransmit:
        from desim.guest.net.tcp.tcp_retransmit import TcpRetransmit

        return self._build(TcpRetransmit)(self)

    def set_sysctl(self, sysctl: TcpSysctl) -> None:
        """Settings count from now on."""
        self.sysctl = sysctl
        self.invalid_ratelimit = sysctl.tcp_invalid_ratelimit * HZ // 1000
        self.fin_timeout = sysctl.tcp_fin_timeout * HZ

    def idle(self) -> bool:
        """Whether no connection will do anything by itself (TIME_WAIT does not count)."""
        return not any(
            sk.pending or sk.ack_pending & ACK_TIMER or sk.backlog or sk.request_queue_len
            for sk in self.sockets
        )

    def new_sock(self) -> TcpSock:
        """``tcp_init_sock``."""
        sk = TcpSock(self.cpu, self.sysctl)
        sk.retransmit_timer = self.cpu.timer(
            "tcp retransmit", lambda: self.timer.tcp_write_timer(sk)
        )
        sk.delack_timer = self.cpu.timer("tcp delack", lambda: self.timer.tcp_delack_timer(sk))
        sk.ca = Cubic(self.cpu.now() // 1000, 0)
        self.sockets[sk] = None
        return sk

    # The socket's lock.

    def lock_sock(self, sk: TcpSock) -> None:
        """A program's call begins to work on the socket."""
        self.cpu.touch("lock_sock")
        assert not sk.owned, "two programs work on one socket at once"
        sk.owned = True

    def release_sock(self, sk: TcpSock) -> None:
        """It is done: take in what has arrived meanwhile."""
        cpu = self.cpu
        cpu.touch("release_sock")
        cpu.local_bh_disable()
        while sk.backlog:
            self._process_backlog(sk)
        self.tcp_release_cb(sk)
        sk.owned = False
        cpu.local_bh_enable()

    def _process_backlog(self, sk: TcpSock) -> None:
        """``__release_sock``: with soft interrupts on, so that more may come."""
        cpu = self.cpu
        batch, sk.backlog = sk.backlog, []
        cpu.local_bh_enable()
        for skb in batch:
            self.ipv4.tcp_v4_do_rcv(sk, skb)
            cpu.cond_resched()
        cpu.local_bh_disable()
        # Linux clears the count only when the backlog has been found empty.
        if not sk.backlog:
            sk.backlog_len = 0

    def tcp_release_cb(self, sk: TcpSock) -> None:
        """What soft interrupts could not do while the socket was owned."""
        if sk.tsq_deferred:
            sk.tsq_deferred = False
            self.tcp_tsq_write(sk)
        if sk.write_timer_deferred:
            sk.write_timer_deferred = False
            self.timer.tcp_write_timer_handler(sk)
        if sk.delack_deferred:
            sk.delack_deferred = False
            self.timer.tcp_delack_timer_handler(sk)

    # Small queues: what the card has sent.

    def tcp_wfree(self, sk: TcpSock, truesize: int, sent: SndSkb | None) -> None:
        """The card is done with a packet of this socket, a clone of ``sent`` unless bare."""
        sk.wmem_alloc -= truesize
        if sent is not None:
            sent.clones -= 1
        if sk.tsq_throttled and not sk.tsq_queued:
            sk.tsq_throttled = False
            sk.tsq_queued = True
            self._tsq.append(sk)
            self._tasklet_schedule(self.tcp_tasklet_func)

    def tcp_tasklet_func(self) -> None:
        """Sockets that waited for the card may send on."""
        queue, self._tsq = self._tsq, []
        for sk in queue:
            sk.tsq_queued = False
            if sk.owned:
                sk.tsq_deferred = True
            else:
                self.tcp_tsq_write(sk)

    def tcp_tsq_write(self, sk: TcpSock) -> None:
        """``tcp_tsq_write``."""
        if sk.state in _MAY_SEND_TSQ:
            if sk.lost_out > sk.retrans_out and sk.snd_cwnd > sk.packets_in_flight():
                self.retransmit.tcp_xmit_retransmit_queue(sk)
            self.output.tcp_write_xmit(sk, sk.nonagle, False)

    # Life of a connection.

    def tcp_init_transfer(self, sk: TcpSock) -> None:
        """The handshake is over: fix buffers, the first timeout and congestion window."""
        self.output.tcp_sync_mss(sk)
        self.tcp_init_metrics(sk)
        # One SYN may be lost without congestion; more may not (RFC 5681 section 3.1).
        sk.snd_cwnd = 1 if sk.total_retrans > 1 and sk.undo_marker else INIT_CWND
        sk.snd_cwnd_stamp = self.cpu.jiffies
        sk.ca = Cubic(self.cpu.now() // 1000, sk.snd_nxt)
        self.data.tcp_init_buffer_space(sk)

    def tcp_init_metrics(self, sk: TcpSock) -> None:
        """The threshold is not that of a lost SYN; without a sample the RTO is three seconds."""
        sk.snd_ssthresh = INFINITE_SSTHRESH
        if not sk.srtt_us:
            sk.rttvar_us = sk.mdev_us = sk.mdev_max_us = TIMEOUT_FALLBACK * 1_000_000 // HZ
            sk.rto = TIMEOUT_FALLBACK

    def tcp_done(self, sk: TcpSock) -> None:
        """The connection is over; a socket that a program holds stays to tell it so."""
        sk.state = State.CLOSE
        self.timer.clear_xmit_timers(sk)
        self.ipv4.remove(sk)
        sk.shutdown = RCV_SHUTDOWN | SEND_SHUTDOWN
        sk.listener = None
        if sk.dead:
            self.inet_csk_destroy_sock(sk)
        else:
            self.sk_state_change(sk)

    def tcp_done_with_error(self, sk: TcpSock, number: int) -> None:
        """``tcp_done_with_error``: the connection is over, and that is why."""
        sk.err = number
        self.tcp_write_queue_purge(sk)
        self.tcp_done(sk)

    def inet_csk_destroy_sock(self, sk: TcpSock) -> None:
        """Nothing refers to it any more."""
        self.timer.clear_xmit_timers(sk)
        self.ipv4.remove(sk)
        self.ipv4.unbind(sk)
        sk.receive_queue.clear()
        sk.ofo_queue.clear()
        sk.rmem_alloc = 0
        self.tcp_write_queue_purge(sk)
        self.sockets.pop(sk, None)

    def tcp_write_queue_purge(self, sk: TcpSock) -> None:
        """Nothing of what waits will be sent."""
        for skb in (*sk.rtx_queue, *sk.write_queue):
            self.mem.tcp_wmem_free_skb(skb)
        sk.write_queue.clear()
        sk.rtx_queue.clear()
        sk.wmem_queued = 0
        sk.packets_out = sk.retrans_out = sk.lost_out = sk.sacked_out = 0
        sk.pending = 0
        sk.backoff = 0

    def sk_state_change(self, sk: TcpSock) -> None:
        """Wake the program: it will find the new state."""
        if sk.wake is not None:
            sk.wake()

    def tcp_data_ready(self, sk: TcpSock) -> None:
        """There is something to read or to accept (``sk_data_ready``)."""
        if sk.wake is not None:
            sk.wake()

    def tcp_check_space(self, sk: TcpSock) -> None:
        """Something left the send buffer: a sleeping writer may go on."""
        if not sk.nospace:
            return
        if sk.packets_in_flight() < sk.snd_cwnd and not sk.sndbuf_locked:
            self.data.tcp_sndbuf_expand(sk)
        if sk.stream_is_writeable():
            sk.nospace = False
            self.sk_state_change(sk)

    # Calls of a program.

    def inet_csk_accept(self, sk: TcpSock) -> TcpSock:
        """The oldest connection that is complete."""
        self.lock_sock(sk)
        try:
            if sk.state != State.LISTEN:
                raise error_of(errno.EINVAL)
            if not sk.accept_queue:
                raise would_block()
            child = sk.accept_queue.popleft()
        finally:
            self.release_sock(sk)
        return child

    def tcp_recvmsg(self, sk: TcpSock, size: int) -> bytes:
        """Up to ``size`` bytes from the start of what has arrived; b"" is end of stream."""
        self.lock_sock(sk)
        try:
            return self._recvmsg_locked(sk, size)
        finally:
            self.release_sock(sk)

    def _recvmsg_locked(self, sk: TcpSock, size: int) -> bytes:
        if sk.state == State.LISTEN:
            raise error_of(errno.ENOTCONN)
        pieces: list[bytes] = []
        ends: list[int] = []
        wanted = size
        while wanted:
            wanted = self._copy_from_queue(sk, pieces, ends, wanted)
            if not wanted:
                break
            self.cpu.touch("lock_sock")
            if not sk.backlog:
                break
            # More came while we were at it.
            self.release_sock(sk)
            self.lock_sock(sk)
        copied = size - wanted
        if not copied and size:
            return self._nothing_to_read(sk)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.skb_copy_datagram_iter(data)
        for end in ends:
            # Linux does so behind each packet; what is copied of all of them is one copy here.
            self.data.tcp_rcv_space_adjust(sk, end)
        self.data.tcp_cleanup_rbuf(sk, copied)
        return data

    def tcp_peek(self, sk: TcpSock, size: int) -> bytes:
        """As ``tcp_recvmsg``, and what is read stays (MSG_PEEK)."""
        self.lock_sock(sk)
        try:
            if sk.state == State.LISTEN:
                raise error_of(errno.ENOTCONN)
            pieces: list[bytes] = []
            at, end = sk.copied_seq, sk.copied_seq + size
            for skb in sk.receive_queue:
                taken = min(skb.seq + skb.len, end) - at
                if taken > 0:
                    self._take(skb.pieces, at - skb.seq, taken, pieces)
                    at += taken
            if not pieces and size:
                return self._nothing_to_read(sk)
            data = b"".join(pieces)
            self.skb_copy_datagram_iter(data)
            self.data.tcp_cleanup_rbuf(sk, len(data))
            return data
        finally:
            self.release_sock(sk)

    def skb_copy_datagram_iter(self, data: bytes) -> None:
        """To the program's memory."""

    def _copy_from_queue(
        self, sk: TcpSock, pieces: list[bytes], ends: list[int], wanted: int
    ) -> int:
        """Take bytes off the receive queue, noting how far each packet went; what is still
        wanted."""
        queue = sk.receive_queue
        while queue:
            skb = queue[0]
            offset = sk.copied_seq - skb.seq
            left = skb.len - offset
            taken = min(left, wanted)
            if taken:
                pieces.append(skb.read(offset, taken))
                sk.copied_seq += taken
                ends.append(sk.copied_seq)
                wanted -= taken
            if skb.seq + skb.len > sk.copied_seq:
                break
            if skb.flags & FIN:
                sk.copied_seq += 1
            queue.popleft()
            sk.rmem_alloc -= skb.truesize
            self.kfree_skb(skb.pieces)
            if not wanted:
                break
        return wanted

    def kfree_skb(self, pieces: list[bytes]) -> None:
        """A received packet has been read, with all that has been merged into it."""

    @staticmethod
    def _take(source: list[bytes], offset: int, size: int, into: list[bytes]) -> None:
        for piece in source:
            length = len(piece)
            if offset >= length:
                offset -= length
                continue
            part = piece[offset : offset + size] if offset or size < length else piece
            into.append(part)
            size -= len(part)
            offset = 0
            if not size:
                return

    def _nothing_to_read(self, sk: TcpSock) -> bytes:
        if sk.done:
            return b""
        if sk.err:
            number, sk.err = sk.err, 0
            raise error_of(number)
        if sk.shutdown & RCV_SHUTDOWN:
            return b""
        if sk.state == State.CLOSE:
            raise error_of(errno.ENOTCONN)
        self.data.tcp_cleanup_rbuf(sk, 0)
        raise would_block()

    def tcp_shutdown(self, sk: TcpSock, how: int) -> None:
        """Close the sending side (and, for the program, the receiving side)."""
        if not how & SEND_SHUTDOWN:
            return
        if sk.state in (State.ESTABLISHED, State.SYN_SENT, State.CLOSE_WAIT):
            if self.tcp_close_state(sk):
                self.output.tcp_send_fin(sk)

    def tcp_disconnect(self, sk: TcpSock) -> None:
        """Give up what the socket is in the middle of: afterwards it is as new, but bound."""
        state = sk.state
        sk.state = State.CLOSE
        if state == State.LISTEN:
            self.inet_csk_listen_stop(sk)
        elif state in _NEEDS_RESET or (
            state in (State.CLOSING, State.LAST_ACK) and sk.snd_nxt != sk.write_seq
        ):
            sk.state = state
            self.output.tcp_send_active_reset(sk)
            sk.state = State.CLOSE
            sk.err = errno.ECONNRESET
        elif state == State.SYN_SENT:
            sk.err = errno.ECONNRESET
        self.timer.clear_xmit_timers(sk)
        self.ipv4.remove(sk)
        sk.receive_queue.clear()
        sk.ofo_queue.clear()
        sk.rmem_alloc = 0
        self.tcp_write_queue_purge(sk)
        sk.begin_anew(self.cpu.jiffies)
        self.sk_state_change(sk)

    def tcp_close_state(self, sk: TcpSock) -> bool:
        """The next state of closing; True if a FIN goes out."""
        state = sk.state
        if state in (State.ESTABLISHED, State.SYN_RECV):
            sk.state = State.FIN_WAIT1
            return True
        if state == State.CLOSE_WAIT:
            sk.state = State.LAST_ACK
            return True
        if state in (State.SYN_SENT, State.LISTEN):
            self.tcp_done(sk)
        return False

    def tcp_close(self, sk: TcpSock) -> None:
        """The program is done with the socket; the connection may live on as an orphan."""
        self.lock_sock(sk)
        self._close_locked(sk)
        self._orphan(sk)
        if sk.owned:
            self.release_sock(sk)

    def tcp_begin_close(self, sk: TcpSock) -> None:
        """The part of ``tcp_close`` before ``sk_stream_wait_close``."""
        self.lock_sock(sk)
        self._close_locked(sk)
        self.release_sock(sk)

    def _close_locked(self, sk: TcpSock) -> None:
        sk.shutdown = RCV_SHUTDOWN | SEND_SHUTDOWN
        if sk.state == State.LISTEN:
            self.inet_csk_listen_stop(sk)
            return
        unread = 0
        while sk.receive_queue:
            skb = sk.receive_queue.popleft()
            unread += skb.seq + skb.len - max(sk.copied_seq, skb.seq)
        sk.rmem_alloc = sum(skb.truesize for skb in sk.ofo_queue)
        if sk.state != State.CLOSE:
            if unread:
                self._ext["TCPAbortOnClose"] += 1
                self.output.tcp_send_active_reset(sk)
                self.tcp_done(sk)
            elif sk.linger_s == 0:
                self._ext["TCPAbortOnData"] += 1
                self.tcp_disconnect(sk)
            elif self.tcp_close_state(sk):
                self.output.tcp_send_fin(sk)

    def _orphan(self, sk: TcpSock) -> None:
        """``sock_orphan``, then what has arrived while closing."""
        cpu = self.cpu
        cpu.local_bh_disable()
        sk.dead = True
        sk.wake = None
        while sk.backlog:
            self._process_backlog(sk)
        if sk.state == State.FIN_WAIT2:
            self.minisocks.tcp_time_wait(sk, State.FIN_WAIT2, self.fin_timeout)
        if sk.state == State.CLOSE:
            self.inet_csk_destroy_sock(sk)
        cpu.local_bh_enable()

    def inet_csk_listen_stop(self, sk: TcpSock) -> None:
        """A listener closes: connections that nobody has accepted are reset."""
        cpu = self.cpu
        cpu.local_bh_disable()
        self.inet_unlisten(sk)
        sk.state = State.CLOSE
        for entry in list(self.ipv4.ehash.values()):
            if isinstance(entry, RequestSock) and entry.listener is sk:
                self.minisocks.drop_request(entry)
        while sk.accept_queue:
            child = sk.accept_queue.popleft()
            child.dead = True
            if child.state != State.CLOSE:
                # A RST unless the peer is far enough to do without.
                if child.state not in (State.FIN_WAIT1, State.FIN_WAIT2, State.SYN_SENT):
                    self.output.tcp_send_active_reset(child)
                self.tcp_done(child)
            else:
                self.inet_csk_destroy_sock(child)
        cpu.local_bh_enable()

    def inet_unlisten(self, sk: TcpSock) -> None:
        """Take a listener out of the table."""
        held = self.ipv4.listeners.get(sk.sport)
        if held and sk in held:
            held.remove(sk)
            if not held:
                del self.ipv4.listeners[sk.sport]

    def inet_csk_listen_start(self, sk: TcpSock, backlog: int) -> None:
        """The socket takes connections from now on; a negative ``backlog`` is the largest."""
        if not 0 <= backlog <= SOMAXCONN:
            backlog = SOMAXCONN
        self.lock_sock(sk)
        try:
            if sk.state == State.LISTEN:
                sk.max_ack_backlog = backlog
                return
            if sk.state != State.CLOSE:
                raise error_of(errno.EINVAL)
            if not sk.sport:
                self.ipv4.bind(sk, sk.saddr, 0)
            sk.max_ack_backlog = backlog
            sk.state = State.LISTEN
            sk.shutdown = 0
            self.ipv4.listeners.setdefault(sk.sport, []).append(sk)
        finally:
            self.release_sock(sk)


_NEEDS_RESET = (
    State.ESTABLISHED,
    State.CLOSE_WAIT,
    State.FIN_WAIT1,
    State.FIN_WAIT2,
    State.SYN_RECV,
)
_MAY_SEND_TSQ = (
    State.ESTABLISHED,
    State.FIN_WAIT1,
    State.CLOSING,
    State.CLOSE_WAIT,
    State.LAST_ACK,
)
