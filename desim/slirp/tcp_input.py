"""TCP input: the state machine (slirp/tcp_input.c, RFC 9293 section 3.10.7, 4.4BSD).

Theory of operation
-------------------
A segment finds its connection by its four ends. A SYN to somewhere new makes one;
anything else to nowhere is answered with a reset.

Header prediction takes the two common cases: an ACK for data while the congestion
window is not the limit, and data in order that acknowledges nothing new. Predicted
data is acknowledged at once, each segment. All other in-order data is acknowledged
by the fast timer (2 ms), which is the only delayed ACK there is.

A SYN from the guest starts a connect on the host and is kept; meanwhile all further
segments of the connection are ignored. When the connect is done, ``tcp_input`` is
called for the connection and goes on with the SYN that was kept. The SYN's options
are lost on this way: slirp never learns the guest's MSS on connections that the guest
opens.

Otherwise: trim to the window, RST, SYN, ACK (duplicate ACKs, congestion window, FIN
acknowledged), window, urgent pointer, data, FIN; then answer if something is owed.

Not modelled: payload emulation (see tcp_subr), window scaling, timestamps and SACK
(slirp has none).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from desim.slirp import reasons
from desim.slirp.datagram import Datagram, tcp_segment
from desim.slirp.socket import (
    SS_CTL,
    SS_FCANTRCVMORE,
    SS_FCANTSENDMORE,
    SS_ISFCONNECTING,
    SS_NOFDREF,
    Socket,
)
from desim.slirp.tcp_var import (
    SEQ,
    TCP_ISSINCR,
    TCP_MAXIDLE,
    TCP_MAXSEG_MAX,
    TCP_MAXWIN,
    TCP_MINSEG,
    TCPREXMTTHRESH,
    TCPS_CLOSE_WAIT,
    TCPS_CLOSED,
    TCPS_CLOSING,
    TCPS_ESTABLISHED,
    TCPS_FIN_WAIT_1,
    TCPS_FIN_WAIT_2,
    TCPS_LAST_ACK,
    TCPS_LISTEN,
    TCPS_SYN_RECEIVED,
    TCPS_SYN_SENT,
    TCPS_TIME_WAIT,
    TCPT_2MSL,
    TCPT_KEEP,
    TCPT_PERSIST,
    TCPT_REXMT,
    TCPTV_KEEP_IDLE,
    TCPTV_KEEP_INIT,
    TCPTV_MIN,
    TCPTV_MSL,
    TCPTV_REXMTMAX,
    TF_ACKNOW,
    TF_DELACK,
    TH_ACK,
    TH_FIN,
    TH_PUSH,
    TH_RST,
    TH_SYN,
    TH_URG,
    TcpCb,
    Ti,
    rangeset,
    seq_diff,
    seq_gt,
    seq_lt,
    short,
)
from desim.stages import QEMU, mark, stages
from desim.wire.frame import Frame
from desim.wire.segment import Segment

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

ESC = 27
"""A short segment that begins with this is a key press, and acknowledged at once."""


class TcpInput:
    """``tcp_input``, its helpers, and what a connection learns from segments."""

    STAGES = stages(
        QEMU,
        tcp_input=mark("tcp_input", file="slirp/tcp_input.c"),
        tcp_xmit_timer=mark("tcp_xmit_timer", file="slirp/tcp_input.c"),
        tcp_reass=mark("tcp_reass", file="slirp/tcp_input.c"),
        tcp_mss=mark("tcp_mss", file="slirp/tcp_input.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp

    def tcp_input_datagram(self, datagram: Datagram) -> None:
        """TCP in a datagram that is not plain: check it, and take it as a segment."""
        datagram.strip_options()
        segment = tcp_segment(datagram)
        if segment is None:
            self.slirp.drop(datagram.frame, reasons.TCP_REFUSED)
        else:
            self.tcp_input(datagram.frame, segment, datagram)

    def tcp_input(
        self,
        frame: Frame | None,
        segment: Segment | None,
        datagram: Datagram | None = None,
        inso: Socket | None = None,
    ) -> None:
        """A segment from the guest; or, for ``inso``, its connect on the host has ended."""
        if inso is not None:
            self._connect_done(inso)
            return
        assert frame is not None
        assert segment is not None
        slirp = self.slirp
        so = slirp.tcp_subr.solookup((segment.src, segment.sport), (segment.dst, segment.dport))
        flags = segment.flags
        if so is not None:
            if so.so_state & SS_ISFCONNECTING:
                return
            tp = so.so_tcpcb
            if tp.t_state == TCPS_CLOSED:
                return
            tp.t_idle = 0
            tp.t_timer[TCPT_KEEP] = TCPTV_KEEP_IDLE
            if (
                tp.t_state == TCPS_ESTABLISHED
                and flags & (TH_SYN | TH_FIN | TH_RST | TH_URG | TH_ACK) == TH_ACK
                and segment.seq == tp.rcv_nxt
                and segment.window
                and segment.window == tp.snd_wnd
                and tp.snd_nxt == tp.snd_max
                and self._predicted(so, tp, segment)
            ):
                return
        ti = Ti(
            frame,
            datagram,
            segment.src,
            segment.dst,
            segment.sport,
            segment.dport,
            segment.seq,
            segment.ack,
            flags,
            segment.window,
            segment.urgent,
            segment.options,
            segment.payload,
        )
        if so is None:
            self._nobodys(ti, 0)
        else:
            self._segment(so, so.so_tcpcb, ti)

    def _predicted(self, so: Socket, tp: TcpCb, segment: Segment) -> bool:
        """Header prediction: True if ``segment`` was one of the two common cases."""
        slirp = self.slirp
        data = segment.payload
        if not data:
            ack = segment.ack
            if not (
                seq_gt(ack, tp.snd_una)
                and not seq_gt(ack, tp.snd_max)
                and tp.snd_cwnd >= tp.snd_wnd
            ):
                return False
            if tp.t_rtt and seq_gt(ack, tp.t_rtseq):
                self.tcp_xmit_timer(tp, tp.t_rtt)
            slirp.socket_io.sodrop(so, (ack - tp.snd_una) & SEQ)
            tp.snd_una = ack
            if ack == tp.snd_max:
                tp.t_timer[TCPT_REXMT] = 0
            elif not tp.t_timer[TCPT_PERSIST]:
                tp.t_timer[TCPT_REXMT] = tp.t_rxtcur
            if so.so_snd.data:
                slirp.tcp_output.tcp_output(tp)
            return True
        if segment.ack != tp.snd_una or tp.reass or len(data) > so.so_rcv.space():
            return False
        tp.rcv_nxt = (tp.rcv_nxt + len(data)) & SEQ
        slirp.socket_io.sbappend(so, data)
        tp.t_flags |= TF_ACKNOW
        slirp.tcp_output.tcp_output(tp)
        return True

    # -- connections that begin --------------------------------------------------------

    def _nobodys(self, ti: Ti, iss: int) -> None:
        """A segment without a connection: open one for a SYN, else answer with a reset."""
        slirp = self.slirp
        subr = slirp.tcp_subr
        allowed = not slirp.config.restrict or slirp.guestfwd.find(ti.dst, ti.dport) is not None
        if not allowed or ti.tiflags & (TH_SYN | TH_FIN | TH_RST | TH_URG | TH_ACK) != TH_SYN:
            subr.drop_with_reset(None, ti)
            return
        so = Socket()
        tp = subr.tcp_attach(so)
        so.so_snd.reserve(slirp.version.tcp_sndspace)
        so.so_rcv.reserve(slirp.version.tcp_rcvspace)
        subr.name(so, (ti.src, ti.sport), (ti.dst, ti.dport))
        so.so_ffamily = 4 if len(ti.dst) == 4 else 6
        # The TOS of the guest's SYN, which slirp means to take over, is wiped out by then.
        so.so_iptos = subr.tcp_tos(so)
        tp.t_state = TCPS_LISTEN
        tp.t_timer[TCPT_KEEP] = TCPTV_KEEP_IDLE
        tp.rcv_wnd = so.so_rcv.space()
        if slirp.guestfwd.find(ti.dst, ti.dport) is not None:
            so.so_state |= SS_CTL
            self._accept_syn(so, tp, ti, iss)
            return
        if ti.dport in slirp.version.noconnect_ports:
            self._accept_syn(so, tp, ti, iss)
            return
        failure = subr.tcp_fconnect(so)
        if failure:
            if failure == errno.ECONNREFUSED:
                subr.tcp_respond(tp, ti, ti.seq + 1, 0, TH_RST | TH_ACK)
            else:
                slirp.tcp_unreachable(ti, failure == errno.EHOSTUNREACH)
            subr.tcp_close(tp)
            return
        so.so_syn = ti
        tp.t_timer[TCPT_KEEP] = TCPTV_KEEP_INIT
        tp.t_state = TCPS_SYN_RECEIVED
        # Enough to refuse the SYN properly, should the host refuse.
        tp.irs = ti.seq
        tp.rcvseqinit()
        subr.tcp_template(tp)

    def _connect_done(self, so: Socket) -> None:
        """The connect on the host has ended: go on with the SYN that was kept."""
        tp = so.so_tcpcb
        ti = so.so_syn
        if ti is None:
            # Not waiting for this: a connection from the host never is.
            return
        so.so_syn = None
        if so.so_state & SS_NOFDREF:
            self.slirp.tcp_subr.tcp_close(tp)
            self.slirp.tcp_subr.drop_with_reset(None, ti)
            return
        ti.options = b""
        self._accept_syn(so, tp, ti, 0)

    def _accept_syn(self, so: Socket, tp: TcpCb, ti: Ti, iss: int) -> None:
        """Answer a SYN with a SYN of our own."""
        subr = self.slirp.tcp_subr
        subr.tcp_template(tp)
        if ti.options:
            self.tcp_dooptions(tp, ti)
        next_iss = subr.next_iss()
        tp.iss = iss or next_iss
        tp.irs = ti.seq
        tp.sendseqinit()
        tp.rcvseqinit()
        tp.t_flags |= TF_ACKNOW
        tp.t_state = TCPS_SYN_RECEIVED
        tp.t_timer[TCPT_KEEP] = TCPTV_KEEP_INIT
        self._behind_syn(so, tp, ti)

    def _syn_sent(self, so: Socket, tp: TcpCb, ti: Ti) -> None:
        """SYN_SENT: the guest answers the SYN of a forwarded connection, or not."""
        slirp = self.slirp
        flags = ti.tiflags
        if flags & TH_ACK and (not seq_gt(ti.ack, tp.iss) or seq_gt(ti.ack, tp.snd_max)):
            slirp.tcp_subr.drop_with_reset(tp, ti)
            return
        if flags & TH_RST:
            if flags & TH_ACK:
                slirp.tcp_subr.tcp_drop(tp)
            return
        if not flags & TH_SYN:
            return
        if flags & TH_ACK:
            tp.snd_una = ti.ack
            if seq_lt(tp.snd_nxt, tp.snd_una):
                tp.snd_nxt = tp.snd_una
        tp.t_timer[TCPT_REXMT] = 0
        tp.irs = ti.seq
        tp.rcvseqinit()
        tp.t_flags |= TF_ACKNOW
        if flags & TH_ACK and seq_gt(tp.snd_una, tp.iss):
            slirp.socket_io.soisfconnected(so)
            tp.t_state = TCPS_ESTABLISHED
            self._present(so, tp)
            if tp.t_rtt:
                self.tcp_xmit_timer(tp, tp.t_rtt)
        else:
            tp.t_state = TCPS_SYN_RECEIVED
        self._behind_syn(so, tp, ti)

    def _behind_syn(self, so: Socket, tp: TcpCb, ti: Ti) -> None:
        """Take what a SYN carries, as far as it fits the window."""
        ti.seq = (ti.seq + 1) & SEQ
        if len(ti.data) > tp.rcv_wnd:
            ti.data = ti.data[: tp.rcv_wnd]
            ti.tiflags &= ~TH_FIN
        tp.snd_wl1 = (ti.seq - 1) & SEQ
        tp.rcv_up = ti.seq
        self._window_and_data(so, tp, ti, False)

    # -- connections that exist --------------------------------------------------------

    def _segment(self, so: Socket, tp: TcpCb, ti: Ti) -> None:
        """A segment that header prediction did not take."""
        slirp = self.slirp
        subr = slirp.tcp_subr
        if ti.options and ti.tiflags & TH_SYN:
            self.tcp_dooptions(tp, ti)
        tp.rcv_wnd = max(0, so.so_rcv.space(), seq_diff(tp.rcv_adv, tp.rcv_nxt))
        if tp.t_state == TCPS_SYN_SENT:
            self._syn_sent(so, tp, ti)
            return
        self._trim_front(tp, ti)
        if so.so_state & SS_NOFDREF and tp.t_state > TCPS_CLOSE_WAIT and ti.data:
            # The host has closed for good, and the guest still sends.
            subr.tcp_close(tp)
            subr.drop_with_reset(None, ti)
            return
        beyond = seq_diff(ti.seq + len(ti.data), tp.rcv_nxt + tp.rcv_wnd)
        if beyond > 0:
            if beyond >= len(ti.data):
                if (
                    ti.tiflags & TH_SYN
                    and tp.t_state == TCPS_TIME_WAIT
                    and seq_gt(ti.seq, tp.rcv_nxt)
                ):
                    # The guest uses its port again: the old connection makes room.
                    iss = (tp.rcv_nxt + TCP_ISSINCR) & SEQ
                    subr.tcp_close(tp)
                    self._nobodys(ti, iss)
                    return
                if tp.rcv_wnd == 0 and ti.seq == tp.rcv_nxt:
                    tp.t_flags |= TF_ACKNOW
                else:
                    self._drop_after_ack(tp, ti)
                    return
            ti.data = ti.data[: max(0, len(ti.data) - beyond)]
            ti.tiflags &= ~(TH_PUSH | TH_FIN)
        if ti.tiflags & TH_RST:
            subr.tcp_close(tp)
            return
        if ti.tiflags & TH_SYN:
            subr.tcp_drop(tp)
            subr.drop_with_reset(None, ti)
            return
        if not ti.tiflags & TH_ACK:
            return
        if tp.t_state == TCPS_SYN_RECEIVED:
            if seq_gt(tp.snd_una, ti.ack) or seq_gt(ti.ack, tp.snd_max):
                subr.drop_with_reset(tp, ti)
                return
            needoutput = self._established(so, tp, ti)
        elif not seq_gt(ti.ack, tp.snd_una):
            if self._duplicate_ack(tp, ti):
                return
            self._window_and_data(so, tp, ti, False)
            return
        else:
            needoutput = False
        all_acked = self._new_ack(so, tp, ti)
        if all_acked is not None:
            self._window_and_data(so, tp, ti, needoutput or all_acked)

    @staticmethod
    def _trim_front(tp: TcpCb, ti: Ti) -> None:
        """Cut off what lies before rcv_nxt: it has been received already."""
        todrop = seq_diff(tp.rcv_nxt, ti.seq)
        if todrop <= 0:
            return
        if ti.tiflags & TH_SYN:
            ti.tiflags &= ~TH_SYN
            ti.seq = (ti.seq + 1) & SEQ
            if ti.urp > 1:
                ti.urp -= 1
            else:
                ti.tiflags &= ~TH_URG
            todrop -= 1
        length = len(ti.data)
        if todrop > length or (todrop == length and not ti.tiflags & TH_FIN):
            # All of it, and any FIN too; answer, because our ACK may have been lost.
            ti.tiflags &= ~TH_FIN
            tp.t_flags |= TF_ACKNOW
            todrop = length
        ti.data = ti.data[todrop:]
        ti.seq = (ti.seq + todrop) & SEQ
        if ti.urp > todrop:
            ti.urp -= todrop
        else:
            ti.tiflags &= ~TH_URG
            ti.urp = 0

    def _drop_after_ack(self, tp: TcpCb, ti: Ti) -> None:
        """Ignore ``ti``, but tell the guest where we are."""
        if not ti.tiflags & TH_RST:
            tp.t_flags |= TF_ACKNOW
            self.slirp.tcp_output.tcp_output(tp)

    def _established(self, so: Socket, tp: TcpCb, ti: Ti) -> bool:
        """SYN_RECEIVED and a good ACK: the connection is open. Whether to send something."""
        slirp = self.slirp
        needoutput = False
        tp.t_state = TCPS_ESTABLISHED
        tp.snd_una = ti.ack
        if so.so_state & SS_CTL:
            if slirp.guestfwd.tcp_ctl(so):
                slirp.socket_io.soisfconnected(so)
                so.so_state &= ~SS_CTL
            else:
                needoutput = True
                tp.t_state = TCPS_FIN_WAIT_1
        else:
            slirp.socket_io.soisfconnected(so)
        self._present(so, tp)
        tp.snd_wl1 = (ti.seq - 1) & SEQ
        return needoutput

    def _duplicate_ack(self, tp: TcpCb, ti: Ti) -> bool:
        """An ACK for nothing new: True if all has been done about it (fast retransmit)."""
        if ti.data or ti.win != tp.snd_wnd:
            tp.t_dupacks = 0
            return False
        if not tp.t_timer[TCPT_REXMT] or ti.ack != tp.snd_una:
            tp.t_dupacks = 0
            return False
        tp.t_dupacks += 1
        output = self.slirp.tcp_output
        if tp.t_dupacks == TCPREXMTTHRESH:
            onxt = tp.snd_nxt
            segments = max(2, min(tp.snd_wnd, tp.snd_cwnd) // 2 // tp.t_maxseg)
            tp.snd_ssthresh = segments * tp.t_maxseg
            tp.t_timer[TCPT_REXMT] = 0
            tp.t_rtt = 0
            tp.snd_nxt = ti.ack
            tp.snd_cwnd = tp.t_maxseg
            output.tcp_output(tp)
            tp.snd_cwnd = tp.snd_ssthresh + tp.t_maxseg * tp.t_dupacks
            if seq_gt(onxt, tp.snd_nxt):
                tp.snd_nxt = onxt
            return True
        if tp.t_dupacks > TCPREXMTTHRESH:
            tp.snd_cwnd += tp.t_maxseg
            output.tcp_output(tp)
            return True
        return False

    def _window_and_data(self, so: Socket, tp: TcpCb, ti: Ti, needoutput: bool) -> None:
        """The rest of a segment: window, urgent pointer, data, FIN; then the answer."""
        if ti.tiflags & TH_ACK and (
            seq_lt(tp.snd_wl1, ti.seq)
            or (
                tp.snd_wl1 == ti.seq
                and (seq_lt(tp.snd_wl2, ti.ack) or (tp.snd_wl2 == ti.ack and ti.win > tp.snd_wnd))
            )
        ):
            tp.snd_wnd = ti.win
            tp.snd_wl1 = ti.seq
            tp.snd_wl2 = ti.ack
            tp.max_sndwnd = max(tp.max_sndwnd, tp.snd_wnd)
            needoutput = True
        # After the guest's FIN, too: in CLOSE_WAIT and the states behind it slirp goes on
        # taking (and discarding) data, and counts another FIN.
        open_for_data = tp.t_state < TCPS_TIME_WAIT
        if ti.tiflags & TH_URG and ti.urp and open_for_data:
            self._urgent(so, tp, ti)
        elif seq_gt(tp.rcv_nxt, tp.rcv_up):
            tp.rcv_up = tp.rcv_nxt
        if 0 < len(ti.data) <= 5 and ti.first_char == ESC:
            tp.t_flags |= TF_ACKNOW
        fin = False
        if open_for_data and (ti.data or ti.tiflags & TH_FIN):
            if ti.seq == tp.rcv_nxt and not tp.reass and tp.t_state == TCPS_ESTABLISHED:
                tp.t_flags |= TF_DELACK
                tp.rcv_nxt = (tp.rcv_nxt + len(ti.data)) & SEQ
                fin = ti.flags & TH_FIN != 0
                self.slirp.socket_io.sbappend(so, ti.data)
            else:
                fin = self.tcp_reass(so, tp, ti)
                tp.t_flags |= TF_ACKNOW
        if fin:
            self._fin(so, tp)
        if needoutput or tp.t_flags & TF_ACKNOW:
            self.slirp.tcp_output.tcp_output(tp)

    @staticmethod
    def _urgent(so: Socket, tp: TcpCb, ti: Ti) -> None:
        if ti.urp + so.so_rcv.cc > so.so_rcv.datalen:
            ti.urp = 0
            ti.tiflags &= ~TH_URG
            return
        mark = (ti.seq + ti.urp) & SEQ
        if seq_gt(mark, tp.rcv_up):
            tp.rcv_up = mark
            so.so_urgc = (so.so_rcv.cc + mark - tp.rcv_nxt) & SEQ

    def _fin(self, so: Socket, tp: TcpCb) -> None:
        """The guest's FIN is in order: it sends no more."""
        if tp.t_state < TCPS_TIME_WAIT:
            self.slirp.socket_io.sofwdrain(so)
            tp.t_flags |= TF_ACKNOW
            tp.rcv_nxt = (tp.rcv_nxt + 1) & SEQ
        if tp.t_state in (TCPS_SYN_RECEIVED, TCPS_ESTABLISHED):
            tp.t_state = TCPS_CLOSE_WAIT
        elif tp.t_state == TCPS_FIN_WAIT_1:
            tp.t_state = TCPS_CLOSING
        elif tp.t_state == TCPS_FIN_WAIT_2:
            tp.t_state = TCPS_TIME_WAIT
            tp.canceltimers()
            tp.t_timer[TCPT_2MSL] = 2 * TCPTV_MSL

    # -- acknowledgements --------------------------------------------------------------

    def _new_ack(self, so: Socket, tp: TcpCb, ti: Ti) -> bool | None:
        """The guest acknowledges ``ti.ack``: whether that is all there was to acknowledge.

        None if the segment has been dealt with altogether.
        """
        slirp = self.slirp
        if tp.t_dupacks > TCPREXMTTHRESH and tp.snd_cwnd > tp.snd_ssthresh:
            tp.snd_cwnd = tp.snd_ssthresh
        tp.t_dupacks = 0
        if seq_gt(ti.ack, tp.snd_max):
            self._drop_after_ack(tp, ti)
            return None
        acked = (ti.ack - tp.snd_una) & SEQ
        if tp.t_rtt and seq_gt(ti.ack, tp.t_rtseq):
            self.tcp_xmit_timer(tp, tp.t_rtt)
        all_acked = ti.ack == tp.snd_max
        if all_acked:
            tp.t_timer[TCPT_REXMT] = 0
        elif not tp.t_timer[TCPT_PERSIST]:
            tp.t_timer[TCPT_REXMT] = tp.t_rxtcur
        growth = tp.t_maxseg
        if tp.snd_cwnd > tp.snd_ssthresh:
            growth = growth * growth // tp.snd_cwnd
        tp.snd_cwnd = min(tp.snd_cwnd + growth, TCP_MAXWIN)
        waiting = so.so_snd.cc
        ourfinisacked = acked > waiting
        if ourfinisacked:
            acked = waiting
        tp.snd_wnd = (tp.snd_wnd - acked) & SEQ
        slirp.socket_io.sodrop(so, acked)
        tp.snd_una = ti.ack
        if seq_lt(tp.snd_nxt, tp.snd_una):
            tp.snd_nxt = tp.snd_una
        if tp.t_state == TCPS_TIME_WAIT:
            tp.t_timer[TCPT_2MSL] = 2 * TCPTV_MSL
            self._drop_after_ack(tp, ti)
            return None
        if ourfinisacked:
            self._fin_acked(so, tp)
        return None if so.closed else all_acked

    def _fin_acked(self, so: Socket, tp: TcpCb) -> None:
        """Our own FIN has been acknowledged."""
        if tp.t_state == TCPS_FIN_WAIT_1:
            if so.so_state & SS_FCANTRCVMORE:
                # The host is gone: do not wait for the guest's FIN for ever.
                tp.t_timer[TCPT_2MSL] = TCP_MAXIDLE
            tp.t_state = TCPS_FIN_WAIT_2
        elif tp.t_state == TCPS_CLOSING:
            tp.t_state = TCPS_TIME_WAIT
            tp.canceltimers()
            tp.t_timer[TCPT_2MSL] = 2 * TCPTV_MSL
        elif tp.t_state == TCPS_LAST_ACK:
            self.slirp.tcp_subr.tcp_close(tp)

    def tcp_xmit_timer(self, tp: TcpCb, rtt: int) -> None:
        """A round trip took ``rtt`` ticks (started ones count): learn from it."""
        if tp.t_srtt:
            # srtt is in eighths of a tick, rttvar in quarters (RFC 6298's filter).
            delta = short(rtt - 1 - (tp.t_srtt >> 3))
            tp.t_srtt = max(1, short(tp.t_srtt + delta))
            delta = short(abs(delta) - (tp.t_rttvar >> 2))
            tp.t_rttvar = max(1, short(tp.t_rttvar + delta))
        else:
            tp.t_srtt = short(rtt << 3)
            tp.t_rttvar = short(rtt << 1)
        tp.t_rtt = 0
        tp.t_rxtshift = 0
        tp.t_rxtcur = rangeset(tp.rexmtval(), TCPTV_MIN, TCPTV_REXMTMAX)

    # -- reassembly, options, sizes ----------------------------------------------------

    def tcp_reass(self, so: Socket, tp: TcpCb, ti: Ti) -> bool:
        """Put ``ti`` in its place and deliver what is in order; True if that ends in a FIN."""
        queue = tp.reass
        place = len(queue)
        for index, other in enumerate(queue):
            if seq_gt(other.seq, ti.seq):
                place = index
                break
        if place:
            before = queue[place - 1]
            overlap = seq_diff(before.seq + len(before.data), ti.seq)
            if overlap > 0:
                if overlap >= len(ti.data):
                    return self._present(so, tp)
                ti.data = ti.data[overlap:]
                ti.seq = (ti.seq + overlap) & SEQ
        while place < len(queue):
            after = queue[place]
            overlap = seq_diff(ti.seq + len(ti.data), after.seq)
            if overlap <= 0:
                break
            if overlap < len(after.data):
                after.data = after.data[overlap:]
                after.seq = (after.seq + overlap) & SEQ
                break
            del queue[place]
        queue.insert(place, ti)
        return self._present(so, tp)

    def _present(self, so: Socket, tp: TcpCb) -> bool:
        """Deliver what has become in order; True if its last segment has a FIN."""
        queue = tp.reass
        if tp.t_state < TCPS_ESTABLISHED:
            return False
        count = 0
        fin = False
        for ti in queue:
            if ti.seq != tp.rcv_nxt:
                break
            count += 1
            tp.rcv_nxt = (tp.rcv_nxt + len(ti.data)) & SEQ
            fin = ti.flags & TH_FIN != 0
            if not so.so_state & SS_FCANTSENDMORE:
                self.slirp.socket_io.sbappend(so, ti.data)
        del queue[:count]
        return fin

    def tcp_dooptions(self, tp: TcpCb, ti: Ti) -> None:
        """Read the options of a SYN; slirp understands MSS alone."""
        options = ti.options
        at = 0
        while at < len(options):
            kind = options[at]
            if kind == 0:
                return
            if kind == 1:
                at += 1
                continue
            size = options[at + 1] if at + 1 < len(options) else 0
            if size == 0:
                return
            if kind == 2 and size == 4 and at + 4 <= len(options):
                self.tcp_mss(tp, int.from_bytes(options[at + 2 : at + 4], "big"))
            at += size

    def tcp_mss(self, tp: TcpCb, offer: int) -> int:
        """Fix the segment size, given the guest's ``offer`` (0: none); the size to offer it.

        The buffers are made anew, each a multiple of the size, and what was in them is gone.
        """
        version = self.slirp.version
        config = self.slirp.config
        so = tp.t_socket
        ip_header = 20 if so.so_ffamily == 4 else 40
        mss = min(config.if_mtu, config.if_mru) - 20
        mss += ip_header if version.mss_adds_ip_header else -ip_header
        if offer:
            mss = min(mss, offer)
        mss = max(mss, TCP_MINSEG)
        if mss < tp.t_maxseg or offer:
            tp.t_maxseg = min(mss, TCP_MAXSEG_MAX)
        tp.snd_cwnd = mss
        so.so_snd.reserve(-(-version.tcp_sndspace // mss) * mss)
        so.so_rcv.reserve(-(-version.tcp_rcvspace // mss) * mss)
        return mss
