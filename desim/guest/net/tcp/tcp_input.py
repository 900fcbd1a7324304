"""Receiving: the state machine (net/ipv4/tcp_input.c; RFC 9293 section 3.10.7).

``tcp_rcv_established`` is the path of an open connection, ``tcp_rcv_state_process`` that
of all other states. Where data goes and when it is acknowledged is in ``tcp_data``, what
an ACK does in ``tcp_ack``.

Not modelled: simultaneous open (a SYN that crosses ours is dropped), fast open, urgent
data (the pointer is ignored), timestamps and PAWS (slirp's segments have none).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from desim.guest.net.sock import RCV_SHUTDOWN, SEND_SHUTDOWN
from desim.guest.net.tcp.tcp_ack import FLAG_DATA, FLAG_NO_CHALLENGE_ACK, FLAG_SLOWPATH
from desim.guest.net.tcp.tcp_cong import update_pacing_rate
from desim.guest.net.tcp.tcp_skb import RcvSkb
from desim.guest.net.tcp.tcp_sock import (
    ACK_SCHED,
    MAX_QUICKACKS,
    TIME_RETRANS,
    TIMEOUT_MIN,
    State,
    TcpSock,
)
from desim.stages import GUEST, Landmark, mark, stages
from desim.wire.tcp import ACK, FIN, PSH, RST, SYN

if TYPE_CHECKING:
    from desim.guest.net.tcp.tcp import Tcp


class TcpInput:
    """The receiving half."""

    STAGES = stages(
        GUEST,
        tcp_rcv_established=mark(
            "tcp_rcv_established", file="net/ipv4/tcp_input.c", landmark=Landmark.QUEUED
        ),
        tcp_reset=mark("tcp_reset", file="net/ipv4/tcp_input.c"),
        tcp_rcv_state_process=mark("tcp_rcv_state_process", file="net/ipv4/tcp_input.c"),
        tcp_rcv_synsent_state_process=mark(
            "tcp_rcv_synsent_state_process", file="net/ipv4/tcp_input.c"
        ),
    )

    def __init__(self, tcp: Tcp) -> None:
        self.tcp = tcp
        self._cpu = tcp.cpu
        self._ext = tcp.snmp.tcp_ext

    def tcp_rcv_established(self, sk: TcpSock, skb: RcvSkb) -> None:
        """A segment for an open connection."""
        tcp = self.tcp
        if (
            skb.seq == sk.rcv_nxt
            and skb.flags & ~PSH == ACK
            and skb.window == sk.snd_wnd
            and skb.ack <= sk.snd_nxt
            and sk.rcv_wnd
            and not sk.ofo_queue
        ):
            # Header prediction.
            if not skb.len:
                tcp.ack.tcp_ack(sk, skb, 0)
                self.tcp_data_snd_check(sk)
                return
            if sk.rmem_alloc + skb.truesize <= sk.rcvbuf:
                self._ext["TCPHPHits"] += 1
                tcp.data.tcp_queue_rcv(sk, skb)
                tcp.data.tcp_event_data_recv(sk, skb)
                if skb.ack != sk.snd_una:
                    tcp.ack.tcp_ack(sk, skb, FLAG_DATA)
                    self.tcp_data_snd_check(sk)
                    if sk.ack_pending & ACK_SCHED:
                        tcp.data.tcp_ack_snd_check(sk, False)
                else:
                    sk.snd_wl1 = skb.seq
                    tcp.data.tcp_ack_snd_check(sk, False)
                tcp.tcp_data_ready(sk)
                return
        if not skb.flags & (ACK | RST | SYN):
            return
        if not self.tcp_validate_incoming(sk, skb):
            return
        if tcp.ack.tcp_ack(sk, skb, FLAG_SLOWPATH) < 0:
            return
        tcp.data.tcp_data_queue(sk, skb)
        self.tcp_data_snd_check(sk)
        if sk.ack_pending & ACK_SCHED:
            tcp.data.tcp_ack_snd_check(sk, True)

    def tcp_data_snd_check(self, sk: TcpSock) -> None:
        """Whatever came may have opened the way for what waits."""
        self.tcp.output.tcp_push_pending_frames(sk)
        self.tcp.tcp_check_space(sk)

    def tcp_validate_incoming(self, sk: TcpSock, skb: RcvSkb) -> bool:
        """Sequence numbers, RST and SYN (RFC 5961); False if the segment ends here."""
        tcp = self.tcp
        flags = skb.flags
        if skb.end_seq < sk.rcv_wup or skb.seq > sk.rcv_nxt + sk.receive_window():
            if not flags & RST:
                if flags & SYN:
                    self._ext["TCPSYNChallenge"] += 1
                    tcp.ack.tcp_send_challenge_ack(sk)
                elif not tcp.ack.oow_rate_limited(sk, skb, "TCPACKSkippedSeq"):
                    self.tcp_send_dupack(sk, skb)
            elif self._reset_after_fin(sk, skb):
                self.tcp_reset(sk)
            return False
        if flags & RST:
            if skb.seq == sk.rcv_nxt or self._reset_after_fin(sk, skb):
                self.tcp_reset(sk)
            else:
                tcp.ack.tcp_send_challenge_ack(sk)
            return False
        if flags & SYN:
            self._ext["TCPSYNChallenge"] += 1
            tcp.ack.tcp_send_challenge_ack(sk)
            return False
        return True

    def _reset_after_fin(self, sk: TcpSock, skb: RcvSkb) -> bool:
        # A RST whose sender did not count its own FIN (tcp_reset_check).
        closing = (State.CLOSE_WAIT, State.LAST_ACK, State.CLOSING)
        return skb.seq == sk.rcv_nxt - 1 and sk.state in closing

    def tcp_send_dupack(self, sk: TcpSock, skb: RcvSkb) -> None:
        """Tell the peer where we are."""
        if skb.end_seq != skb.seq and skb.seq < sk.rcv_nxt:
            self._ext["DelayedACKLost"] += 1
            self.tcp.data.tcp_enter_quickack_mode(sk, MAX_QUICKACKS)
        self.tcp.output.tcp_send_ack(sk)

    def tcp_reset(self, sk: TcpSock) -> None:
        """The peer has torn the connection down."""
        if sk.state == State.SYN_SENT:
            number = errno.ECONNREFUSED
        elif sk.state == State.CLOSE_WAIT:
            number = errno.EPIPE
        elif sk.state == State.CLOSE:
            return
        else:
            number = errno.ECONNRESET
        self.tcp.tcp_done_with_error(sk, number)

    # Every state but ESTABLISHED.

    def tcp_rcv_state_process(self, sk: TcpSock, skb: RcvSkb) -> bool:
        """A segment for a connection that is being opened or closed; True asks for a RST."""
        tcp = self.tcp
        state = sk.state
        flags = skb.flags
        if state == State.CLOSE:
            return False
        if state == State.LISTEN:
            if flags & ACK:
                return True
            if not flags & RST and flags & SYN and not flags & FIN:
                tcp.ipv4.tcp_conn_request(sk, skb)
            return False
        if state == State.SYN_SENT:
            return self.tcp_rcv_synsent_state_process(sk, skb)
        if not flags & (ACK | RST | SYN):
            return False
        if not self.tcp_validate_incoming(sk, skb):
            return False
        acceptable = tcp.ack.tcp_ack(sk, skb, FLAG_SLOWPATH | FLAG_NO_CHALLENGE_ACK)
        if acceptable <= 0 and state == State.SYN_RECV:
            return True
        if acceptable < 0:
            tcp.ack.tcp_send_challenge_ack(sk)
            return False
        # An ACK that is out of date is no reason to drop what comes with it while closing
        # (6.1.y since 2026): the ACK and the FIN of a peer may overtake each other.
        if state == State.SYN_RECV:
            self._established(sk, skb)
        elif state == State.FIN_WAIT1:
            if sk.snd_una == sk.write_seq:
                ended = self._fin_wait2(sk, skb)
                if ended is not None:
                    return ended
        elif state == State.CLOSING:
            if sk.snd_una == sk.write_seq:
                tcp.minisocks.tcp_time_wait(sk, State.TIME_WAIT, 0)
                return False
        elif state == State.LAST_ACK:
            if sk.snd_una == sk.write_seq:
                tcp.tcp_done(sk)
                return False
        return self._step7(sk, skb)

    def _established(self, sk: TcpSock, skb: RcvSkb) -> None:
        """SYN_RECV -> ESTABLISHED."""
        sk.retrans_stamp_ns = None
        self.tcp.tcp_init_transfer(sk)
        sk.copied_seq = sk.rcv_nxt
        sk.state = State.ESTABLISHED
        self._ext["TCPDelivered"] += 1
        sk.snd_una = skb.ack
        sk.snd_wnd = skb.window
        sk.snd_wl1 = skb.seq
        update_pacing_rate(sk, self.tcp.sysctl)
        sk.lsndtime = self._cpu.jiffies
        self.tcp.data.tcp_initialize_rcv_mss(sk)

    def _fin_wait2(self, sk: TcpSock, skb: RcvSkb) -> bool | None:
        """Our FIN is acknowledged; None if the segment goes on, else whether to send a RST."""
        tcp = self.tcp
        sk.state = State.FIN_WAIT2
        sk.shutdown |= SEND_SHUTDOWN
        sk.dst_pending_confirm = True
        if not sk.dead:
            tcp.sk_state_change(sk)
            return None
        fin = bool(skb.flags & FIN)
        if skb.end_seq != skb.seq and skb.end_seq - fin > sk.rcv_nxt:
            # Data for a program that is not there any more.
            self._ext["TCPAbortOnData"] += 1
            tcp.tcp_done(sk)
            return True
        if fin or sk.owned:
            # The FIN is dealt with below; tcp_close looks at the state once more.
            return None
        tcp.minisocks.tcp_time_wait(sk, State.FIN_WAIT2, tcp.fin_timeout)
        return False

    def _step7(self, sk: TcpSock, skb: RcvSkb) -> bool:
        """The segment's text and FIN."""
        tcp = self.tcp
        state = sk.state
        queue = True
        if state in (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK):
            queue = skb.seq < sk.rcv_nxt
        if queue and state not in (State.ESTABLISHED, State.SYN_RECV):
            fin = skb.flags & FIN
            if sk.shutdown & RCV_SHUTDOWN and skb.end_seq != skb.seq:
                if skb.end_seq - fin > sk.rcv_nxt:
                    # Nobody will read it: say so (RFC 1122 section 4.2.2.13).
                    self._ext["TCPAbortOnData"] += 1
                    self.tcp_reset(sk)
                    return True
        if queue:
            tcp.data.tcp_data_queue(sk, skb)
        if sk.state != State.CLOSE:
            self.tcp_data_snd_check(sk)
            if sk.ack_pending & ACK_SCHED:
                tcp.data.tcp_ack_snd_check(sk, True)
        return False

    def tcp_rcv_synsent_state_process(self, sk: TcpSock, skb: RcvSkb) -> bool:
        """The answer to our SYN."""
        tcp = self.tcp
        flags = skb.flags
        if not flags & ACK:
            # A SYN that crosses ours: not modelled.
            return False
        if not sk.snd_una < skb.ack <= sk.snd_nxt:
            if not sk.retransmits:
                tcp.timer.reset_xmit_timer(sk, TIME_RETRANS, TIMEOUT_MIN)
            return True
        if flags & RST:
            self.tcp_reset(sk)
            return False
        if not flags & SYN:
            return False
        # The peer's numbers start here.
        sk.rcv_nxt = skb.seg.seq + 1
        skb.place(sk.rcv_nxt, sk.snd_una)
        sk.snd_wl1 = skb.seq
        tcp.ack.tcp_ack(sk, skb, FLAG_SLOWPATH)
        sk.rcv_wup = sk.rcv_nxt
        sk.snd_wnd = sk.max_window = skb.window
        # No window scaling in the answer.
        sk.window_clamp = min(sk.window_clamp, 65535)
        mss = skb.seg.mss
        if mss:
            sk.mss_clamp = sk.mss_of_user(mss)
        tcp.output.tcp_sync_mss(sk)
        tcp.data.tcp_initialize_rcv_mss(sk)
        sk.copied_seq = sk.rcv_nxt
        sk.state = State.ESTABLISHED
        sk.ack_lrcvtime = self._cpu.jiffies
        tcp.tcp_init_transfer(sk)
        sk.lsndtime = self._cpu.jiffies
        if sk.keepalive:
            tcp.timer.reset_keepalive_timer(sk, tcp.timer.keepalive_time_when(sk))
        if not sk.dead:
            tcp.sk_state_change(sk)
        tcp.output.tcp_send_ack(sk)
        return False
