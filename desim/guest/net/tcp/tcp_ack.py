"""What an acknowledgement does (net/ipv4/tcp_input.c, the half about sending).

Theory of operation
-------------------
``tcp_ack`` takes acknowledged packets off the retransmit queue (``tcp_clean_rtx_queue``;
the first part of a large packet is cut off as its segments are acknowledged), samples
the round-trip time from the oldest packet that was sent once, opens the congestion
window, and notices loss: without SACK, by counting duplicate ACKs (NewReno, RFC 6582).

States of congestion control: OPEN; DISORDER after a duplicate ACK; RECOVERY after three,
until everything sent before is acknowledged, each partial ACK causing one retransmission;
LOSS after a timeout, when everything in flight counts as lost; CWR after a local drop.

More duplicates than there are segments beyond the hole mean that the network reorders: so
many may come from then on before it counts as loss (``tcp_check_reno_reordering``).

A timeout may have been wrong (F-RTO, RFC 5682). The first ACK behind it lets new segments
go instead of old ones; if the next one acknowledges what was sent before the timeout and
not repeated, nothing was lost, and window and threshold are what they were; a duplicate
says that the loss was real. Other reductions are taken back only where nothing at all has
been sent again: without timestamps and D-SACK nothing else proves them wrong.

Not modelled: ECN, RACK and tail loss probes (they need SACK), metrics of earlier
connections to the same destination (``tcp_metrics.c``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.guest.cpu.context import HZ, JIFFY_NS
from desim.guest.net.tcp.tcp_cong import (
    cong_avoid,
    current_ssthresh,
    cwnd_reduction,
    end_cwnd_reduction,
    slow_start_after_idle_check,
    update_pacing_rate,
)
from desim.guest.net.tcp.tcp_output import probe0_when
from desim.guest.net.tcp.tcp_skb import RcvSkb, SndSkb
from desim.guest.net.tcp.tcp_sock import (
    NAGLE_OFF,
    RTO_MAX,
    TIME_PROBE0,
    CaState,
    State,
    TcpSock,
)
from desim.stages import GUEST, mark, stages

if TYPE_CHECKING:
    from desim.guest.net.tcp.tcp import Tcp

FLAG_DATA = 0x01
FLAG_WIN_UPDATE = 0x02
FLAG_DATA_ACKED = 0x04
FLAG_RETRANS_DATA_ACKED = 0x08
FLAG_SYN_ACKED = 0x10
FLAG_SLOWPATH = 0x100
FLAG_ORIG_SACK_ACKED = 0x200
FLAG_SND_UNA_ADVANCED = 0x400
FLAG_NO_CHALLENGE_ACK = 0x8000
FLAG_ACKED = FLAG_DATA_ACKED | FLAG_SYN_ACKED
FLAG_NOT_DUP = FLAG_DATA | FLAG_WIN_UPDATE | FLAG_ACKED

REXMIT_NONE = 0
REXMIT_LOST = 1
"""Send again what is marked as lost."""
REXMIT_NEW = 2
"""Send what is new, as F-RTO does."""

_RTO_MIN_US = 200_000


class TcpAck:
    """The part of input that drives the sender."""

    STAGES = stages(
        GUEST,
        tcp_ack=mark("tcp_ack", file="net/ipv4/tcp_input.c"),
        tcp_clean_rtx_queue=mark("tcp_clean_rtx_queue", file="net/ipv4/tcp_input.c"),
        tcp_fastretrans_alert=mark("tcp_fastretrans_alert", file="net/ipv4/tcp_input.c"),
        tcp_enter_recovery=mark("tcp_enter_recovery", file="net/ipv4/tcp_input.c"),
        tcp_enter_loss=mark("tcp_enter_loss", file="net/ipv4/tcp_input.c"),
    )

    def __init__(self, tcp: Tcp) -> None:
        self.tcp = tcp
        self._cpu = tcp.cpu
        self._ext = tcp.snmp.tcp_ext

    def tcp_ack(self, sk: TcpSock, skb: RcvSkb, flag: int) -> int:
        """Act upon the ACK field: 1 acceptable, 0 old, -1 of what was never sent."""
        tcp = self.tcp
        prior_una = sk.snd_una
        ack = skb.ack
        if ack < prior_una:
            # What was never acknowledged was never sent (RFC 5961 section 5.2).
            if ack < prior_una - min(sk.max_window, sk.bytes_acked):
                if not flag & FLAG_NO_CHALLENGE_ACK:
                    self.tcp_send_challenge_ack(sk)
                return -1
            return 0
        if ack > sk.snd_nxt:
            return -1
        now = self._cpu.jiffies
        prior_packets = sk.packets_out
        delivered, lost = sk.delivered, sk.lost
        if ack > prior_una:
            flag |= FLAG_SND_UNA_ADVANCED
            sk.retransmits = 0
        if flag & (FLAG_SLOWPATH | FLAG_SND_UNA_ADVANCED) == FLAG_SND_UNA_ADVANCED:
            # The window is the same and the ACK only moves forward.
            sk.snd_wl1 = skb.seq
            self.tcp_snd_una_update(sk, ack)
            flag |= FLAG_WIN_UPDATE
            self._ext["TCPHPAcks"] += 1
        else:
            if skb.end_seq != skb.seq:
                flag |= FLAG_DATA
            else:
                self._ext["TCPPureAcks"] += 1
            flag |= self.tcp_ack_update_window(sk, skb, ack)
        sk.err_soft = 0
        sk.probes_out = 0
        sk.rcv_tstamp = now
        if not prior_packets:
            self.tcp_ack_probe(sk)
            return 1
        flag = self.tcp_clean_rtx_queue(sk, flag)
        rexmit = REXMIT_NONE
        if not flag & FLAG_NOT_DUP or sk.ca_state != CaState.OPEN:
            duplicates = 0
            if not flag & (FLAG_SND_UNA_ADVANCED | FLAG_NOT_DUP):
                duplicates = 1 if flag & FLAG_DATA else max(1, skb.gso_segs)
            rexmit = self.tcp_fastretrans_alert(sk, duplicates, flag)
        if flag & FLAG_ACKED:
            tcp.timer.tcp_rearm_rto(sk)
        if flag & FLAG_ACKED or not flag & FLAG_NOT_DUP:
            sk.dst_pending_confirm = True
        self.tcp_cong_control(sk, sk.delivered - delivered, sk.lost - lost, flag)
        self.tcp_xmit_recovery(sk, rexmit)
        return 1

    def tcp_cong_control(self, sk: TcpSock, delivered: int, newly_lost: int, flag: int) -> None:
        """``tcp_cong_control``: what this ACK makes of the window."""
        if sk.in_cwnd_reduction():
            cwnd_reduction(sk, delivered, newly_lost, bool(flag & FLAG_SND_UNA_ADVANCED))
        elif flag & (
            FLAG_ACKED if sk.reordering > self.tcp.sysctl.tcp_reordering else FLAG_DATA_ACKED
        ):
            cong_avoid(sk, delivered, self._cpu.jiffies)
        update_pacing_rate(sk, self.tcp.sysctl)

    def tcp_xmit_recovery(self, sk: TcpSock, rexmit: int) -> None:
        """Send what the state of loss says, now that the window is known."""
        if rexmit == REXMIT_NONE or sk.state == State.SYN_SENT:
            return
        output = self.tcp.output
        if rexmit == REXMIT_NEW:
            output.push(sk, NAGLE_OFF)
            if sk.snd_nxt > sk.high_seq:
                return
            sk.frto = False
        self.tcp.retransmit.tcp_xmit_retransmit_queue(sk)

    def tcp_snd_una_update(self, sk: TcpSock, ack: int) -> None:
        """``tcp_snd_una_update``."""
        sk.bytes_acked += ack - sk.snd_una
        sk.snd_una = ack

    def tcp_ack_update_window(self, sk: TcpSock, skb: RcvSkb, ack: int) -> int:
        """Take over the peer's window, if this segment is newer than what set it last."""
        flag = 0
        window = skb.window
        seq = skb.seq
        if ack > sk.snd_una or seq > sk.snd_wl1 or (seq == sk.snd_wl1 and window > sk.snd_wnd):
            flag = FLAG_WIN_UPDATE
            sk.snd_wl1 = seq
            if sk.snd_wnd != window:
                sk.snd_wnd = window
                if sk.write_queue and self.tcp.sysctl.tcp_slow_start_after_idle:
                    slow_start_after_idle_check(sk, self._cpu.jiffies)
                if window > sk.max_window:
                    sk.max_window = window
                    self.tcp.output.tcp_sync_mss(sk)
        self.tcp_snd_una_update(sk, ack)
        return flag

    def tcp_ack_probe(self, sk: TcpSock) -> None:
        """Nothing was in flight: does the window let the next packet go?"""
        if not sk.write_queue:
            return
        timer = self.tcp.timer
        if sk.write_queue[0].end_seq <= sk.wnd_end():
            sk.backoff = 0
            sk.probes_since = None
            if sk.pending == TIME_PROBE0:
                sk.pending = 0
        else:
            when = timer.tcp_clamp_probe0_to_user_timeout(sk, probe0_when(sk))
            timer.reset_xmit_timer(sk, TIME_PROBE0, when)

    def tcp_clean_rtx_queue(self, sk: TcpSock, flag: int) -> int:
        """Drop what is acknowledged; ``flag`` with what has been found."""
        una = sk.snd_una
        queue = sk.rtx_queue
        acked = 0
        first_ns = last_ns = -1
        while queue:
            skb = queue[0]
            if skb.end_seq > una:
                if skb.pcount == 1 or una <= skb.seq:
                    break
                pcount = skb.pcount
                self.trim_head(sk, skb, una - skb.seq)
                pcount -= skb.pcount
                whole = False
                if not pcount:
                    break
            else:
                pcount = skb.pcount
                whole = True
            if skb.retrans or skb.ever_retrans:
                if skb.retrans:
                    sk.retrans_out -= pcount
                flag |= FLAG_RETRANS_DATA_ACKED
            else:
                last_ns = skb.sent_ns
                if first_ns < 0:
                    first_ns = last_ns
                if skb.end_seq <= sk.high_seq:
                    flag |= FLAG_ORIG_SACK_ACKED
            if skb.lost:
                sk.lost_out -= pcount
            sk.packets_out -= pcount
            acked += pcount
            if skb.flags & 0x02:
                flag |= FLAG_SYN_ACKED
                sk.retrans_stamp_ns = None
            else:
                flag |= FLAG_DATA_ACKED
            if not whole:
                break
            queue.popleft()
            sk.wmem_queued -= skb.truesize
            self.tcp.mem.tcp_wmem_free_skb(skb)
        rtt_known = False
        if first_ns >= 0 and not flag & FLAG_RETRANS_DATA_ACKED:
            rtt_known = self.tcp_ack_update_rtt(sk, first_ns, last_ns)
        if flag & FLAG_ACKED:
            self.tcp_remove_reno_sacks(sk, acked)
            if flag & FLAG_RETRANS_DATA_ACKED:
                # Without SACK nobody knows which of the two has arrived.
                flag &= ~FLAG_ORIG_SACK_ACKED
            if rtt_known:
                self.pkts_acked(sk, last_ns)
        return flag

    def pkts_acked(self, sk: TcpSock, last_ns: int) -> None:
        """Give congestion control the round trip of the newest packet acknowledged."""
        now_ns = self._cpu.now()
        why = sk.ca.acked(sk, (now_ns - last_ns) // 1000, self._cpu.jiffies, now_ns // 1000)
        if why == 1:
            self._ext["TCPHystartTrainDetect"] += 1
            self._ext["TCPHystartTrainCwnd"] += sk.snd_cwnd
        elif why == 2:
            self._ext["TCPHystartDelayDetect"] += 1
            self._ext["TCPHystartDelayCwnd"] += sk.snd_cwnd

    def trim_head(self, sk: TcpSock, skb: SndSkb, size: int) -> None:
        """``tcp_trim_head``: the first ``size`` bytes are done with."""
        self.tcp.mem.trim_head(skb, size)
        sk.wmem_queued -= size
        if skb.pcount > 1:
            skb.set_pcount(sk.mss_cache)

    # Round-trip time.

    def tcp_ack_update_rtt(self, sk: TcpSock, first_ns: int, last_ns: int) -> bool:
        """A sample of the round trip: of the oldest packet acknowledged, and of the newest.

        The smallest round trip is that of the newest ones; none that can be measured counts
        as a jiffy.
        """
        now_ns = self._cpu.now()
        rtt_us = (now_ns - first_ns) // 1000
        if rtt_us < 0:
            return False
        sk.min_rtt_us = min(sk.min_rtt_us, (now_ns - last_ns) // 1000 or JIFFY_NS // 1000)
        self.tcp_rtt_estimator(sk, rtt_us)
        self.tcp_set_rto(sk)
        # A fresh RTO: the connection lives.
        sk.backoff = 0
        return True

    def tcp_rtt_estimator(self, sk: TcpSock, m: int) -> None:
        """Van Jacobson's mean and deviation, scaled by 8 and 4, deviation decaying once a round."""
        srtt = sk.srtt_us
        if srtt:
            m -= srtt >> 3
            srtt += m
            if m < 0:
                m = -m - (sk.mdev_us >> 2)
                if m > 0:
                    m >>= 3
            else:
                m -= sk.mdev_us >> 2
            sk.mdev_us += m
            if sk.mdev_us > sk.mdev_max_us:
                sk.mdev_max_us = sk.mdev_us
                if sk.mdev_max_us > sk.rttvar_us:
                    sk.rttvar_us = sk.mdev_max_us
            if sk.snd_una > sk.rtt_seq:
                if sk.mdev_max_us < sk.rttvar_us:
                    sk.rttvar_us -= (sk.rttvar_us - sk.mdev_max_us) >> 2
                sk.rtt_seq = sk.snd_nxt
                sk.mdev_max_us = _RTO_MIN_US
        else:
            srtt = m << 3
            sk.mdev_us = m << 1
            sk.rttvar_us = max(sk.mdev_us, _RTO_MIN_US)
            sk.mdev_max_us = sk.rttvar_us
            sk.rtt_seq = sk.snd_nxt
        sk.srtt_us = max(1, srtt)

    def tcp_set_rto(self, sk: TcpSock) -> None:
        """``tcp_set_rto``: in jiffies, rounded up."""
        us = (sk.srtt_us >> 3) + sk.rttvar_us
        sk.rto = min(-(-us * HZ // 1_000_000), RTO_MAX)

    # Loss.

    def tcp_fastretrans_alert(self, sk: TcpSock, duplicates: int, flag: int) -> int:
        """The state machine of loss: what is to be sent again (REXMIT_...)."""
        advanced = bool(flag & FLAG_SND_UNA_ADVANCED)
        rexmit = REXMIT_NONE
        if not sk.packets_out:
            sk.sacked_out = 0
        # States end when all that was sent before them is acknowledged.
        if sk.ca_state == CaState.OPEN:
            sk.retrans_stamp_ns = None
        elif sk.snd_una >= sk.high_seq:
            if sk.ca_state == CaState.CWR:
                if sk.snd_una != sk.high_seq:
                    end_cwnd_reduction(sk, self._cpu.jiffies)
                    self.set_ca_state(sk, CaState.OPEN)
            elif sk.ca_state == CaState.RECOVERY:
                sk.sacked_out = 0
                if self.tcp_try_undo_recovery(sk):
                    return rexmit
                end_cwnd_reduction(sk, self._cpu.jiffies)
        state = sk.ca_state
        if state == CaState.RECOVERY:
            if not advanced:
                self.tcp_add_reno_sack(sk, duplicates)
            elif self.tcp_try_undo_partial(sk):
                return rexmit
            self.tcp_newreno_mark_lost(sk, advanced)
            if sk.ca_state != CaState.RECOVERY:
                if not sk.lost_out:
                    return rexmit
                self.tcp_enter_recovery(sk)
            return REXMIT_LOST
        if state == CaState.LOSS:
            rexmit = self.tcp_process_loss(sk, flag, duplicates)
            self.tcp_newreno_mark_lost(sk, advanced)
            if sk.ca_state != CaState.OPEN:
                return rexmit
        if advanced:
            sk.sacked_out = 0
        self.tcp_add_reno_sack(sk, duplicates)
        self.tcp_newreno_mark_lost(sk, advanced)
        if not sk.lost_out:
            self.tcp_try_to_open(sk)
            return rexmit
        self.tcp_enter_recovery(sk)
        return REXMIT_LOST

    def tcp_process_loss(self, sk: TcpSock, flag: int, duplicates: int) -> int:
        """An ACK behind a timeout: the loss is made good, or was none, or more is sent again."""
        advanced = bool(flag & FLAG_SND_UNA_ADVANCED)
        recovered = sk.snd_una >= sk.high_seq
        if advanced and self.tcp_try_undo_loss(sk, frto=False):
            return REXMIT_NONE
        if sk.frto:
            # RFC 5682 section 2.1, in the numbers of its steps.
            if flag & FLAG_ORIG_SACK_ACKED and self.tcp_try_undo_loss(sk, frto=True):
                return REXMIT_NONE  # 3b: spurious
            if sk.snd_nxt > sk.high_seq:
                if duplicates:
                    sk.frto = False  # 3a: real
            elif advanced and not recovered:
                sk.high_seq = sk.snd_nxt
                if sk.write_queue and sk.wnd_end() > sk.snd_nxt:
                    return REXMIT_NEW  # 2b
                sk.frto = False
        if recovered:
            self.tcp_try_undo_recovery(sk)
            return REXMIT_NONE
        if sk.snd_nxt > sk.high_seq and duplicates:
            # Step 2b's new data has arrived.
            self.tcp_add_reno_sack(sk, duplicates)
        elif advanced:
            sk.sacked_out = 0
        return REXMIT_LOST

    # Duplicate ACKs, which stand for what SACK would say.

    def tcp_limit_reno_sacked(self, sk: TcpSock) -> bool:
        """No more can have arrived than is beyond the hole; True if more were counted."""
        holes = min(max(sk.lost_out, 1), sk.packets_out)
        if sk.sacked_out + holes > sk.packets_out:
            sk.sacked_out = sk.packets_out - holes
            return True
        return False

    def tcp_check_reno_reordering(self, sk: TcpSock, addend: int) -> None:
        """More duplicates than can be: the network reorders, by so many segments."""
        if self.tcp_limit_reno_sacked(sk):
            most = self.tcp.sysctl.tcp_max_reordering
            sk.reordering = min(sk.packets_out + addend, most)
            self._ext["TCPRenoReorder"] += 1

    def tcp_add_reno_sack(self, sk: TcpSock, duplicates: int) -> None:
        """Each duplicate ACK stands for a segment that has left the network."""
        if not duplicates:
            return
        before = sk.sacked_out
        sk.sacked_out += duplicates
        self.tcp_check_reno_reordering(sk, 0)
        sk.delivered += max(sk.sacked_out - before, 0)

    def tcp_remove_reno_sacks(self, sk: TcpSock, acked: int) -> None:
        """The ACK of ``acked`` segments: one was the hole, the others had been counted."""
        if acked > 0:
            sk.delivered += max(acked - sk.sacked_out, 1)
            sk.sacked_out = max(sk.sacked_out - (acked - 1), 0)
        self.tcp_check_reno_reordering(sk, acked)

    # Taking a reduction back.

    def tcp_any_retrans_done(self, sk: TcpSock) -> bool:
        """Whether something that is still under way has been sent again."""
        return bool(sk.retrans_out or (sk.rtx_queue and sk.rtx_queue[0].ever_retrans))

    def tcp_packet_delayed(self, sk: TcpSock) -> bool:
        """Whether what is acknowledged was only late: nothing has been sent again yet."""
        return (
            sk.retrans_stamp_ns is None and sk.snd_una < sk.high_seq and sk.state != State.SYN_SENT
        )

    def tcp_may_undo(self, sk: TcpSock) -> bool:
        """Whether the reduction is known to have been wrong."""
        return sk.undo_marker and self.tcp_packet_delayed(sk)

    def tcp_is_non_sack_preventing_reopen(self, sk: TcpSock) -> bool:
        """Stay until something above ``high_seq`` is acknowledged (RFC 6582 section 4.1)."""
        if sk.snd_una != sk.high_seq:
            return False
        if not self.tcp_any_retrans_done(sk):
            sk.retrans_stamp_ns = None
        return True

    def tcp_undo_cwnd_reduction(self, sk: TcpSock, unmark_loss: bool) -> None:
        """Window and threshold are again what they were."""
        if unmark_loss:
            for skb in sk.rtx_queue:
                skb.lost = False
            sk.lost_out = 0
        if sk.prior_ssthresh:
            sk.snd_cwnd = max(sk.snd_cwnd, sk.prior_cwnd)
            sk.snd_ssthresh = max(sk.snd_ssthresh, sk.prior_ssthresh)
        sk.snd_cwnd_stamp = self._cpu.jiffies
        sk.undo_marker = False

    def tcp_try_undo_recovery(self, sk: TcpSock) -> bool:
        """A loss is made good: back to OPEN; True if that has to wait."""
        if self.tcp_may_undo(sk):
            loss = sk.ca_state == CaState.LOSS
            self.tcp_undo_cwnd_reduction(sk, unmark_loss=False)
            self._ext["TCPLossUndo" if loss else "TCPFullUndo"] += 1
        if self.tcp_is_non_sack_preventing_reopen(sk):
            return True
        self.set_ca_state(sk, CaState.OPEN)
        return False

    def tcp_try_undo_loss(self, sk: TcpSock, *, frto: bool) -> bool:
        """Take a timeout back, if it is known to have been wrong."""
        if not frto and not self.tcp_may_undo(sk):
            return False
        self.tcp_undo_cwnd_reduction(sk, unmark_loss=True)
        self._ext["TCPLossUndo"] += 1
        if frto:
            self._ext["TCPSpuriousRTOs"] += 1
        sk.retransmits = 0
        if self.tcp_is_non_sack_preventing_reopen(sk):
            return True
        if frto:
            self.set_ca_state(sk, CaState.OPEN)
        return True

    def tcp_try_undo_partial(self, sk: TcpSock) -> bool:
        """A partial ACK although nothing has been sent again: it was reordering."""
        if not (sk.undo_marker and self.tcp_packet_delayed(sk)):
            return False
        if sk.retrans_out:
            return True
        if not self.tcp_any_retrans_done(sk):
            sk.retrans_stamp_ns = None
        self.tcp_undo_cwnd_reduction(sk, unmark_loss=True)
        self._ext["TCPPartialUndo"] += 1
        self.tcp_try_keep_open(sk)
        return False

    # Marking.

    def tcp_newreno_mark_lost(self, sk: TcpSock, advanced: bool) -> None:
        """The first unacknowledged segment is lost: enough duplicates, or a partial ACK."""
        state = sk.ca_state
        if not sk.rtx_queue or not (
            (state < CaState.RECOVERY and sk.sacked_out >= sk.reordering)
            or (state == CaState.RECOVERY and advanced)
        ):
            return
        skb = sk.rtx_queue[0]
        if skb.lost:
            return
        if skb.pcount > 1 and skb.len > sk.mss_cache:
            self.tcp.retransmit.tcp_fragment(sk, skb, sk.mss_cache)
        self.mark_lost(sk, skb)

    def mark_lost(self, sk: TcpSock, skb: SndSkb) -> None:
        """``tcp_mark_skb_lost``."""
        if skb.lost:
            if skb.retrans:
                skb.retrans = False
                sk.retrans_out -= skb.pcount
                sk.lost += skb.pcount
                self._ext["TCPLostRetransmit"] += skb.pcount
            return
        skb.lost = True
        sk.lost_out += skb.pcount
        sk.lost += skb.pcount

    def tcp_try_keep_open(self, sk: TcpSock) -> None:
        """OPEN, or DISORDER while something is unexplained."""
        state = CaState.OPEN
        if sk.sacked_out + sk.lost_out or self.tcp_any_retrans_done(sk):
            state = CaState.DISORDER
        if sk.ca_state != state:
            self.set_ca_state(sk, state)
            sk.high_seq = sk.snd_nxt

    def tcp_try_to_open(self, sk: TcpSock) -> None:
        """Nothing is lost (yet)."""
        if not self.tcp_any_retrans_done(sk):
            sk.retrans_stamp_ns = None
        if sk.ca_state != CaState.CWR:
            self.tcp_try_keep_open(sk)

    def set_ca_state(self, sk: TcpSock, state: CaState) -> None:
        """``tcp_set_ca_state``; a timeout makes CUBIC forget its curve."""
        if state == CaState.LOSS:
            sk.ca.reset()
            sk.ca.hystart_reset(self._cpu.now() // 1000, sk.snd_nxt)
        sk.ca_state = state

    def init_cwnd_reduction(self, sk: TcpSock) -> None:
        """``tcp_init_cwnd_reduction``."""
        sk.high_seq = sk.snd_nxt
        sk.snd_cwnd_cnt = 0
        sk.prior_cwnd = sk.snd_cwnd
        sk.prr_delivered = 0
        sk.prr_out = 0
        sk.snd_ssthresh = sk.ca.recalc_ssthresh(sk)

    def tcp_enter_recovery(self, sk: TcpSock) -> None:
        """Fast retransmit."""
        if not self.tcp_any_retrans_done(sk):
            sk.retrans_stamp_ns = None
        self._ext["TCPRenoRecovery"] += 1
        sk.prior_ssthresh = 0
        sk.undo_marker = True
        if not sk.in_cwnd_reduction():
            sk.prior_ssthresh = current_ssthresh(sk)
            self.init_cwnd_reduction(sk)
        self.set_ca_state(sk, CaState.RECOVERY)

    def tcp_enter_cwr(self, sk: TcpSock) -> None:
        """A drop on our own side: reduce, but nothing has to be sent again yet."""
        sk.prior_ssthresh = 0
        if sk.ca_state < CaState.CWR:
            sk.undo_marker = False
            self.init_cwnd_reduction(sk)
            self.set_ca_state(sk, CaState.CWR)

    def tcp_enter_loss(self, sk: TcpSock) -> None:
        """A timeout: all that is in flight counts as lost, start again from one segment."""
        new_recovery = sk.ca_state < CaState.RECOVERY
        sk.sacked_out = 0
        for skb in sk.rtx_queue:
            self.mark_lost(sk, skb)
        if (
            sk.ca_state <= CaState.DISORDER
            or sk.high_seq <= sk.snd_una
            or (sk.ca_state == CaState.LOSS and not sk.retransmits)
        ):
            sk.prior_ssthresh = current_ssthresh(sk)
            sk.prior_cwnd = sk.snd_cwnd
            sk.snd_ssthresh = sk.ca.recalc_ssthresh(sk)
            sk.undo_marker = True
        sk.snd_cwnd = sk.packets_in_flight() + 1
        sk.snd_cwnd_cnt = 0
        sk.snd_cwnd_stamp = self._cpu.jiffies
        self.set_ca_state(sk, CaState.LOSS)
        sk.high_seq = sk.snd_nxt
        # Not for what follows another recovery, but for repetitions of one timeout.
        sk.frto = bool(self.tcp.sysctl.tcp_frto and (new_recovery or sk.retransmits))

    # Suspicious segments.

    def oow_rate_limited(self, sk: TcpSock, skb: RcvSkb | None, counter: str) -> bool:
        """``tcp_oow_rate_limited``: one answer to out-of-window segments per half second."""
        if skb is not None and skb.len and not skb.flags & 0x02:
            return False
        now = self._cpu.jiffies
        if 0 <= now - sk.last_oow_ack_time < self.tcp.invalid_ratelimit:
            self._ext[counter] += 1
            return True
        sk.last_oow_ack_time = now
        return False

    def tcp_send_challenge_ack(self, sk: TcpSock) -> None:
        """RFC 5961: let the sender of a doubtful segment prove that it knows where we are."""
        if not self.oow_rate_limited(sk, None, "TCPACKSkippedChallenge"):
            self._ext["TCPChallengeACK"] += 1
            self.tcp.output.tcp_send_ack(sk)
