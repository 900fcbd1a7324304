"""Where received data goes, and when it is acknowledged (net/ipv4/tcp_input.c).

Theory of operation
-------------------
In-order segments join the receive queue, where a new one is merged into the last if
its buffer allows; what is beyond a hole waits in the out-of-order queue and causes an
immediate ACK each.

The receive buffer is charged with whole buffers, not bytes. The window may grow up to
``rcv_ssthresh``, that up to ``window_clamp``, and that with the buffer: once the program
has read more in a round trip than ever before, ``tcp_rcv_space_adjust`` enlarges it.

ACKs: at once while in quick-ACK mode (the first 16 or so, and after trouble), for more
than one full segment unless the window would shrink, and while there is a hole; else
after ``ato``. A conversation (we answered within ``ato``) is not in quick-ACK mode, so
that answers carry the ACKs. What a reader does about it is in ``tcp_cleanup_rbuf``.

Not modelled: SACK and D-SACK blocks, collapsing the queues under memory pressure (the
buffer grows instead, as ``tcp_clamp_window`` lets it, and then data is dropped).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.guest.net.skbuff import MAX_SKB_FRAGS, MAX_TCP_HEADER, SKB_STRUCT, skb_truesize
from desim.guest.net.sock import RCV_SHUTDOWN
from desim.guest.net.tcp.tcp_skb import RcvSkb
from desim.guest.net.tcp.tcp_sock import (
    ACK_NOW,
    ACK_PUSHED,
    ACK_PUSHED2,
    ACK_SCHED,
    ATO_MIN,
    INIT_CWND,
    MAX_QUICKACKS,
    MIN_MSS,
    MSS_DEFAULT,
    State,
    TcpSock,
    win_from_space,
)
from desim.stages import GUEST, Landmark, mark, stages
from desim.wire.tcp import FIN, PSH, SYN, URG

if TYPE_CHECKING:
    from desim.guest.net.tcp.tcp import Tcp

_REMNANT = FIN | URG | SYN | PSH


def _rcvmem_of(advmss: int) -> int:
    """Memory that one full segment may take at worst."""
    memory = skb_truesize(advmss + MAX_TCP_HEADER)
    while win_from_space(memory) < advmss:
        memory += 128
    return memory


class TcpData:
    """The receive queues, the window's growth, the policy of ACKs."""

    STAGES = stages(
        GUEST,
        tcp_rcv_space_adjust=mark("tcp_rcv_space_adjust", file="net/ipv4/tcp_input.c"),
        tcp_data_queue=mark(
            "tcp_data_queue", file="net/ipv4/tcp_input.c", landmark=Landmark.QUEUED
        ),
        tcp_data_queue_ofo=mark("tcp_data_queue_ofo", file="net/ipv4/tcp_input.c"),
        tcp_fin=mark("tcp_fin", file="net/ipv4/tcp_input.c"),
        tcp_cleanup_rbuf=mark("tcp_cleanup_rbuf", file="net/ipv4/tcp.c"),
    )

    def __init__(self, tcp: Tcp) -> None:
        self.tcp = tcp
        self._cpu = tcp.cpu
        self._ext = tcp.snmp.tcp_ext

    # Buffers.

    def tcp_init_buffer_space(self, sk: TcpSock) -> None:
        """Fix the limits when the connection opens."""
        if not sk.sndbuf_locked:
            self.tcp_sndbuf_expand(sk)
        sk.rcvq_space = min(sk.rcv_ssthresh, sk.rcv_wnd, INIT_CWND * sk.advmss)
        sk.rcvq_time_ns = self._cpu.now()
        sk.rcvq_seq = sk.copied_seq
        most = win_from_space(sk.rcvbuf)
        if sk.window_clamp >= most:
            sk.window_clamp = most
        if sk.window_clamp > 2 * sk.advmss and sk.window_clamp + sk.advmss > most:
            # One segment stays in reserve.
            sk.window_clamp = max(2 * sk.advmss, most - sk.advmss)
        sk.rcv_ssthresh = min(sk.rcv_ssthresh, sk.window_clamp)
        sk.snd_cwnd_stamp = self._cpu.jiffies

    def tcp_sndbuf_expand(self, sk: TcpSock) -> None:
        """Room for two congestion windows."""
        per_mss = max(sk.mss_clamp, sk.mss_cache) + MAX_TCP_HEADER + 320
        per_mss = (1 << (per_mss - 1).bit_length()) + SKB_STRUCT
        segs = max(INIT_CWND, sk.snd_cwnd, 4)
        sk.sndbuf = max(sk.sndbuf, min(2 * segs * per_mss, self.tcp.sysctl.tcp_wmem[2]))

    def tcp_initialize_rcv_mss(self, sk: TcpSock) -> None:
        """A first guess of the peer's segment size."""
        hint = min(sk.advmss, sk.mss_cache, sk.rcv_wnd // 2, MSS_DEFAULT)
        sk.ack_rcv_mss = max(hint, MIN_MSS)

    def tcp_grow_window(self, sk: TcpSock, skb: RcvSkb) -> None:
        """A good segment, little overhead: the window may open further."""
        if sk.owned:
            self._cpu.touch("lock_sock")  # the length of the backlog counts
        room = min(sk.window_clamp, sk.space()) - sk.rcv_ssthresh
        if room <= 0:
            return
        if win_from_space(skb.truesize) <= skb.len:
            more = 2 * sk.advmss
        else:
            more = self._slow_growth(sk, skb)
        if more:
            sk.rcv_ssthresh += min(room, max(more, 2 * skb.len))
            sk.ack_quick |= 1

    def _slow_growth(self, sk: TcpSock, skb: RcvSkb) -> int:
        truesize = win_from_space(skb.truesize) >> 1
        window = win_from_space(self.tcp.sysctl.tcp_rmem[2]) >> 1
        while sk.rcv_ssthresh <= window:
            if truesize <= skb.len:
                return 2 * sk.ack_rcv_mss
            truesize >>= 1
            window >>= 1
        return 0

    def tcp_rcv_space_adjust(self, sk: TcpSock, copied_seq: int) -> None:
        """The program has read up to there: is it faster than the buffer was made for?"""
        now_ns = self._cpu.now()
        if not sk.rcv_rtt_us or (now_ns - sk.rcvq_time_ns) // 1000 < sk.rcv_rtt_us >> 3:
            return
        copied = copied_seq - sk.rcvq_seq
        moderate = self.tcp.sysctl.tcp_moderate_rcvbuf and not sk.rcvbuf_locked
        if copied > sk.rcvq_space and moderate:
            window = 2 * copied + 16 * sk.advmss
            window += 2 * (window * (copied - sk.rcvq_space) // sk.rcvq_space)
            rcvbuf = min(window // sk.advmss * _rcvmem_of(sk.advmss), self.tcp.sysctl.tcp_rmem[2])
            if rcvbuf > sk.rcvbuf:
                sk.rcvbuf = rcvbuf
                sk.window_clamp = win_from_space(rcvbuf)
        if copied > sk.rcvq_space:
            sk.rcvq_space = copied
        sk.rcvq_seq = copied_seq
        sk.rcvq_time_ns = now_ns

    def tcp_rcv_rtt_measure(self, sk: TcpSock) -> None:
        """Without timestamps, the time that a window's worth of data takes."""
        now_ns = self._cpu.now()
        if sk.rcv_rtt_time_ns is not None:
            if sk.rcv_nxt < sk.rcv_rtt_seq:
                return
            sample = ((now_ns - sk.rcv_rtt_time_ns) // 1000 or 1) << 3
            if not sk.rcv_rtt_us or sample < sk.rcv_rtt_us:
                sk.rcv_rtt_us = sample
        sk.rcv_rtt_seq = sk.rcv_nxt + sk.rcv_wnd
        sk.rcv_rtt_time_ns = now_ns

    # Queues.

    def tcp_data_queue(self, sk: TcpSock, skb: RcvSkb) -> None:
        """Put a segment where it belongs; without data and FIN it ends here."""
        if skb.seq == skb.end_seq:
            return
        if skb.seq == sk.rcv_nxt:
            if not sk.receive_window():
                self._ext["TCPZeroWindowDrop"] += 1
                self._out_of_window(sk)
                return
            self._queue_and_out(sk, skb)
        elif skb.end_seq <= sk.rcv_nxt:
            # All of it has been received before.
            self._ext["DelayedACKLost"] += 1
            self._out_of_window(sk)
        elif skb.seq >= sk.rcv_nxt + sk.receive_window():
            self._out_of_window(sk)
        elif skb.seq < sk.rcv_nxt:
            if not sk.receive_window():
                self._ext["TCPZeroWindowDrop"] += 1
                self._out_of_window(sk)
                return
            self._queue_and_out(sk, skb)
        else:
            self.tcp_data_queue_ofo(sk, skb)

    def _out_of_window(self, sk: TcpSock) -> None:
        self.tcp_enter_quickack_mode(sk, MAX_QUICKACKS)
        sk.ack_pending |= ACK_SCHED

    def _queue_and_out(self, sk: TcpSock, skb: RcvSkb) -> None:
        if not self.tcp_try_rmem_schedule(sk, skb):
            self._ext["TCPRcvQDrop"] += 1
            self.tcp.tcp_data_ready(sk)
            return
        fin = skb.flags & FIN
        size = skb.end_seq - fin - skb.seq
        self.tcp_queue_rcv(sk, skb)
        if size > 0:
            self.tcp_event_data_recv(sk, skb)
        if fin:
            self.tcp_fin(sk)
        if sk.ofo_queue:
            self.tcp_ofo_queue(sk)
            if not sk.ofo_queue:
                sk.ack_pending |= ACK_NOW
        if not sk.dead:
            self.tcp.tcp_data_ready(sk)

    def tcp_try_rmem_schedule(self, sk: TcpSock, skb: RcvSkb) -> bool:
        """Whether the buffer has memory for one more packet (``tcp_prune_queue``)."""
        if sk.rmem_alloc <= sk.rcvbuf:
            return True
        self._ext["PruneCalled"] += 1
        if not sk.rcvbuf_locked:
            sk.rcvbuf = min(sk.rmem_alloc, self.tcp.sysctl.tcp_rmem[2])
        if sk.rmem_alloc > sk.rcvbuf:
            sk.rcv_ssthresh = min(sk.window_clamp, 2 * sk.advmss)
            while sk.ofo_queue and sk.rmem_alloc > sk.rcvbuf:
                self._ext["OfoPruned"] += 1
                sk.rmem_alloc -= sk.ofo_queue.pop().truesize
        return sk.rmem_alloc <= sk.rcvbuf

    def tcp_queue_rcv(self, sk: TcpSock, skb: RcvSkb) -> None:
        """Append to the receive queue, merging with its last packet if possible."""
        sk.rcv_nxt = max(sk.rcv_nxt, skb.end_seq)
        queue = sk.receive_queue
        if queue and self.tcp_try_coalesce(sk, queue[-1], skb):
            return
        queue.append(skb)
        sk.rmem_alloc += skb.truesize

    def tcp_try_coalesce(self, sk: TcpSock, into: RcvSkb, skb: RcvSkb) -> bool:
        """``tcp_try_coalesce``: one packet's buffers hold both."""
        if skb.seq != into.end_seq:
            return False
        delta = self._skb_try_coalesce(into, skb)
        if delta < 0:
            return False
        into.pieces += skb.pieces
        into.len += skb.len
        into.end_seq = skb.end_seq
        into.ack = skb.ack
        into.flags |= skb.flags
        into.truesize += delta
        sk.rmem_alloc += delta
        self._ext["TCPRcvCoalesce"] += 1
        return True

    def _skb_try_coalesce(self, into: RcvSkb, skb: RcvSkb) -> int:
        """Memory that the merged packet takes more; -1 if it cannot be."""
        if skb.len <= into.tailroom and not skb.nr_frags and not skb.has_frag_list:
            # Copied behind the data that is there.
            into.tailroom -= skb.len
            return 0
        if into.has_frag_list or skb.has_frag_list:
            return -1
        if into.nr_frags + skb.nr_frags >= MAX_SKB_FRAGS:
            return -1
        # Its buffer becomes a fragment; only its struct sk_buff is freed.
        into.nr_frags += skb.nr_frags + 1
        into.tailroom = 0
        return skb.truesize - SKB_STRUCT

    def tcp_data_queue_ofo(self, sk: TcpSock, skb: RcvSkb) -> None:
        """Keep a segment that lies beyond a hole."""
        if not self.tcp_try_rmem_schedule(sk, skb):
            self._ext["TCPOFODrop"] += 1
            self.tcp.tcp_data_ready(sk)
            return
        sk.ack_pending |= ACK_SCHED
        self._ext["TCPOFOQueue"] += 1
        queue = sk.ofo_queue
        at = len(queue)
        while at and queue[at - 1].seq > skb.seq:
            at -= 1
        if at and queue[at - 1].end_seq >= skb.end_seq:
            self._ext["TCPOFOMerge"] += 1
            return
        # What the new segment covers completely is not needed any more.
        end = at
        while end < len(queue) and queue[end].end_seq <= skb.end_seq:
            self._ext["TCPOFOMerge"] += 1
            sk.rmem_alloc -= queue[end].truesize
            end += 1
        queue[at:end] = [skb]
        sk.rmem_alloc += skb.truesize
        if skb.len:
            self.tcp_grow_window(sk, skb)

    def tcp_ofo_queue(self, sk: TcpSock) -> None:
        """The hole is filled: move what follows to the receive queue."""
        while sk.ofo_queue and sk.ofo_queue[0].seq <= sk.rcv_nxt:
            skb = sk.ofo_queue.pop(0)
            sk.rmem_alloc -= skb.truesize
            if skb.end_seq <= sk.rcv_nxt:
                continue
            self.tcp_queue_rcv(sk, skb)
            if skb.flags & FIN:
                self.tcp_fin(sk)  # which leaves nothing that could follow

    def tcp_fin(self, sk: TcpSock) -> None:
        """The peer will send no more."""
        tcp = self.tcp
        sk.ack_pending |= ACK_SCHED
        sk.shutdown |= RCV_SHUTDOWN
        sk.done = True
        state = sk.state
        if state in (State.SYN_RECV, State.ESTABLISHED):
            sk.state = State.CLOSE_WAIT
            sk.ack_pingpong = True
        elif state == State.FIN_WAIT1:
            # Both ends have closed at once.
            tcp.output.tcp_send_ack(sk)
            sk.state = State.CLOSING
        elif state == State.FIN_WAIT2:
            tcp.output.tcp_send_ack(sk)
            tcp.minisocks.tcp_time_wait(sk, State.TIME_WAIT, 0)
        for rest in sk.ofo_queue:
            sk.rmem_alloc -= rest.truesize
        sk.ofo_queue.clear()
        if not sk.dead:
            tcp.sk_state_change(sk)

    # Acknowledging.

    def tcp_event_data_recv(self, sk: TcpSock, skb: RcvSkb) -> None:
        """Data has come: keep the estimates that decide about the ACK."""
        sk.ack_pending |= ACK_SCHED
        self.tcp_measure_rcv_mss(sk, skb)
        self.tcp_rcv_rtt_measure(sk)
        now = self._cpu.jiffies
        if not sk.ack_ato:
            self.tcp_incr_quickack(sk, MAX_QUICKACKS)
            sk.ack_ato = ATO_MIN
        else:
            since = now - sk.ack_lrcvtime
            if since <= ATO_MIN // 2:
                sk.ack_ato = (sk.ack_ato >> 1) + ATO_MIN // 2
            elif since < sk.ack_ato:
                sk.ack_ato = min((sk.ack_ato >> 1) + since, sk.rto)
            elif since > sk.rto:
                # The sender may have started over: help it up.
                self.tcp_incr_quickack(sk, MAX_QUICKACKS)
        sk.ack_lrcvtime = now
        if skb.len >= 128:
            self.tcp_grow_window(sk, skb)

    def tcp_measure_rcv_mss(self, sk: TcpSock, skb: RcvSkb) -> None:
        """Estimate the peer's segment size; note short segments (PUSHED)."""
        last = sk.ack_last_seg_size
        sk.ack_last_seg_size = 0
        size = skb.gso_size or skb.len
        if size >= sk.ack_rcv_mss:
            sk.ack_rcv_mss = min(size, sk.advmss)
            # The end of a write that happens to fill a segment (6.1.57 and later).
            if skb.flags & PSH:
                sk.ack_pending |= ACK_PUSHED
            return
        if size >= MSS_DEFAULT or (size >= MIN_MSS and not skb.flags & _REMNANT):
            sk.ack_last_seg_size = size
            if size == last:
                sk.ack_rcv_mss = size
                return
        if sk.ack_pending & ACK_PUSHED:
            sk.ack_pending |= ACK_PUSHED2
        sk.ack_pending |= ACK_PUSHED

    def tcp_incr_quickack(self, sk: TcpSock, most: int) -> None:
        """So many ACKs at once, as fill half of the window with segments."""
        count = min(sk.rcv_wnd // (2 * sk.ack_rcv_mss) or 2, most)
        sk.ack_quick = max(sk.ack_quick, count)

    def tcp_enter_quickack_mode(self, sk: TcpSock, most: int) -> None:
        """Acknowledge at once for a while."""
        self.tcp_incr_quickack(sk, most)
        sk.ack_pingpong = False
        sk.ack_ato = ATO_MIN

    def tcp_ack_snd_check(self, sk: TcpSock, ofo_possible: bool) -> None:
        """``__tcp_ack_snd_check``: the ACK now, or later."""
        unacked = sk.rcv_nxt - sk.rcv_wup
        output = self.tcp.output
        if (
            (
                unacked > sk.ack_rcv_mss
                and (sk.rcv_nxt - sk.copied_seq < 1 or output.select_window(sk) >= sk.rcv_wnd)
            )
            or sk.in_quickack_mode()
            or sk.ack_pending & ACK_NOW
        ):
            output.tcp_send_ack(sk)
        elif not ofo_possible or not sk.ofo_queue:
            output.tcp_send_delayed_ack(sk)
        else:
            output.tcp_send_ack(sk)

    def tcp_cleanup_rbuf(self, sk: TcpSock, copied: int) -> None:
        """The program has read ``copied`` bytes: does the peer need to know?"""
        now = False
        pending = sk.ack_pending
        if pending & ACK_SCHED:
            if sk.rcv_nxt - sk.rcv_wup > sk.ack_rcv_mss or (
                copied > 0
                and (pending & ACK_PUSHED2 or (pending & ACK_PUSHED and not sk.ack_pingpong))
                and not sk.rmem_alloc
            ):
                now = True
        if copied > 0 and not now and not sk.shutdown & RCV_SHUTDOWN:
            current = sk.receive_window()
            if 2 * current <= sk.window_clamp:
                window = self.tcp.output.select_window(sk)
                now = bool(window) and window >= 2 * current
        if now:
            self.tcp.output.tcp_send_ack(sk)
